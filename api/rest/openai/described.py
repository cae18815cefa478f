"""OpenAI's operations in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from api.rest.described import described

CHAT: Final[dict[str, Any]] = described(
    "Chat with a model",
    "OpenAI's chat completions. `model` is a name, an alias, `auto` or `tags:…`; fields that the gateway does not "
    "know are passed on untouched. `Prefer: respond-async` makes it a job: 202 with its address.",
    {
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["role"],
                "properties": {"role": {"type": "string"}, "content": {}},
            },
        },
        "stream": {"type": "boolean"},
        "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
    },
    ("messages",),
    answers=("application/json", "text/event-stream"),
)

EMBEDDINGS: Final[dict[str, Any]] = described(
    "Embed texts",
    "OpenAI's embeddings: `input` is a text, texts, tokens, or rows of tokens.",
    {"input": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1}]}},
    ("input",),
)
