"""The provider for Hugging Face: what its servers say in OpenAI's dialect passes through, its tasks are translated."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from urllib.parse import quote

import msgspec

from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.providers.compatible.client import Compatible
from gateway.providers.credentials import Credentials
from gateway.providers.headers import outgoing
from gateway.providers.http import Deadlines, Pool, address, post
from gateway.providers.huggingface.options import SIMILARITY, Said, said
from gateway.providers.huggingface.wire import judge, task_of
from gateway.providers.ports import Call, Event, Provider, Reply
from gateway.providers.wire import Reading, complete
from gateway.settings import Providers


class HuggingFace:
    """Calls the router, or an endpoint of one's own: TGI, TEI, or the one that a task is deployed to."""

    def __init__(self, settings: Providers, credentials: Credentials | None = None) -> None:
        """Connect nowhere yet. `credentials` are those of all providers of the process."""
        self._credentials = credentials or Credentials()
        self._compatible: Provider = Compatible(settings, self._credentials)
        self._pool = Pool(settings)
        self._limit = settings.max_answer

    def speaks(self, operation: Operation, model: Model) -> bool:
        """What the server that the model's options name can be asked for."""
        return operation in said(model.options).server.operations

    async def complete(self, call: Call) -> Reply:
        """Make the call and wait for the whole answer."""
        options = said(call.model.options)
        if call.operation in options.server.own:
            return await self._compatible.complete(_as_compatible(call, options))
        return await self._task(call, options)

    async def stream(self, call: Call) -> AsyncGenerator[Event]:
        """Make the call and yield its events as they come; a task's answer is one event, when it is there."""
        options = said(call.model.options)
        if call.operation in options.server.own:
            found = self._compatible.stream(_as_compatible(call, options))
            async with aclosing(found) as events:  # pyright: ignore[reportArgumentType]  a generator, as all are
                async for event in events:
                    yield event
            return
        reply = await self._task(call, options)
        yield Event(
            _done(call.operation, reply),
            finish_reason="stop",
            provider_request_id=reply.provider_request_id,
            dropped=reply.dropped,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._compatible.close()
        await self._pool.aclose()

    async def _task(self, call: Call, options: Said) -> Reply:
        task = task_of(call, scores=options.server.scores, compares=options.rerank == SIMILARITY)
        deadlines = Deadlines.of(call.timeouts)
        secret = self._credentials.secret_of(call.model)
        sent = task.outgoing(call, stream=False)
        headers = {**outgoing(call, sent.media_type), "accept": task.accept}
        if secret is not None:
            headers["authorization"] = f"Bearer {secret.reveal()}"
        answer = await post(self._pool, address(*_place(call, options)), headers, sent.content, deadlines)
        async with answer:
            return await complete(answer, task, Reading(self._limit, judge, secret))


def _as_compatible(call: Call, options: Said) -> Call:
    flavour = options.server.flavour
    model = replace(call.model, options={"flavour": flavour} if flavour else {})
    return replace(call, model=model)


def _place(call: Call, options: Said) -> tuple[str, str]:
    """The base and the path of a task."""
    base = call.model.base_url.rstrip("/")
    if options.server.rooted:
        base = base.removesuffix("/v1")
    return base, options.path(call.operation, quote(call.model.upstream_model, safe="/"))


def _done(operation: Operation, reply: Reply) -> bytes:
    """The last event of a stream in OpenAI's dialect, which holds the whole answer."""
    if operation is Operation.TRANSCRIPTIONS:
        plain = reply.media_type.startswith("text/")
        text = reply.body.decode() if plain else msgspec.json.decode(reply.body)["text"]
        return msgspec.json.encode({"type": "transcript.text.done", "text": text})
    image = msgspec.json.decode(reply.body)["data"][0]
    return msgspec.json.encode({"type": "image_generation.completed", **image})
