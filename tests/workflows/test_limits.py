"""Jobs at limits: they wait for their turn on a durable timer, and complete later; or their time is up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from time import monotonic

import pytest
import pytest_asyncio
from temporalio.client import Client

from gateway.domain.inference import Outcome, Status, Traits
from gateway.domain.rules import parse
from gateway.limiter import Entry
from tests.builders import a_job
from tests.workflows.harness import CONVERTER, GENTLE, a_process, registry, serving
from tests.workflows.record import reached, story

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(temporal_address: str) -> Client:
    return await Client.connect(temporal_address, data_converter=CONVERTER)


def a_gentle_job(**changes):
    return a_job(rules_version=GENTLE.version, **changes)


async def test_jobs_over_a_throttle_wait_for_their_turns_and_complete_one_after_the_other(client: Client):
    began = monotonic()
    async with serving(a_process(client, rules=GENTLE), jobs=True, callers=False) as process:
        handles = [await process.start(a_gentle_job()) for _ in range(4)]
        settled = await asyncio.gather(*(handle.result() for handle in handles))
    assert {each.status for each in settled} == {Status.COMPLETED}
    assert all(len(each.attempts) == 1 for each in settled), "waiting is no attempt"
    assert monotonic() - began > 2.8, "one a second"
    stories = [story(await handle.fetch_history()) for handle in handles]
    assert any("timer" in each for each in stories)
    assert sum(each.count("timer") for each in stories) <= 8, "each comes when it is its turn"


async def test_a_job_whose_turn_comes_too_late_expires_and_calls_nobody(client: Client):
    slow = parse({"rules": [{"name": "rare", "throttle": {"rate": "1/h", "burst": 1, "then": "queue"}}]})
    process = a_process(client, rules=slow)
    request = a_job(deadline=datetime.now(UTC) + timedelta(seconds=3))
    await process.limiter.take(process.router.route(request, (), request.accepted_at).throttles)
    async with serving(process, jobs=True, callers=False):
        settlement = await (await process.start(request)).result()
    assert (settlement.status, settlement.attempts) == (Status.EXPIRED, ())
    assert settlement.failure is not None
    assert settlement.failure.code == "deadline_exceeded"
    assert process.provider.upstream.numbered == 0


async def test_a_job_may_be_cancelled_while_it_waits(client: Client):
    slow = parse({"rules": [{"name": "rare", "throttle": {"rate": "1/h", "burst": 1, "then": "queue"}}]})
    process = a_process(client, rules=slow)
    request = a_job()
    await process.limiter.take(process.router.route(request, (), request.accepted_at).throttles)
    async with serving(process, jobs=True, callers=False):
        handle = await process.start(request)
        await reached(handle, "timer")
        await handle.cancel()
        settlement = await handle.result()
    assert settlement.status is Status.CANCELLED


async def test_a_job_that_meets_a_full_model_goes_to_the_next_candidate(client: Client):
    process = a_process(client)
    entry = await process.gate.enter(registry().models["one-call"], lambda: 0)
    assert isinstance(entry, Entry)
    async with serving(process, jobs=True, callers=False):
        settlement = await (await process.start(a_job(candidates=("one-call", "good")))).result()
    assert [(a.number, a.model, a.outcome) for a in settlement.attempts] == [(1, "good", Outcome.SUCCEEDED)]


async def test_many_jobs_share_a_model_of_one_call_and_all_complete(client: Client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        began = monotonic()
        handles = [await process.start(a_job(candidates=("one-call",), model="one-call")) for _ in range(4)]
        settled = await asyncio.gather(*(handle.result() for handle in handles))
        assert process.gate.in_flight(registry().models["one-call"]) == 0
    assert {each.status for each in settled} == {Status.COMPLETED}
    times = sorted(
        (a.started_at, a.started_at + timedelta(milliseconds=a.total_ms)) for s in settled for a in s.attempts
    )
    assert all(end <= next_start for (_, end), (next_start, _) in pairwise(times))
    assert monotonic() - began < 60


async def test_tokens_that_a_job_did_not_use_come_back(client: Client):
    rules = parse({"rules": [{"name": "few", "throttle": {"tokens": "1000/h", "then": "queue"}}]})
    process = a_process(client, rules=rules)
    request = a_job(traits=Traits(input_tokens=400, max_output=500))
    (throttle,) = process.router.route(request, (), request.accepted_at).throttles
    async with serving(process, jobs=True, callers=False):
        settlement = await (await process.start(request)).result()
    assert settlement.usage is not None
    used = settlement.usage.input + settlement.usage.output
    (standing,) = process.limiter.standings([throttle])
    assert throttle.cost == 900
    assert standing.remaining == pytest.approx(1000 - used, abs=1)
