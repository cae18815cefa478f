"""Copies stay up to date: by announcements, by looking when those are cut off, and again after the store was away."""

import asyncio
from datetime import timedelta
from time import monotonic

import psycopg
import pytest

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.domain.secret import Secret
from gateway.feed import Feed
from gateway.settings import Postgres
from gateway.storage.changes import ChangesByNoun
from gateway.storage.memory import MemoryStore
from gateway.storage.postgres.store import open_store
from tests.builders import a_model
from tests.waits import until

pytestmark = pytest.mark.slow

NEVER = timedelta(hours=1)
SOON = 30.0


class Copy:
    """What a process would keep: how often it was read, and what it failed with, if it shall."""

    def __init__(self, models=None):
        self.models = models
        self.reads = 0
        self.names = []
        self.error: Exception | None = None
        self.slow = 0.0

    async def reload(self):
        await asyncio.sleep(self.slow)
        if self.error:
            raise self.error
        if self.models is not None:
            self.names = [model.name for model in (await self.models.load()).models]
        self.reads += 1


async def listens(url):
    """Wait until somebody hears of changes."""
    async with asyncio.timeout(SOON), await psycopg.AsyncConnection.connect(url, autocommit=True) as asking:
        while True:
            found = await asking.execute(
                "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN gateway_changes%'"
                " AND datname = current_database()"
            )
            if await found.fetchone():
                return
            await asyncio.sleep(0.02)


def settings(url):
    second = timedelta(seconds=1)
    return Postgres(url=Secret(url), connect_timeout=2 * second, statement_timeout=second)


@pytest.fixture
async def replica(through):
    """The store of a replica behind the wire."""
    store = await open_store(settings(through))
    yield store
    await store.close()


@pytest.fixture
async def writer(database_url):
    """The store of another replica, that changes things."""
    store = await open_store(settings(database_url))
    yield store
    await store.close()


@pytest.fixture
async def feeds():
    """Start feeds, and close them at the end."""
    opened = []

    def start(changes, every=timedelta(seconds=1), **copies):
        feed = Feed(changes, every)
        for noun, copy in copies.items():
            feed.follow(noun, copy.reload)
        feed.start()
        opened.append(feed)
        return feed

    yield start
    for feed in opened:
        await feed.close()


# ---- on a real database ------------------------------------------------------------------------------------------
async def test_a_change_is_seen_by_its_announcement(replica, writer, feeds, database_url):
    copy = Copy(replica.models)
    feeds(replica.changes, NEVER, registry=copy)
    await until(lambda: copy.reads == 1)
    await listens(database_url)
    await writer.models.save(a_model("new"), actor="ann")
    await until(lambda: copy.names == ["new"])  # it would look by itself after an hour


async def test_a_change_is_seen_by_looking_when_the_listening_connection_is_cut(
    replica, writer, feeds, database_url
):
    copy = Copy(replica.models)
    feeds(replica.changes, registry=copy)
    await until(lambda: copy.reads == 1)
    with psycopg.connect(database_url, autocommit=True) as other:
        for _ in range(3):
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN gateway_changes%'"
            )
            await writer.models.save(a_model(f"new-{copy.reads}"), actor="ann")
            count = len(copy.names)
            await until(lambda count=count: len(copy.names) > count)


async def test_while_the_database_is_away_the_last_copy_stays_and_its_age_is_known(
    replica, writer, wire, feeds
):
    await writer.models.save(a_model("old"), actor="ann")
    copy = Copy(replica.models)
    feed = feeds(replica.changes, timedelta(seconds=0.2), registry=copy)
    assert feed.copies == {"registry": False}
    assert feed.age("registry") is None
    await until(lambda: copy.names == ["old"])
    assert feed.copies == {"registry": True}
    await until(lambda: feed.age("registry") < timedelta(seconds=1))
    await wire.cut()
    await writer.models.save(a_model("new"), actor="ann")
    await asyncio.sleep(1.5)
    assert copy.names == ["old"]
    assert timedelta(seconds=1) < feed.age("registry")
    with pytest.raises(StorageUnavailable):
        await feed.catch_up("registry")
    await wire.mend()
    await until(lambda: copy.names == ["new", "old"])
    await until(lambda: feed.age("registry") < timedelta(seconds=1))


async def test_a_process_that_starts_without_its_database_has_its_copy_once_it_is_there(
    replica, writer, wire, feeds
):
    await wire.cut()
    await writer.models.save(a_model("old"), actor="ann")
    copy = Copy(replica.models)
    feed = feeds(replica.changes, timedelta(seconds=0.2), registry=copy)
    await asyncio.sleep(0.5)
    assert feed.copies == {"registry": False}
    await wire.mend()
    await until(lambda: copy.names == ["old"])


async def test_a_database_that_falls_silent_is_no_end(replica, writer, wire, feeds):
    copy = Copy(replica.models)
    feeds(replica.changes, timedelta(seconds=0.2), registry=copy)
    await until(lambda: copy.reads == 1)
    wire.silence()
    await writer.models.save(a_model("new"), actor="ann")
    await asyncio.sleep(0.5)
    await wire.mend()
    await until(lambda: copy.names == ["new"])


