"""What every rpc goes through: its id, its span, its caller, its deadline, and the one place where errors end it.

A servicer is a plain object with one method for each rpc of its service, named in snake case and given a `Call` and the
request, or an iterator of requests: a coroutine for one answer, an async generator for a stream. The proto says which
there have to be.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from keyword import iskeyword
from typing import Any, cast

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from api.auth import authenticate
from api.headers import hints_of
from api.rpc.errors import status_of, told
from api.rpc.metadata import headers_of, known_as, told_of
from api.service.ask import Hints
from api.service.served import Served
from gateway import telemetry
from gateway.domain.errors import DeadlineExceeded, GatewayError, InvalidRequest, ShuttingDown
from gateway.domain.identity import Caller
from gateway.identity import Identify
from gateway.ids import new_id

Context = grpc.aio.ServicerContext[bytes, bytes]
Method = Callable[["Call", Any], Any]

_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")
# An rpc without a deadline may say so by one that is centuries away.
_ENDLESS = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Rpc:
    """One method of a service: its path, what it is given, what answers it."""

    name: str
    request: type[Message]
    run: Method
    streams: bool
    takes_stream: bool = False


class Call:
    """One rpc under way, as its servicer sees it."""

    def __init__(self, caller: Caller, hints: Hints, context: Context, door: Door) -> None:
        """`caller` and `hints` are the servicer's to read, the rest has methods."""
        self.caller = caller
        self.hints = hints
        self.bound = asyncio.timeout(None)
        self._context = context
        self._door = door
        self._begun = False

    async def begin(self, served: Served | None = None) -> None:
        """Send the initial metadata, once: what is known before the first message."""
        if not self._begun:
            self._begun = True
            request_id = known_as(self.hints.request_id or "", served)
            await self._context.send_initial_metadata(told_of(request_id, served))

    async def write(self, message: Message) -> None:
        """Send one message of a stream, as soon as the caller has room for it."""
        await self.begin()
        await self._context.write(message.SerializeToString())

    def end_by(self, moment: datetime) -> None:
        """End the call with DeadlineExceeded at this moment, also while its caller does not read."""
        left = (moment - datetime.now(UTC)).total_seconds()
        self.bound.reschedule(asyncio.get_running_loop().time() + max(left, 0))

    def only_watches(self) -> None:
        """Let the call end with ShuttingDown when the server does: it could go on for ever."""
        self._door.watch()


class Door:
    """Serves the methods of servicers."""

    def __init__(self, identity: Identify, longest: timedelta) -> None:
        """`longest` is the longest deadline that a request may have: an rpc's own is cut to it."""
        self._identity = identity
        self._longest = longest
        self._watched: set[asyncio.Task[Any]] = set()
        self._closing = False

    def handlers(self, service: ServiceDescriptor, servicer: object) -> grpc.GenericRpcHandler:
        """What a server is given for a service. Raises AttributeError for an rpc that the servicer lacks."""
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for method in service.methods:
            rpc = Rpc(
                name=f"{service.full_name}/{method.name}",
                request=GetMessageClass(method.input_type),
                run=getattr(servicer, _named(method.name)),
                streams=method.server_streaming,
                takes_stream=method.client_streaming,
            )
            make = _HANDLERS[rpc.takes_stream, rpc.streams]
            # Messages are read and written here, since what cannot be read is to get an error like any other.
            methods[method.name] = make(self._serving(rpc))
        return grpc.method_handlers_generic_handler(service.full_name, methods)

    def close(self) -> None:
        """End the rpcs that only watch: they would hold up the server's end for as long as their callers like."""
        self._closing = True
        for task in self._watched:
            task.cancel()

    def watch(self) -> None:
        """Count the running rpc among those that `close` ends."""
        task = asyncio.current_task()
        if task is None or self._closing:
            raise ShuttingDown
        self._watched.add(task)
        task.add_done_callback(self._watched.discard)

    def _serving(self, rpc: Rpc) -> Callable[[Any, Context], Awaitable[bytes | None]]:
        service, _, method = rpc.name.partition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}

        async def serve(raw: Any, context: Context) -> bytes | None:
            headers = headers_of(context.invocation_metadata())
            request_id = new_id()
            with telemetry.DoorSpan(
                rpc.name, headers, {**attributes, "gateway.request_id": request_id}
            ) as span:
                try:
                    deadline = self._deadline(context)
                    caller = await authenticate(self._identity, headers)
                    hints = hints_of(headers, span, request_id, deadline)
                    return await _bounded(rpc, Call(caller, hints, context, self), _asked(rpc, raw))
                except asyncio.CancelledError:
                    span.fail("cancelled")
                    if not self._ended_by_us():
                        raise
                    error, served = ShuttingDown(), None
                except Exception as e:  # noqa: BLE001  the last place where anything can be answered
                    error, served = told(e)
                    if error.code == GatewayError.code:
                        telemetry.log.error("bug", request_id=request_id, rpc=rpc.name, exc_info=e)
                span.fail(error.code)
                telemetry.REFUSED.labels(error.code).inc()
                return await context.abort(*status_of(error, known_as(request_id, served), served))

        return serve

    def _deadline(self, context: Context) -> timedelta | None:
        left = cast("float | None", context.time_remaining())  # its stub forgets that there may be none
        if left is None or left > _ENDLESS.total_seconds():
            return None
        if left <= 0:
            raise DeadlineExceeded
        # A little less than the caller waits: then it hears from us what became of its request.
        return min(timedelta(seconds=left - min(0.2, left / 10)), self._longest)

    def _ended_by_us(self) -> bool:
        task = asyncio.current_task()
        return self._closing and task in self._watched and task.uncancel() == 0


def _named(method: str) -> str:
    """The name of an rpc as a method of its servicer: in snake case, with `_` behind a word of Python's own."""
    name = _CAPITAL.sub("_", method).lower()
    return f"{name}_" if iskeyword(name) else name


_HANDLERS: Mapping[tuple[bool, bool], Callable[..., grpc.RpcMethodHandler[Any, Any]]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


def _asked(rpc: Rpc, raw: Any) -> Message | AsyncIterator[Message]:
    """The request, or the requests as they come."""
    return _each(rpc, raw) if rpc.takes_stream else _read(rpc, raw)


async def _each(rpc: Rpc, raw: AsyncIterator[bytes]) -> AsyncGenerator[Message, None]:
    async for each in raw:
        yield _read(rpc, each)


def _read(rpc: Rpc, raw: bytes) -> Message:
    try:
        return rpc.request.FromString(raw)
    except DecodeError as e:
        raise InvalidRequest("The message is not what this rpc takes, or is nested too deeply.") from e


async def _bounded(rpc: Rpc, call: Call, request: Message | AsyncIterator[Message]) -> bytes | None:
    try:
        async with call.bound:
            return await _answer(rpc, call, request)
    except TimeoutError as e:
        if call.bound.expired():
            raise DeadlineExceeded from e
        raise


async def _answer(rpc: Rpc, call: Call, request: Message | AsyncIterator[Message]) -> bytes | None:
    if not rpc.streams:
        message: Message = await rpc.run(call, request)
        await call.begin()
        return message.SerializeToString()
    # Closed here, in the rpc's own task: a caller who leaves has its upstream closed at once, not by the collector.
    messages: AsyncGenerator[Message, None] = rpc.run(call, request)
    async with aclosing(messages):
        async for message in messages:
            await call.write(message)
    return None
