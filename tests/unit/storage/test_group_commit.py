"""Group commit: batches that grow under load, nobody waiting for company, nobody left waiting."""

import asyncio

import pytest

from gateway.domain.errors import StorageUnavailable
from gateway.storage.group_commit import GroupCommit


class Writer:
    """Writes what it is given, as slowly and as badly as a test wants."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.batches = []
        self.at_once = 0
        self.most_at_once = 0
        self.away = False

    async def __call__(self, entries):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
            if self.away:
                raise StorageUnavailable(detail="away")
            if "poison" in entries:
                raise ValueError("poison")
            self.batches.append(list(entries))
            return [entry * 2 for entry in entries]
        finally:
            self.at_once -= 1


async def test_a_single_entry_is_written_at_once_and_alone():
    writer = Writer()
    async with asyncio.timeout(30):
        assert await GroupCommit(writer).add(21) == 42
    assert writer.batches == [[21]]


async def test_what_waits_while_a_batch_is_written_goes_together_into_the_next():
    writer = Writer(0.01)
    commits = GroupCommit(writer, largest=20, committers=2)
    assert await asyncio.gather(*(commits.add(n) for n in range(100))) == [2 * n for n in range(100)]
    assert writer.most_at_once == 2
    assert max(len(batch) for batch in writer.batches) == 20
    assert len(writer.batches) <= 7


async def test_entries_one_after_the_other_are_all_written():
    # An entry that comes just as a committer ends must not be overlooked.
    commits = GroupCommit(Writer(), committers=1)
    async with asyncio.timeout(30):
        for number in range(500):
            assert await commits.add(number) == 2 * number


async def test_an_entry_that_cannot_be_written_fails_alone():
    writer = Writer()
    commits = GroupCommit(writer, committers=1)
    entries = [1, 2, "poison", 3]
    told = await asyncio.gather(*(commits.add(entry) for entry in entries), return_exceptions=True)
    assert isinstance(told.pop(2), ValueError)
    assert told == [2, 4, 6]


async def test_while_the_store_is_away_all_are_told_each_by_an_error_of_its_own():
    writer = Writer()
    writer.away = True
    commits = GroupCommit(writer)
    told = await asyncio.gather(*(commits.add(n) for n in range(5)), return_exceptions=True)
    assert [type(each) for each in told] == [StorageUnavailable] * 5
    assert len({id(each) for each in told}) == 5
    writer.away = False
    assert await commits.add(1) == 2


async def test_more_than_may_wait_are_refused():
    commits = GroupCommit(Writer(0.01), largest=1, most_waiting=10, committers=1)
    told = await asyncio.gather(*(commits.add(n) for n in range(30)), return_exceptions=True)
    refused = [each for each in told if isinstance(each, StorageUnavailable)]
    assert len(refused) == 20
    assert all(each.retry_after for each in refused)


async def test_an_entry_whose_writer_left_is_written_all_the_same():
    writer = Writer(0.01)
    commits = GroupCommit(writer, committers=1)
    leaving = asyncio.create_task(commits.add(1))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await commits.add(2) == 4
    assert [entry for batch in writer.batches for entry in batch] == [1, 2]


async def test_closing_writes_what_waits_and_takes_no_more():
    writer = Writer(0.005)
    commits = GroupCommit(writer, largest=3)
    waiting = [asyncio.create_task(commits.add(n)) for n in range(20)]
    await asyncio.sleep(0)
    await commits.close()
    assert await asyncio.gather(*waiting) == [2 * n for n in range(20)]
    with pytest.raises(StorageUnavailable):
        await commits.add(1)


async def test_nobody_waits_for_a_committer_that_was_cancelled():
    commits = GroupCommit(Writer(60))
    waiting = asyncio.create_task(commits.add(1))
    await asyncio.sleep(0.01)
    for task in asyncio.all_tasks():
        if task.get_name() == "group commit":
            task.cancel()
    with pytest.raises(StorageUnavailable):
        async with asyncio.timeout(30):
            await waiting
