"""Requests about sounds → JSON and a recording, JSON and text → what was heard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from api.rpc.asked import body_of
from api.rpc.kinds.images import with_files
from api.rpc.reading import Shape, fields, read
from api.service.ask import Incoming
from gateway.domain.errors import BodyTooLarge, InvalidRequest
from gateway.providers.ports import JSON, Attachment
from gateway.v1 import audio_pb2 as pb

_UNKNOWN = "application/octet-stream"


def speech_body(request: pb.SpeechRequest) -> bytes:
    """The body that REST would have got."""
    return body_of(request)


async def recording(requests: AsyncIterator[Any], limit: int, *, stream: bool = False) -> Incoming:
    """The form that REST would have got, out of messages: first the options, then the sound in pieces.

    Raises InvalidRequest for another order, BodyTooLarge beyond `limit` bytes.
    """
    options: pb.TranscriptionOptions | None = None
    pieces: list[bytes] = []
    size = 0
    async for request in requests:
        match request.WhichOneof("part"):
            case "options" if options is None and not pieces:
                options = request.options
            case "audio" if options is not None:
                size += len(request.audio)
                if size > limit:
                    raise BodyTooLarge(f"The recording is larger than {limit} bytes.")
                pieces.append(request.audio)
            case _:
                raise InvalidRequest("`options` come once, before any `audio`.", param="options")
    if options is None:
        raise InvalidRequest("`options` are required, before any `audio`.", param="options")
    return transcription_body(options, b"".join(pieces), stream=stream)


def transcription_body(options: pb.TranscriptionOptions, data: bytes, *, stream: bool = False) -> Incoming:
    """The same of a whole recording."""
    file = Attachment("file", options.filename or "audio", options.media_type or _UNKNOWN, data)
    without = ("filename", "media_type")
    return with_files(options, [file], without, {"stream": True} if stream else None)


def transcription_message(body: bytes, media_type: str = JSON) -> pb.Transcription:
    """A whole answer; what is no JSON is its text."""
    if media_type != JSON:
        return pb.Transcription(text=body.decode("utf-8", "replace"))
    return pb.Transcription(**fields(read(body), _ANSWER))


def transcript_event(raw: bytes) -> pb.TranscriptEvent:
    """One event of a stream. Raises UpstreamMalformed if it is no JSON object."""
    return pb.TranscriptEvent(**fields(read(raw), _EVENT))


_USAGE: Shape = {
    "type": str,
    "input_tokens": int,
    "output_tokens": int,
    "total_tokens": int,
    "seconds": float,
}


def _duration(value: Any) -> tuple[str, Any] | None:
    """Seconds, which some servers write as a text."""
    try:
        return "duration", float(value)
    except (TypeError, ValueError):
        return None


_ANSWER: Shape = {
    "text": str,
    "task": str,
    "language": str,
    "duration": _duration,
    "words": [{"word": str, "start": float, "end": float}],
    "segments": [{"start": float, "end": float, "text": str}],
    "usage": _USAGE,
}
_EVENT: Shape = {"type": str, "delta": str, "text": str, "usage": _USAGE}
