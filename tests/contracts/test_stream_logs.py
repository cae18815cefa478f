"""One suite for the events of streams in every store: in order, once, by one writer at a time."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.ids import new_id
from gateway.storage.ports import Line, Tail


@pytest.fixture
def log(store):
    return store.streams


def lines(first, count, name="response.output_text.delta"):
    return tuple(Line(name, b'{"sequence_number":%d}' % seq) for seq in range(first, first + count))


async def test_what_is_appended_is_read_in_order_and_from_any_place_on(log):
    request = new_id()
    assert await log.open(request, "a") == 0
    assert await log.append(request, "a", 0, lines(0, 3))
    assert await log.append(request, "a", 3, lines(3, 64))
    assert await log.read(request) == Tail(0, lines(0, 67), ended=False)
    assert await log.read(request, 1) == Tail(2, lines(2, 65), ended=False)
    assert await log.read(request, 66) == Tail(67, (), ended=False)
    assert (await log.read(request, 500)).lines == ()


async def test_only_the_end_of_a_closed_log_is_its_end(log):
    request = new_id()
    await log.open(request, "a")
    await log.append(request, "a", 0, lines(0, 1))
    await log.append(request, "a", 1, lines(1, 1))
    assert await log.close(request, "a")
    assert await log.read(request, batches=1) == Tail(0, lines(0, 1), ended=False)
    assert await log.read(request, 0) == Tail(1, lines(1, 1), ended=True)
    assert await log.read(request, 1) == Tail(2, (), ended=True)
    assert not await log.append(request, "a", 2, lines(2, 1))
    assert await log.open(request, "b") is None


async def test_the_same_batch_twice_is_there_once(log):
    request = new_id()
    await log.open(request, "a")
    for _ in range(2):
        assert await log.append(request, "a", 0, lines(0, 2))
    for _ in range(2):
        assert await log.close(request, "a")
    assert await log.read(request) == Tail(0, lines(0, 2), ended=True)


async def test_a_gap_is_refused(log):
    request = new_id()
    await log.open(request, "a")
    assert not await log.append(request, "a", 1, lines(1, 1))
    assert not await log.append(new_id(), "a", 0, lines(0, 1))
    assert (await log.read(request)).lines == ()


async def test_who_takes_a_log_over_goes_on_where_it_stands_and_the_one_before_is_refused(log):
    request = new_id()
    await log.open(request, "attempt 1")
    await log.append(request, "attempt 1", 0, lines(0, 5))
    assert await log.open(request, "attempt 2") == 5
    assert not await log.append(request, "attempt 1", 5, lines(5, 1, "old"))
    assert not await log.append(request, "attempt 1", 0, lines(0, 5))
    assert not await log.close(request, "attempt 1")
    assert await log.append(request, "attempt 2", 5, lines(5, 1, "new"))
    assert (await log.read(request, 4)).lines == lines(5, 1, "new")


async def test_what_is_deleted_is_gone_and_nobody_writes_to_it_any_more(log):
    request = new_id()
    await log.open(request, "a")
    await log.append(request, "a", 0, lines(0, 2))
    await log.delete(request)
    assert await log.read(request) is None
    assert not await log.append(request, "a", 2, lines(2, 1))
    assert not await log.close(request, "a")


async def test_unknown_logs_are_none_and_an_id_must_be_one(log):
    assert await log.read(new_id()) is None
    assert await log.read("no id") is None
    with pytest.raises(ValueError, match="UUID"):
        await log.open("no id", "a")


async def test_old_logs_go_with_the_rest_of_what_was_kept_long_enough(store):
    request, now = new_id(), datetime.now(UTC)
    await store.streams.open(request, "a")
    await store.streams.append(request, "a", 0, lines(0, 2))
    await store.expire(now - timedelta(days=1))
    assert await store.streams.read(request) is not None
    assert await store.expire(now + timedelta(days=1)) == 1
    assert await store.streams.read(request) is None


async def test_how_far_logs_are_is_asked_of_many_at_once(log):
    told, silent = new_id(), new_id()
    await log.open(told, "a")
    await log.append(told, "a", 0, lines(0, 3))
    await log.open(silent, "a")
    assert await log.reached([told, silent, new_id(), "no-uuid"]) == {told: 3, silent: 0}
    assert await log.reached([]) == {}
