"""A request's story without the engine: the same decisions, and a row in the end whatever the database does."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import gateway.drive
from gateway.domain.errors import StorageUnavailable, UpstreamRejected, UpstreamUnavailable
from gateway.domain.inference import Choice, Outcome, Status
from gateway.drive import drive
from gateway.exchange import Exchanges
from gateway.recorder import Recorder
from gateway.storage.memory import MemoryStore
from tests.waits import until

GOOD = Choice("good", "first choice")


class Away:
    """A ledger that cannot be reached `times` times."""

    def __init__(self, requests, times):
        self.requests = requests
        self.times = times
        self.asked = 0

    async def settle(self, entry):
        self.asked += 1
        if self.asked <= self.times:
            raise StorageUnavailable
        return await self.requests.settle(entry)

    async def settlement(self, request_id):
        return await self.requests.settlement(request_id)


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def exchanges():
    return Exchanges("here")


@pytest.fixture
def recorder(store, exchanges):
    return Recorder(store.requests, store.claims, exchanges, log_content=True, content_limit=1000)


@pytest.fixture
def waiting(exchange, exchanges):
    """Make a caller who waits in this process."""

    def waiting(**changes):
        made = exchange(**changes)
        exchanges.open(made)
        return made

    return waiting


async def test_a_request_is_answered_recorded_and_forgotten(waiting, recorder, store, exchanges, router):
    caller = waiting()
    settlement = await drive(caller, recorder, router)
    assert caller.opened.done()
    assert settlement.status is Status.COMPLETED
    assert settlement.decision == ("assistant goes to good", "attempt 1 succeeded")
    assert settlement.overhead_ms is not None
    assert len(exchanges) == 0
    record = await store.requests.get(caller.request.id, with_text=True)
    assert record.settlement == settlement
    assert (record.prompt, record.answer) == (caller.request.body, caller.answer())


async def test_a_failing_model_is_followed_by_the_next(waiting, recorder, router):
    settlement = await drive(waiting(candidates=("down", "good")), recorder, router)
    assert [(a.model, a.outcome) for a in settlement.attempts] == [
        ("down", Outcome.FAILED),
        ("good", Outcome.SUCCEEDED),
    ]
    assert settlement.attempts[1].reason == "fallback after down failed: upstream_unavailable"


@pytest.mark.parametrize(
    ("candidates", "error", "count", "why"),
    [
        (("down",), UpstreamUnavailable, 3, "all 3 attempts are used up"),
        (("rejects", "good"), UpstreamRejected, 1, "upstream_rejected is not retryable"),
    ],
)
async def test_the_caller_hears_why_nothing_more_is_tried(
    waiting, recorder, candidates, error, count, why, router
):
    caller = waiting(candidates=candidates)
    settlement = await drive(caller, recorder, router)
    with pytest.raises(error):
        await caller.opened
    assert (settlement.status, len(settlement.attempts), settlement.decision[-1]) == (
        Status.FAILED,
        count,
        why,
    )


async def test_an_attempt_that_runs_is_joined_and_not_made_again(waiting, recorder, provider, router):
    caller = waiting()
    caller.begin(1, GOOD)
    settlement = await drive(caller, recorder, router)
    assert (provider.upstream.numbered, len(settlement.attempts)) == (1, 1)


async def test_two_that_drive_one_request_settle_it_once(waiting, recorder, provider, router):
    caller = waiting(candidates=("down", "good"))
    first, second = await asyncio.gather(drive(caller, recorder, router), drive(caller, recorder, router))
    assert replace(first, decisions=()) == replace(second, decisions=()), (
        "the ledger keeps decisions elsewhere"
    )
    assert provider.upstream.numbered == 2


async def test_a_deadline_that_has_passed_ends_it_without_an_attempt(waiting, recorder, provider, router):
    caller = waiting(deadline=datetime.now(UTC) - timedelta(seconds=1))
    settlement = await drive(caller, recorder, router)
    assert settlement.failure is not None
    assert (settlement.status, settlement.failure.code) == (Status.FAILED, "deadline_exceeded")
    assert settlement.attempts == ()
    assert provider.upstream.numbered == 0


async def test_a_caller_who_leaves_is_settled_as_cancelled(waiting, recorder, provider, router):
    caller = waiting(candidates=("slow",))
    driving = asyncio.create_task(drive(caller, recorder, router))
    await until(lambda: provider.upstream.in_flight == 1)
    await caller.leave()
    assert (await driving).status is Status.CANCELLED


async def test_the_answer_does_not_wait_for_the_database_but_the_row_does(
    waiting, store, exchanges, monkeypatch, router
):
    monkeypatch.setattr(gateway.drive, "_AGAIN_FIRST", 0.01)
    ledger = Away(store.requests, times=3)
    recorder = Recorder(ledger, store.claims, exchanges, log_content=True, content_limit=1000)  # type: ignore[arg-type]
    caller = waiting()
    driving = asyncio.create_task(drive(caller, recorder, router))
    await asyncio.wait_for(asyncio.shield(caller.opened), 30)
    assert not driving.done()
    assert len(exchanges) == 1
    assert (await driving).status is Status.COMPLETED
    assert (ledger.asked, len(exchanges)) == (4, 0)


async def test_a_caller_who_is_refused_hears_it_before_the_database_is_back(
    waiting, store, exchanges, router
):
    recorder = Recorder(
        Away(store.requests, times=10**9),  # type: ignore[arg-type]
        store.claims,
        exchanges,
        log_content=True,
        content_limit=1000,
    )
    caller = waiting(candidates=("rejects",))
    driving = asyncio.create_task(drive(caller, recorder, router))
    with pytest.raises(UpstreamRejected):
        await asyncio.wait_for(asyncio.shield(caller.opened), 30)
    driving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await driving
