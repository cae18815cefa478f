"""OpenAI's operations on images and sounds in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from api.rest.described import described

_FILE: Final[dict[str, Any]] = {
    "description": "In a form a file; in JSON `{filename, media_type, data}` with base64.",
    "anyOf": [
        {"type": "string", "format": "binary"},
        {
            "type": "object",
            "required": ["filename", "data"],
            "properties": {
                "filename": {"type": "string"},
                "media_type": {"type": "string"},
                "data": {"type": "string", "format": "byte"},
            },
        },
    ],
}
_EVENTS: Final = ("application/json", "text/event-stream")


def _with_files(entry: dict[str, Any]) -> dict[str, Any]:
    """The same, which takes a form as well."""
    content: dict[str, Any] = entry["requestBody"]["content"]
    return {
        **entry,
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": content["application/json"], **content},
        },
    }


GENERATIONS: Final = described(
    "Make images",
    "OpenAI's image generations. With `stream`, events come with unfinished images, `partial_images` of them.",
    {
        "prompt": {"type": "string", "minLength": 1},
        "stream": {"type": "boolean"},
        "partial_images": {"type": "integer"},
    },
    ("prompt",),
    answers=_EVENTS,
    model=False,
)

EDITS: Final = _with_files(
    described(
        "Change images",
        "OpenAI's image edits: a form with `image` or `image[]` and maybe a `mask`, or JSON with `images` by address.",
        {
            "prompt": {"type": "string"},
            "image": _FILE,
            "image[]": {"type": "array", "items": _FILE},
            "mask": _FILE,
            "images": {"type": "array", "items": {"type": "object"}},
            "stream": {"type": "boolean"},
        },
        ("prompt",),
        answers=_EVENTS,
        model=False,
    )
)

VARIATIONS: Final = _with_files(
    described("Vary an image", "OpenAI's image variations.", {"image": _FILE}, ("image",), model=False)
)

SPEECH: Final = described(
    "Speak a text",
    "OpenAI's speech: the sound as it comes, or with `stream_format: sse` events with pieces of it.",
    {
        "input": {"type": "string", "minLength": 1},
        "voice": {},
        "response_format": {"type": "string"},
        "stream_format": {"type": "string", "enum": ["audio", "sse"]},
    },
    ("input",),
    answers=("audio/*", "text/event-stream"),
)

_RECORDING: Final[dict[str, Any]] = {
    "file": _FILE,
    "language": {"type": "string"},
    "prompt": {"type": "string"},
    "response_format": {"type": "string", "enum": ["json", "text", "srt", "verbose_json", "vtt"]},
    "stream": {"type": "boolean"},
}

TRANSCRIPTIONS: Final = _with_files(
    described(
        "Write a recording down",
        "OpenAI's transcriptions: JSON, plain text or subtitles by `response_format`, or events with `stream`.",
        _RECORDING,
        ("file",),
        answers=("application/json", "text/plain", "text/event-stream"),
    )
)

TRANSLATIONS: Final = _with_files(
    described(
        "Write a recording down in English",
        "OpenAI's translations.",
        {name: said for name, said in _RECORDING.items() if name not in ("language", "stream")},
        ("file",),
        answers=("application/json", "text/plain"),
    )
)
