"""Slots over all replicas: no more at once than the limit, none lost for ever, in memory where there are plenty."""

import asyncio
from datetime import timedelta
from time import monotonic

import pytest

from tests.waits import until


async def enter_all(calls, key="m", limit=4, most=20):
    """How many get in at once."""
    return [await calls.enter(key, limit) for _ in range(most)].count(True)


async def test_as_many_get_in_as_the_limit_allows(calls):
    assert await enter_all(calls("one")) == 4


async def test_several_replicas_let_in_as_many_together(calls):
    replicas = [calls(f"replica-{i}") for i in range(3)]
    counts = await asyncio.gather(*(enter_all(each, limit=10) for each in replicas))
    assert sum(counts) == 10


async def test_who_leaves_makes_room(calls):
    one = calls("one")
    await enter_all(one)
    assert not await one.enter("m", 4)
    one.leave("m")
    assert await one.enter("m", 4)
    assert one.in_use("m") == 4


async def test_who_leaves_one_replica_makes_room_at_another(calls):
    one, two = calls("one"), calls("two")
    await until(lambda: one.replicas == two.replicas == 2)
    assert await one.enter("m", 1)
    assert not await two.enter("m", 1)
    one.leave("m")
    await until(lambda: two.enter("m", 1))


async def test_one_call_after_the_other_from_two_replicas_never_finds_the_model_taken(calls):
    one, two = calls("one"), calls("two")
    await until(lambda: one.replicas == two.replicas == 2)
    for _ in range(10):
        for each in (one, two):
            await until(lambda each=each: each.enter("m", 1))
            each.leave("m")


async def test_a_replica_that_died_holds_its_slots_no_longer_than_it_takes_to_expire(calls, store):
    dead, alive = calls("dead"), calls("alive")
    assert await enter_all(dead) == 4
    dead._ticking.cancel()  # a process that was killed says nothing more
    assert await enter_all(alive) == 0
    await until(lambda: dead._limited["m"].expires < monotonic())
    await until(lambda: alive.enter("m", 4))
    assert await enter_all(alive) == 3


async def test_a_call_that_lasts_keeps_its_slot(calls):
    one, two = calls("one"), calls("two")
    await enter_all(one)
    await asyncio.sleep(1.5)
    assert await enter_all(two) == 0


async def test_a_lower_limit_holds_from_the_next_call_on(calls):
    one = calls("one")
    await enter_all(one)
    one.leave("m")
    await asyncio.sleep(0.01)
    assert not await one.enter("m", 2)


async def test_where_there_are_plenty_most_calls_are_let_in_by_memory(calls, store):
    one, two = calls("one"), calls("two")
    await until(lambda: one.replicas == two.replicas == 2)
    before = store.count("hold")
    for _ in range(200):
        assert await one.enter("m", 100)
        one.leave("m")
    assert store.count("hold") - before < 20


async def test_where_none_is_free_few_questions_are_asked(calls, store):
    one, two = calls("one"), calls("two")
    await enter_all(one)
    before = store.count("hold")
    assert await enter_all(two, most=500) == 0
    assert store.count("hold") - before < 5


async def test_leaving_what_was_not_entered_is_a_mistake(calls):
    with pytest.raises(ValueError, match="no slot of m is in use"):
        calls("one").leave("m")


async def test_closing_gives_all_slots_back_at_once(calls):
    one, two = calls("one"), calls("two")
    await enter_all(one)
    await one.close()
    assert await enter_all(two) == 4


async def test_replicas_are_counted(calls):
    one, two = calls("one"), calls("two")
    await until(lambda: one.replicas == two.replicas == 2)
    await two.close()
    await until(lambda: one.replicas == 1)


async def test_while_the_store_is_away_each_replica_lets_in_its_share_and_what_it_holds(calls, store):
    one, two = calls("one"), calls("two")
    await until(lambda: one.replicas == two.replicas == 2)
    store.away = True
    assert [await enter_all(each, limit=10) for each in (one, two)] == [5, 5]
    store.away = False
    await until(lambda: one._limited["m"].held == two._limited["m"].held == 5)


async def test_a_store_that_does_not_answer_is_waited_for_no_longer_than_the_patience(calls, store):
    one = calls("one", patience=timedelta(milliseconds=50))
    store.slowness = 30
    async with asyncio.timeout(15):
        assert await enter_all(one, most=5) == 4
    store.slowness = 0
