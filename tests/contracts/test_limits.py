"""One suite for the buckets and slots of every store: what holds in memory holds in a database."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from gateway.domain.limits import LONGEST
from gateway.storage.ports import Draw, Held, Hold, Unspent

LONG = timedelta(seconds=60)


@pytest.fixture
def buckets(store):
    return store.buckets


@pytest.fixture
def slots(store):
    return store.slots


def a_draw(key="caller-1", rate=0.001, burst=10.0, least=1.0, most=1.0, **changes):
    """A draw from a bucket that hardly fills while the test runs."""
    return Draw(key, rate, burst, least, most, **changes)


async def drawn(buckets, *draws):
    """What was got and what is left, without the few drops that came meanwhile."""
    return [(round(each.tokens, 1), round(each.level, 1)) for each in await buckets.draw(draws)]


# ---- buckets -----------------------------------------------------------------------------------------------------
async def test_a_bucket_that_nobody_knows_is_full(buckets):
    assert await drawn(buckets, a_draw(most=4)) == [(4, 6)]


async def test_no_more_is_drawn_than_is_there(buckets):
    assert await drawn(buckets, a_draw(most=25)) == [(10, 0)]
    assert await drawn(buckets, a_draw(most=25)) == [(0, 0)]


async def test_where_too_little_is_there_nothing_is_drawn(buckets):
    await buckets.draw([a_draw(most=7)])
    assert await drawn(buckets, a_draw(least=4, most=8)) == [(0, 3)]
    assert await drawn(buckets, a_draw(least=3, most=8)) == [(3, 0)]


async def test_a_bucket_fills_at_its_rate_and_no_further_than_its_burst(buckets):
    began = monotonic()
    await buckets.draw([a_draw(rate=50, most=10)])
    await asyncio.sleep(0.1)
    (some,) = await buckets.draw([a_draw(rate=50, least=0, most=0)])
    assert 4.9 <= some.level <= (monotonic() - began) * 50 + 0.1
    await asyncio.sleep(0.25)
    (full,) = await buckets.draw([a_draw(rate=50, least=0, most=0)])
    assert full.level == 10


async def test_several_buckets_are_drawn_from_at_once_and_answered_in_their_order(buckets):
    draws = [a_draw(f"key-{i}", burst=float(i + 1), least=0, most=100) for i in (3, 0, 2, 1)]
    assert await drawn(buckets, *draws) == [(4, 0), (1, 0), (3, 0), (2, 0)]


async def test_what_is_owed_is_taken_off_first_and_may_leave_a_bucket_below_zero(buckets):
    assert await drawn(buckets, a_draw(most=10)) == [(10, 0)]
    assert await drawn(buckets, a_draw(least=0, most=0, owed=5)) == [(0, -5)]
    assert await drawn(buckets, a_draw()) == [(0, -5)]


async def test_what_is_put_back_is_there_again_and_never_above_the_burst(buckets):
    await buckets.draw([a_draw(most=6)])
    await buckets.put_back([Unspent("caller-1", 0.001, 10, 2)])
    assert await drawn(buckets, a_draw(least=0, most=0)) == [(0, 6)]
    await buckets.put_back([Unspent("caller-1", 0.001, 10, 200)])
    assert await drawn(buckets, a_draw(least=0, most=0)) == [(0, 10)]


async def test_what_is_put_back_for_a_bucket_that_is_not_there_is_no_mistake(buckets):
    await buckets.put_back([Unspent("unknown", 1, 10, 5)])
    assert await drawn(buckets, a_draw("unknown", most=4)) == [(4, 6)]


async def test_another_rate_and_burst_hold_from_the_next_draw_on(buckets):
    await buckets.draw([a_draw(most=2)])
    assert await drawn(buckets, a_draw(burst=3, most=1)) == [(1, 2)]


async def test_draws_at_the_same_time_never_get_the_same_token(buckets):
    asked = [buckets.draw([a_draw("a", most=3), a_draw("b", most=3)]) for _ in range(8)]
    asked += [buckets.draw([a_draw("b", most=3), a_draw("a", most=3)]) for _ in range(8)]
    got = [each.tokens for pair in await asyncio.gather(*asked) for each in pair]
    assert sum(got) == pytest.approx(20, abs=0.1)


async def test_who_stands_in_line_comes_after_those_before_it(buckets):
    await buckets.draw([a_draw(rate=1, most=10)])
    turns = [(await buckets.queue("caller-1", 1, 10, 1)).total_seconds() for _ in range(4)]
    assert turns == pytest.approx([1, 2, 3, 4], abs=0.8)


async def test_nobody_stands_in_line_for_a_bucket_that_is_full(buckets):
    turns = [(await buckets.queue("unknown", 1, 10, 1)).total_seconds() for _ in range(3)]
    assert turns == pytest.approx([0, 1, 2], abs=0.6)
    await buckets.draw([a_draw(rate=10, least=0, most=0)])
    assert (await buckets.queue("caller-1", 10, 10, 1)).total_seconds() == pytest.approx(0, abs=0.05)


async def test_a_bucket_that_never_fills_is_waited_for_as_long_as_is_ever_told(buckets):
    assert await buckets.queue("caller-1", 0, 10, 1) == LONGEST


async def test_a_bucket_that_is_not_full_is_kept(buckets, store):
    await buckets.draw([a_draw(rate=0.0, most=10)])
    await store.expire(datetime(2020, 1, 1, tzinfo=UTC))
    assert await drawn(buckets, a_draw(rate=0.0)) == [(0, 0)]


# ---- slots -------------------------------------------------------------------------------------------------------
async def test_slots_are_held_as_far_as_the_others_leave_them(slots):
    assert await slots.hold("one", [Hold("m", 5, 0, 3)], LONG) == [Held(3, 0)]
    assert await slots.hold("two", [Hold("m", 5, 0, 3)], LONG) == [Held(2, 3)]
    assert await slots.hold("three", [Hold("m", 5, 0, 1)], LONG) == [Held(0, 5)]


async def test_saying_again_what_is_held_changes_nothing(slots):
    for _ in range(3):
        assert await slots.hold("one", [Hold("m", 5, 2, 3)], LONG) == [Held(3, 0)]


async def test_slots_are_given_back_by_holding_fewer(slots):
    await slots.hold("one", [Hold("m", 5, 0, 5)], LONG)
    assert await slots.hold("one", [Hold("m", 5, 1, 1)], LONG) == [Held(1, 0)]
    assert await slots.hold("two", [Hold("m", 5, 0, 5)], LONG) == [Held(4, 1)]
    assert await slots.hold("one", [Hold("m", 5, 0, 0)], LONG) == [Held(0, 4)]


async def test_what_is_in_use_stays_held_when_the_limit_sinks(slots):
    await slots.hold("one", [Hold("m", 5, 4, 4)], LONG)
    assert await slots.hold("one", [Hold("m", 2, 4, 4)], LONG) == [Held(4, 0)]
    assert await slots.hold("two", [Hold("m", 2, 0, 1)], LONG) == [Held(0, 4)]


async def test_slots_of_a_holder_that_says_nothing_expire(slots):
    await slots.hold("dead", [Hold("m", 1, 1, 1)], timedelta(seconds=1))
    assert await slots.hold("alive", [Hold("m", 1, 0, 1)], LONG) == [Held(0, 1)]
    await asyncio.sleep(1.05)
    assert await slots.hold("alive", [Hold("m", 1, 0, 1)], LONG) == [Held(1, 0)]


async def test_several_keys_are_answered_in_their_order(slots):
    await slots.hold("two", [Hold("b", 3, 1, 1)], LONG)
    held = await slots.hold("one", [Hold("c", 1, 0, 9), Hold("b", 3, 0, 9), Hold("a", 2, 0, 9)], LONG)
    assert held == [Held(1, 0), Held(2, 1), Held(2, 0)]


async def test_many_who_ask_at_once_never_hold_more_than_there_are(slots):
    keys = ["a", "b"]
    asked = [
        slots.hold(f"replica-{i}", [Hold(key, 7, 0, 2) for key in (keys if i % 2 else keys[::-1])], LONG)
        for i in range(12)
    ]
    held = await asyncio.gather(*asked)
    assert sum(each.slots for pair in held for each in pair) == 14
