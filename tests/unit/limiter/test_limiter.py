"""Tokens of shared buckets: decided in memory, never more than there are, back where they are not needed."""

import asyncio
from datetime import timedelta
from time import monotonic

import pytest

from gateway.domain.limits import Unit
from gateway.limiter import Taken, Wait
from gateway.storage.ports import Draw
from tests.waits import until


async def level(store, key="caller-1", rate=0.001, burst=10.0):
    """What the shared bucket holds."""
    (drawn,) = await store.draw([Draw(key, rate, burst)])
    return round(drawn.level, 1)


async def take_all(limiter, throttle, most=100):
    """How many requests are let through at once."""
    for count in range(most):
        if isinstance(await limiter.take([throttle]), Wait):
            return count
    return most


# ---- tokens ------------------------------------------------------------------------------------------------------
async def test_without_throttles_nobody_is_asked(replica, store):
    assert await replica().take([]) == Taken()
    assert store.asked == []


async def test_as_many_are_let_through_as_the_burst_allows(replica, throttle):
    assert await take_all(replica(), throttle()) == 10


async def test_two_replicas_let_through_as_many_together(replica, throttle):
    one, two = replica(2), replica(2)
    counts = await asyncio.gather(take_all(one, throttle()), take_all(two, throttle()))
    assert sum(counts) == 10


async def test_who_is_refused_hears_when_a_token_is_there_and_it_is_there_then(replica, throttle):
    limiter, limit = replica(), throttle(rate=1.0, burst=2.0)
    await take_all(limiter, limit)
    wait = await limiter.take([limit])
    assert isinstance(wait, Wait)
    assert 0.7 < wait.after.total_seconds() <= 1
    await asyncio.sleep(wait.after.total_seconds() / 2)
    assert isinstance(await limiter.take([limit]), Wait), "half of it is too early"
    await asyncio.sleep(wait.after.total_seconds() / 2 + 0.005)
    assert isinstance(await limiter.take([limit]), Taken)


async def test_all_throttles_of_a_request_are_taken_or_none(replica, store, throttle):
    limiter, wide, narrow = replica(), throttle("wide"), throttle("narrow", burst=3.0)
    for _ in range(3):
        assert isinstance(await limiter.take([wide, narrow]), Taken)
    refused = await limiter.take([wide, narrow])
    assert isinstance(refused, Wait)
    assert refused.throttle == narrow
    assert await take_all(limiter, wide) == 7


async def test_the_longest_wait_is_told(replica, throttle):
    limiter, soon, late = replica(), throttle("soon", 10.0, 1.0), throttle("late", 1.0, 1.0)
    await limiter.take([soon, late])
    refused = await limiter.take([soon, late])
    assert isinstance(refused, Wait)
    assert refused.throttle == late
    assert 0.9 < refused.after.total_seconds() <= 1.0


async def test_tokens_that_were_taken_can_be_given_back(replica, throttle):
    limiter, limit = replica(), throttle(burst=1.0)
    taken = await limiter.take([limit])
    assert isinstance(taken, Taken)
    assert isinstance(await limiter.take([limit]), Wait)
    limiter.give_back(taken)
    assert isinstance(await limiter.take([limit]), Taken)


async def test_a_cost_above_the_burst_passes_a_full_bucket_and_is_owed(replica, store, throttle):
    limiter, limit = replica(), throttle(cost=25.0, unit=Unit.TOKENS)
    assert isinstance(await limiter.take([limit]), Taken)
    assert isinstance(await limiter.take([limit]), Wait)
    await limiter.close()
    assert await level(store) == -15


async def test_what_a_request_used_beyond_its_estimate_is_missing_for_the_next(replica, throttle):
    limiter, limit = replica(), throttle(cost=4.0, unit=Unit.TOKENS)
    await limiter.take([limit])
    limiter.correct(limit, -5.0)
    assert isinstance(await limiter.take([limit]), Wait)
    limiter.correct(limit, 4.0)
    assert isinstance(await limiter.take([limit]), Taken)


async def test_a_bucket_that_never_fills_waits_for_a_day(replica, throttle):
    limiter, limit = replica(), throttle(rate=0.0, burst=1.0)
    await limiter.take([limit])
    refused = await limiter.take([limit])
    assert isinstance(refused, Wait)
    assert refused.after == timedelta(days=1)


async def test_how_a_caller_stands_is_known_without_asking(replica, store, throttle):
    limiter, limit = replica(), throttle(rate=0.1)
    await limiter.take([limit])
    asked = len(store.asked)
    (standing,) = limiter.standings([limit])
    assert (standing.unit, standing.limit, round(standing.remaining)) == (Unit.REQUESTS, 10, 9)
    assert 5 < standing.reset.total_seconds() <= 10
    assert len(store.asked) == asked


# ---- in memory ---------------------------------------------------------------------------------------------------
async def test_a_busy_caller_is_nearly_always_decided_in_memory(replica, store, throttle):
    limiter, limit, taken = replica(), throttle(rate=1000.0, burst=100.0), 0
    until_then = monotonic() + 1.0
    while monotonic() < until_then:
        taken += isinstance(await limiter.take([limit]), Taken)
        await asyncio.sleep(0.002)
    assert taken > 100
    assert store.count("draw") < taken / 10


