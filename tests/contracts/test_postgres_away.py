"""A database that goes away, falls silent or restarts: calls fail soon and in our words, and recover by themselves."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import monotonic
from urllib.parse import urlsplit

import psycopg
import pytest

from gateway.domain.errors import StorageUnavailable
from gateway.domain.secret import Secret
from gateway.ids import new_id
from gateway.settings import Postgres
from gateway.storage.ports import Entry, JobFilter, RequestFilter
from gateway.storage.postgres.store import open_store
from tests.builders import a_request
from tests.contracts.test_stores import a_settlement

pytestmark = pytest.mark.slow

CONNECT = timedelta(seconds=2)
PATIENCE = timedelta(seconds=1)


def an_entry():
    request = a_request()
    return Entry(request, a_settlement(request))


def settings(url, **changes):
    return Postgres(url=Secret(url), connect_timeout=CONNECT, statement_timeout=PATIENCE, **changes)


@pytest.fixture
def url(through):
    return through


@pytest.fixture
async def store(url):
    opened = await open_store(settings(url, pool_max=4))
    await opened.ping()
    yield opened
    await opened.close()


async def took(call, error=None):
    began = monotonic()
    if error is None:
        await call
    else:
        with pytest.raises(error) as raised:
            await call
        assert raised.value.retry_after is not None
    return monotonic() - began


async def answers_again(store):
    async with asyncio.timeout(30):
        while True:
            try:
                return await store.ping()
            except StorageUnavailable:
                await asyncio.sleep(0.05)


async def test_a_store_opens_without_its_database_and_finds_it_later(url, wire):
    await wire.cut()
    store = await open_store(settings(url, pool_min=2))
    assert await took(store.ping(), StorageUnavailable) < CONNECT.total_seconds() + 10
    await wire.mend()
    await answers_again(store)
    assert await store.requests.settle(an_entry())
    await store.close()


async def test_while_the_database_is_away_every_port_says_so_at_once(store, wire):
    await wire.cut()
    await took(store.ping(), StorageUnavailable)
    now = datetime.now(UTC)
    waited = 0.0
    for call in (
        store.ping(),
        store.requests.settle(an_entry()),
        store.requests.settlement(new_id()),
        store.requests.get(new_id()),
        store.requests.find(RequestFilter(now, now), limit=1),
        store.jobs.get(new_id()),
        store.jobs.find(JobFilter(), limit=1),
        store.claims.claim(new_id(), 1, "w"),
        store.claims.result(new_id()),
        store.keys.caller(bytes(32), now),
        store.keys.keys(),
        store.blobs.put("k", b""),
        store.blobs.get("k"),
        store.ensure_partitions(now),
    ):
        waited += await took(call, StorageUnavailable)
    assert waited < 5 * CONNECT.total_seconds(), "fourteen calls do not each wait for a connection"
    await wire.mend()
    await answers_again(store)


async def test_a_hundred_calls_do_not_queue_up_before_a_database_that_is_away(store, wire):
    await wire.cut()
    began = monotonic()
    told = await asyncio.gather(
        *(store.requests.settlement(new_id()) for _ in range(100)), return_exceptions=True
    )
    assert all(isinstance(each, StorageUnavailable) for each in told)
    assert monotonic() - began < CONNECT.total_seconds() + 10
    await wire.mend()
    await answers_again(store)


async def test_connections_that_died_in_the_pool_are_not_noticed_by_callers(store, wire):
    await asyncio.gather(*(store.ping() for _ in range(8)))
    await wire.break_connections()
    await store.ping()
    await asyncio.gather(*(store.requests.settle(an_entry()) for _ in range(8)))


async def test_connections_that_the_server_ended_are_not_noticed_by_callers(store, database_url):
    await asyncio.gather(*(store.ping() for _ in range(8)))
    with psycopg.connect(database_url) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'llm-gateway'"
        )
    await asyncio.sleep(0.05)
    await asyncio.gather(*(store.ping() for _ in range(8)))


async def test_a_connection_that_breaks_in_the_middle_of_a_write_settles_once(store, wire):
    entries = [an_entry() for _ in range(60)]
    writing = [asyncio.create_task(store.requests.settle(entry)) for entry in entries]
    for _ in range(5):
        await asyncio.sleep(0.002)
        await wire.break_connections()
    await asyncio.wait(writing)
    await answers_again(store)
    for entry in entries:
        await store.requests.settle(entry)
        assert await store.requests.settlement(entry.request.id) == entry.settlement


async def test_a_server_that_takes_no_more_connections_is_used_by_those_that_are_there(store, wire):
    wire.refuse()
    for _ in range(10):
        await asyncio.gather(*(store.requests.settlement(new_id()) for _ in range(20)))
        await asyncio.sleep(0.05)


async def test_a_server_that_falls_silent_is_given_up(store, wire):
    wire.silence()
    assert await took(store.ping(), StorageUnavailable) < (CONNECT + PATIENCE).total_seconds() + 10
    await wire.mend()
    await answers_again(store)


async def test_a_statement_that_takes_too_long_is_ended_and_its_connection_kept(store, database_url):
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE blobs")
        assert await took(store.blobs.get("k"), StorageUnavailable) < PATIENCE.total_seconds() + 10
    await store.blobs.get("k")


async def test_a_database_that_was_not_migrated_is_not_ready(empty_database_url):
    store = await open_store(settings(empty_database_url))
    with pytest.raises(StorageUnavailable) as raised:
        await store.ping()
    assert raised.value.detail == "the database has not been migrated"
    await store.close()


async def test_a_mistake_of_ours_is_not_called_unavailable(empty_database_url):
    store = await open_store(settings(empty_database_url))
    with pytest.raises(psycopg.errors.UndefinedTable):
        await store.jobs.get(new_id())
    await store.close()


async def test_closing_writes_what_waits(store, database_url):
    entries = [an_entry() for _ in range(300)]
    writing = [asyncio.create_task(store.requests.settle(entry)) for entry in entries]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*writing) == [True] * 300
    with pytest.raises(StorageUnavailable):
        await store.requests.settle(an_entry())
    with pytest.raises(StorageUnavailable):
        await store.ping()


async def test_a_caller_who_leaves_does_not_spoil_the_connection(store):
    for _ in range(20):
        call = asyncio.create_task(store.keys.keys())
        await asyncio.sleep(0.0005)
        call.cancel()
        await asyncio.wait([call])
    await asyncio.gather(*(store.ping() for _ in range(8)))


async def test_the_password_is_in_no_error(store, wire, url):
    await wire.cut()
    with pytest.raises(StorageUnavailable) as raised:
        await store.ping()
    password = urlsplit(url).password
    assert password
    assert password not in f"{raised.value!r} {raised.value.detail} {raised.value.__cause__!r}"
