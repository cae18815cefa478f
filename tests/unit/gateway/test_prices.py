"""Models get a price when they are registered, and nothing that somebody said is overruled."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from gateway.domain.prices import DatedPrice, Price
from gateway.domain.registry import Model
from gateway.ids import new_id
from gateway.prices import ENTRY, PriceKeeper, PriceTable, in_force, seed_of, upstream_of
from gateway.published import Published, Unpublished
from gateway.storage.memory import MemoryStore
from tests.builders import a_model, a_registry

D = Decimal
NOW = datetime(2026, 11, 1, tzinfo=UTC)
BEFORE, LATER = NOW - timedelta(days=30), NOW + timedelta(days=30)
FOUND = Published((Price(D(1), D(2)), Price(D(3), D(4), since=LATER)), "the published one")


def found(_: Model) -> Published | Unpublished:
    return FOUND


def missing(_: Model) -> Published | Unpublished:
    return Unpublished("nobody publishes it")


def never(_: Model) -> Published | Unpublished:
    raise AssertionError("this needs no look into the published prices")


def bare(name: str = "m", **changes: object) -> Model:
    return replace(a_model(name, price=None, base_url="https://host/v1", upstream_model="up"), **changes)  # type: ignore[arg-type]


def row(
    price: Price, source: str = "ann", upstream: str | None = None, said: datetime = BEFORE
) -> DatedPrice:
    return DatedPrice(new_id(), "m", price, source, "ann", said, upstream)


# ---- what is said of a model -------------------------------------------------------------------------------------
def test_a_model_without_a_price_gets_the_published_ones_with_their_dates_and_source():
    seed = seed_of(bare(), (), NOW, found)
    assert seed is not None
    assert [made.price for made in seed.rows] == list(FOUND.prices)
    assert {(made.source, made.upstream, made.actor) for made in seed.rows} == {
        ("the published one", "up at https://host/v1", "gateway")
    }
    assert (seed.model, seed.last) == ("m", None)


def test_a_model_that_nobody_has_a_price_for_stays_unknown():
    assert seed_of(bare(), (), NOW, missing) is None


def test_a_model_that_comes_with_a_price_gets_that_one():
    price = Price(D(5), D(6))
    seed = seed_of(bare(price=price), (), NOW, never)
    assert seed is not None
    assert [(made.price, made.source) for made in seed.rows] == [(price, ENTRY)]
    assert seed_of(bare(price=price), seed.rows, NOW, never) is None


def test_what_somebody_said_is_not_overruled():
    assert seed_of(bare(), (row(Price(D(9), D(9))),), NOW, never) is None
    assert seed_of(bare(), (row(Price(since=BEFORE)),), NOW, never) is None, "nor that it is unknown"
    assert seed_of(bare(upstream_model="another"), (row(Price(D(9), D(9))),), NOW, never) is None


def test_a_published_price_that_changed_elsewhere_changes_nothing_here():
    had = row(Price(D(9), D(9)), "an older package", upstream_of(bare()))
    assert seed_of(bare(), (had,), NOW, never) is None


def test_an_entry_that_changed_its_price_has_it_from_now_on():
    first = row(Price(D(5), D(6)), ENTRY)
    seed = seed_of(bare(price=Price(D(7), D(8))), (first, row(Price(D(1)))), NOW, never)
    assert seed is not None
    [made] = seed.rows
    assert made.price == Price(D(7), D(8), since=NOW)


def test_a_name_that_stands_for_another_model_now_loses_the_price_of_the_last_one():
    had = row(Price(D(9), D(9)), "published", "old at https://host/v1")
    ended = seed_of(bare(), (had,), NOW, missing)
    assert ended is not None
    assert [(made.price, made.source) for made in ended.rows] == [(Price(since=NOW), "nobody publishes it")]
    assert ended.last == had.id
    changed = seed_of(bare(), (had,), NOW, found)
    assert changed is not None
    assert [made.price for made in changed.rows] == [Price(D(1), D(2), since=NOW), FOUND.prices[1]]


@pytest.mark.parametrize(
    ("moment", "expected"), [(BEFORE - timedelta(days=1), 0), (BEFORE, 2), (NOW, 2), (LATER, 1)]
)
def test_the_row_in_force_is_the_last_said_of_the_last_begun(moment: datetime, expected: int):
    rows = [row(Price(D(1))), row(Price(D(2), since=LATER)), row(Price(D(3), since=BEFORE))]
    assert in_force(rows, moment) is rows[expected]
    assert in_force([rows[1]], NOW) is None
    again = row(Price(D(4), since=BEFORE))
    assert in_force([*rows, again], NOW) is again


# ---- the keeper --------------------------------------------------------------------------------------------------
class Replica:
    """A process with its copy of the prices."""

    def __init__(self, store: MemoryStore, *models: Model) -> None:
        self.registry = a_registry(*models)
        self.table = PriceTable(store.prices, self._charge)
        self.asked: list[str] = []
        self.keeper = PriceKeeper(lambda: self.registry, self.table, store.prices, self._look)

    def _charge(self, book: object) -> None:
        self.registry = replace(self.registry, prices=book)  # type: ignore[arg-type]

    def _look(self, model: Model) -> Published | Unpublished:
        self.asked.append(model.name)
        return FOUND if model.upstream_model == "up" else Unpublished("no")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_of_several_replicas_one_gives_a_model_its_price(store: MemoryStore):
    replicas = [Replica(store, bare(), bare("home", upstream_model="x")) for _ in range(3)]
    assert sorted(await asyncio.gather(*(each.keeper.look() for each in replicas))) == [0, 0, 1]
    for each in replicas:
        await each.table.reload()
        assert await each.keeper.look() == 0
        assert each.registry.price(each.registry.models["m"], NOW) == FOUND.prices[0]
        assert each.registry.price(each.registry.models["home"], NOW) is None
        assert sorted(each.asked) == ["home", "m"], "each model is looked up once"
    assert len(await store.prices.load()) == 2


async def test_the_keeper_looks_when_it_is_woken(store: MemoryStore):
    replica = Replica(store, bare())
    replica.keeper.start()
    await asyncio.sleep(0.01)
    assert await store.prices.load() == ()
    replica.keeper.wake()
    async with aclosing(store.changes.listen()) as heard, asyncio.timeout(30):
        while not await store.prices.load():
            await anext(heard)
    await replica.keeper.close()


async def test_the_table_says_which_row_holds(store: MemoryStore):
    replica = Replica(store, bare())
    kept = await store.prices.add(row(Price(D(9), D(9))))
    await replica.table.reload()
    assert replica.table.says("m", NOW) == kept
    assert replica.table.says("other", NOW) is None
    assert dict(replica.table.rows) == {"m": [kept]}
