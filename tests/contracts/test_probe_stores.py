"""Whose turn it is to probe a model, and what probes may cost, in every store."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from time import monotonic

import pytest

HOUR = timedelta(hours=1)


@pytest.fixture
def probes(store):
    return store.probes


async def claim(probes, *models, holder="a", every=HOUR, most=10):
    return set(await probes.claim(list(models), holder, every=every, most=most))


async def test_a_model_that_is_new_is_due_at_once_and_then_when_its_time_has_come(probes):
    assert await claim(probes, "x", "y") == {"x", "y"}
    assert await claim(probes, "x", "y", "z") == {"z"}
    quick = timedelta(milliseconds=50)
    assert await claim(probes, "q", every=quick) == {"q"}
    await asyncio.sleep(0.07)
    assert await claim(probes, "q", "x", every=quick) == {"q"}
    assert await claim(probes) == set()


async def test_no_more_are_claimed_than_there_is_room_for_and_the_rest_by_another(probes):
    first = await claim(probes, "u", "v", "w", "x", most=3)
    assert len(first) == 3
    second = await claim(probes, "u", "v", "w", "x", holder="b", most=3)
    assert first | second == {"u", "v", "w", "x"}
    assert not first & second


async def test_of_many_who_ask_at_once_one_has_the_turn(probes):
    models = [f"m{number}" for number in range(20)]
    for _ in range(3):
        taken = await asyncio.gather(
            *(
                claim(probes, *models, holder=f"h{n}", every=timedelta(milliseconds=1), most=50)
                for n in range(1)
            )
        )
        assert sum(map(len, taken)) <= 20
        await asyncio.sleep(0.01)
    fresh = [f"n{number}" for number in range(20)]
    taken = await asyncio.gather(*(claim(probes, *fresh, holder=f"h{n}", most=50) for n in range(6)))
    assert sorted(model for each in taken for model in each) == sorted(fresh)
    old = timedelta(milliseconds=1)
    await claim(probes, *[f"o{number}" for number in range(20)], every=old, most=50)
    await asyncio.sleep(0.01)
    again = await asyncio.gather(
        *(claim(probes, *[f"o{number}" for number in range(20)], holder=f"h{n}", most=50) for n in range(6))
    )
    assert sorted(model for each in again for model in each) == sorted(f"o{number}" for number in range(20))


async def test_turns_are_spread_by_a_fifth_of_the_interval(probes):
    every = timedelta(seconds=2)
    models = [f"m{number}" for number in range(40)]
    began, turns = monotonic(), []
    await claim(probes, *models, every=every, most=50)
    while sum(map(len, turns)) < 40:
        await asyncio.sleep(0.02)
        if due := await claim(probes, *models, most=50):
            assert turns or monotonic() - began > 0.8 * every.total_seconds()
            turns.append(due)
    assert len(turns) > 1


async def test_a_day_has_a_budget_that_many_at_once_cannot_exceed(probes):
    most = Decimal("0.05")
    spent = await asyncio.gather(*(probes.spend(Decimal("0.01"), most) for _ in range(12)))
    assert sum(spent) == 5
    await probes.correct(Decimal("-0.004"))
    assert not await probes.spend(Decimal("0.005"), most)
    assert await probes.spend(Decimal("0.004"), most)
    await probes.correct(Decimal(-1))
    assert await probes.spend(most, most), "there is nothing below nothing"


async def test_more_than_the_whole_budget_is_never_spent(probes):
    assert not await probes.spend(Decimal(2), Decimal(1))
    assert await probes.spend(Decimal(1), Decimal(1))
    assert not await probes.spend(Decimal("0.000001"), Decimal(1))


async def test_what_a_probe_cost_beyond_its_reserve_counts_too(probes):
    await probes.correct(Decimal("0.5"))
    assert not await probes.spend(Decimal("0.6"), Decimal(1))
    await probes.told("x", ok=True, code=None)
    await claim(probes, "x")
    await probes.told("x", ok=False, code="upstream_timeout")
