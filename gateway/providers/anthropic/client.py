"""The provider for Anthropic, over its SDK: messages pass through it as the bytes they are, chat is translated."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final, cast

import anthropic
import httpx2
from anthropic import AsyncAnthropic, AsyncStream, Omit
from typing_extensions import override

from gateway.domain import errors
from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.providers.anthropic.options import BASE_URL, terms_of
from gateway.providers.anthropic.wire import (
    headers,
    judge,
    samples,
    target,
    version_of,
    waits,
)
from gateway.providers.credentials import Credentials
from gateway.providers.dialects.messages.heard import Hearing
from gateway.providers.dialects.messages.inward import completion
from gateway.providers.dialects.messages.outward import messages_request
from gateway.providers.dialects.messages.values import Lost, decoded, encoded
from gateway.providers.http import FOREIGN, Answer, Deadlines, Pool, client_over, refusal, trouble
from gateway.providers.messages import CountTokens, Messages
from gateway.providers.ports import Call, Event, Reply
from gateway.providers.wire import Outgoing, Reading, Wire, complete, events
from gateway.settings import Providers

_WIRES: Final[Mapping[Operation, Wire]] = {
    Operation.MESSAGES: Messages(),
    Operation.COUNT_TOKENS: CountTokens(),
}


class _Client(AsyncAnthropic):
    """The SDK's client, sending what we say: it would add headers, of the environment's too, and a credential."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        # A key and an address must stand here, or the SDK takes those of the environment; ours come with each request.
        super().__init__(api_key="none", base_url=BASE_URL, max_retries=0, http_client=http)
        self._custom_headers = dict[str, str]()  # which would be those of ANTHROPIC_CUSTOM_HEADERS

    @property
    @override
    def default_headers(self) -> dict[str, str | Omit]:
        return {
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": self.user_agent,
            "x-stainless-retry-count": Omit(),
            "x-stainless-timeout": Omit(),
        }


class Anthropic:
    """Calls Anthropic through `AsyncAnthropic`, over a pool of its own."""

    def __init__(self, settings: Providers, credentials: Credentials | None = None) -> None:
        """Connect nowhere yet. `credentials` are those of all providers of the process."""
        self._pool = Pool(settings)
        self._limit = settings.max_answer
        self._credentials = credentials or Credentials()
        self._http = client_over(self._pool)
        self._client = _Client(self._http)

    def speaks(self, operation: Operation, model: Model) -> bool:
        """Messages, the count of their tokens, and chat."""
        del model
        return operation in _WIRES or operation is Operation.CHAT

    async def complete(self, call: Call) -> Reply:
        """Make the call and wait for the whole answer."""
        asked, dropped = _translated(call)
        answer, reading = await self._ask(asked, stream=False)
        async with answer:
            reply = await complete(answer, _WIRES[asked.operation], reading)
        if call.operation is not Operation.CHAT:
            return reply
        lost = Lost()
        body = completion(reply.body, int(time.time()), lost)
        return replace(reply, body=body, dropped=(*dropped, *lost.paths))

    async def stream(self, call: Call) -> AsyncGenerator[Event]:
        """Make the call and yield its events as they come."""
        asked, dropped = _translated(call)
        answer, reading = await self._ask(asked, stream=True)
        async with answer, aclosing(events(answer, _WIRES[asked.operation], reading)) as found:
            if call.operation is not Operation.CHAT:
                async for event in found:
                    yield event
                return
            hearing = Hearing(int(time.time()))
            async for event in found:
                for chunk in hearing.feed(event):
                    yield replace(chunk, dropped=dropped) if dropped else chunk
                    dropped = ()
            for chunk in hearing.end():
                yield chunk

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _ask(self, call: Call, *, stream: bool) -> tuple[Answer, Reading]:
        deadlines = Deadlines.of(call.timeouts)
        secret = self._credentials.secret_of(call.model, BASE_URL)
        sent = _WIRES[call.operation].outgoing(call, stream=stream)
        url = target(call.model.base_url, call.operation)
        refused: httpx2.Response | None = None
        try:
            async with deadlines.first():
                response = await _post(self._client, url, sent, headers(call, secret), deadlines)
            return Answer(response, deadlines), Reading(self._limit, judge, secret)
        except anthropic.APIStatusError as error:
            refused = error.response
        except anthropic.APIConnectionError as error:
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            raise trouble(cause, begun=False) from cause
        except FOREIGN as error:
            raise trouble(error, begun=False) from error
        # Raised out here: the SDK's error repeats the upstream's words, the credential included, and must not hang on.
        raise refusal(refused.status_code, refused.headers, refused.content, judge, secret, waits=waits)


def _translated(call: Call) -> tuple[Call, tuple[str, ...]]:
    """A chat call as one of messages, and what was dropped of it; any other as it is. Raises NotCarried if strict."""
    if call.operation is not Operation.CHAT:
        return call, ()
    lost = Lost()
    terms = terms_of(call.model, samples=samples(version_of(call)))
    body = encoded(messages_request(decoded(call.body), terms, lost))
    if call.strict and lost.paths:
        raise errors.NotCarried(param=lost.paths[0])
    return replace(call, operation=Operation.MESSAGES, body=body), lost.paths


async def _post(
    client: AsyncAnthropic, url: str, sent: Outgoing, headed: Mapping[str, str | Omit], deadlines: Deadlines
) -> httpx2.Response:
    """Send bytes and get the answer unread: `stream` is the SDK's word for that, whatever the body says."""
    timeout = httpx2.Timeout(None, connect=deadlines.connect, pool=deadlines.connect)
    response = await client.post(
        url,
        cast_to=httpx2.Response,
        content=sent.joined,
        options={
            "headers": {**headed, "content-type": sent.media_type},
            "timeout": timeout,
            "follow_redirects": False,
        },
        stream=True,
        stream_cls=AsyncStream[Any],
    )
    return cast("httpx2.Response", cast("object", response))
