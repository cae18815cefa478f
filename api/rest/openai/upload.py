"""The form of a file that is handed over, read as it comes: no more of it is held than a piece."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final, cast

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive

from api.rest.http import CallerLeft
from api.service.batches import Upload
from gateway.domain.errors import BodyTimeout, InvalidRequest

_LONGEST_FIELD: Final = 1024
_MOST_PARTS: Final = 8
_HELD: Final = 4 * 1024 * 1024


async def receive_upload(
    receive: Receive, headers: Mapping[str, str], patience: timedelta
) -> tuple[Upload, AsyncGenerator[bytes]]:
    """What comes, as far as it stands before the file, and the file's pieces.

    Each piece must come within `patience`. Raises InvalidRequest, BodyTimeout, CallerLeft, also while it is read. What
    stands behind the file is read before its last piece is given.
    """
    form = _Form()
    parser = MultipartParser(_boundary(headers), cast("Any", form.callbacks()))
    read = partial(_read, receive, parser, patience)
    more = True
    # SDKs send the purpose before the file; whoever sends it behind a small file gets what it asks for too.
    while more and not (form.filename is not None and "purpose" in form.fields) and form.held < _HELD:
        more = await read()
    if form.filename is None and not more:
        raise InvalidRequest("The form has no field `file` with a file name.", param="file")
    upload = form.upload()

    async def pieces() -> AsyncGenerator[bytes]:
        going = more
        while True:
            while form.pieces:
                yield form.pieces.popleft()
            if not going:
                break
            going = await read()
        if not form.ended:
            raise InvalidRequest("The form ends before its last boundary.")

    return upload, pieces()


def _boundary(headers: Mapping[str, str]) -> bytes:
    kind, options = parse_options_header(headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 70:
        raise InvalidRequest("Send a form: `multipart/form-data` with the fields `file` and `purpose`.")
    return boundary


async def _read(receive: Receive, parser: MultipartParser, patience: timedelta) -> bool:
    """Read what comes next; False at the end."""
    try:
        async with asyncio.timeout(patience.total_seconds()):
            message = await receive()
    except TimeoutError as e:
        raise BodyTimeout from e
    if message["type"] == "http.disconnect":
        raise CallerLeft
    try:
        parser.write(message.get("body", b""))
    except MultipartParseError as e:
        raise InvalidRequest(f"The form cannot be read: {e}.") from e
    return bool(message.get("more_body", False))


class _Form:
    """What the parser has told so far."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.pieces: deque[bytes] = deque()
        self.held = 0
        self.ended = False
        self._parts = 0
        self._name = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._field = ""
        self._is_file = False
        self._data = b""

    def callbacks(self) -> dict[str, Any]:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._head_end,
            "on_part_data": self._more,
            "on_part_end": self._end,
            "on_end": self._all,
        }

    def upload(self) -> Upload:
        """What is known now. Raises InvalidRequest naming what is missing or wrong."""
        if self.filename is None or "purpose" not in self.fields:
            missing = "file" if self.filename is None else "purpose"
            raise InvalidRequest(f"`{missing}` is required, before the file's content.", param=missing)
        anchor = self.fields.get("expires_after[anchor]", "created_at")
        seconds = self.fields.get("expires_after[seconds]")
        if anchor != "created_at":
            raise InvalidRequest("`expires_after.anchor` must be `created_at`.", param="expires_after")
        if seconds is not None and not (seconds.isascii() and seconds.isdecimal() and len(seconds) < 12):
            raise InvalidRequest("`expires_after.seconds` must be a whole number.", param="expires_after")
        kept_for = None if seconds is None else timedelta(seconds=int(seconds))
        return Upload(self.filename, self.fields["purpose"], kept_for)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise InvalidRequest(f"A form has at most {_MOST_PARTS} parts.")
        self._headers, self._data, self._is_file, self._field = {}, b"", False, ""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _head_end(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        filename = options.get(b"filename")
        if kind != b"form-data" or not self._field:
            raise InvalidRequest("Each part of a form needs `content-disposition: form-data` with a `name`.")
        if filename is None:
            return
        if self._field != "file" or self.filename is not None:
            raise InvalidRequest("The form may hold one file, in the field `file`.", param=self._field)
        self._is_file, self.filename = True, filename.decode("utf-8", "replace") or "file"

    def _more(self, data: bytes, start: int, end: int) -> None:
        piece = data[start:end]
        if self._is_file:
            self.held += len(piece)
            self.pieces.append(piece)
            return
        self._data += piece
        if len(self._data) > _LONGEST_FIELD:
            raise InvalidRequest(f"`{self._field}` is longer than {_LONGEST_FIELD} bytes.", param=self._field)

    def _end(self) -> None:
        if not self._is_file:
            self.fields[self._field] = self._data.decode("utf-8", "replace")

    def _all(self) -> None:
        self.ended = True
