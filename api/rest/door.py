"""The outermost layer of REST: host, request id, trace, and the one place where errors become answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import anthropic_body, headers_of, openai_body, problem_body, row_of
from api.rest import http
from api.rest.anthropic.models import is_asked as is_anthropics
from api.service.served import RequestFailed
from gateway import telemetry
from gateway.domain.errors import (
    BodyTimeout,
    BodyTooLarge,
    GatewayError,
    InvalidHost,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
)
from gateway.ids import new_id

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_QUIET = frozenset({"/livez", "/readyz", "/metrics", "/health/liveliness", "/health/readiness"})


class Door:
    """Gives each request its id and its span, and answers for every error in the path's own dialect."""

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str]) -> None:
        """`allowed_hosts` may have wildcards: `*` for any, `*.example.com`."""
        self._app = app
        self._hosts = tuple(host.lower() for host in allowed_hosts)
        self._any_host = "*" in self._hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = http.headers_of(scope)
        request_id = new_id()
        path: str = scope["path"]
        at_door: dict[str, Any] = {"request_id": request_id, "headers": headers}
        scope["gateway"] = at_door
        anthropic = _speaks_anthropic(path, headers)
        started = False

        async def send_on(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                named = [(b"x-request-id", at_door["request_id"].encode())]
                if anthropic:
                    named.append((b"request-id", at_door["request_id"].encode()))
                message["headers"] = [*message.get("headers", ()), *named]
            await send(message)

        if path in _QUIET:
            try:
                await self._app(scope, receive, send_on)
            except HTTPException as e:
                await _answer(send_on, (path, anthropic), *_told(e), request_id)
            return
        attributes = {
            "http.request.method": scope["method"],
            "url.path": path,
            "gateway.request_id": request_id,
        }
        with telemetry.DoorSpan(f"{scope['method']} {path}", headers, attributes) as span:
            at_door["span"] = span
            try:
                self._check_host(headers)
                await self._app(scope, receive, send_on)
            except http.CallerLeft:
                span.fail("cancelled")
            except Exception as e:  # noqa: BLE001  the last place where anything can be answered
                error, served = _told(e)
                if isinstance(e, RequestFailed):
                    http.known_as(scope, e.served)
                span.fail(error.code)
                telemetry.REFUSED.labels(error.code).inc()
                if error.code == GatewayError.code:
                    telemetry.log.error("bug", request_id=request_id, path=path, exc_info=e)
                if started:
                    # The status is out: what is left is to break off, so that nobody takes the answer for whole.
                    raise _BrokenOff from None
                await _answer(send_on, (path, anthropic), error, served, at_door["request_id"])

    def _check_host(self, headers: Mapping[str, str]) -> None:
        host = headers.get("host", "").lower()
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if not _HOST.fullmatch(host) or not (
            self._any_host or any(fnmatch(name, known) for known in self._hosts)
        ):
            raise InvalidHost


class _BrokenOff(Exception):
    """An answer that had begun could not be finished."""


def _told(e: Exception) -> tuple[GatewayError, list[http.Header]]:
    if isinstance(e, RequestFailed):
        tried = headers_of(e.error, tried=e.served.attempts > 0)
        return e.error, [*http.served_headers(e.served), *_encoded(tried)]
    if isinstance(e, HTTPException):
        known: dict[int, type[GatewayError]] = {404: NotFound, 405: MethodNotAllowed, 400: InvalidRequest}
        error = known.get(e.status_code, GatewayError)()
        return error, [*_encoded(headers_of(error, tried=False)), *_encoded(e.headers or {})]
    if isinstance(e, RequestValidationError):
        first: dict[str, Any] = dict(e.errors()[0])
        where = ".".join(str(part) for part in first["loc"][1:])
        error = InvalidRequest(f"`{where}`: {first['msg']}.", param=where)
    else:
        error = e if isinstance(e, GatewayError) else GatewayError()
    return error, _encoded(headers_of(error, tried=False))


def _encoded(headers: Mapping[str, Any]) -> list[http.Header]:
    return [(name.lower().encode(), str(value).encode()) for name, value in headers.items()]


def _speaks_anthropic(path: str, headers: Mapping[str, str]) -> bool:
    return path.startswith("/v1/messages") or (path.startswith("/v1/models") and is_anthropics(headers))


async def _answer(
    send: Send,
    at: tuple[str, bool],
    error: GatewayError,
    headers: list[http.Header],
    request_id: str,
) -> None:
    path, anthropic = at
    if anthropic:
        kind, body = b"application/json", anthropic_body(error, request_id)
    elif path.startswith(("/v1/", "/v2/")) or path == "/v1":
        kind, body = b"application/json", openai_body(error)
    else:
        kind, body = b"application/problem+json", problem_body(error, request_id)
    if isinstance(error, BodyTooLarge | BodyTimeout):
        headers = [*headers, (b"connection", b"close")]  # else we would go on reading what we do not want
    await http.send_whole(send, row_of(error).http, [(b"content-type", kind), *headers], body)
