"""Whatever the ledger holds, and in whatever order it was entered and rolled up: sum(ledger) = sum(usage)."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.errors import StorageUnavailable
from gateway.domain.inference import Failure, Kind, Outcome, Settlement, Status, Usage
from gateway.domain.secret import Secret
from gateway.domain.usage import CUTS, Bucket, Kept, Question, period_of, starts_of
from gateway.settings import Postgres
from gateway.storage.memory import MemoryStore
from gateway.storage.ports import Entry
from gateway.storage.postgres.store import open_store
from tests.builders import a_request, an_attempt, minted_at

pytestmark = pytest.mark.slow

TAGS = ("team", "env")
UNLUCKY = [outcome for outcome in Outcome if outcome is not Outcome.SUCCEEDED]
ENOUGH = 6  # no tag below has more values
MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)
EVER = Kept(datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC))
FAR = datetime(2030, 1, 1, tzinfo=UTC)

counts = st.integers(0, 10**6)
times = st.floats(0.01, 10**7)
usages = st.builds(Usage, counts, counts, counts, counts, st.booleans(), counts, images=st.integers(0, 3))
costs = st.none() | st.decimals(0, 10**6, places=12)
failures = st.sampled_from([None, *(Failure(code, "x") for code in ("upstream_timeout", "hedge_lost"))])


@st.composite
def attempts(draw):
    failed = draw(failures)
    return an_attempt(
        model=draw(st.sampled_from("ab")),
        provider=draw(st.sampled_from(["p", "q"])),
        outcome=draw(st.sampled_from(UNLUCKY)) if failed else Outcome.SUCCEEDED,
        failure=failed,
        usage=draw(st.none() | usages),
        cost_usd=draw(costs),
        first_token_ms=draw(st.none() | times),
    )


@st.composite
def entries(draw):
    at = MIDNIGHT + timedelta(milliseconds=draw(st.integers(-3 * 86_400_000, 2 * 86_400_000)))
    request = a_request(
        id=minted_at(at),
        accepted_at=at,
        caller=draw(st.sampled_from(["ann", "bob"])),
        kind=draw(st.sampled_from([Kind.CHAT, Kind.EMBEDDING])),
        tags=draw(
            st.dictionaries(st.sampled_from(["team", "env", "run"]), st.sampled_from("abcdef"), max_size=3)
        ),
    )
    tried = [
        replace(attempt, number=number)
        for number, attempt in enumerate(draw(st.lists(attempts(), max_size=3)), 1)
    ]
    status = draw(st.sampled_from([Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED]))
    failure = None if status is Status.COMPLETED else Failure("deadline_exceeded", "x")
    took = timedelta(milliseconds=draw(st.integers(0, 10**8)))
    return Entry(request, Settlement(request.id, status, at + took, tuple(tried), failure))


ledgers = st.lists(st.lists(entries(), max_size=6), min_size=1, max_size=5)
"""Entries as they are settled, batch by batch; their moments are anything but in order."""

QUESTIONS = (
    ((), None),
    ((), Bucket.HOUR),
    (("model", "provider"), Bucket.DAY),
    (("caller",), Bucket.MONTH),
    (("kind", "status", "code"), None),
    (("tag:team", "tag:env"), Bucket.DAY),
    (("model", "tag:team"), None),
    (("caller", "model", "provider", "kind", "status", "code", "tag:team", "tag:env"), Bucket.HOUR),
)


async def answers(store):
    return [
        (await store.rollups.find(a_question(keys, bucket), limit=10**5)).rows for keys, bucket in QUESTIONS
    ]


def a_question(keys, bucket):
    since, until = MIDNIGHT - timedelta(days=15), MIDNIGHT + timedelta(days=15)
    period = period_of(since, until, FAR, EVER, bucket=bucket, local=False)
    return Question(period, keys, starts_of(since, until, bucket, ZoneInfo("UTC")) if bucket else ())


async def roll(store, most, values):
    return await store.rollups.roll(TAGS, values=values, most=most)


@pytest.fixture
def store_of(database_url):
    def open_with(statement_timeout=30.0):
        return open_store(
            Postgres(url=Secret(database_url), statement_timeout=timedelta(seconds=statement_timeout))
        )

    return open_with


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ledgers,
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.lists(st.floats(0.001, 0.03), max_size=4),
    st.sampled_from([2, ENOUGH]),
)
def test_the_ledger_and_usage_add_up_to_the_same(store_of, database_url, batches, steps, cuts_short, values):
    asyncio.run(_add_up(store_of, database_url, batches, steps, cuts_short, values))


async def _add_up(store_of, database_url, batches, steps, cuts_short, values):
    with psycopg.connect(database_url, autocommit=True) as plain:
        plain.execute("TRUNCATE requests, attempts, bodies, usage, usage_keys, usage_tags, usage_pending")
        memory, store, other = MemoryStore(), await store_of(), await store_of()
        hurried = [await store_of(seconds) for seconds in cuts_short]
        try:
            for batch in batches:
                for entry in batch:
                    await memory.requests.settle(entry)
                await asyncio.gather(*(store.requests.settle(entry) for entry in batch))
                for most in steps[: len(batch)]:
                    for each in hurried:
                        with suppress(StorageUnavailable):  # cut short in the middle, wherever that is
                            await roll(each, most, values)
                    await asyncio.gather(roll(store, most, values), roll(other, most, values))
            while await roll(store, 100, values):
                pass
            told = plain.execute(LEDGER).fetchone()
            for grain in Bucket:
                for cut in CUTS:
                    assert plain.execute(ROLLED_UP, (grain.value, cut)).fetchone() == told
            assert plain.execute("SELECT count(*) FROM usage_pending").fetchone() == (0,)
            if values == ENOUGH:
                # Otherwise some values of a tag are told apart and some not: the first ones, which is chance here.
                while await roll(memory, 100, values):
                    pass
                assert await answers(store) == await answers(memory)
        finally:
            for each in (store, other, *hurried):
                await each.close()


LEDGER = """
SELECT (SELECT count(*) FROM requests), (SELECT count(*) FILTER (WHERE attempts = 0) FROM requests), count(*),
       coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(cached_tokens), 0),
       coalesce(sum(reasoning_tokens), 0), coalesce(sum(cache_write_tokens), 0), coalesce(sum(images), 0),
       count(*) FILTER (WHERE usage_estimated), count(*) FILTER (WHERE input_tokens IS NULL),
       coalesce(sum(cost_usd), 0), count(*) FILTER (WHERE cost_usd IS NULL)
  FROM attempts"""
ROLLED_UP = """
SELECT coalesce(sum(requests), 0), coalesce(sum(untried), 0), coalesce(sum(attempts), 0),
       coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(cached_tokens), 0),
       coalesce(sum(reasoning_tokens), 0), coalesce(sum(cache_write_tokens), 0), coalesce(sum(images), 0),
       coalesce(sum(usage_estimated), 0), coalesce(sum(usage_unknown), 0),
       coalesce(sum(cost_usd), 0), coalesce(sum(cost_unknown), 0)
  FROM usage WHERE grain = %s AND cut = %s"""
