"""The provider for servers that speak OpenAI's API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.providers import chat
from gateway.providers.chat import Reading
from gateway.providers.compatible.wire import headers, judge
from gateway.providers.credentials import Credentials
from gateway.providers.http import Answer, Deadlines, Pool, address, post
from gateway.providers.ports import Call, Event, Reply
from gateway.settings import Providers


class Compatible:
    """Calls `{base_url}/chat/completions`, with the model's credential as bearer if it has one."""

    def __init__(self, settings: Providers, credentials: Credentials | None = None) -> None:
        """Connect nowhere yet. `credentials` are those of all providers of the process."""
        self._pool = Pool(settings)
        self._limit = settings.max_answer
        self._credentials = credentials or Credentials()

    async def complete(self, call: Call) -> Reply:
        """Make the call and wait for the whole answer."""
        answer, reading = await self._ask(call, stream=False)
        async with answer:
            return await chat.complete(answer, reading)

    async def stream(self, call: Call) -> AsyncGenerator[Event]:
        """Make the call and yield its events as they come."""
        answer, reading = await self._ask(call, stream=True)
        async with answer, aclosing(chat.events(answer, reading)) as events:
            async for event in events:
                yield event

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _ask(self, call: Call, *, stream: bool) -> tuple[Answer, Reading]:
        deadlines = Deadlines.of(call.timeouts)
        secret = self._credentials.secret_of(call.model)
        content = chat.outgoing(call.body, call.model.upstream_model, stream=stream)
        url = address(call.model.base_url, "chat/completions")
        answer = await post(self._pool, url, headers(call, secret), content, deadlines)
        return answer, Reading(self._limit, judge, secret)
