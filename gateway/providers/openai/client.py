"""The provider for OpenAI, over its SDK: the body and the answer pass through it as the bytes they are."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final, cast

import httpx2
import openai
from openai import AsyncOpenAI, AsyncStream, Omit
from typing_extensions import override

from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.domain.secret import Secret
from gateway.providers.credentials import Credentials
from gateway.providers.endpoints import NOT_OPENAIS, WIRES
from gateway.providers.http import (
    FOREIGN,
    Answer,
    Deadlines,
    Pool,
    address,
    client_over,
    post,
    refusal,
    trouble,
)
from gateway.providers.openai.wire import BASE_URL, form_headers, headers, judge
from gateway.providers.ports import Call, Event, Reply
from gateway.providers.wire import Outgoing, Reading, complete, events
from gateway.settings import Providers

CLIENTS: Final = 256


class _Client(AsyncOpenAI):
    """The SDK's client, sending what we say: it would add headers, an organisation and a project of the environment."""

    @property
    @override
    def default_headers(self) -> dict[str, str | Omit]:
        return {
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": self.user_agent,
        }


class OpenAI:
    """Calls OpenAI through `AsyncOpenAI`, one client for each address and credential over one pool."""

    def __init__(self, settings: Providers, credentials: Credentials | None = None) -> None:
        """Connect nowhere yet. `credentials` are those of all providers of the process."""
        self._pool = Pool(settings)
        self._limit = settings.max_answer
        self._credentials = credentials or Credentials()
        self._clients: dict[tuple[str, Secret | None], AsyncOpenAI] = {}
        self._http = client_over(self._pool)

    def speaks(self, operation: Operation, model: Model) -> bool:
        """Whatever has a wire."""
        del model
        return operation in WIRES and operation not in NOT_OPENAIS

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
        self._clients.clear()
        await self._http.aclose()

    async def _ask(self, call: Call, *, stream: bool) -> tuple[Answer, Reading]:
        deadlines = Deadlines.of(call.timeouts)
        secret = self._credentials.secret_of(call.model, BASE_URL)
        sent = WIRES[call.operation].outgoing(call, stream=stream)
        if not isinstance(sent.content, bytes):
            # The SDK builds its forms itself, and copies the files to do so.
            url = address(call.model.base_url or BASE_URL, call.operation.path)
            headed = form_headers(call, secret, sent.media_type)
            answer = await post(self._pool, url, headed, sent.content, deadlines)
            return answer, Reading(self._limit, judge, secret)
        client = self._client(str(address(call.model.base_url or BASE_URL, "")), secret)
        refused: httpx2.Response | None = None
        try:
            async with deadlines.first():
                response = await _post(client, call, sent, headers(call, secret), deadlines)
            return Answer(response, deadlines), Reading(self._limit, judge, secret)
        except openai.APIStatusError as error:
            refused = error.response
        except openai.APIConnectionError as error:
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            raise trouble(cause, begun=False) from cause
        except FOREIGN as error:
            raise trouble(error, begun=False) from error
        # Raised out here: the SDK's error repeats the upstream's words, the credential included, and must not hang on.
        raise refusal(refused.status_code, refused.headers, refused.content, judge, secret)

    def _client(self, base_url: str, secret: Secret | None) -> AsyncOpenAI:
        key = base_url, secret
        client = self._clients.get(key)
        if client is None:
            if len(self._clients) >= CLIENTS:
                del self._clients[next(iter(self._clients))]
            # Without a credential some key must stand here, or the SDK takes one of the environment; it is not sent.
            client = _Client(
                api_key=secret.reveal() if secret is not None else "none",
                base_url=base_url,
                max_retries=0,
                http_client=self._http,
            )
            self._clients[key] = client
        return client


async def _post(
    client: AsyncOpenAI, call: Call, sent: Outgoing, headed: Mapping[str, str | Omit], deadlines: Deadlines
) -> httpx2.Response:
    """Send bytes and get the answer unread: `stream` is the SDK's word for that, whatever the body says."""
    timeout = httpx2.Timeout(None, connect=deadlines.connect, pool=deadlines.connect)
    response = await client.post(
        f"/{call.operation.path}",
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
