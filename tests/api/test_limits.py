"""Callers at their limits, and at those of models: told when to come again, and how they stand, at both doors."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from api.headers import duration_of
from gateway import telemetry
from gateway.domain.inference import Status
from tests.api import rpc
from tests.api.mistakes import both
from tests.api.rest import a_quick_world, body, error_of, left, script
from tests.waits import until


def throttled(**throttle: Any):
    """Rules that throttle everybody."""
    given = {"burst": 3, **throttle} if "tokens" in throttle else {"rate": "2/s", "burst": 3, **throttle}
    return {"rules": [{"name": "be gentle", "throttle": given}]}


@pytest.fixture
async def doors(request):
    async with both(a_quick_world(rules=throttled(**getattr(request, "param", {})))) as doors:
        yield doors


def limits_in(headers):
    return {name: value for name, value in headers.items() if name.startswith("x-ratelimit-")}


# ---- throttles ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("doors", [{"then": "reject"}, {"then": "queue"}], indirect=True)
async def test_a_caller_over_its_limit_is_told_when_to_come_again_and_is_served_then(doors):
    before = telemetry.THROTTLED.labels("reject")._value.get()
    answers = await asyncio.gather(*(doors.rest.chat() for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    error = error_of(refused)
    assert (error["code"], error["type"]) == ("rate_limited", "rate_limit_error")
    assert error["message"].startswith("Too many requests: the limit of the rule `be gentle` is reached.")
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-gateway-rule"] == "be gentle"
    assert "x-should-retry" not in refused.headers, "the caller may retry: nothing was tried here"
    await asyncio.sleep(1.02)
    assert (await doors.rest.chat()).status_code == 200
    assert telemetry.THROTTLED.labels("reject")._value.get() in (before, before + 2)


async def test_a_throttled_request_calls_nobody_and_leaves_no_row(doors):
    world = doors.world
    for _ in range(3):
        await doors.rest.chat()
    await doors.settled()
    rows = len((await world.store.requests.find(rpc.a_day(), limit=100)).rows)
    calls = world.upstream.numbered
    assert (await doors.rest.chat()).status_code == 429
    await doors.settled()
    assert len((await world.store.requests.find(rpc.a_day(), limit=100)).rows) == rows
    assert world.upstream.numbered == calls


async def test_how_a_caller_stands_is_told_on_answers_and_errors_at_both_doors(doors):
    answer = await doors.rest.chat()
    assert limits_in(answer.headers) == {
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "2",
        "x-ratelimit-reset-requests": "500ms",
    }
    call = doors.chat.Chat(rpc.chat(), metadata=rpc.bearer())
    await call
    spoken = limits_in(dict(await call.initial_metadata()))
    assert spoken["x-ratelimit-remaining-requests"] == "1"
    await doors.rest.chat()
    refused = await doors.rest.chat()
    assert refused.status_code == 429
    assert limits_in(refused.headers)["x-ratelimit-remaining-requests"] == "0"
    code, details = await rpc.failure_of(doors.chat.Chat(rpc.chat(), metadata=rpc.bearer()))
    assert code.name == "RESOURCE_EXHAUSTED"
    assert details[rpc.ErrorInfo].reason == "rate_limited"
    assert timedelta(0) < details[rpc.RetryInfo].retry_delay.ToTimedelta() <= timedelta(seconds=0.5)


async def test_a_stream_is_throttled_like_an_answer(doors):
    for _ in range(3):
        async with doors.rest.streaming() as response:
            assert limits_in(response.headers)
            await response.aread()
    async with doors.rest.streaming() as response:
        assert response.status_code == 429


@pytest.mark.parametrize("doors", [{"tokens": "1000/s", "burst": 1000}], indirect=True)
async def test_tokens_are_estimated_first_and_corrected_in_the_end(doors):
    asked = {**script(usage={"prompt_tokens": 5, "completion_tokens": 6}), "max_tokens": 900}
    first = await doors.rest.chat(asked)
    assert first.status_code == 200
    assert int(first.headers["x-ratelimit-remaining-tokens"]) < 110
    await doors.settled()
    await asyncio.sleep(0.01)
    second = await doors.rest.chat(asked)
    assert second.status_code == 200, "what was not used came back"


async def test_without_throttles_nothing_is_told_of_limits():
    async with both(a_quick_world()) as doors:
        assert limits_in((await doors.rest.chat()).headers) == {}


# ---- jobs --------------------------------------------------------------------------------------------------------
async def test_a_throttle_that_refuses_refuses_a_job_at_its_creation(doors):
    answers = [await doors.rest.job() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert answers[3].json()["code"] == "rate_limited"
    assert answers[3].headers["retry-after"] == "1"
    spoken = doors.jobs.Create(rpc.create(), metadata=rpc.bearer())
    assert await rpc.code_of(spoken) == ("RESOURCE_EXHAUSTED", "rate_limited")


@pytest.mark.parametrize("doors", [{"then": "queue"}], indirect=True)
async def test_a_throttle_that_queues_takes_any_number_of_jobs(doors):
    answers = [await doors.rest.job() for _ in range(6)]
    assert [answer.status_code for answer in answers] == [202] * 6


async def test_the_same_job_asked_for_again_takes_no_token(doors):
    answers = [await doors.rest.job(idempotency_key="once") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [202] * 6
    assert len({answer.json()["id"] for answer in answers}) == 1


# ---- limits of models --------------------------------------------------------------------------------------------
async def test_a_model_at_its_limit_is_passed_over_and_the_ledger_says_so():
    async with both(a_quick_world()) as doors:
        answers = await asyncio.gather(*(doors.rest.chat(body("busy")) for _ in range(3)))
        served = sorted(answer.headers["x-gateway-model"] for answer in answers)
        assert served == ["good", "good", "one-call"]
        passed = next(a for a in answers if a.headers["x-gateway-model"] == "good")
        assert passed.headers["x-gateway-attempts"] == "1"
        (attempt,) = (await doors.rest.settled(passed)).settlement.attempts
        assert attempt.reason == "first choice; one-call is at its limit of 1 calls at once"
        await doors.settled()
        again = await doors.rest.chat(body("busy"))
        assert again.headers["x-gateway-model"] == "one-call", "it came back with its slot"


async def test_where_all_models_are_at_their_limits_the_caller_is_told_when_to_come_again():
    async with both(a_quick_world()) as doors:
        first = asyncio.create_task(doors.rest.chat(body("one-call")))
        await until(lambda: doors.world.upstream.in_flight == 1)
        refused = await doors.rest.chat(body("one-call"))
        assert refused.status_code == 429
        assert error_of(refused)["code"] == "rate_limited"
        assert refused.headers["retry-after"] == "1"
        assert "one-call" not in error_of(refused)["message"], (
            "callers do not learn of models and their limits"
        )
        assert (await first).status_code == 200


async def test_a_caller_who_leaves_gives_its_slot_back():
    async with both(a_quick_world()) as doors:
        asking = asyncio.create_task(doors.rest.chat(body("one-call")))
        await until(lambda: doors.world.upstream.in_flight == 1)
        await left(asking)
        await doors.settled()
        assert (await doors.rest.chat(body("one-call"))).status_code == 200


async def test_requests_a_minute_of_a_model_are_told_exactly():
    async with both(a_quick_world()) as doors:
        for _ in range(2):
            assert (await doors.rest.chat(body("scarce"))).status_code == 200
        refused = await doors.rest.chat(body("scarce"))
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")


# ---- hedges ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("stream", [False, True])
async def test_a_slow_model_is_overtaken_and_both_are_in_the_ledger(stream):
    rules = {"hedge": {"after": "50ms", "max_extra": 1}}
    async with both(a_quick_world(rules=rules)) as doors:
        asked = {**body("racing"), "stream": stream}
        answer = await doors.rest.chat(asked)
        assert answer.status_code == 200
        assert (answer.headers["x-gateway-model"], answer.headers["x-gateway-attempts"]) == ("good", "2")
        settlement = (await doors.rest.settled(answer)).settlement
        assert settlement.status is Status.COMPLETED
        assert [(a.model, a.failure and a.failure.code) for a in settlement.attempts] == [
            ("slow", "hedge_lost"),
            ("good", None),
        ]
        assert doors.world.upstream.in_flight == 0
        if not stream:
            assert float(answer.headers["x-gateway-cost-usd"]) == float(settlement.cost_usd or 0)


# ---- how times are told ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("time", "told"),
    [
        (timedelta(0), "0ms"),
        (timedelta(milliseconds=350), "350ms"),
        (timedelta(seconds=1), "1s"),
        (timedelta(seconds=12.2), "13s"),
        (timedelta(minutes=6), "6m0s"),
        (timedelta(hours=1, seconds=2), "1h0m2s"),
    ],
)
def test_a_time_is_told_as_sdks_read_it(time, told):
    assert duration_of(time) == told
