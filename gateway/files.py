"""Files that come with a request: beside its body while it is at work, and as what they are wherever it is kept.

A body says of a file `{"filename", "media_type", "bytes", "sha256"}`. Where there is no form to bring one, as in a job,
it stands in the JSON itself: `{"filename", "media_type", "data"}`, the data in base64.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from binascii import Error as NoBase64
from binascii import a2b_base64
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec

from gateway.domain.errors import InvalidRequest
from gateway.providers.ports import Attachment, Body

MOST: Final = 64
"""So many files come with one request at most."""
_UNKNOWN: Final = "application/octet-stream"


class _Inline(msgspec.Struct):
    """A file inside of JSON."""

    filename: str
    data: str
    media_type: str = _UNKNOWN


_inline = msgspec.json.Decoder(_Inline | list[_Inline])


def described(files: Sequence[Attachment]) -> dict[str, msgspec.Raw]:
    """What stands in a body for the files beside it: by field, a list where a field has several."""
    fields: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        fields.setdefault(file.field, []).append(
            {
                "filename": file.filename,
                "media_type": file.media_type,
                "bytes": len(file.data),
                "sha256": sha256(file.data).hexdigest(),
            }
        )
    return {name: _raw(each[0] if len(each) == 1 else each) for name, each in fields.items()}


def taken(body: Body) -> tuple[Body, tuple[Attachment, ...]]:
    """A body with its files beside it. Raises InvalidRequest naming the field of one whose data is no base64."""
    files: list[Attachment] = []
    for name, raw in body.items():
        if bytes(memoryview(raw)[:1]) not in (b"{", b"["):
            continue
        try:
            found = _inline.decode(raw)
        except msgspec.DecodeError:
            continue
        for each in found if isinstance(found, list) else [found]:
            try:
                data = a2b_base64(each.data, strict_mode=True)
            except (NoBase64, ValueError) as e:
                raise InvalidRequest(f"`{name}.data` must be base64.", param=f"{name}.data") from e
            files.append(Attachment(name, each.filename, each.media_type, data))
    if not files:
        return body, ()
    bounded(files)
    return {**body, **described(files)}, tuple(files)


def bounded(files: Sequence[Attachment]) -> None:
    """Raises InvalidRequest for more files than one request may have."""
    if len(files) > MOST:
        raise InvalidRequest(f"A request has at most {MOST} files.", param=files[MOST].field)


def inlined(body: Body, files: Iterable[Attachment]) -> str:
    """The JSON of a body with its files in it, for who has no other place for them."""
    fields: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        data = b64encode(file.data).decode()
        fields.setdefault(file.field, []).append(
            {"filename": file.filename, "media_type": file.media_type, "data": data}
        )
    held = {name: each[0] if len(each) == 1 else each for name, each in fields.items()}
    return msgspec.json.encode({**body, **held}).decode()


def told(text: str) -> str:
    """A body's JSON without the data of the files in it: what may be kept of it."""
    try:
        body, files = taken(msgspec.json.decode(text, type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, InvalidRequest):
        return text
    return msgspec.json.encode(body).decode() if files else text


def seconds_of(files: Iterable[Attachment]) -> float:
    """How long the recordings last together, as far as they say so themselves: those that are RIFF WAVE do."""
    return sum(map(_seconds, (file.data for file in files)))


def _seconds(data: bytes) -> float:
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return 0.0
    at, rate = 12, 0
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"fmt " and size >= 16 and at + 20 <= len(data):
            rate = struct.unpack_from("<I", data, at + 16)[0]  # bytes a second
        elif name == b"data":
            # A stream that was written before its end was known says too much.
            return min(size, len(data) - at - 8) / rate if rate else 0.0
        at += 8 + size + size % 2
    return 0.0


def _raw(value: Mapping[str, Any] | Sequence[Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
