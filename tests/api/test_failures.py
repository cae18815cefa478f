"""Each failure of an upstream, at each provider, over sockets and through the whole application, as the table says."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from api.errors import TABLE
from api.errors import Row as Shapes
from api.rest.endpoints import ENDPOINTS
from gateway.domain.operations import Operation
from gateway.domain.registry import Model, Registry
from gateway.domain.rules import parse
from gateway.providers.catalogue import PROVIDERS, open_provider
from gateway.providers.ports import CallTimeouts, Provider
from gateway.settings import Api, Fallback, Health, Inference, Providers, Settings
from gateway.settings.model import BreakerSettings
from gateway.v1.inference_pb2_grpc import InferenceServiceStub
from tests.api import rpc
from tests.api.failures import ROWS, STREAMED, WHOLE, Row
from tests.api.rest import Rest, bearer, body, serving
from tests.api.world import World, a_world, rpc_channel
from tests.builders import a_model
from tests.contracts.test_providers import TRANSLATING
from tests.contracts.upstreams import Served, served

pytestmark = pytest.mark.slow

CASES = [
    pytest.param(
        name,
        row,
        id=f"{name}-{row.phase}-{row.failure}".replace(" ", "_"),
        # One provider is enough to know the table by; all of them take minutes.
        marks=() if name == "compatible" else pytest.mark.slow,
    )
    for name in sorted(PROVIDERS.keys() - {"scripted"})
    for row in ROWS
    if row.only is None or name in row.only
]
BOUNDS = CallTimeouts(timedelta(seconds=0.5), timedelta(seconds=0.8), timedelta(seconds=2.0))
STREAM = (
    b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Yes"},'
    b'"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}'
    b"\n\ndata: [DONE]\n\n"
)
SAYS = {
    Operation.CHAT: body,
    Operation.MESSAGES: lambda model: {**body(model), "max_tokens": 64},
    Operation.RESPONSES: lambda model: {"model": model, "input": "Hello"},
}
DOORS = [entry.operation for entry in ENDPOINTS if entry.operation in SAYS]


@pytest.fixture(scope="session")
def upstream() -> Generator[Served]:
    with served() as running:
        yield running


# ---- what is below HTTP ------------------------------------------------------------------------------------------
@asynccontextmanager
async def low(how: str) -> AsyncGenerator[str]:
    """The address of a server that does this to whoever calls it."""
    if how in ("closed", "full"):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            waiting = [socket.socket() for _ in range(4)] if how == "full" else []
            if how == "full":
                taken.listen(0)
            for each in waiting:
                each.setblocking(False)
                each.connect_ex(taken.getsockname())
            yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
            for each in waiting:
                each.close()
        return

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            if how in ("garbage", "tls"):
                await reader.read(10)
                writer.write(b"SSH-2.0-elsewhere\r\n\r\n")
                await writer.drain()
            else:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 100000\r\n\r\n"
                    + STREAM
                )
                await writer.drain()
                if how == "hangs-after":
                    await asyncio.sleep(5)
                else:
                    await asyncio.sleep(0.02)
                    cast("asyncio.Transport", writer.transport).abort()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    scheme = "https" if how == "tls" else "http"
    yield f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    listening.close()


# ---- the application ---------------------------------------------------------------------------------------------
@dataclass
class Bench:
    """The application with one model that fails in some way, alone and before others."""

    world: World
    rest: Rest
    opened: Provider
    failing: Model

    def doors(self, row: Row) -> list[Operation]:
        """The doors to ask at: not where this is played in chat's dialect alone, and the provider hands on another."""
        if "`[DONE]`" not in row.failure and "past its time" not in row.failure:
            return DOORS
        model = self.failing
        passes = model.provider not in TRANSLATING
        return [
            each
            for each in DOORS
            if each is Operation.CHAT or not (passes and self.opened.speaks(each, model))
        ]

    async def ask(self, model: str, mode: str, door: Operation = Operation.CHAT):
        asked = SAYS[door](model)
        if mode == STREAMED:
            asked["stream"] = True
        response = await self.rest.client.post(door.value, json=asked, headers=bearer())
        return response, await self.rest.settled(response)


