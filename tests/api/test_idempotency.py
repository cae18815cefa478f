"""Requests with an Idempotency-Key, at both doors: one call of a model, and the same told to whoever asks again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

import grpc
import pytest

from gateway.domain.errors import StorageUnavailable
from gateway.settings import Api, Fallback, IdempotencySettings, Inference, Settings
from gateway.storage.memory.idempotency import MemoryIdempotency
from gateway.storage.ports import KeyClaim, KeyHeld, KeyState
from tests.api import rpc
from tests.api.mistakes import Doors, both
from tests.api.rest import a_quick_world, bearer, body, error_of, left, serving, told
from tests.api.world import KEY, OTHER, a_world
from tests.waits import until

MINE = bearer(KEY, idempotency_key="mine")
SPOKEN = rpc.bearer(idempotency_key="mine")


@pytest.fixture
async def doors() -> AsyncGenerator[Doors]:
    async with both(a_quick_world()) as doors:
        yield doors


def calls(doors: Doors) -> int:
    return doors.world.upstream.calls.total()


def same(first: Any, second: Any) -> None:
    """A second answer that is the first one."""
    assert (first.status_code, first.content) == (second.status_code, second.content)
    headers = [{**each.headers} for each in (first, second)]
    assert headers[1].pop("x-gateway-replayed") == "true"
    for each in headers:
        each.pop("date", None)
    assert headers[0] == headers[1]


async def test_the_same_request_is_answered_by_the_same_answer(doors):
    first = await doors.rest.chat(body(), MINE)
    second = await doors.rest.chat(body(), {**MINE, "Idempotency-Key": '"mine"'})
    assert first.status_code == 200
    same(first, second)
    assert calls(doors) == 1
    record = await doors.rest.settled(first)
    assert record.request.id == first.headers["x-request-id"] == first.headers["x-gateway-workflow-id"]


async def test_a_stream_is_told_again_as_it_was(doors):
    async with doors.rest.streaming(body(stream_options={"include_usage": True}), MINE) as first:
        was = await first.aread()
    async with doors.rest.streaming(body(stream_options={"include_usage": True}), MINE) as second:
        again = await second.aread()
    assert told(was.decode()).done
    assert again == was
    assert second.headers["x-request-id"] == first.headers["x-request-id"]
    assert second.headers["x-gateway-replayed"] == "true"
    assert calls(doors) == 1


async def test_both_happens_over_grpc_too(doors):
    first = doors.chat.Chat(rpc.chat(), metadata=SPOKEN)
    answer = await first
    second = doors.chat.Chat(rpc.chat(), metadata=SPOKEN)
    assert await second == answer
    was, again = [dict(await call.initial_metadata()) for call in (first, second)]
    assert again.pop("x-gateway-replayed") == "true"
    assert was == again
    assert was["x-request-id"] == answer.served.request_id
    key = rpc.bearer(idempotency_key="of a stream")
    events = [e async for e in doors.chat.ChatStream(rpc.streamed(), metadata=key)]
    assert [e async for e in doors.chat.ChatStream(rpc.streamed(), metadata=key)] == events
    assert calls(doors) == 2


async def test_another_callers_key_is_another_key(doors):
    first = await doors.rest.chat(body(), MINE)
    other = await doors.rest.chat(body(), bearer(OTHER, idempotency_key="mine"))
    assert first.headers["x-request-id"] != other.headers["x-request-id"]
    assert calls(doors) == 2


@pytest.mark.parametrize("changes", [{"temperature": 0.5}, {"gateway": {"prefer": "cost"}}, {"stream": True}])
async def test_another_body_is_refused_and_not_to_be_tried_again(doors, changes):
    await doors.rest.chat(body(), MINE)
    answer = await doors.rest.chat({**body(), **changes}, MINE)
    assert (answer.status_code, error_of(answer)["code"]) == (422, "idempotency_key_reused")
    assert answer.headers["x-should-retry"] == "false"
    assert calls(doors) == 1


async def test_a_request_that_still_runs_is_not_run_twice(doors):
    first = asyncio.create_task(doors.rest.chat(body("one-call"), MINE))
    await until(lambda: doors.world.upstream.in_flight == 1)
    second = await doors.rest.chat(body("one-call"), MINE)
    assert (second.status_code, error_of(second)["code"]) == (409, "request_in_progress")
    assert 1 <= int(second.headers["retry-after"]) <= 120
    assert "x-should-retry" not in second.headers
    same(await first, await doors.rest.chat(body("one-call"), MINE))
    assert calls(doors) == 1


async def test_over_grpc_a_request_that_still_runs_says_so(doors):
    first = asyncio.ensure_future(doors.chat.Chat(rpc.chat("one-call"), metadata=SPOKEN))
    await until(lambda: doors.world.upstream.in_flight == 1)
    code, details = await rpc.failure_of(doors.chat.Chat(rpc.chat("one-call"), metadata=SPOKEN))
    assert (code, details[rpc.ErrorInfo].reason) == (grpc.StatusCode.ABORTED, "request_in_progress")
    assert details[rpc.RetryInfo].retry_delay.seconds == 1
    await first


async def test_of_many_at_once_one_is_run(doors):
    answers = await asyncio.gather(*(doors.rest.chat(body("one-call"), MINE) for _ in range(10)))
    assert sorted({answer.status_code for answer in answers}) == [200, 409]
    assert calls(doors) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_that_a_retry_may_cure_is_run_anew(doors, stream):
    asked = {**body("down"), "stream": stream}
    first = await doors.rest.chat(asked, MINE)
    before = calls(doors)
    second = await doors.rest.chat(asked, MINE)
    assert first.status_code == second.status_code == 502
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert calls(doors) > before


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_of_the_requests_own_is_told_again(doors, stream):
    asked = {**body("rejects"), "stream": stream}
    first = await doors.rest.chat(asked, MINE)
    assert first.status_code == 400
    same(first, await doors.rest.chat(asked, MINE))
    assert calls(doors) == 1


async def test_what_was_refused_before_any_call_is_run_when_it_may_be(doors):
    doors.world.inference._max_in_flight = 0
    assert (await doors.rest.chat(body(), MINE)).status_code == 503
    doors.world.inference._max_in_flight = 10
    assert (await doors.rest.chat(body(), MINE)).status_code == 200


async def test_a_caller_who_leaves_may_come_again(doors):
    asking = asyncio.create_task(doors.rest.chat(body("slow"), MINE))
    await until(lambda: doors.world.upstream.in_flight == 1)
    await left(asking)
    keys = doors.world.store.idempotency._rows
    await until(lambda: [row.state for row in keys.values()] == [KeyState.FREE])
    assert not doors.world.upstream.in_flight


@pytest.mark.parametrize("asked", [body("dripping"), body("breaks")])
async def test_a_stream_that_was_cut_off_may_be_asked_for_again(doors, asked):
    async with doors.rest.streaming(asked, MINE) as response:
        await anext(response.aiter_bytes())
    keys = doors.world.store.idempotency._rows
    await until(lambda: [row.state for row in keys.values()] == [KeyState.FREE])


async def test_an_answer_that_is_finished_without_its_caller_is_there_when_it_comes_again():
    world = a_quick_world(on_disconnect="finish")
    async with serving(world) as rest:
        for stream in (False, True):
            asked = {**body("one-call"), "stream": stream}
            mine = bearer(KEY, idempotency_key=f"mine {stream}")
            asking = asyncio.create_task(rest.chat(asked, mine))
            await until(lambda: world.upstream.in_flight == 1)
            await left(asking)
            await until(lambda: not world.upstream.in_flight)
            await asyncio.sleep(0.05)
            answer = await rest.chat(asked, mine)
            if not stream:  # a stream that has not begun has nothing to be told again
                assert (answer.status_code, answer.headers.get("x-gateway-replayed")) == (200, "true")


def small(**settings: Any):
    return a_world(
        Settings(
            inference=Inference(deadline=timedelta(seconds=20), fallback=Fallback(), **settings),
            api=Api(grpc_port=0),
            idempotency=IdempotencySettings(max_answer=100),
        )
    )


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_is_too_large_is_given_once(stream):
    async with both(small()) as doors:
        asked = {**body(), "stream": stream}
        assert (await doors.rest.chat(asked, MINE)).status_code == 200
        second = await doors.rest.chat(asked, MINE)
        assert (second.status_code, error_of(second)["code"]) == (409, "answer_not_kept")
        assert second.headers["x-should-retry"] == "false"
        await doors.chat.Chat(rpc.chat(), metadata=rpc.bearer(idempotency_key="other"))
        code, details = await rpc.failure_of(
            doors.chat.Chat(rpc.chat(), metadata=rpc.bearer(idempotency_key="other"))
        )
        assert (code, details[rpc.ErrorInfo].reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "answer_not_kept",
        )


async def test_what_is_not_logged_is_kept_for_a_shorter_time():
    kept = {}
    for logged in (True, False):
        world = a_quick_world(log_content=logged)
        async with serving(world) as rest:
            assert (await rest.chat(body(), MINE)).status_code == 200
            (row,) = world.store.idempotency._rows.values()
            kept[logged] = row.expires_at
    assert timedelta(hours=22) < kept[True] - kept[False] < timedelta(hours=24)


class Faltering(MemoryIdempotency):
    """Keys in a database that goes away."""

    def __init__(self, *, claims: bool = True) -> None:
        super().__init__()
        self.back = asyncio.Event()
        self._claims = claims

    async def claim(self, wanted: KeyClaim) -> KeyHeld:
        if not self._claims:
            raise StorageUnavailable(retry_after=timedelta(seconds=2))
        return await super().claim(wanted)

    async def keep(self, id_: str, token: str, answer: bytes | None, retention: timedelta) -> bool:
        if not self.back.is_set():
            raise StorageUnavailable
        return await super().keep(id_, token, answer, retention)


def keep_keys_in(doors: Doors, keys: Faltering) -> None:
    doors.world.inference._admission.once._keys = keys


async def test_without_a_database_nothing_is_called(doors):
    keep_keys_in(doors, Faltering(claims=False))
    answer = await doors.rest.chat(body(), MINE)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert calls(doors) == 0
    assert (await doors.rest.chat(body())).status_code == 200  # which needs none


@pytest.mark.slow
async def test_a_database_that_goes_away_before_the_answer_is_kept_keeps_it_when_it_is_back(doors):
    keys = Faltering()
    keep_keys_in(doors, keys)
    first = await doors.rest.chat(body(), MINE)
    assert first.status_code == 200
    assert (await doors.rest.chat(body(), MINE)).status_code == 409
    keys.back.set()
    await until(lambda: [row.state for row in keys._rows.values()] == [KeyState.ANSWERED])
    same(first, await doors.rest.chat(body(), MINE))
    assert calls(doors) == 1


async def test_no_word_of_what_was_said_is_kept_where_it_can_be_read(doors):
    await doors.rest.chat(body(), MINE)
    (row,) = doors.world.store.idempotency._rows.values()
    assert row.answer is not None
    assert b"mine" not in row.answer
    assert "mine" not in json.dumps(list(doors.world.store.idempotency._rows))


async def test_a_key_that_was_forgotten_begins_a_request_of_its_own(doors):
    first = await doors.rest.chat(body(), MINE)
    doors.world.store.idempotency._rows.clear()  # its retention has passed
    second = await doors.rest.chat(body(), MINE)
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    records = [await doors.rest.settled(each) for each in (first, second)]
    assert [record.settlement.status for record in records] == ["completed", "completed"]


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/messages", {"model": "good", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
        ("/v1/completions", {"model": "good", "prompt": "Hi"}),
        ("/v1/responses", {"model": "good", "input": "Hi"}),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_every_endpoint_takes_a_key(doors, path, asked, stream):
    first, second = [
        await doors.rest.post(path, {**asked, "stream": stream}, idempotency_key="k") for _ in range(2)
    ]
    assert first.status_code == 200, first.text
    same(first, second)
    assert calls(doors) == 1
