"""Files and batches in every store: each caller's own, read page by page, lines counted once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.batches import Batch, BatchStatus, Counts, File, LineProblem
from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Failure, settle
from gateway.domain.jobs import job_of
from gateway.ids import derive_id, moment_of, new_id
from gateway.storage.ports import BatchLine, Entry, FileFilter, LineState
from tests.builders import a_job, an_attempt

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def a_file(**changes):
    id_ = new_id()
    return replace(File(id_, "agent-1", "in.jsonl", "batch", 12, moment_of(id_)), **changes)


def a_batch(**changes):
    id_ = new_id()
    at = moment_of(id_)
    batch = Batch(
        id_,
        "agent-1",
        "/v1/chat/completions",
        new_id(),
        "24h",
        BatchStatus.VALIDATING,
        at,
        at + DAY,
        metadata={"a": "b"},
    )
    return replace(batch, **changes)


def some_lines(count, start=1):
    return [BatchLine(n, f"line-{n}", n * 10, 9, new_id()) for n in range(start, start + count)]


# ---- files -------------------------------------------------------------------------------------------------------
async def test_a_file_is_its_callers_alone(store):
    file = a_file()
    assert await store.files.create(file)
    assert not await store.files.create(file)
    assert await store.files.get("agent-1", file.id) == file
    assert await store.files.get("agent-2", file.id) is None
    assert not await store.files.delete("agent-2", file.id)
    assert await store.files.delete("agent-1", file.id)
    assert await store.files.get("agent-1", file.id) is None
    assert await store.files.get("agent-1", "no id") is None


async def test_files_are_read_page_by_page_in_both_orders(store):
    files = [a_file(purpose="batch" if n % 2 else "user_data") for n in range(5)]
    for file in files:
        await store.files.create(file)
    await store.files.create(a_file(caller="agent-2"))
    for order, expected in ((FileFilter.NEWEST, files[::-1]), (FileFilter.OLDEST, files)):
        found, after = [], None
        while True:
            page = await store.files.find("agent-1", purpose=None, order=order, limit=2, after=after)
            found += page.rows
            after = page.next_after
            if after is None:
                break
        assert found == expected
    page = await store.files.find("agent-1", purpose="batch", order=FileFilter.OLDEST, limit=9)
    assert [file.purpose for file in page.rows] == ["batch", "batch"]
    with pytest.raises(InvalidRequest):
        await store.files.find("agent-1", purpose=None, order=FileFilter.NEWEST, limit=2, after="nonsense")


async def test_pages_go_on_after_rows_whose_ids_say_no_moment_or_another_one(store):
    made = [a_file(id=derive_id("file", str(n)), created_at=NOW + timedelta(seconds=n)) for n in range(3)]
    late = a_file(
        created_at=NOW + timedelta(seconds=9)
    )  # its id was made long before: an upload takes its time
    for file in (*made, late):
        await store.files.create(file)
    batches = [
        a_batch(id=derive_id("batch", str(n)), created_at=NOW + timedelta(seconds=n)) for n in range(3)
    ]
    for batch in batches:
        await store.batches.create(batch, b"")
    files, after = [], None
    for _ in range(4):
        page = await store.files.find("agent-1", purpose=None, order=FileFilter.NEWEST, limit=1, after=after)
        files += page.rows
        after = page.next_after
    assert [file.id for file in files] == [late.id, *(file.id for file in made[::-1])]
    first = await store.batches.find("agent-1", limit=1)
    second = await store.batches.find("agent-1", limit=5, after=first.next_after)
    assert [batch.id for batch in (*first.rows, *second.rows)] == [batch.id for batch in batches[::-1]]


async def test_a_file_whose_time_is_over_is_not_shown_and_can_be_swept(store):
    old, kept = a_file(kept_until=NOW - DAY), a_file(kept_until=NOW + DAY)
    await store.files.create(old)
    await store.files.create(kept)
    assert await store.files.get("agent-1", old.id) is None
    assert await store.files.get("agent-1", kept.id) == kept
    assert [file.id for file in await store.files.expired(datetime.now(UTC), 10)] == [old.id]


async def test_a_content_is_read_part_by_part_and_what_belongs_to_no_file_is_found(store):
    file, stray = a_file(), new_id()
    for number, data in enumerate((b"\x00\xffone", b"two")):
        await store.contents.put(file.id, number, data)
    await store.contents.put(stray, 0, b"begun")
    await store.contents.put(file.id, 1, b"two again")
    await store.files.create(file)
    assert [await store.contents.get(file.id, n) for n in range(3)] == [b"\x00\xffone", b"two again", None]
    later = datetime.now(UTC) + DAY
    assert await store.contents.strays(later, 10) == [stray]
    assert await store.contents.strays(NOW - DAY, 10) == []
    await store.contents.delete(file.id)
    assert await store.contents.get(file.id, 0) is None


# ---- batches -----------------------------------------------------------------------------------------------------
async def test_a_batch_is_kept_once_and_is_its_callers_alone(store):
    batch = a_batch()
    kept = await store.batches.create(batch, b"terms")
    assert await store.batches.create(replace(batch, window="other"), b"other terms") == kept
    assert (kept.id, kept.window, kept.status) == (batch.id, "24h", BatchStatus.VALIDATING)
    assert await store.batches.terms(batch.id) == b"terms"
    assert await store.batches.get(batch.id, "agent-1") == kept
    assert await store.batches.get(batch.id) == kept
    assert await store.batches.get(batch.id, "agent-2") is None
    assert await store.batches.get("no id") is None
    page = await store.batches.find("agent-1", limit=5)
    assert [each.id for each in page.rows] == [batch.id]
    assert (await store.batches.find("agent-2", limit=5)).rows == ()


async def test_a_batch_moves_only_from_where_it_is_expected(store):
    batch = await store.batches.create(a_batch(), b"")
    problem = LineProblem("invalid_json_line", "no JSON", 3)
    running = replace(
        batch, status=BatchStatus.IN_PROGRESS, counts=Counts(total=3), reached={BatchStatus.IN_PROGRESS: NOW}
    )
    assert await store.batches.move(running, [BatchStatus.VALIDATING])
    assert not await store.batches.move(running, [BatchStatus.VALIDATING])
    ended = replace(
        running,
        status=BatchStatus.COMPLETED,
        reached={BatchStatus.COMPLETED: NOW},
        output_file=new_id(),
        problems=(problem,),
    )
    assert await store.batches.move(ended, [BatchStatus.IN_PROGRESS])
    found = await store.batches.get(batch.id)
    assert (found.status, found.counts.total, found.output_file) == (
        BatchStatus.COMPLETED,
        3,
        ended.output_file,
    )
    assert found.problems == (problem,)
    assert set(found.reached) == {BatchStatus.IN_PROGRESS, BatchStatus.COMPLETED}


async def test_lines_are_counted_once_however_often_they_are_told_to_have_ended(store):
    batch = await store.batches.create(a_batch(), b"")
    lines = some_lines(4)
    await store.batches.add(batch.id, lines)
    await store.batches.add(batch.id, [replace(line, custom_id="other") for line in lines])
    assert await store.batches.lines(batch.id, after=0, limit=10) == lines
    assert [line.number for line in await store.batches.lines(batch.id, after=1, limit=2)] == [2, 3]
    failure = Failure("model_not_found", "There is none.", param="model")
    await store.batches.mark(batch.id, 1, LineState.FAILED, failure)
    await store.batches.mark(batch.id, 1, LineState.FAILED, failure)
    await store.batches.mark(batch.id, 1, LineState.COMPLETED)
    (first,) = await store.batches.lines(batch.id, after=0, limit=10, state=LineState.FAILED)
    assert first.failure == failure
    assert (await store.batches.get(batch.id)).counts == Counts(0, 0, 1)


async def test_lines_end_with_their_jobs(store):
    batch = await store.batches.create(a_batch(), b"")
    lines = some_lines(3)
    await store.batches.add(batch.id, lines)
    for line in lines[:2]:
        request = a_job(id=line.request_id)
        await store.jobs.accept(job_of(request))
        await store.batches.mark(batch.id, line.number, LineState.RUNNING)
    assert await store.batches.collect(batch.id) == {LineState.RUNNING: 2, LineState.WAITING: 1}

    request = a_job(id=lines[0].request_id)
    await store.requests.settle(Entry(request, settle(request, (an_attempt(),), NOW)))
    for _ in range(2):
        standing = await store.batches.collect(batch.id)
        assert standing == {LineState.COMPLETED: 1, LineState.RUNNING: 1, LineState.WAITING: 1}
    assert (await store.batches.get(batch.id)).counts == Counts(0, 1, 0)


async def test_batches_that_ended_long_ago_go_with_their_lines(store):
    batch = await store.batches.create(a_batch(), b"")
    await store.batches.add(batch.id, some_lines(2))
    ended = replace(batch, status=BatchStatus.FAILED, reached={BatchStatus.FAILED: NOW - DAY})
    await store.batches.move(ended, [BatchStatus.VALIDATING])
    assert await store.batches.expire(NOW - 2 * DAY) == 0
    assert await store.batches.expire(NOW) == 1
    assert await store.batches.get(batch.id) is None
    assert await store.batches.lines(batch.id, after=0, limit=5) == []
