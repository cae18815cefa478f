"""The limits of models: whoever reaches one is told which, and when to come again."""

from datetime import timedelta

import pytest

from gateway.domain.inference import Usage
from gateway.domain.registry import ModelLimits
from gateway.limiter import OPEN, Entry, Full, Gate
from tests.builders import a_model


@pytest.fixture
async def gate(replica, calls):
    return Gate(replica(), calls("one"))


def limited(**limits):
    return a_model("small", limits=ModelLimits(**limits))


def never():
    raise AssertionError("nobody needs an estimate")


async def test_a_model_without_limits_lets_everybody_in_and_asks_nobody(gate, store):
    assert await gate.enter(a_model(), never) is OPEN
    OPEN.leave(Usage(1, 1))
    OPEN.leave(None)
    assert [what for what, *_ in store.asked if what != "hold"] == []


async def test_calls_at_once_are_limited(gate):
    model = limited(concurrency=2)
    entries = [await gate.enter(model, never) for _ in range(2)]
    full = await gate.enter(model, never)
    assert str(full) == "small is at its limit of 2 calls at once"
    assert full.after == timedelta(seconds=1)
    assert gate.in_flight(model) == 2
    for entry in entries:
        entry.leave(None)
        entry.leave(None)
    assert gate.in_flight(model) == 0
    assert isinstance(await gate.enter(model, never), Entry)


async def test_requests_a_minute_are_limited_and_the_wait_is_exact(gate):
    model = limited(requests_per_minute=30)
    entries = [await gate.enter(model, never) for _ in range(30)]
    assert all(isinstance(entry, Entry) for entry in entries)
    full = await gate.enter(model, never)
    assert str(full) == "small is at its limit of 30 requests a minute"
    assert 1.5 < full.after.total_seconds() <= 2.0


async def test_a_call_over_the_requests_a_minute_leaves_its_slot(gate):
    model = limited(concurrency=5, requests_per_minute=1)
    entry = await gate.enter(model, never)
    assert isinstance(await gate.enter(model, never), Full)
    assert gate.in_flight(model) == 1
    entry.leave(None)
    assert gate.in_flight(model) == 0


async def test_tokens_a_minute_are_estimated_first_and_corrected_in_the_end(gate):
    model = limited(tokens_per_minute=1000)
    entry = await gate.enter(model, lambda: 900)
    assert str(await gate.enter(model, lambda: 200)) == "small is at its limit of 1000 tokens a minute"
    entry.leave(Usage(input=50, output=50))
    assert isinstance(await gate.enter(model, lambda: 850), Entry)


async def test_a_call_of_unknown_use_costs_what_was_estimated(gate):
    model = limited(tokens_per_minute=1000)
    entry = await gate.enter(model, lambda: 900)
    entry.leave(None)
    assert isinstance(await gate.enter(model, lambda: 200), Full)


async def test_jobs_that_meet_a_full_model_come_again_one_after_the_other(gate):
    model = limited(concurrency=1)
    await gate.enter(model, never)
    turns = [(await gate.turn(await gate.enter(model, never))).total_seconds() for _ in range(3)]
    assert turns[0] == 1
    assert turns[2] - turns[1] == pytest.approx(2, abs=0.2), "as long as a call usually takes"
