"""Forms with files, as upstreams of OpenAI's dialect take them (RFC 7578); the files go out as the bytes they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast
from uuid import uuid4

import msgspec

from gateway.providers.ports import Body, Call
from gateway.providers.wire import Outgoing


def form(call: Call) -> Outgoing:
    """The fields of a call's body with another `model`, and its files."""
    boundary = uuid4().hex.encode()
    names = {file.field for file in call.files}
    pieces: list[bytes] = []
    fields = {**call.body, "model": msgspec.Raw(msgspec.json.encode(call.model.upstream_model))}
    for name, value in _fields(fields, names):
        pieces.append(_head(boundary, name) + b"\r\n" + value.encode() + b"\r\n")
    for file in call.files:
        head = _head(boundary, file.field, file.filename)
        kind = file.media_type.translate(_UNSAFE).encode("utf-8", "replace")
        pieces += [head + b"content-type: " + kind + b"\r\n\r\n", file.data, b"\r\n"]
    pieces.append(b"--" + boundary + b"--\r\n")
    return Outgoing(tuple(pieces), f"multipart/form-data; boundary={boundary.decode()}")


_UNSAFE = {ord(c): None for c in "\r\n\0"}
_ESCAPED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})  # as the WHATWG has it


def _head(boundary: bytes, name: str, filename: str | None = None) -> bytes:
    named = f'; filename="{filename.translate(_ESCAPED)}"' if filename is not None else ""
    said = f'content-disposition: form-data; name="{name.translate(_ESCAPED)}"{named}\r\n'
    return b"--" + boundary + b"\r\n" + said.encode("utf-8", "replace")


def _fields(body: Body, files: set[str]) -> Iterator[tuple[str, str]]:
    for name, raw in body.items():
        if name not in files:
            yield from _values(name, msgspec.json.decode(raw))


def _values(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """A value as fields of a form: a list as several of one name, an object as names in brackets, as SDKs do it."""
    if value is None:
        return
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _values(name if name.endswith("[]") else f"{name}[]", item)
    elif isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            yield from _values(f"{name}[{key}]", item)
    else:
        yield name, value if isinstance(value, str) else msgspec.json.encode(value).decode()
