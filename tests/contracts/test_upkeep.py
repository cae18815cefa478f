"""What has been kept long enough goes; what has not, and the ledger, stays."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.inference import Status, settle
from gateway.domain.jobs import job_of
from gateway.domain.secret import Secret
from gateway.settings import Postgres
from gateway.storage.memory import MemoryStore
from gateway.storage.ports import Entry
from gateway.storage.postgres.store import open_store
from gateway.storage.upkeep import tend
from tests.builders import BODY, a_job, an_attempt


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def store(url: str | None):
    opened = MemoryStore() if url is None else await open_store(Postgres(url=Secret(url)))
    yield opened
    await opened.close()


async def _a_finished_job(store) -> str:
    request = a_job()
    await store.jobs.accept(job_of(request))
    await store.claims.claim(request.id, 1, "worker")
    await store.claims.answer(request.id, an_attempt(), b"{}")
    done = settle(request, (an_attempt(),), datetime.now(UTC))
    await store.requests.settle(Entry(request, done, BODY, "{}"))
    return request.id


async def test_a_job_and_its_answer_go_after_their_retention_and_the_ledger_stays(store):
    job = await _a_finished_job(store)
    assert await tend(store, timedelta(0)) >= 2
    assert await store.jobs.get(job) is None
    assert await store.claims.result(job) is None
    assert await store.requests.get(job) is not None


async def test_before_their_retention_nothing_goes(store):
    job = await _a_finished_job(store)
    assert await tend(store, timedelta(days=1)) == 0
    kept = await store.jobs.get(job)
    assert kept is not None
    assert kept.status is Status.COMPLETED
    assert await store.claims.result(job) == b"{}"


async def test_a_job_that_has_not_ended_stays(store):
    request = a_job()
    await store.jobs.accept(job_of(request))
    await tend(store, timedelta(0))
    assert await store.jobs.get(request.id) is not None
