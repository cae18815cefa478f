"""Which backend serves which port."""

import pytest

from gateway.domain.secret import Secret
from gateway.settings import Postgres, Settings, Storage
from gateway.storage.catalogue import PortByPort, open_store
from gateway.storage.changes import ChangesByNoun
from gateway.storage.memory import MemoryStore
from gateway.storage.ports import Inventory
from gateway.storage.postgres.keys import PostgresKeys

NOWHERE = Postgres(url=Secret("postgresql://127.0.0.1:1/none"), pool_min=0)
MEMORY = Storage(
    requests="memory",
    jobs="memory",
    keys="memory",
    claims="memory",
    models="memory",
    limits="memory",
    live="memory",
)


def settings(**changes):
    return Settings(storage=MEMORY.model_copy(update=changes), postgres=NOWHERE)


async def test_one_backend_for_all_is_that_backend():
    assert isinstance(await open_store(settings()), MemoryStore)


async def test_each_port_may_have_its_own():
    store = await open_store(settings(keys="postgres"))
    assert isinstance(store, PortByPort)
    assert isinstance(store.keys, PostgresKeys)
    assert len(store.backends) == 2
    await store.close()


async def test_payloads_by_reference_lie_with_the_claims():
    store = await open_store(settings(claims="postgres"))
    assert type(store.blobs).__name__ == "PostgresBlobs"
    await store.close()


async def test_the_registry_may_be_kept_apart_with_its_audit_and_its_changes():
    store = await open_store(settings(requests="postgres", jobs="postgres"))
    await store.models.plant([], {})
    assert await store.models.load() != Inventory()
    assert type(store.audit).__name__ == "MemoryAudit"
    assert isinstance(store.changes, ChangesByNoun)
    await store.close()


async def test_a_name_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(
        ValueError,
        match=r"storage.keys: expected one of memory, postgres, got postgre \(did you mean postgres",
    ):
        await open_store(settings(keys="postgre"))


async def test_jobs_are_where_their_requests_are():
    with pytest.raises(ValueError, match=r"storage.jobs: expected memory"):
        await open_store(settings(jobs="postgres"))


async def test_a_database_without_an_address_is_refused_by_its_key():
    with pytest.raises(ValueError, match=r"postgres\.url"):
        await open_store(
            Settings(storage=MEMORY.model_copy(update={"keys": "postgres"}), postgres=Postgres())
        )
