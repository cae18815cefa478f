"""The provider for Amazon Bedrock, over our own pool: botocore signs and decodes, and calls nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from gateway.domain.errors import UpstreamNotFound
from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.domain.secret import Secret
from gateway.providers import headers
from gateway.providers.bedrock import asked, embeddings, frames, messages, wire
from gateway.providers.bedrock.answered import Answered
from gateway.providers.bedrock.options import base_url_of, region_of
from gateway.providers.bedrock.signing import signed
from gateway.providers.credentials import Credentials
from gateway.providers.http import Answer, Deadlines, Pool, address, post
from gateway.providers.hub.course import Speech, complete, events
from gateway.providers.ports import Call, Event, Reply
from gateway.providers.wire import Reading
from gateway.settings import Providers

_BESIDE: Final = 4
"""Calls at once for the texts of one request, where a model takes one text a call."""


def _sent(call: Call) -> tuple[bytes, tuple[str, ...], str, str]:
    """A body, what could not be carried over, and the method of a stream and of a whole answer."""
    if call.operation is Operation.MESSAGES:
        return messages.outgoing(call), (), "invoke-with-response-stream", "invoke"
    return *asked.carried(call), "converse-stream", "converse"


class Bedrock:
    """Calls `{base_url}/model/{id}/converse` and its like, signed with the model's credential."""

    def __init__(self, settings: Providers, credentials: Credentials | None = None) -> None:
        """Connect nowhere yet. `credentials` are those of all providers of the process."""
        self._pool = Pool(settings)
        self._limit = settings.max_answer
        self._credentials = credentials or Credentials()

    def speaks(self, operation: Operation, model: Model) -> bool:
        """Chat and embeddings, and Anthropic's messages with its models."""
        if operation is Operation.MESSAGES:
            return wire.is_anthropic(model.upstream_model)
        return operation in (Operation.CHAT, Operation.EMBEDDINGS)

    async def complete(self, call: Call) -> Reply:
        """Make the call and wait for the whole answer."""
        secret = self._secret(call)
        if call.operation is Operation.EMBEDDINGS:
            return await self._embed(call, secret)
        content, dropped, _, method = _sent(call)
        async with await self._ask(call, method, content, secret) as answer:
            return await complete(answer, self._speech(call, secret, dropped, answer), self._limit)

    async def stream(self, call: Call) -> AsyncGenerator[Event]:
        """Make the call and yield its events as they come."""
        if call.operation is Operation.EMBEDDINGS:
            raise UpstreamNotFound(detail=f"{call.operation} is not streamed")
        secret = self._secret(call)
        content, dropped, method, _ = _sent(call)
        async with await self._ask(call, method, content, secret) as answer:
            speech = self._speech(call, secret, dropped, answer)
            async with aclosing(events(answer, speech, self._limit, frames.messages)) as found:
                async for event in found:
                    yield event

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    def _secret(self, call: Call) -> Secret | None:
        return self._credentials.secret_of(call.model, base_url_of(call.model.options))

    def _speech(self, call: Call, secret: Secret | None, dropped: tuple[str, ...], answer: Answer) -> Speech:
        if call.operation is Operation.MESSAGES:
            return messages.Passed(Reading(self._limit, secret=secret), answer.request_id)
        return Answered(call, int(time.time()), secret, dropped, answer.request_id)

    async def _embed(self, call: Call, secret: Secret | None) -> Reply:
        sent = embeddings.carried(call)
        turns = asyncio.Semaphore(_BESIDE)
        request_id: str | None = None

        async def one(content: bytes) -> embeddings.Answered:
            nonlocal request_id
            async with turns, await self._ask(call, "invoke", content, secret) as answer:
                request_id = request_id or answer.request_id
                speech = embeddings.Answered(secret, answer.headers, [])
                await complete(answer, speech, self._limit)
                return speech

        if len(sent.bodies) == 1:
            return embeddings.joined(call, sent, [await one(sent.bodies[0])], request_id)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(content)) for content in sent.bodies]
        except ExceptionGroup as failed:
            # The first says what is wrong with all of them.
            raise failed.exceptions[0] from None
        return embeddings.joined(call, sent, [task.result() for task in tasks], request_id)

    async def _ask(self, call: Call, method: str, content: bytes, secret: Secret | None) -> Answer:
        deadlines = Deadlines.of(call.timeouts)
        base = call.model.base_url or base_url_of(call.model.options)
        url = address(base, wire.path(call.model.upstream_model, method))
        sent = await signed(str(url), content, headers.outgoing(call), secret, region_of(call.model))
        answer = await post(self._pool, url, sent, content, deadlines)
        answer.named_by = wire.REQUEST_IDS
        return answer