@asynccontextmanager
async def bench(
    provider: str, row: Row, upstream: Served, rules: Mapping[str, Any] | None = None
) -> AsyncGenerator[Bench]:
    async with AsyncExitStack() as stack:
        opened = open_provider(provider, Providers())
        stack.push_async_callback(opened.close)
        base_url, name = upstream.base_url, row.how
        if row.how.startswith("@"):
            base_url, name = await stack.enter_async_context(low(row.how[1:])), "m"
        elif provider in TRANSLATING:
            _, base_url = await stack.enter_async_context(TRANSLATING[provider]())
        failing = a_model(
            "failing", provider=provider, base_url=base_url, upstream_model=name, context_window=4000
        )
        world = a_world(
            Settings(
                inference=Inference(
                    deadline=timedelta(seconds=8),
                    fallback=Fallback(
                        attempts=2,
                        backoff_initial=timedelta(milliseconds=2),
                        backoff_max=timedelta(milliseconds=4),
                    ),
                ),
                api=Api(grpc_port=0),
                health=Health(breaker=BreakerSettings(enabled=False)),
            ),
            None if rules is None else parse(rules),
            models=_models(failing),
            providers={provider: opened},
            bounds=BOUNDS,
        )
        rest = await stack.enter_async_context(serving(world))
        yield Bench(world, rest, opened, failing)


def _models(failing: Model) -> Registry:
    models = (failing, a_model("larger", context_window=8000), a_model("smaller", context_window=2000))
    aliases = {"either": ("failing", "larger"), "worse": ("failing", "smaller")}
    return Registry({model.name: model for model in models}, aliases, "test")


def shapes(row: Row) -> Shapes:
    assert row.code is not None
    return TABLE[row.code]


# ---- what is asserted --------------------------------------------------------------------------------------------
def assert_error(response: Any, row: Row, door: Operation) -> None:
    """The caller's error in its dialect, before the first byte."""
    assert response.status_code == shapes(row).http, response.text
    assert response.headers["x-should-retry"] == "false"
    said = response.json()
    if door is Operation.MESSAGES:
        assert (said["type"], said["error"]["type"]) == ("error", shapes(row).anthropic)
    else:
        assert (said["error"]["code"], said["error"]["type"]) == (row.code, shapes(row).openai)
    assert "scripted" not in response.text


def assert_broken(response: Any, row: Row, door: Operation) -> None:
    """The end of a stream that broke, in its dialect."""
    assert response.status_code == 200
    text: str = response.text
    # The end of a stream of Responses is always said; of the others only that of a good one.
    assert door is Operation.RESPONSES or "[DONE]" not in text
    told = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    last = json.loads([each for each in told if each != "[DONE]"][-1])
    match door:
        case Operation.MESSAGES:
            assert (last["type"], last["error"]["type"]) == ("error", shapes(row).anthropic)
        case Operation.RESPONSES:
            assert last["type"] in ("error", "response.failed")
            assert row.code in text
        case _:
            assert (last["error"]["code"], last["error"]["type"]) == (row.code, shapes(row).openai)


def assert_ledger(attempt: Any, row: Row) -> None:
    """What stands of the failed attempt in the books."""
    assert attempt.outcome.value == row.outcome
    assert (attempt.failure.code if attempt.failure is not None else None) == row.code
    match row.cost:
        case "nothing":
            assert attempt.cost_usd == Decimal(0)
        case "estimated":
            assert attempt.usage.estimated
            assert attempt.cost_usd > 0
        case _:
            assert not attempt.usage.estimated
            assert attempt.cost_usd > 0


