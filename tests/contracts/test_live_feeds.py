"""What replicas tell each other: kept once, heard once, and the last hour for those who come late."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from gateway.storage.memory.live import MemoryLiveFeed
from gateway.storage.ports import Told

MINUTE = timedelta(minutes=1)


@pytest.fixture
def feed(store):
    return store.live


def told(number, at=None, facts=b"x", first=None):
    return Told(first or number, number, at or datetime.now(UTC), facts)


async def tell(feed, replica, *rows, minutes=(), heard=None, since=None):
    return await feed.exchange(replica, rows, minutes, heard=heard or {}, since=since)


async def now_of(feed):
    return (await tell(feed, "nobody")).now


def heard(news):
    return [(each.replica, each.told.number) for each in news.heard]


async def test_the_time_is_the_stores_and_all_that_others_told_since_is_heard_by_number(feed):
    before = await now_of(feed)
    moment = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
    await tell(feed, "b", told(1, moment, b"\x00\xff"), told(3, moment, b"", first=2))
    await tell(feed, "a", told(1))
    news = await tell(feed, "c", told(1), since=before)
    assert before <= news.now <= await now_of(feed)
    assert heard(news) == [("a", 1), ("b", 1), ("b", 3)]
    assert news.heard[1].told == Told(1, 1, moment, b"\x00\xff")
    assert news.heard[2].told == Told(2, 3, moment, b"")


async def test_ones_own_is_not_heard_nor_what_was_heard_nor_what_was_told_before(feed):
    before = await now_of(feed)
    await tell(feed, "a", told(1), told(2))
    await tell(feed, "b", told(1))
    assert heard(await tell(feed, "a", told(3), since=before, heard={"b": 0})) == [("b", 1)]
    assert heard(await tell(feed, "b", since=before, heard={"a": 2})) == [("a", 3)]
    assert heard(await tell(feed, "b", since=await now_of(feed))) == []
    assert heard(await tell(feed, "b", since=None)) == []


async def test_a_row_that_is_told_again_stays_as_it_was(feed):
    before = await now_of(feed)
    row = told(1, facts=b"first")
    await tell(feed, "a", row)
    await tell(feed, "a", told(1, facts=b"second"), told(2))
    news = await tell(feed, "b", since=before)
    assert [each.told.facts for each in news.heard] == [b"first", b"x"]


async def test_a_fresh_process_has_each_second_of_the_last_minutes_and_each_minute_before(feed):
    now = await now_of(feed)
    old, new = now - 20 * MINUTE, now - 2 * MINUTE
    await tell(
        feed,
        "a",
        *[told(n, old) for n in (1, 2, 3)],
        *[told(n, new) for n in (4, 5)],
        minutes=[told(3, old, b"minute", first=1), told(5, new, b"minute", first=4)],
    )
    await tell(feed, "b", told(1, old), told(2, new))
    await tell(feed, "gone", told(1, now - 100 * MINUTE), minutes=[told(1, now - 100 * MINUTE)])
    news = await feed.history()
    assert [(each.replica, each.told.first, each.told.number) for each in news.heard] == [
        ("a", 1, 3),
        ("b", 1, 1),
        ("a", 4, 4),
        ("a", 5, 5),
        ("b", 2, 2),
    ]
    assert news.heard[0].told.facts == b"minute"
    assert news.now >= now


async def test_a_minute_on_the_border_is_read_by_the_second_or_as_a_whole_and_never_twice(feed):
    now = await now_of(feed)
    border = now - 6 * MINUTE
    seconds = [told(n, border + timedelta(seconds=10 * (n - 3))) for n in range(1, 6)]
    await tell(feed, "a", *seconds, minutes=[told(5, seconds[-1].at, b"minute", first=1)])
    assert [each.told.number for each in (await feed.history()).heard] == [1, 2, 3, 4, 5]


async def test_only_what_nobody_asks_for_is_deleted(feed):
    now = await now_of(feed)
    old, new = now - 20 * MINUTE, now - 2 * MINUTE
    await tell(
        feed, "a", told(1, old), told(2, old), told(3, new), minutes=[told(2, old, b"minute", first=1)]
    )
    await tell(feed, "b", told(1, old))
    await tell(feed, "c", told(1, now - 70 * MINUTE), minutes=[told(1, now - 70 * MINUTE)])
    before = await feed.history()
    assert await feed.tidy() == 4
    assert (await feed.history()).heard == before.heard
    assert await feed.tidy() == 0


async def test_many_who_tidy_at_once_do_not_stand_in_each_others_way(feed):
    old = await now_of(feed) - 70 * MINUTE
    await tell(feed, "a", *[told(n, old) for n in range(1, 500)])
    assert sum(await asyncio.gather(*(feed.tidy() for _ in range(6)))) == 499


async def test_in_memory_the_clock_is_given():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert await now_of(MemoryLiveFeed(lambda: moment)) == moment
