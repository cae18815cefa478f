"""What has been kept long enough goes; what has not, and the ledger, stays."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.domain.inference import Status, settle
from gateway.domain.jobs import job_of
from gateway.domain.secret import Secret
from gateway.domain.usage import Kept, Question, period_of
from gateway.settings import Postgres, UsageSettings
from gateway.storage.memory import MemoryStore
from gateway.storage.ports import Entry
from gateway.storage.postgres.store import open_store
from gateway.storage.upkeep import expire_usage, keep_usage, tend
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


# ---- usage -------------------------------------------------------------------------------------------------------
HASTY = UsageSettings(every=timedelta(milliseconds=10), tags=("team",))


@asynccontextmanager
async def kept_up(rollups, settings=HASTY):
    keeping = asyncio.create_task(keep_usage(rollups, settings))
    yield
    assert not keeping.done()
    keeping.cancel()


async def counted(store):
    now = datetime.now(UTC)
    ever = Kept(now - timedelta(days=9), now - timedelta(days=9))
    question = Question(period_of(now - timedelta(hours=1), now, now, ever, bucket=None, local=False))
    return sum(row.sums.requests for row in (await store.rollups.find(question, limit=10)).rows)


async def until_counted(store, number):
    for _ in range(1000):
        if await counted(store) == number:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{number} requests were never counted")


async def test_usage_is_rolled_up_in_the_background_and_its_lag_is_told(store):
    async with kept_up(store.rollups), kept_up(store.rollups):
        for number in range(1, 4):
            await _a_finished_job(store)
            await until_counted(store, number)
        await asyncio.sleep(0.1)
    assert telemetry.METRICS.get_sample_value("gateway_usage_lag_seconds") < 5


async def test_what_came_while_nobody_rolled_it_up_is_caught_up_with(store):
    for _ in range(3):
        await _a_finished_job(store)
    async with kept_up(store.rollups):
        await until_counted(store, 3)


class Stumbling:
    """Roll-ups that fail at first, as a database does that is away, and as a bug does."""

    def __init__(self, rollups, *failures):
        self._rollups = rollups
        self._failures = list(failures)

    def __getattr__(self, name):
        return getattr(self._rollups, name)

    async def roll(self, tags, *, values, most):
        if self._failures:
            raise self._failures.pop()
        return await self._rollups.roll(tags, values=values, most=most)


async def test_neither_a_database_that_is_away_nor_a_bug_ends_the_counting(store):
    await _a_finished_job(store)
    with capture_logs() as logs:
        async with kept_up(Stumbling(store.rollups, ZeroDivisionError("a bug"), StorageUnavailable())):
            await until_counted(store, 1)
    assert [each["event"] for each in logs if each["log_level"] == "error"] == ["usage_not_rolled_up"]


async def test_hours_and_days_go_when_they_need_not_be_kept_and_months_stay(store, url):
    await _a_finished_job(store)
    await store.rollups.roll((), values=1, most=10)
    assert await expire_usage(store.rollups, UsageSettings()) == 0
    soon = UsageSettings(keep_hours=timedelta(microseconds=1), keep_days=timedelta(microseconds=1))
    gone = await expire_usage(store.rollups, soon)
    # Of six roll-ups, those of the hour and of the day; memory counts from the records themselves.
    assert gone == (0 if url is None else 12)
    assert await expire_usage(store.rollups, soon) == 0
