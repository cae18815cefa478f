"""Jobs in every store: when they may begin, who goes first, what is looked for, what is left of a deleted one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Status
from gateway.domain.jobs import job_of
from gateway.ids import new_id
from gateway.storage.ports import JobFilter
from tests.builders import a_job, an_attempt
from tests.contracts.test_stores import an_entry

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


async def accepted(store, **changes):
    """A job that is kept."""
    return await store.jobs.accept(replace(job_of(a_job()), **changes))


async def ended(store):
    """The request of a job that has an answer."""
    request = a_job()
    await store.jobs.accept(job_of(request))
    await store.claims.claim(request.id, 1, "worker-1")
    await store.claims.answer(request.id, an_attempt(), b"answer")
    await store.requests.settle(an_entry(request))
    return request


async def test_a_job_says_when_it_may_begin_and_what_goes_before_it(store):
    wanted = replace(job_of(a_job()), priority=1, not_before=NOW)
    assert await store.jobs.accept(wanted) == wanted
    assert await store.jobs.get(wanted.id) == wanted
    usual = await accepted(store)
    assert (usual.priority, usual.not_before, usual.deleted_at) == (3, None, None)


async def test_several_jobs_are_looked_at_together(store):
    jobs = [await accepted(store) for _ in range(3)]
    found = await store.jobs.get_many([*(job.id for job in jobs[:2]), new_id(), "no-uuid"])
    assert sorted(found, key=lambda job: job.id) == sorted(jobs[:2], key=lambda job: job.id)
    assert not await store.jobs.get_many([])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (JobFilter(endpoint="/v1/embeddings"), {0}),
        (JobFilter(model="wanted"), {1}),
        (JobFilter(model="good"), {3}),  # which served
        (JobFilter(since=NOW, until=NOW + timedelta(hours=1)), {2}),
        (JobFilter(model="wanted", endpoint="/v1/embeddings"), set()),
    ],
)
async def test_jobs_are_found_by_what_they_are(store, wanted, found):
    caller = new_id()
    request = replace(a_job(caller=caller), model="assistant")
    jobs = [
        await accepted(store, caller=caller, endpoint="/v1/embeddings", created_at=NOW - timedelta(hours=2)),
        await accepted(store, caller=caller, model="wanted"),
        await accepted(store, caller=caller, created_at=NOW + timedelta(minutes=5)),
        await store.jobs.accept(job_of(request)),
    ]
    await store.requests.settle(an_entry(request))
    page = await store.jobs.find(replace(wanted, caller=caller), limit=10)
    assert {job.id for job in page.rows} == {jobs[number].id for number in found}


async def test_a_job_is_deleted_when_it_has_ended_and_is_gone_for_everybody(store):
    request = await ended(store)
    assert await store.jobs.delete(request.id)
    assert not await store.jobs.delete(request.id)
    assert await store.jobs.get(request.id) is None
    assert not await store.jobs.get_many([request.id])
    page = await store.jobs.find(JobFilter(caller=request.caller, since=request.accepted_at), limit=100)
    assert request.id not in {job.id for job in page.rows}
    with pytest.raises(InvalidRequest):
        await store.jobs.find(JobFilter(), limit=5, after=request.id)
    assert (await store.requests.get(request.id)) is not None


async def test_a_deleted_job_is_not_accepted_again(store):
    request = await ended(store)
    await store.jobs.delete(request.id)
    again = await store.jobs.accept(job_of(request))
    assert again.deleted_at is not None
    assert (again.metadata, again.deliver) == ({}, {})
    assert again.status is Status.COMPLETED


async def test_a_job_that_has_not_ended_is_not_deleted(store):
    job = await accepted(store)
    assert not await store.jobs.delete(job.id)
    assert await store.jobs.get(job.id) == job
    assert not await store.jobs.delete(new_id())
    assert not await store.jobs.delete("no-uuid")


async def test_what_is_kept_of_a_request_is_forgotten(store):
    request, other = await ended(store), await ended(store)
    await store.claims.forget(request.id)
    assert await store.claims.result(request.id) is None
    assert await store.claims.result(other.id) == b"answer"