async def test_who_comes_to_an_empty_bucket_is_refused_in_memory(replica, store, throttle):
    limiter, limit = replica(), throttle()
    await take_all(limiter, limit)
    asked = store.count("draw")
    for _ in range(1000):
        assert isinstance(await limiter.take([limit]), Wait)
    assert store.count("draw") == asked


async def test_many_who_come_at_once_are_one_question(replica, store, throttle):
    limiter, limit = replica(), throttle(burst=100.0)
    store.slowness = 0.02
    answers = await asyncio.gather(*(limiter.take([limit]) for _ in range(120)))
    assert sum(isinstance(each, Taken) for each in answers) == 100
    assert store.count("draw") <= 4


async def test_many_keys_share_few_questions(replica, store, throttle):
    limiter = replica()
    store.slowness = 0.02
    answers = await asyncio.gather(*(limiter.take([throttle(f"caller-{i}")]) for i in range(300)))
    assert all(isinstance(each, Taken) for each in answers)
    assert store.count("draw") <= 3


async def test_no_more_keys_are_remembered_than_asked_for_and_their_tokens_go_back(replica, store, throttle):
    limiter = replica(max_keys=100)
    for i in range(300):
        await limiter.take([throttle(f"caller-{i}")])
    assert len(limiter) == 100
    await limiter.close()
    assert [await level(store, f"caller-{i}") for i in (0, 150, 299)] == [9, 9, 9]


async def test_what_is_not_needed_goes_back_after_a_while(replica, store, throttle):
    busy, limit = replica(2), throttle(burst=100.0)
    for _ in range(5):
        for _ in range(4):
            await busy.take([limit])
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert await level(store, burst=100.0) < 80, "some were drawn ahead"
    await until(lambda: store.count("put_back"))
    assert await level(store, burst=100.0) == 80


async def test_closing_gives_back_what_is_left(replica, store, throttle):
    limiter, limit = replica(), throttle(burst=100.0)
    for _ in range(20):
        await limiter.take([limit])
    await limiter.close()
    assert await level(store, burst=100.0) == 80


async def test_other_bounds_hold_from_the_next_request_on(replica, throttle):
    limiter = replica()
    await take_all(limiter, throttle(burst=5.0))
    await asyncio.sleep(0.03)
    assert await take_all(limiter, throttle(rate=1000.0, burst=5.0), most=3) == 3


# ---- in line -----------------------------------------------------------------------------------------------------
async def test_jobs_that_wait_come_one_after_the_other(replica, throttle):
    limiter, limit = replica(), throttle(rate=0.1, burst=1.0)
    await limiter.take([limit])
    turns = []
    for _ in range(4):
        wait = await limiter.take([limit])
        assert isinstance(wait, Wait)
        turns.append((await limiter.queue(wait)).total_seconds())
    assert turns == pytest.approx([10, 20, 30, 40], abs=5)


async def test_a_line_in_a_store_that_is_away_is_as_long_as_the_wait(replica, store, throttle):
    limiter, wait = replica(), Wait(timedelta(seconds=7), throttle())
    store.away = True
    assert await limiter.queue(wait) == timedelta(seconds=7)


# ---- away --------------------------------------------------------------------------------------------------------
async def test_while_the_store_is_away_each_replica_lets_through_its_share(replica, store, throttle):
    store.away = True
    replicas = [replica(2), replica(2)]
    counts = [await take_all(each, throttle()) for each in replicas]
    assert counts == [5, 5]


async def test_a_share_fills_at_the_share_of_the_rate(replica, store, throttle):
    store.away = True
    limiter, limit = replica(2), throttle(rate=20.0, burst=2.0)
    await take_all(limiter, limit)
    wait = await limiter.take([limit])
    assert isinstance(wait, Wait)
    assert 0 < wait.after.total_seconds() <= 0.1
    await asyncio.sleep(wait.after.total_seconds() + 0.005)
    assert isinstance(await limiter.take([limit]), Taken)


async def test_what_was_spent_while_the_store_was_away_is_told_when_it_is_back(replica, store, throttle):
    limiter, limit = replica(2), throttle()
    store.away = True
    assert await take_all(limiter, limit) == 5
    store.away = False
    await until(lambda: ("draw",) in store.asked and store.asked[-1] == ("draw", "caller-1"))
    assert await level(store) == 5


async def test_a_store_that_does_not_answer_is_waited_for_no_longer_than_the_patience(
    replica, store, throttle
):
    limiter, limit = replica(2, patience=timedelta(milliseconds=50)), throttle()
    store.slowness = 30
    began = monotonic()
    assert await take_all(limiter, limit) == 5
    assert monotonic() - began < 15
    store.slowness = 0


async def test_who_gives_up_waiting_takes_nothing(replica, store, throttle):
    limiter, limit = replica(), throttle(burst=1.0)
    store.slowness = 2
    asking = asyncio.create_task(limiter.take([limit]))
    await until(lambda: store.count("draw"))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert isinstance(await limiter.take([limit]), Taken)
