"""Forms with files (RFC 7578), read as they come: the fields become a JSON object, the files stay as they are."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, cast

import msgspec
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive

from api.rest.http import CallerLeft
from api.service.ask import Incoming
from gateway import files
from gateway.domain.errors import BodyTimeout, BodyTooLarge, InvalidRequest
from gateway.providers.ports import Attachment

_MOST_PARTS: Final = 512
_LONGEST_FIELD: Final = 4 * 1024 * 1024  # bytes of what is no file
_OWN: Final = re.compile(r"gateway(?:\[([^\[\]]*)\])(?:\[([^\[\]]*)\])?")
_SCALARS: Final = frozenset({"deadline_s", "strict"})
_UNKNOWN: Final = "application/octet-stream"


def boundary_of(headers: Mapping[str, str]) -> bytes | None:
    """What stands between the parts of a form; None if the body is none. Raises InvalidRequest for a form without."""
    kind, options = parse_options_header(headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        return None
    boundary = options.get(b"boundary", b"")
    if not boundary or len(boundary) > 70:
        raise InvalidRequest("A form needs a `boundary` of 1 to 70 characters in its content type.")
    return boundary


async def read_form(
    receive: Receive, headers: Mapping[str, str], boundary: bytes, limit: int, patience: timedelta
) -> Incoming:
    """The whole form. Raises BodyTooLarge, BodyTimeout, CallerLeft, InvalidRequest for what is no form."""
    too_large = BodyTooLarge(f"The form is larger than {limit} bytes.")
    if headers.get("content-length", "").isdigit() and int(headers["content-length"]) > limit:
        raise too_large
    parts = _Parts()
    parser = MultipartParser(boundary, cast("Any", parts.callbacks()))
    size = 0
    try:
        async with asyncio.timeout(patience.total_seconds()):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise CallerLeft
                piece: bytes = message.get("body", b"")
                size += len(piece)
                if size > limit:
                    raise too_large
                parser.write(piece)
                if not message.get("more_body", False):
                    break
    except TimeoutError as e:
        raise BodyTimeout from e
    except MultipartParseError as e:
        raise InvalidRequest(f"The form cannot be read: {e}.") from e
    if not parts.ended:
        raise InvalidRequest("The form ends before its last boundary.")
    files.bounded(parts.files)
    return Incoming(msgspec.json.encode(_object(parts)), tuple(parts.files))


@dataclass(slots=True)
class _Parts:
    """What the parser has told so far."""

    fields: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    files: list[Attachment] = field(default_factory=list[Attachment])
    ended: bool = False
    count: int = 0
    _header: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    _headers: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    _data: list[bytes] = field(default_factory=list[bytes])
    _size: int = 0
    _named: tuple[str, str | None] = ("", None)

    def callbacks(self) -> dict[str, Any]:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._header_ended,
            "on_headers_finished": self._head_ended,
            "on_part_data": self._more,
            "on_part_end": self._part_ended,
            "on_end": self._all_ended,
        }

    def _begin(self) -> None:
        self.count += 1
        if self.count > _MOST_PARTS:
            raise InvalidRequest(f"A form has at most {_MOST_PARTS} parts.")
        self._headers, self._data, self._size = {}, [], 0

    def _header_ended(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _head_ended(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or not name:
            raise InvalidRequest("Each part of a form needs `content-disposition: form-data` with a `name`.")
        filename = options.get(b"filename")
        self._named = name, None if filename is None else filename.decode("utf-8", "replace")

    def _more(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        name, filename = self._named
        if filename is None and self._size > _LONGEST_FIELD:
            raise InvalidRequest(f"`{name}` is longer than {_LONGEST_FIELD} bytes.", param=name)
        self._data.append(data[start:end])

    def _part_ended(self) -> None:
        name, filename = self._named
        data = self._data[0] if len(self._data) == 1 else b"".join(self._data)
        self._data = []
        if filename is not None:
            kind = self._headers.get(b"content-type", b"").decode("latin-1").strip() or _UNKNOWN
            self.files.append(Attachment(name, filename, kind, data))
            return
        try:
            self.fields.append((name, data.decode()))
        except UnicodeDecodeError as e:
            raise InvalidRequest(f"`{name}` is not valid UTF-8.", param=name) from e

    def _all_ended(self) -> None:
        self.ended = True


def _object(parts: _Parts) -> dict[str, Any]:
    """The fields as one object: texts, lists of texts where a name stands several times, our own field as an object."""
    said: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for name, value in parts.fields:
        if found := _OWN.fullmatch(name):
            _add_own(own, found[1], found[2], value)
        elif name == "gateway":
            own.update(_own(value))
        elif name in said:
            known = said[name]
            said[name] = [*(known if isinstance(known, list) else [known]), value]
        else:
            said[name] = [value] if name.endswith("[]") else value
    said.update(files.described(parts.files))
    return {**said, "gateway": own} if own else said


def _add_own(own: dict[str, Any], name: str, key: str | None, value: str) -> None:
    """One field of our own, as SDKs flatten it: `gateway[tags][team]`, `gateway[exclude][]`."""
    if key is None:
        own[name] = _scalar(value) if name in _SCALARS else value
    elif not key:
        own.setdefault(name, []).append(value)
    else:
        own.setdefault(name, {})[key] = value


def _own(value: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(value, type=dict[str, Any])
    except msgspec.DecodeError as e:
        raise InvalidRequest("`gateway` must be a JSON object.", param="gateway") from e


def _scalar(value: str) -> Any:
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value