async def test_a_database_that_was_not_migrated_is_no_end(empty_database_url, feeds):
    store = await open_store(settings(empty_database_url))
    copy = Copy(store.models)
    feed = feeds(store.changes, timedelta(seconds=0.05), registry=copy)
    await asyncio.sleep(0.3)
    assert feed.copies == {"registry": False}
    assert all(not task.done() for task in feed._tasks)
    await store.close()


# ---- in memory ---------------------------------------------------------------------------------------------------
@pytest.fixture
def store():
    return MemoryStore()


async def test_a_noun_is_read_once_and_then_only_after_its_own_changes(store, feeds):
    one, two = Copy(), Copy()
    feeds(store.changes, timedelta(seconds=0.02), one=one, two=two)
    await until(lambda: one.reads and two.reads)
    await asyncio.sleep(0.1)
    assert (one.reads, two.reads) == (1, 1)
    store.changes.bump("one")
    await until(lambda: one.reads == 2)
    await asyncio.sleep(0.1)
    assert (one.reads, two.reads) == (2, 1)


async def test_a_noun_may_be_followed_later(store, feeds):
    feed = feeds(store.changes, NEVER)
    await asyncio.sleep(0.05)
    copy = Copy()
    feed.follow("late", copy.reload)
    await until(lambda: copy.reads == 1)


async def test_a_reload_that_fails_is_tried_again_and_told_once(store, feeds, capsys):
    telemetry.set_up_logs(telemetry.Telemetry())
    copy = Copy()
    copy.error = RuntimeError("this row cannot be")
    feed = feeds(store.changes, timedelta(seconds=0.02), one=copy)
    await asyncio.sleep(0.2)
    assert feed.copies == {"one": False}
    copy.error = None
    async with asyncio.timeout(SOON):
        await feed.complete()
    said = "".join(capsys.readouterr())
    assert said.count("this row cannot be") <= 2  # the line and its traceback's last
    assert said.count("reload_failed") == 1
    assert "reload_works_again" in said
    assert feed.copies == {"one": True}


async def test_a_reload_that_fails_leaves_what_was_there_and_says_its_age(store, feeds):
    copy = Copy()
    feed = feeds(store.changes, timedelta(seconds=0.02), one=copy)
    await until(lambda: copy.reads == 1)
    copy.error = RuntimeError("no")
    store.changes.bump("one")
    await asyncio.sleep(0.3)
    assert feed.age("one") > timedelta(seconds=0.2)
    copy.error = None
    await until(lambda: copy.reads == 2)
    await until(lambda: feed.age("one") < timedelta(seconds=0.1))


async def test_a_noun_that_is_slow_to_read_does_not_hold_up_the_others(store, feeds):
    slow, quick = Copy(), Copy()
    slow.slow = 30.0
    feeds(store.changes, timedelta(seconds=0.02), slow=slow, quick=quick)
    await until(lambda: quick.reads == 1)
    store.changes.bump("quick")
    await until(lambda: quick.reads == 2)


async def test_what_changes_while_it_is_read_is_read_again(store, feeds):
    copy = Copy()
    copy.slow = 0.1
    feeds(store.changes, NEVER, one=copy)
    await asyncio.sleep(0.05)
    store.changes.bump("one")
    await until(lambda: copy.reads == 2)


async def test_many_changes_in_a_row_are_read_together_and_the_last_one_soon(store, feeds):
    copy = Copy()
    copy.slow = 0.05
    feed = feeds(store.changes, NEVER, one=copy)
    await until(lambda: copy.reads == 1)
    began = monotonic()
    for _ in range(100):
        store.changes.bump("one")
        await asyncio.sleep(0.005)
    read = copy.reads - 1
    assert read <= (monotonic() - began) / 0.2 + 1, "a fifth of the time at most"
    await until(lambda: feed._followed["one"].version == 100)


async def test_one_noun_that_rests_holds_up_no_other(store, feeds):
    slow, quick = Copy(), Copy()
    slow.slow = 1.0  # so that it rests for four seconds
    feeds(store.changes, NEVER, slow=slow, quick=quick)
    await until(lambda: slow.reads and quick.reads)
    for noun in ("slow", "quick"):
        store.changes.bump(noun)
    await until(lambda: quick.reads == 2)
    assert slow.reads == 1


async def test_catching_up_reads_what_was_committed_before_and_nothing_twice(store, feeds):
    copy = Copy()
    feed = feeds(store.changes, NEVER, one=copy)
    await until(lambda: copy.reads == 1)
    store.changes.bump("one")
    await feed.catch_up("one")
    assert copy.reads == 2
    await feed.catch_up("one")
    await asyncio.sleep(0.05)
    assert copy.reads == 2


async def test_nouns_of_several_stores_are_followed_together(feeds):
    mine, rest = MemoryStore(), MemoryStore()
    changes = ChangesByNoun({"registry": mine.changes}, rest.changes)
    registry, rules = Copy(), Copy()
    feeds(changes, NEVER, registry=registry, rules=rules)
    await until(lambda: registry.reads and rules.reads)
    await asyncio.sleep(0.05)
    rest.changes.bump("registry")  # not where it is kept
    mine.changes.bump("registry")
    rest.changes.bump("rules")
    await until(lambda: (registry.reads, rules.reads) == (2, 2))
    assert await changes.revisions() == {"registry": 1, "rules": 1}
