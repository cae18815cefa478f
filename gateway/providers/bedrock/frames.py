"""AWS's event stream out of bytes, however those are cut, by botocore's decoder.

Page: docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html (the one description of its bytes).
"""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, Final, cast

import msgspec
from botocore import eventstream

from gateway.domain.errors import UpstreamBroken, UpstreamMalformed
from gateway.providers.http import Answer

EXCEPTION: Final = b"!"
"""What the name of an exception in a stream begins with; that of an event is its type alone."""
_Buffer: Any = vars(eventstream)["EventStreamBuffer"]
_ParserError = cast("type[Exception]", vars(eventstream)["ParserError"])
_BROKEN: Final = (_ParserError, struct.error, KeyError, IndexError, ValueError)


class Decoder:
    """Takes chunks as they come and gives the messages that are complete with them: their names and payloads.

    Raises UpstreamBroken for what no checksum holds for, UpstreamMalformed for a message longer than `limit` bytes.
    """

    __slots__ = ("_buffer", "_held", "_limit")

    def __init__(self, limit: int) -> None:
        """`limit` bounds one message."""
        self._buffer: Any = _Buffer()
        self._held = 0
        self._limit = limit

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Take the next bytes; the messages that they complete."""
        self._held += len(chunk)
        self._buffer.add_data(chunk)
        while True:
            try:
                message = next(self._buffer, None)
                if message is None:
                    break
                named = _named(cast("dict[str, object]", message.headers), cast("bytes", message.payload))
            except _BROKEN as error:
                detail = f"the stream is damaged: {type(error).__name__}"
                raise UpstreamBroken(detail=detail, status=200) from error
            size: int = message.prelude.total_length
            self._bound(size)
            self._held -= size
            yield named
        self._bound(self._held)

    def _bound(self, size: int) -> None:
        if size > self._limit:
            raise UpstreamMalformed(detail=f"an event is longer than {self._limit} bytes", status=200)

    def close(self) -> None:
        """Say that no bytes come any more. Raises UpstreamBroken if a message is not complete."""
        if self._held:
            raise UpstreamBroken(detail="the stream ended in the middle of an event", status=200)


def _named(headers: dict[str, object], payload: bytes) -> tuple[bytes, bytes]:
    match headers.get(":message-type"):
        case "exception":
            return EXCEPTION + str(headers.get(":exception-type", "")).encode(), payload
        case "error":
            said = {"message": str(headers.get(":error-message", ""))}
            return EXCEPTION + str(headers.get(":error-code", "")).encode(), msgspec.json.encode(said)
        case _:
            return str(headers.get(":event-type", "")).encode(), payload


async def messages(answer: Answer, limit: int) -> AsyncGenerator[tuple[bytes, bytes, bool]]:
    """The messages of an answer's body."""
    decoder = Decoder(limit)
    async with aclosing(answer.chunks()) as chunks:
        async for chunk in chunks:
            for name, payload in decoder.feed(chunk):
                yield name, payload, False
    decoder.close()
