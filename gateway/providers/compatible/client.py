"""The provider for servers that speak OpenAI's API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.providers.compatible.wire import headers, judge
from gateway.providers.credentials import Credentials
from gateway.providers.endpoints import WIRES
from gateway.providers.http import Answer, Deadlines, Pool, address, post
from gateway.providers.ports import Call, Event, Reply
from gateway.providers.wire import Reading, complete, events
from gateway.settings import Providers


class Compatible:
    """Calls `{base_url}/chat/completions` and its like, with the model's credential as bearer if it has one."""

    def __init__(self, settings: Providers, credentials: Credentials | None = None) -> None:
        """Connect nowhere yet. `credentials` are those of all providers of the process."""
        self._pool = Pool(settings)
        self._limit = settings.max_answer
        self._credentials = credentials or Credentials()

    def speaks(self, operation: Operation, model: Model) -> bool:
        """Whatever has a wire."""
        del model
        return operation in WIRES

    async def complete(self, call: Call) -> Reply:
        """Make the call and wait for the whole answer."""
        answer, reading = await self._ask(call, stream=False)
        async with answer:
            return await complete(answer, WIRES[call.operation], reading)

    async def stream(self, call: Call) -> AsyncGenerator[Event]:
        """Make the call and yield its events as they come."""
        answer, reading = await self._ask(call, stream=True)
        async with answer, aclosing(events(answer, WIRES[call.operation], reading)) as found:
            async for event in found:
                yield event

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _ask(self, call: Call, *, stream: bool) -> tuple[Answer, Reading]:
        deadlines = Deadlines.of(call.timeouts)
        secret = self._credentials.secret_of(call.model)
        sent = WIRES[call.operation].outgoing(call, stream=stream)
        url = address(call.model.base_url, call.operation.path)
        answer = await post(self._pool, url, headers(call, secret, sent.media_type), sent.content, deadlines)
        return answer, Reading(self._limit, judge, secret)
