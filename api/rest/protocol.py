"""HTTP/1.1 below ASGI: uvicorn's protocol with a bound on a request's head, which it lacks, and errors in our shape."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.errors import openai_body, row_of
from gateway.domain.errors import GatewayError, HeadTooLarge, InvalidRequest

MOST: Final = 64 * 1024
"""Bytes of request line and headers together."""


class BoundedHead(HttpToolsProtocol):
    """Refuses a head that does not end, before it fills the memory."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As uvicorn makes them, one for each connection."""
        super().__init__(*args, **kwargs)
        self._head = 0
        self._in_head = True

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Counted afterwards: what ends the head in this piece may be followed by a long body.
        if self._in_head:
            self._head += len(data)
            if self._head > MOST and not self.transport.is_closing():
                self._refuse(HeadTooLarge())

    @override
    def on_message_begin(self) -> None:
        self._head, self._in_head = 0, True
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(InvalidRequest("This is not a valid HTTP request."))

    def _refuse(self, error: GatewayError) -> None:
        status = HTTPStatus(row_of(error).http)
        body = openai_body(error)
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            % (status, status.phrase.encode(), len(body), body)
        )
        self.transport.close()
