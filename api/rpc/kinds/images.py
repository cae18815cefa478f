"""Requests for images → JSON and files, JSON → images."""

from __future__ import annotations

from binascii import Error as NoBase64
from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from typing import Any

from api.rpc.asked import body_of, object_of
from api.rpc.reading import Shape, fields, read
from api.service.ask import Incoming
from gateway import files
from gateway.providers.ports import Attachment
from gateway.v1 import images_pb2 as pb

_UNKNOWN = "application/octet-stream"


def generate_body(request: pb.GenerateImagesRequest) -> bytes:
    """The body that REST would have got."""
    return body_of(request)


def generate_stream_body(request: pb.GenerateImagesStreamRequest) -> bytes:
    """The same for a stream."""
    return body_of(request.generate, more=_streamed(request))


def edit_body(request: pb.EditImagesRequest, more: Mapping[str, object] | None = None) -> Incoming:
    """The fields of the form that REST would have got, and its files."""
    mask = [_file("mask", request.mask)] if request.HasField("mask") else []
    name = "image" if len(request.image) == 1 else "image[]"
    given = [*(_file(name, each) for each in request.image), *mask]
    return with_files(request, given, ("image", "mask"), more)


def edit_stream_body(request: pb.EditImagesStreamRequest) -> Incoming:
    """The same for a stream."""
    return edit_body(request.edit, _streamed(request))


def vary_body(request: pb.VaryImagesRequest) -> Incoming:
    """The fields of the form that REST would have got, and its file."""
    given = [_file("image", request.image)] if request.HasField("image") else []
    return with_files(request, given, ("image",))


def with_files(
    request: Any,
    given: Sequence[Attachment],
    without: Sequence[str],
    more: Mapping[str, object] | None = None,
) -> Incoming:
    """A body whose files stand beside it, and in it only as what they are. Raises InvalidRequest."""
    files.bounded(given)

    def shape(asked: Any) -> dict[str, Any]:
        bare = type(asked)()
        bare.CopyFrom(asked)
        for name in without:
            bare.ClearField(name)
        return object_of(bare)

    described = files.described(given)
    return Incoming(body_of(request, shape=shape, more={**described, **(more or {})}), tuple(given))


def images_message(raw: bytes) -> pb.Images:
    """A whole answer. Raises UpstreamMalformed if it is no JSON object."""
    return pb.Images(**fields(read(raw), _ANSWER))


def image_event(raw: bytes) -> pb.ImageEvent:
    """One event of a stream. Raises UpstreamMalformed if it is no JSON object."""
    return pb.ImageEvent(**fields(read(raw), _EVENT))


def _streamed(request: Any) -> dict[str, object]:
    partial = {"partial_images": request.partial_images} if request.HasField("partial_images") else {}
    return {"stream": True, **partial}


def _file(field: str, upload: pb.Upload) -> Attachment:
    return Attachment(field, upload.filename or field, upload.media_type or _UNKNOWN, upload.data)


def unpacked(value: Any) -> tuple[str, Any] | None:
    """What stands in base64; None for what does not."""
    if not isinstance(value, str):
        return None
    try:
        return "data", a2b_base64(value)
    except (NoBase64, ValueError):
        return None


_TOKENS: Shape = {"text_tokens": int, "image_tokens": int}
_USAGE: Shape = {
    "input_tokens": int,
    "output_tokens": int,
    "total_tokens": int,
    "input_tokens_details": _TOKENS,
    "output_tokens_details": _TOKENS,
}
_MADE: Shape = {"background": str, "output_format": str, "quality": str, "size": str, "usage": _USAGE}
_ANSWER: Shape = {
    **_MADE,
    "created": int,
    "data": [{"url": str, "b64_json": unpacked, "revised_prompt": str}],
}
_EVENT: Shape = {**_MADE, "type": str, "b64_json": unpacked, "partial_image_index": int, "created_at": int}