@pytest.mark.parametrize(("provider", "row"), CASES)
async def test_a_failure_is_told_tried_and_paid_as_the_table_says(provider: str, row: Row, upstream: Served):
    async with bench(provider, row, upstream) as made:
        for mode in row.modes:
            for door in made.doors(row) if mode == row.modes[0] else (Operation.CHAT,):
                response, record = await made.ask("failing", mode, door)
                assert len(record.settlement.attempts) == (2 if row.again else 1), record.settlement
                assert_ledger(record.settlement.attempts[0], row)
                if row.code is None:
                    assert response.status_code == 200
                elif row.outcome == "broken":
                    assert_broken(response, row, door)
                else:
                    assert_error(response, row, door)
            response, record = await made.ask("either", mode)
            if row.next_:
                assert response.status_code == 200
                assert response.headers["x-gateway-model"] == "larger"
                assert [each.model for each in record.settlement.attempts] == ["failing", "larger"]
                assert_ledger(record.settlement.attempts[0], row)
            else:
                assert {each.model for each in record.settlement.attempts} == {"failing"}


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.code is not None], ids=lambda row: f"{row.phase}-{row.failure}"
)
async def test_a_failure_is_told_over_grpc_by_the_same_code(row: Row, upstream: Served):
    async with bench("compatible", row, upstream) as made, rpc_channel(made.world) as channel:
        stub = InferenceServiceStub(channel)
        for mode in row.modes:
            if mode == WHOLE:
                call = stub.Chat(rpc.chat("failing"), metadata=rpc.bearer())
            else:
                call = stub.ChatStream(rpc.streamed("failing"), metadata=rpc.bearer())
            assert await rpc.code_of(call) == (shapes(row).grpc, row.code)


def row_of(how: str) -> Row:
    return next(row for row in ROWS if row.how == how)


async def test_a_prompt_that_was_too_long_is_not_sent_to_a_smaller_window(upstream: Served):
    row = row_of("scripted-context-too-long")
    async with bench("compatible", row, upstream) as made:
        response, record = await made.ask("worse", WHOLE)
    assert_error(response, row, Operation.CHAT)
    assert len(record.settlement.attempts) == 1


async def test_a_rule_lets_another_model_be_asked_past_a_content_filter(upstream: Served):
    rules = {"rules": [{"name": "past", "set": {"past_content_filter": True}}]}
    async with bench("compatible", row_of("scripted-content-filter"), upstream, rules) as made:
        response, record = await made.ask("either", WHOLE)
    assert response.status_code == 200
    assert [each.model for each in record.settlement.attempts] == ["failing", "larger"]


async def test_the_wait_that_an_upstream_asks_for_is_kept_and_told(upstream: Served):
    async with bench("compatible", row_of("scripted-429?retry_after=70"), upstream) as made:
        response, _ = await made.ask("failing", WHOLE)
    assert response.headers["retry-after"] == "70"
    async with bench("compatible", row_of("scripted-429?retry_after_ms=40"), upstream) as made:
        _, record = await made.ask("failing", WHOLE)
    first, second = record.settlement.attempts
    assert second.started_at - first.started_at >= timedelta(milliseconds=40)


@pytest.mark.parametrize("provider", sorted(PROVIDERS.keys() - {"scripted"}))
async def test_a_caller_that_leaves_closes_the_upstream_within_a_second_and_is_charged_by_estimate(
    provider: str, upstream: Served
):
    row = replace(ROWS[0], how="scripted-ok?tokens=400&chunk_interval_ms=20")
    bounds = CallTimeouts(*(timedelta(seconds=20),) * 3)
    async with AsyncExitStack() as stack:
        seen: Any = upstream
        opened = open_provider(provider, Providers())
        stack.push_async_callback(opened.close)
        base_url = upstream.base_url
        if provider in TRANSLATING:
            seen, base_url = await stack.enter_async_context(TRANSLATING[provider]())
        model = a_model("failing", provider=provider, base_url=base_url, upstream_model=row.how)
        world = a_world(models=_models(model), providers={provider: opened}, bounds=bounds)
        rest = await stack.enter_async_context(serving(world))
        before = await asyncio.to_thread(seen.stats)
        async with rest.streaming(body("failing")) as response:
            async for _ in response.aiter_bytes():
                break
            began = asyncio.get_running_loop().time()
        record = await rest.settled(response)
        while (await asyncio.to_thread(seen.stats))["cancelled"] == before["cancelled"]:
            assert asyncio.get_running_loop().time() - began < 15
            await asyncio.sleep(0.02)
    (attempt,) = record.settlement.attempts
    assert (record.settlement.status.value, attempt.outcome.value) == ("cancelled", "cancelled")
    assert attempt.usage.estimated
    assert attempt.cost_usd > 0
