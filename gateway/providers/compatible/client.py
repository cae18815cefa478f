"""The provider for servers that speak OpenAI's API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.providers.compatible.options import Server, server_of
from gateway.providers.compatible.wire import fitted, headers, waits
from gateway.providers.credentials import Credentials
from gateway.providers.http import Answer, Deadlines, Pool, address, post
from gateway.providers.ports import Call, Event, Reply
from gateway.providers.wire import Reading, complete, events
from gateway.settings import Providers


class Compatible:
    """Calls `{base_url}/chat/completions` and its like, in the way of the flavour that the model's options say."""

    def __init__(self, settings: Providers, credentials: Credentials | None = None) -> None:
        """Connect nowhere yet. `credentials` are those of all providers of the process."""
        self._pool = Pool(settings)
        self._limit = settings.max_answer
        self._credentials = credentials or Credentials()

    def speaks(self, operation: Operation, model: Model) -> bool:
        """What the model's flavour has, or its option `dialects` says."""
        return operation in server_of(model.options).operations

    async def complete(self, call: Call) -> Reply:
        """Make the call and wait for the whole answer."""
        server = server_of(call.model.options)
        call, dropped = _fitted(call, server)
        answer, reading = await self._ask(call, server, stream=False)
        async with answer:
            reply = await complete(answer, server.wires[call.operation], reading)
        return replace(reply, dropped=(*dropped, *reply.dropped)) if dropped else reply

    async def stream(self, call: Call) -> AsyncGenerator[Event]:
        """Make the call and yield its events as they come."""
        server = server_of(call.model.options)
        call, dropped = _fitted(call, server)
        answer, reading = await self._ask(call, server, stream=True)
        wire = server.wires[call.operation]
        async with answer, aclosing(events(answer, wire, reading)) as found:
            async for event in found:
                yield replace(event, dropped=(*dropped, *event.dropped)) if dropped else event
                dropped = ()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _ask(self, call: Call, server: Server, *, stream: bool) -> tuple[Answer, Reading]:
        deadlines, quirks = Deadlines.of(call.timeouts), server.quirks
        secret = self._credentials.secret_of(call.model)
        sent = server.wires[call.operation].outgoing(call, stream=stream)
        url = address(
            server.base(call.model.base_url), server.path(call.operation, call.model.upstream_model)
        )
        headed = headers(call, secret, sent.media_type, quirks)
        answer = await post(self._pool, url, headed, sent.content, deadlines)
        answer.named_by = quirks.request_ids
        waiting = waits(quirks.limits) if quirks.limits else None
        return answer, Reading(self._limit, server.judge, secret, quirks.statuses, waiting)


def _fitted(call: Call, server: Server) -> tuple[Call, tuple[str, ...]]:
    if call.operation is not Operation.CHAT:
        return call, ()
    return fitted(call, server.quirks)
