"""One suite for simulations in every store: begun once, taken over by whoever comes later, ended once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from gateway.domain.errors import SimulationUnderWay, UpstreamRateLimited
from gateway.domain.inference import Failure, Settlement, Status, Traits
from gateway.domain.repricing import Correction, Repricing, Tally
from gateway.domain.repricing import Place as AttemptPlace
from gateway.domain.simulation import Example, Move, Place, Report, Simulation, Stretch
from gateway.ids import new_id
from gateway.storage.ports import Entry
from tests.builders import a_failed_attempt, a_request, an_attempt

D = Decimal
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
REPORT = Report(
    requests=3,
    moved=2,
    refused=1,
    cost_usd=D("0.10"),
    estimated_cost_usd=D("0.0500"),
    cost_unknown=1,
    p50_ms=12.5,
    moves=(Move("a", "b", 2, D("0.1"), D("0.05"), 1), Move("a", "", 1, D(0), D(0), 0)),
    examples=(Example(new_id(), "a", "b", "cheap ones", "a costs more"),),
)


@pytest.fixture
def simulations(store):
    return store.simulations


def a_simulation(**changes) -> Simulation:
    usual = Simulation(
        id=new_id(),
        text="rules = [] # é",
        version=None,
        digest="abc",
        since=NOW - DAY,
        until=NOW + DAY,
        most=100,
        actor="ann",
        created_at=NOW,
    )
    return replace(usual, **changes)


# ---- one of them -------------------------------------------------------------------------------------------------
async def test_what_was_begun_is_kept_as_it_was_asked(simulations):
    asked = a_simulation(version=7)
    assert await simulations.begin(asked) == asked
    assert await simulations.begin(replace(asked, text="other")) == asked
    assert await simulations.get(asked.id) == asked
    assert await simulations.unfinished("ann") == asked
    assert await simulations.unfinished("bob") is None
    assert await simulations.get(new_id()) is None


async def test_a_caller_has_one_at_a_time(simulations):
    first = await simulations.begin(a_simulation())
    with pytest.raises(SimulationUnderWay):
        await simulations.begin(a_simulation())
    await simulations.begin(a_simulation(actor="bob"))
    await simulations.take(first.id, "run 1")
    with pytest.raises(SimulationUnderWay):
        await simulations.begin(a_simulation())
    await simulations.end(first.id, Status.FAILED, error="no")
    assert (await simulations.begin(a_simulation())).status is Status.QUEUED


async def test_how_far_it_is_can_be_seen_and_its_end_too(simulations):
    asked = await simulations.begin(a_simulation())
    taken = await simulations.take(asked.id, "run 1")
    assert (taken.status, taken.done, taken.total, taken.text) == (Status.IN_PROGRESS, 0, None, asked.text)
    assert await simulations.advance(asked.id, "run 1", 40, 100)
    there = await simulations.get(asked.id)
    assert (there.done, there.total) == (40, 100)
    assert await simulations.advance(asked.id, "run 1", 103, 100)
    ended = await simulations.end(asked.id, Status.COMPLETED, run="run 1", report=REPORT)
    assert (ended.status, ended.done, ended.total, ended.report) == (Status.COMPLETED, 103, 103, REPORT)
    assert ended.completed_at is not None
    assert await simulations.get(asked.id) == ended


async def test_who_takes_over_begins_anew_and_the_one_before_counts_no_more(simulations):
    asked = await simulations.begin(a_simulation())
    await simulations.take(asked.id, "run 1")
    await simulations.advance(asked.id, "run 1", 40, 100)
    again = await simulations.take(asked.id, "run 2")
    assert (again.done, again.total) == (0, None)
    assert not await simulations.advance(asked.id, "run 1", 60, 100)
    stays = await simulations.end(asked.id, Status.COMPLETED, run="run 1", report=REPORT)
    assert (stays.status, stays.done) == (Status.IN_PROGRESS, 0)
    assert await simulations.advance(asked.id, "run 2", 10, 100)


async def test_what_has_ended_stays_as_it_ended(simulations):
    asked = await simulations.begin(a_simulation())
    await simulations.take(asked.id, "run 1")
    failed = await simulations.end(asked.id, Status.FAILED, run="run 1", error="too bad")
    assert (failed.status, failed.error) == (Status.FAILED, "too bad")
    assert await simulations.end(asked.id, Status.COMPLETED, run="run 1", report=REPORT) == failed
    assert await simulations.take(asked.id, "run 2") is None
    assert not await simulations.advance(asked.id, "run 1", 1, 1)
    assert await simulations.take(new_id(), "run 1") is None


async def test_old_ones_go_with_the_rest_of_what_was_kept_long_enough(store):
    asked = await store.simulations.begin(a_simulation())
    await store.expire(NOW + DAY)
    assert await store.simulations.get(asked.id) is not None
    await store.simulations.end(asked.id, Status.FAILED, error="no")
    await store.expire(NOW + DAY)
    assert await store.simulations.get(asked.id) is None


# ---- what they read ----------------------------------------------------------------------------------------------
async def settled(store, request, *attempts):
    status = Status.COMPLETED if attempts and attempts[-1].failure is None else Status.FAILED
    failure = attempts[-1].failure if attempts else Failure.of(UpstreamRateLimited())
    await store.requests.settle(
        Entry(request, Settlement(request.id, status, NOW, attempts, failure), prompt="secret", answer="too")
    )
    return request


async def test_requests_come_in_the_order_of_their_acceptance_page_by_page(store):
    made = [await settled(store, a_request(), an_attempt()) for _ in range(7)]
    read, after = [], None
    while page := await store.simulations.logged(NOW - DAY, NOW + DAY, limit=3, after=after):
        assert len(page) <= 3
        read += page
        after = page[-1].place
    assert [logged.request.id for logged in read] == [request.id for request in made]
    assert [logged.place for logged in read] == sorted(logged.place for logged in read)
    assert await store.simulations.logged(NOW - DAY, NOW - DAY / 2, limit=3) == ()


async def test_a_request_is_what_rules_may_know_of_it_and_none_of_its_text(store):
    traits = Traits(
        input_tokens=17,
        needs=("tools",),
        max_cost_usd=D("0.5"),
        caller_name="ann",
        caller_models=("a",),
        caller_tags={"tier": "batch"},
        roll=0.25,
    )
    asked = a_request(tags={"env": "prod"}, metadata={"team": "x"}, traits=traits, model="tags:gpu")
    await settled(store, asked, a_failed_attempt(), an_attempt(2, "other", first_token_ms=3.0))
    (logged,) = await store.simulations.logged(NOW - DAY, NOW + DAY, limit=10)
    request = logged.request
    assert (request.model, request.tags, request.metadata) == ("tags:gpu", {"env": "prod"}, {"team": "x"})
    assert (request.traits, request.caller, request.deadline) == (traits, asked.caller, asked.deadline)
    assert request.body == ""
    first, second = logged.attempts
    assert first.failure == Failure("upstream_unavailable", "", retryable=True)
    assert second == an_attempt(2, "other", first_token_ms=3.0)
    assert (logged.first_model, logged.answer, logged.cost_usd) == ("good", second, D("0.00002"))


async def test_what_was_called_nowhere_is_there_too(store):
    await settled(store, a_request())
    (logged,) = await store.simulations.logged(NOW - DAY, NOW + DAY, limit=10)
    assert (logged.attempts, logged.first_model, logged.cost_usd) == ((), "", D(0))


async def test_costs_are_those_that_hold_after_corrections(store):
    request = await settled(store, a_request(), an_attempt())
    (before,) = await store.simulations.logged(NOW - DAY, NOW + DAY, limit=10)
    repricing = await store.repricings.begin(
        Repricing(new_id(), NOW - DAY, NOW + DAY, None, dry_run=False, reason="", actor="ann", asked_at=NOW)
    )
    place = AttemptPlace(before.request.accepted_at, request.id, 1)
    correction = Correction(place, "good", D("0.00002"), D("0.7"))
    assert await store.repricings.advance(repricing, place, [correction], Tally(1, 1))
    (after,) = await store.simulations.logged(NOW - DAY, NOW + DAY, limit=10)
    assert (before.cost_usd, after.cost_usd) == (D("0.00002"), D("0.7"))


async def test_the_newest_requests_of_a_period_are_counted_and_the_oldest_of_them_found(store):
    made = [await settled(store, a_request(), an_attempt()) for _ in range(5)]
    places = [
        Place(logged.request.accepted_at, logged.request.id)
        for logged in await store.simulations.logged(NOW - DAY, NOW + DAY, limit=10)
    ]
    assert [place.request_id for place in places] == [request.id for request in made]
    assert await store.simulations.stretch(NOW - DAY, NOW + DAY, 3) == Stretch(3, places[2])
    assert await store.simulations.stretch(NOW - DAY, NOW + DAY, 50) == Stretch(5, places[0])
    assert await store.simulations.stretch(NOW - DAY, NOW - DAY / 2, 50) == Stretch()
