"""HTTP as the door needs it: bodies with bounds, callers who leave, the headers of every answer.

Plain ASGI: nothing here parses, copies or waits more than it has to, since every request passes through it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from starlette.types import Message, Receive, Scope, Send

from api.headers import told_of
from api.service.served import Served
from gateway.domain.errors import BodyTimeout, BodyTooLarge, InvalidRequest

Header = tuple[bytes, bytes]
_LONGEST_WAIT = 86_400
JSON: Header = (b"content-type", b"application/json")


class CallerLeft(Exception):
    """The client closed the connection."""


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers with lower-case names; of several with one name, the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


async def read_body(receive: Receive, headers: Mapping[str, str], limit: int, patience: timedelta) -> bytes:
    """The whole body. Raises BodyTooLarge, BodyTimeout, CallerLeft."""
    if headers.get("content-length", "").isdigit() and int(headers["content-length"]) > limit:
        raise BodyTooLarge(f"The request body is larger than {limit} bytes.")
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(patience.total_seconds()):
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                return _bounded(message.get("body", b""), limit)
            while True:
                if message["type"] == "http.disconnect":
                    raise CallerLeft
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > limit:
                    raise BodyTooLarge(f"The request body is larger than {limit} bytes.")
                if not message.get("more_body", False):
                    return b"".join(parts)
                message = await receive()
    except TimeoutError as e:
        raise BodyTimeout from e


def expected_version(if_match: str | None) -> int | None:
    """The version in an `If-Match`: a number in quotes, as `ETag` gave it; `*` and none expect nothing.

    Raises InvalidRequest.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    found = re.fullmatch(r'(?:W/)?"?(\d{1,18})"?', if_match.strip())
    if found is None:
        raise InvalidRequest('`If-Match` must be an `ETag` as it was given, such as "12".', param="If-Match")
    return int(found[1])


def _bounded(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise BodyTooLarge(f"The request body is larger than {limit} bytes.")
    return body


@asynccontextmanager
async def cancelled_when_gone(
    receive: Receive,
    tick: Callable[[], Awaitable[None]],
    every: float,
    spared: Callable[[], bool] = lambda: False,
) -> AsyncGenerator[None]:
    """Cancel this task when the client leaves (it sees CallerLeft), unless it is `spared`; `tick` meanwhile."""
    handler = asyncio.current_task()
    left = False

    async def watch() -> None:
        nonlocal left
        while True:
            try:
                message: Message = await asyncio.wait_for(receive(), every)
            except TimeoutError:
                await tick()
                continue
            if message["type"] == "http.disconnect":
                if handler is not None and not spared():
                    left = True
                    handler.cancel()
                return

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if left and handler is not None and handler.uncancel() == 0:
            raise CallerLeft from None
        raise
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await watching


async def no_tick() -> None:
    """Nothing to do in between."""


def preferences_of(headers: Mapping[str, str]) -> frozenset[str]:
    """The preferences of `Prefer` (RFC 7240), by name; those that we do not know are ignored, as it demands."""
    words = headers.get("prefer", "").split(",")
    return frozenset(word.split(";")[0].split("=")[0].strip().lower() for word in words)


def wait_of(headers: Mapping[str, str]) -> timedelta | None:
    """How long the caller is ready to wait (`Prefer: wait=N`, in seconds); None where it says nothing of the kind."""
    for word in headers.get("prefer", "").split(","):
        name, _, value = word.split(";")[0].partition("=")
        seconds = value.strip().strip('"')
        if name.strip().lower() == "wait" and seconds.isascii() and seconds.isdigit():
            return timedelta(seconds=min(int(seconds), _LONGEST_WAIT))
    return None


def served_headers(served: Served) -> list[Header]:
    """The headers that tell what became of a request, as they go out."""
    headers = [(name.encode(), value.encode()) for name, value in told_of(served).items()]
    if served.overhead_ms is not None:
        headers.append((b"server-timing", b"gateway;dur=%.2f" % served.overhead_ms))
    return headers


def known_as(scope: Scope, served: Served) -> None:
    """Tell the id of a request with an Idempotency-Key instead of the door's own."""
    if served.keyed:
        scope["gateway"]["request_id"] = served.request_id


def content_type(media_type: str) -> str:
    """What an answer is, as a header says it: all our texts are UTF-8."""
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type


async def send_whole(send: Send, status: int, headers: list[Header], body: bytes) -> None:
    """A complete answer."""
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
