"""The registry in force is the store's, within moments, on every replica; without the store, what was there stays."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.domain.errors import StorageUnavailable
from gateway.domain.operations import Operation
from gateway.domain.prices import Price, PriceBook
from gateway.domain.registry import Capability
from gateway.providers.credentials import Credentials
from gateway.registry.entries import Entries
from gateway.registry.live import LiveRegistry
from gateway.storage.memory import MemoryStore
from tests.builders import a_model

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SEED = Entries({"a": a_model("a"), "b": a_model("b")}, {"x": ("b", "a")})


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def replica(store):
    """Make a replica's registry over the store."""

    async def prepare(_):
        """There is nothing to make ready."""

    return lambda seed=SEED, prepare=prepare, operations=lambda _: None: LiveRegistry(
        store.models, seed, prepare, Credentials(), operations
    )


async def test_before_there_is_one_nobody_is_told_that_there_are_no_models(replica):
    registry = replica()
    with pytest.raises(StorageUnavailable) as raised:
        registry()
    assert raised.value.retry_after is not None
    assert registry.version == ""


async def test_a_store_that_was_never_written_gets_the_seed_once(replica, store):
    one, two = replica(), replica()
    await asyncio.gather(one.reload(), two.reload())
    assert one() == two()
    assert list(one().models) == ["a", "b"]
    assert one().aliases == {"x": ("b", "a")}
    await store.models.delete("a", actor="ann")
    other = replica(Entries({"c": a_model("c")}, {}))
    await other.reload()
    assert list(other().models) == ["b"]


async def test_what_can_be_asked_of_a_model_is_known_when_it_is_in_force_and_no_part_of_its_version(replica):
    plain, asked = replica(), replica(operations=lambda _: frozenset({Operation.CHAT}))
    await plain.reload()
    await asked.reload()
    assert asked().models["a"].operations == {Operation.CHAT}
    assert plain().models["a"].operations is None
    assert plain.version == asked.version


async def test_a_change_is_in_force_when_it_was_read_again(replica, store):
    registry = replica()
    await registry.reload()
    before = registry()
    await store.models.save(replace(before.models["a"], notes="x"), actor="ann")
    assert registry() is before
    await registry.reload()
    assert registry().models["a"].notes == "x"
    assert before.models["a"].notes == ""


async def test_the_version_grows_and_is_the_same_on_every_replica(replica, store):
    capable = a_model("c", capabilities=frozenset(Capability), tags={"a": "1", "b": "2"})
    one, two = replica(), replica()
    versions = []
    for model in (a_model("c"), capable, replace(capable, notes="x")):
        await store.models.save(model, actor="ann")
        await one.reload()
        await two.reload()
        assert one.version == two.version
        versions.append(one.version)
    numbers = [int(version.partition("-")[0]) for version in versions]
    assert numbers == sorted(set(numbers))
    assert len({version.partition("-")[2] for version in versions}) == 3


async def test_a_state_is_in_force_only_when_its_providers_are_ready(replica):
    asked, ready = asyncio.Event(), asyncio.Event()

    async def prepare(names):
        assert names == {"scripted"}
        asked.set()
        await ready.wait()

    registry = replica(prepare=prepare)
    reloading = asyncio.create_task(registry.reload())
    await asked.wait()
    assert registry.version == ""
    ready.set()
    await reloading
    assert registry.version


async def test_prices_are_put_in_force_apart(replica):
    registry = replica()
    book = PriceBook({"a": (Price(Decimal(7), Decimal(8)),)})
    registry.charge(book)
    await registry.reload()
    assert registry().price(registry().models["a"], NOW).input_usd == 7
    before = registry()
    registry.charge(PriceBook())
    assert registry().price(registry().models["a"], NOW).input_usd == 1
    assert registry().version == before.version
