"""The provider for Gemini, over our own pool."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from gateway.domain.errors import UpstreamNotFound
from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.domain.secret import Secret
from gateway.providers import headers
from gateway.providers.credentials import Credentials
from gateway.providers.gemini import asked, embeddings, wire
from gateway.providers.gemini.answered import Answered
from gateway.providers.http import Answer, Deadlines, Pool, address, post
from gateway.providers.hub.course import complete, events
from gateway.providers.ports import Call, Event, Reply
from gateway.providers.wire import sent_events
from gateway.settings import Providers

_SPOKEN: Final = frozenset({Operation.CHAT, Operation.EMBEDDINGS})


class Gemini:
    """Calls `{base_url}/models/{model}:generateContent` and its like, with the model's credential in a header."""

    def __init__(self, settings: Providers, credentials: Credentials | None = None) -> None:
        """Connect nowhere yet. `credentials` are those of all providers of the process."""
        self._pool = Pool(settings)
        self._limit = settings.max_answer
        self._credentials = credentials or Credentials()

    def speaks(self, operation: Operation, model: Model) -> bool:
        """Chat and embeddings."""
        del model
        return operation in _SPOKEN

    async def complete(self, call: Call) -> Reply:
        """Make the call and wait for the whole answer."""
        secret = self._credentials.secret_of(call.model, wire.BASE_URL)
        if call.operation is Operation.EMBEDDINGS:
            method, content, wanted, dropped = embeddings.carried(call)
            async with await self._ask(call, method, content, secret) as answer:
                speech = embeddings.Answered(call, wanted, dropped, secret, answer.request_id)
                return await complete(answer, speech, self._limit)
        content, dropped = asked.carried(call)
        async with await self._ask(call, "generateContent", content, secret) as answer:
            speech = Answered(call, int(time.time()), secret, dropped, answer.request_id)
            return await complete(answer, speech, self._limit)

    async def stream(self, call: Call) -> AsyncGenerator[Event]:
        """Make the call and yield its events as they come."""
        if call.operation is not Operation.CHAT:
            raise UpstreamNotFound(detail=f"{call.operation} is not streamed")
        secret = self._credentials.secret_of(call.model, wire.BASE_URL)
        content, dropped = asked.carried(call)
        answer = await self._ask(call, "streamGenerateContent?alt=sse", content, secret)
        async with answer:
            speech = Answered(call, int(time.time()), secret, dropped, answer.request_id)
            async with aclosing(events(answer, speech, self._limit, sent_events)) as found:
                async for event in found:
                    yield event

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    async def _ask(self, call: Call, method: str, content: bytes, secret: Secret | None) -> Answer:
        deadlines = Deadlines.of(call.timeouts)
        url = address(call.model.base_url or wire.BASE_URL, wire.path(call.model.upstream_model, method))
        return await post(self._pool, url, wire.headers(headers.outgoing(call), secret), content, deadlines)
