"""A stream's log is written in batches beside it, and given up rather than waited for."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from gateway.domain.errors import StorageUnavailable
from gateway.ids import new_id
from gateway.scribe import BATCH, Scribe
from gateway.storage.memory.streams import MemoryStreamLog
from gateway.storage.ports import Line
from tests.waits import until


class Counting(MemoryStreamLog):
    """Counts batches; `away` plays a database that is not there."""

    def __init__(self):
        super().__init__()
        self.batches: list[int] = []
        self.away = False

    async def append(self, request_id, writer, first, lines):
        if self.away:
            raise StorageUnavailable
        self.batches.append(len(lines))
        return await super().append(request_id, writer, first, lines)


def say(scribe: Scribe, first: int, count: int) -> tuple[Line, ...]:
    lines = tuple(Line("delta", b"%d" % number) for number in range(first, first + count))
    for line in lines:
        scribe.add(line.name, line.data)
    return lines


async def test_what_is_told_is_written_in_batches_and_all_of_it_before_the_end():
    log, request = Counting(), new_id()
    scribe = Scribe(log, request, "a", every=5)
    lines = say(scribe, 0, BATCH + 3)
    await scribe.close()
    tail = await log.read(request)
    assert tail is not None
    assert (tail.lines, tail.ended) == (lines, True)
    assert log.batches == [BATCH, 3]


async def test_events_wait_for_others_but_not_for_long():
    log, request = Counting(), new_id()
    scribe = Scribe(log, request, "a", every=1)
    for first in range(0, 10, 2):
        say(scribe, first, 2)
        await asyncio.sleep(0.01)
    await until(lambda: sum(log.batches) == 10)
    tail = await log.read(request)
    assert tail is not None
    assert (len(tail.lines), tail.ended) == (10, False)
    assert len(log.batches) <= 2
    scribe.leave()


async def test_a_log_that_was_left_is_written_and_stays_open():
    log, request = Counting(), new_id()
    scribe = Scribe(log, request, "a", every=5)
    lines = say(scribe, 0, 3)
    scribe.leave()
    await until(lambda: log.batches)
    tail = await log.read(request)
    assert tail is not None
    assert (tail.lines, tail.ended) == (lines, False)


async def test_a_log_that_another_took_over_is_given_up():
    log, request = Counting(), new_id()
    scribe = Scribe(log, request, "a", every=0.01)
    say(scribe, 0, 1)
    await until(lambda: log.batches)
    await log.open(request, "b")
    with capture_logs() as logs:
        say(scribe, 1, 1)
        await scribe.close()
    assert [each["event"] for each in logs] == ["stream_log_lost"]
    tail = await log.read(request)
    assert tail is not None
    assert (len(tail.lines), tail.ended) == (1, False)


async def test_a_log_that_is_not_where_the_stream_begins_is_given_up():
    log, request = Counting(), new_id()
    with capture_logs() as logs:
        scribe = Scribe(log, request, "a", 2, every=0.01)
        say(scribe, 2, 1)
        await scribe.close()
    assert [each["event"] for each in logs] == ["stream_log_lost"]


async def test_a_database_that_is_away_is_waited_out():
    log, request = Counting(), new_id()
    log.away = True
    scribe = Scribe(log, request, "a", every=0.01)
    lines = say(scribe, 0, 3)
    await asyncio.sleep(0.05)
    log.away = False
    lines += say(scribe, 3, 2)
    await scribe.close()
    tail = await log.read(request)
    assert tail is not None
    assert (tail.lines, tail.ended) == (lines, True)


async def test_more_than_can_wait_is_given_up():
    log, request = Counting(), new_id()
    log.away = True
    scribe = Scribe(log, request, "a", every=5)
    with capture_logs() as logs:
        for _ in range(5):
            scribe.add("delta", b"x" * 1024 * 1024)
    assert [each["event"] for each in logs] == ["stream_log_lost"]
    await scribe.close()
