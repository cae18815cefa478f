"""Usage is the ledger, counted: once each, whatever the order, and read back by any grouping."""

import asyncio
import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from gateway.domain.errors import StorageUnavailable
from gateway.domain.inference import Failure, Kind, Mode, Settlement, Status, Usage
from gateway.domain.repricing import Correction, Repricing, Tally
from gateway.domain.repricing import Place as Attempted
from gateway.domain.secret import Secret
from gateway.domain.sketch import bucket_of
from gateway.domain.tags import parse_tags
from gateway.domain.usage import Bucket, Kept, Place, Question, UsageFilter, floor, period_of, starts_of
from gateway.ids import new_id
from gateway.settings import Postgres
from gateway.storage.memory import MemoryStore
from gateway.storage.ports import Entry
from gateway.storage.postgres.migrate import FOLDER, migrate
from gateway.storage.postgres.store import open_store
from tests.builders import a_failed_attempt, a_request, an_attempt, minted_at

pytestmark = pytest.mark.slow

NOON = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
EVER = Kept(datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC))
TAGS = ("team", "env")


@pytest.fixture(params=["memory", "postgres"])
def url(request):
    """Where the store is; nowhere for memory. Not an async fixture: the server is started on a loop of its own."""
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def store(url):
    opened = MemoryStore() if url is None else await open_store(Postgres(url=Secret(url)))
    yield opened
    await opened.close()


@pytest.fixture
async def kept(database_url):
    """A store in PostgreSQL alone, for what only a database can do wrong."""
    opened = await open_store(Postgres(url=Secret(database_url)))
    yield opened
    await opened.close()


def an_entry(at=NOON, *attempts, status=Status.COMPLETED, took=timedelta(seconds=1), failure=None, **request):
    asked = a_request(id=minted_at(at), accepted_at=at, **request)
    return Entry(asked, Settlement(asked.id, status, at + took, attempts or (an_attempt(),), failure))


async def rolled(store, *, most=1000, values=100):
    while await store.rollups.roll(TAGS, values=values, most=most):
        pass


async def fill(store, *entries, **how):
    await asyncio.gather(*(store.requests.settle(entry) for entry in entries))
    await rolled(store, **how)


def a_question(*keys, bucket=None, zone="UTC", since=None, until=NOON + timedelta(days=1), **filters):
    since = since or NOON - timedelta(days=40)
    period = period_of(
        since, until, datetime.max.replace(tzinfo=UTC), EVER, bucket=bucket, local=zone != "UTC"
    )
    starts = starts_of(since, until, bucket, ZoneInfo(zone)) if bucket else ()
    return Question(period, keys, starts, UsageFilter(**filters))


async def ask(store, *keys, limit=1000, after=None, **how):
    return await store.rollups.find(a_question(*keys, **how), limit=limit, after=after)


async def asked(store, *keys, **how):
    return {row.label: row.sums for row in (await ask(store, *keys, **how)).rows}


async def total(store, **how):
    rows = (await ask(store, **how)).rows
    return rows[0].sums if rows else None


# ---- what is counted ---------------------------------------------------------------------------------------------
async def test_what_nobody_used_has_no_rows(store):
    await rolled(store)
    assert (await ask(store, "model")).rows == ()


async def test_what_is_not_rolled_up_yet_is_not_shown_and_the_answer_can_say_so(store):
    before = await store.rollups.as_of()
    await store.requests.settle(an_entry(datetime.now(UTC)))
    assert await total(store) is None
    behind = await store.rollups.as_of()
    await asyncio.sleep(0.05)
    assert await store.rollups.as_of() == behind >= before
    await rolled(store)
    assert await store.rollups.as_of() > behind


async def test_a_request_is_counted_with_its_attempts_their_tokens_and_their_cost(store):
    usage = Usage(100, 40, 30, 20, False, 10, 5, 4, 3, 1.5, 2, 6, 7)
    attempt = an_attempt(usage=usage, cost_usd=Decimal("0.0000001234567890"), first_token_ms=120.0)
    await fill(store, an_entry(NOON, attempt, took=timedelta(milliseconds=900)))
    sums = await total(store)
    assert (sums.requests, sums.errors, sums.attempts, sums.usage) == (1, 0, 1, usage)
    assert (sums.cost_usd, sums.cost_unknown, sums.usage_unknown, sums.usage_estimated) == (
        Decimal("0.0000001234567890"),
        0,
        0,
        0,
    )
    assert (sums.latency, sums.first_token) == ({bucket_of(900): 1}, {bucket_of(120): 1})
    assert sums.codes == {}


async def test_a_fallback_is_charged_to_the_model_that_was_called_and_the_request_to_the_one_that_answered(
    store,
):
    failed = a_failed_attempt(1, "sick", provider="other")
    await fill(store, an_entry(NOON, failed, an_attempt(2, "well")))
    by_model = await asked(store, "model", "provider")
    sick, well = by_model["sick", "other"], by_model["well", "scripted"]
    assert (sick.requests, sick.attempts, sick.codes) == (0, 1, {"upstream_unavailable": 1})
    assert (well.requests, well.attempts, well.codes, well.errors) == (1, 1, {}, 0)
    assert (await total(store)).codes == {"upstream_unavailable": 1}


async def test_what_is_not_known_is_counted_and_never_taken_for_nothing(store):
    unknown = an_attempt(usage=None, cost_usd=None)
    estimated = an_attempt(2, usage=Usage(10, 1, estimated=True), cost_usd=Decimal("0.5"))
    await fill(
        store, an_entry(NOON, unknown, model="m"), an_entry(NOON, unknown, replace(estimated, model="b"))
    )
    by_model = await asked(store, "model")
    assert (by_model["good",].cost_usd, by_model["good",].cost_unknown, by_model["good",].usage_unknown) == (
        None,
        2,
        2,
    )
    assert (by_model["b",].cost_usd, by_model["b",].usage_estimated, by_model["b",].usage.estimated) == (
        Decimal("0.5"),
        1,
        True,
    )
    assert ((await total(store)).cost_usd, (await total(store)).cost_unknown) == (Decimal("0.5"), 2)


async def test_a_request_that_was_never_tried_is_counted_without_a_model(store):
    failure = Failure("deadline_exceeded", "late")
    entry = an_entry(NOON, status=Status.EXPIRED, failure=failure, mode=Mode.JOB)
    entry = replace(entry, settlement=replace(entry.settlement, attempts=()))
    await fill(store, entry)
    sums = (await asked(store, "model"))["",]
    assert (sums.requests, sums.errors, sums.attempts, sums.codes) == (1, 1, 0, {"deadline_exceeded": 1})
    assert sums.cost_usd == 0


async def test_failed_requests_are_errors_and_cancelled_ones_are_not(store):
    failed = a_failed_attempt()
    await fill(
        store,
        an_entry(NOON, failed, status=Status.FAILED, failure=failed.failure),
        an_entry(NOON, failed, status=Status.CANCELLED, failure=Failure("cancelled", "x")),
        an_entry(NOON),
    )
    by_status = await asked(store, "status")
    assert {label: (sums.requests, sums.errors) for label, sums in by_status.items()} == {
        ("cancelled",): (1, 0),
        ("completed",): (1, 0),
        ("failed",): (1, 1),
    }
    assert (await total(store)).errors == 1
    assert (await total(store)).codes == {"upstream_unavailable": 2}


async def test_percentiles_are_those_of_all_requests_not_of_their_hours(store):
    """One slow hour with few requests, one quick hour with many: an average of averages would lie between them."""
    quick = [an_entry(NOON, took=timedelta(milliseconds=100)) for _ in range(95)]
    slow = [an_entry(NOON - timedelta(hours=2), took=timedelta(seconds=10)) for _ in range(5)]
    await fill(store, *quick, *slow)
    latency = (await total(store)).latency
    assert latency == {bucket_of(100): 95, bucket_of(10_000): 5}


async def test_times_beyond_all_sense_are_counted_too(store):
    odd = an_attempt(first_token_ms=1e300, total_ms=0)
    await fill(
        store, an_entry(NOON, odd, took=timedelta(seconds=-5)), an_entry(NOON, took=timedelta(days=3000))
    )
    sums = await total(store)
    assert sum(sums.latency.values()) == 2
    assert sum(sums.first_token.values()) == 1


# ---- by what -----------------------------------------------------------------------------------------------------
async def test_usage_is_grouped_by_any_number_of_keys(store):
    await fill(
        store,
        an_entry(caller="ann", tags={"team": "search", "env": "prod"}),
        an_entry(caller="ann", tags={"team": "ads"}),
        an_entry(caller="bob", tags={"team": "search"}, kind=Kind.EMBEDDING),
        an_entry(caller="bob"),
    )
    found = await asked(store, "caller", "kind", "tag:team", "tag:env", "status", "model", "provider", "code")
    assert sorted((*label[:4], sums.requests) for label, sums in found.items()) == [
        ("ann", "chat", "ads", "", 1),
        ("ann", "chat", "search", "prod", 1),
        ("bob", "chat", "", "", 1),
        ("bob", "embedding", "search", "", 1),
    ]
    assert {label: sums.requests for label, sums in (await asked(store, "tag:team")).items()} == {
        ("",): 1,
        ("ads",): 1,
        ("search",): 2,
    }


@pytest.mark.parametrize(
    ("filters", "requests"),
    [
        ({}, 5),
        ({"callers": frozenset({"ann"})}, 3),
        ({"callers": frozenset({"ann", "bob"})}, 5),
        ({"callers": frozenset()}, 0),
        ({"models": frozenset({"b"})}, 1),
        ({"models": frozenset({"b", "good"}), "callers": frozenset({"ann"})}, 3),
        ({"providers": frozenset({"other"})}, 1),
        ({"kinds": frozenset({"embedding"})}, 1),
        ({"statuses": frozenset({"failed"})}, 1),
        ({"codes": frozenset({"upstream_timeout"})}, 1),
        ({"codes": frozenset({""})}, 4),
        ({"tags": parse_tags("team=search")}, 2),
        ({"tags": parse_tags("team=search|ads")}, 3),
        ({"tags": parse_tags("team,!env=prod")}, 2),
        ({"tags": parse_tags("!team")}, 2),
        ({"tags": parse_tags("team=search"), "models": frozenset({"good"})}, 2),
    ],
)
async def test_usage_is_filtered_by_every_key(store, filters, requests):
    await fill(
        store,
        an_entry(caller="ann", tags={"team": "search", "env": "prod"}),
        an_entry(caller="ann", tags={"team": "search"}, kind=Kind.EMBEDDING),
        an_entry(NOON, an_attempt(1, "b", provider="other"), caller="ann", tags={"team": "ads"}),
        an_entry(caller="bob", status=Status.FAILED, failure=Failure("upstream_timeout", "x")),
        an_entry(caller="bob", tags={"env": "prod"}),
    )
    found = await asked(store, **filters)
    assert sum(sums.requests for sums in found.values()) == requests


async def test_values_with_quotes_and_other_alphabets_are_found_as_they_are(store):
    odd = 'a "quoted" \\ value, ž'
    await fill(store, an_entry(caller=odd, tags={"team": odd}), an_entry())
    assert (await asked(store, "caller", "tag:team"))[odd, odd].requests == 1
    assert (await asked(store, "tag:team", callers=frozenset({odd})))[odd,].requests == 1


async def test_tags_that_are_not_rolled_up_are_left_out(store):
    await fill(
        store, an_entry(tags={"run": "1", "team": "search"}), an_entry(tags={"run": "2", "team": "search"})
    )
    assert {label: sums.requests for label, sums in (await asked(store, "tag:team", "tag:run")).items()} == {
        ("search", ""): 2
    }


async def test_only_so_many_values_of_a_tag_are_told_apart_on_a_day_and_none_is_lost(store):
    entries = [an_entry(tags={"team": f"team-{n}", "env": "prod"}) for n in range(8)]
    await fill(store, *entries[:4], values=3)
    await fill(store, *entries[4:], an_entry(tags={"team": "team-1"}), values=3)
    await fill(store, an_entry(NOON + timedelta(days=1), tags={"team": "team-7"}), values=3)
    found = await asked(store, "tag:team", until=NOON + timedelta(days=2))
    assert {label[0]: sums.requests for label, sums in found.items()} == {
        "team-0": 1,
        "team-1": 2,
        "team-2": 1,
        "(other)": 5,
        "team-7": 1,
    }


async def test_a_value_that_is_too_long_is_another_one(store):
    await fill(store, an_entry(tags={"team": "x" * 129}), an_entry(tags={"team": "ž" * 64}))
    assert set(await asked(store, "tag:team")) == {("(other)",), ("ž" * 64,)}


# ---- when --------------------------------------------------------------------------------------------------------
async def test_a_period_is_cut_into_hours_days_and_months(store):
    moments = [NOON, NOON - timedelta(minutes=1), NOON - timedelta(days=1), NOON - timedelta(days=20)]
    await fill(store, *(an_entry(at) for at in moments))
    for bucket in Bucket:
        page = await ask(store, bucket=bucket, since=NOON - timedelta(days=30))
        expected = Counter(floor(at, bucket) for at in moments)
        assert {row.start: row.sums.requests for row in page.rows} == expected
        assert [row.start for row in page.rows] == sorted(expected)


async def test_the_ends_of_a_period_are_counted_to_the_hour(store):
    hours = [datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(240)]
    await fill(store, *(an_entry(at) for at in hours))
    for first, last in ((0, 240), (5, 7), (5, 60), (47, 48), (30, 30 + 72), (24, 48)):
        sums = await total(
            store, since=hours[0] + timedelta(hours=first), until=hours[0] + timedelta(hours=last)
        )
        assert sums.requests == last - first


async def test_a_long_period_over_months_counts_each_day_once(store):
    days = [datetime(2026, 7, 20, 3, tzinfo=UTC) + timedelta(days=n) for n in range(100)]
    await fill(store, *(an_entry(at) for at in days))
    for first, last in ((0, 100), (3, 80), (11, 43), (12, 74)):
        since, until = (floor(days[0], Bucket.DAY) + timedelta(days=n) for n in (first, last))
        sums = await total(store, since=since, until=until)
        assert sums.requests == last - first


async def test_days_may_be_those_of_another_zone(store):
    before_midnight = datetime(2026, 11, 9, 22, 30, tzinfo=UTC)
    await fill(store, an_entry(before_midnight), an_entry(before_midnight + timedelta(hours=1)))
    page = await ask(store, bucket=Bucket.DAY, zone="Europe/Bratislava", since=NOON - timedelta(days=2))
    assert [(row.start, row.sums.requests) for row in page.rows] == [
        (datetime(2026, 11, 8, 23, tzinfo=UTC), 1),
        (datetime(2026, 11, 9, 23, tzinfo=UTC), 1),
    ]


async def test_what_is_deleted_by_hours_and_days_stays_in_the_months(store, url):
    if url is None:
        pytest.skip("memory keeps the records themselves")
    await fill(store, an_entry(NOON - timedelta(days=9)), an_entry(NOON - timedelta(days=3)), an_entry(NOON))
    assert await store.rollups.expire(NOON - timedelta(days=1), NOON - timedelta(days=5)) > 0
    assert await store.rollups.expire(NOON - timedelta(days=1), NOON - timedelta(days=5)) == 0
    first, last = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    for bucket, count in ((Bucket.HOUR, 1), (Bucket.DAY, 2), (Bucket.MONTH, 3), (None, 3)):
        page = await ask(store, bucket=bucket, since=first, until=last)
        assert sum(row.sums.requests for row in page.rows) == count


# ---- pages -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_together_are_the_whole(store, limit):
    entries = [
        an_entry(NOON - timedelta(days=day), caller=f"c{caller}", tags={"team": f"t{(caller + day) % 3}"})
        for day in range(4)
        for caller in range(5)
        if (day + caller) % 4
    ]
    await fill(store, *entries, an_entry(NOON - timedelta(days=400), caller="long-ago"))
    for bucket in (None, Bucket.DAY):
        whole = (await ask(store, "caller", "tag:team", bucket=bucket)).rows
        assert whole == tuple(sorted(whole, key=lambda row: (row.label, row.start or NOON)))
        rows, after, pages = [], None, 0
        while True:
            page = await ask(store, "caller", "tag:team", bucket=bucket, limit=limit, after=after)
            assert len(page.rows) <= limit
            rows += page.rows
            pages += 1
            if page.next_after is None:
                break
            after = page.next_after
        assert tuple(rows) == whole
        assert sum(row.sums.requests for row in whole) == len(entries)
        assert pages <= 2 * len(whole) + 2


async def test_a_page_after_nowhere_is_the_rest(store):
    await fill(store, an_entry(caller="a"), an_entry(caller="c"))
    assert [row.label for row in (await ask(store, "caller", after=Place(("b",)))).rows] == [("c",)]
    assert (await ask(store, "caller", after=Place(("d",)))).rows == ()


# ---- corrections -------------------------------------------------------------------------------------------------
def a_repricing():
    return Repricing(
        new_id(), NOON - timedelta(days=1), NOON + timedelta(days=1), None, False, "test", "admin", NOON
    )


async def correct(store, entry, new, old):
    repricing = await store.repricings.begin(a_repricing())
    place = Attempted(entry.request.accepted_at, entry.request.id, 1)
    correction = Correction(place, entry.settlement.attempts[0].model, old, new)
    assert await store.repricings.advance(repricing, place, [correction], Tally(1, 1))
    await store.repricings.end(repricing.id, Status.COMPLETED)


async def test_a_corrected_cost_changes_usage_where_the_attempt_stands(store):
    known = an_entry(NOON, an_attempt(cost_usd=Decimal(3)), caller="ann", tags={"team": "ads"})
    unknown = an_entry(NOON, an_attempt(1, "b", cost_usd=None), caller="ann")
    await fill(store, known, unknown)
    await correct(store, known, Decimal(5), Decimal(3))
    await correct(store, unknown, Decimal("0.25"), None)
    await rolled(store)
    by_model = await asked(store, "model", "caller", "tag:team")
    ads, plain = by_model["good", "ann", "ads"], by_model["b", "ann", ""]
    assert (ads.cost_usd, ads.cost_unknown, ads.requests, ads.attempts) == (Decimal(5), 0, 1, 1)
    assert (plain.cost_usd, plain.cost_unknown) == (Decimal("0.25"), 0)
    await correct(store, known, None, Decimal(5))
    await rolled(store)
    ads = (await asked(store, "model", "caller", "tag:team"))["good", "ann", "ads"]
    assert (ads.cost_usd, ads.cost_unknown) == (None, 1)


async def test_a_correction_that_comes_before_its_request_was_rolled_up_counts_as_well(store):
    entry = an_entry(NOON, an_attempt(cost_usd=Decimal(3)))
    await store.requests.settle(entry)
    await correct(store, entry, Decimal(4), Decimal(3))
    await rolled(store, most=1)
    assert (await total(store)).cost_usd == Decimal(4)


# ---- exactly once ------------------------------------------------------------------------------------------------
async def test_a_late_row_is_counted_once(store):
    await fill(store, an_entry())
    await fill(store, an_entry(NOON - timedelta(days=3)), an_entry())
    await rolled(store)
    assert (await total(store)).requests == 3


async def test_a_request_that_is_settled_twice_is_counted_once(store):
    entry = an_entry()
    await fill(store, entry, entry)
    await fill(store, entry)
    assert (await total(store)).requests == 1


async def test_several_processes_may_roll_at_once(kept, database_url):
    others = [await open_store(Postgres(url=Secret(database_url))) for _ in range(3)]
    await asyncio.gather(*(kept.requests.settle(an_entry(caller=f"c{n % 7}")) for n in range(300)))
    for _ in range(60):
        await asyncio.gather(
            *(each.rollups.roll(TAGS, values=100, most=7) for each in (kept, *others)),
        )
    await rolled(kept)
    for each in others:
        await each.close()
    assert (await total(kept)).requests == 300


async def test_a_process_that_dies_in_the_middle_has_counted_nothing(kept, database_url):
    await fill(kept, an_entry())
    await kept.requests.settle(an_entry())
    async with (
        await psycopg.AsyncConnection.connect(database_url) as holder,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as killer,
    ):
        # Whoever adds to a row that somebody holds waits in the middle of it.
        await holder.execute("SELECT FROM usage FOR UPDATE")
        rolling = asyncio.create_task(kept.rollups.roll(TAGS, values=10, most=10))
        killed = 0
        while not rolling.done():
            ended = await killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND query LIKE '%usage_pending%' AND datname = current_database()"
            )
            killed += ended.rowcount
            await asyncio.sleep(0.02)
        with suppress(StorageUnavailable):
            await rolling
        await holder.rollback()
        waiting = await (await killer.execute("SELECT count(*) FROM usage_pending")).fetchone()
    assert killed
    assert waiting == (1,)
    assert (await total(kept)).requests == 1
    await rolled(kept)
    assert (await total(kept)).requests == 2


async def test_an_older_version_that_knows_nothing_of_usage_is_counted_too(kept, database_url):
    """It writes the ledger by itself: whatever enters a request lets it wait to be rolled up."""
    await kept.requests.settle(an_entry(NOON - timedelta(days=1)))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as older:
        found = await older.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'requests'::regclass AND attnum > 0"
            " AND NOT attisdropped AND attgenerated = '' AND attname NOT IN ('id', 'accepted_at')"
        )
        columns = SQL(", ").join([Identifier(name) for (name,) in await found.fetchall()])
        copy = SQL("INSERT INTO requests (id, accepted_at, {0}) SELECT %s, %s, {0} FROM requests")
        await older.execute(copy.format(columns), [minted_at(NOON), NOON])
    await rolled(kept)
    assert (await total(kept)).requests == 2


async def test_rows_that_lay_in_the_default_partition_are_counted_once(kept):
    """They move to the partition of their month when it is made."""
    far = datetime(2031, 5, 5, tzinfo=UTC)
    await kept.requests.settle(an_entry(far))
    await kept.ensure_partitions(far)
    await rolled(kept)
    assert (await total(kept, since=far - timedelta(days=1), until=far + timedelta(days=1))).requests == 1


@pytest.fixture
def later(tmp_path):
    """The migration that changes the partitions, in a folder of all of them."""
    return Path(shutil.copytree(FOLDER, tmp_path / "migrations")) / "0023_usage_partitions.sql"


async def test_rows_stay_when_their_partitions_change(empty_database_url, later):
    folder = later.parent
    kept_away = later.rename(later.with_suffix(".later"))
    await migrate(empty_database_url, folder=folder)
    store = await open_store(Postgres(url=Secret(empty_database_url)))
    await fill(store, *(an_entry(caller=f"c{n}", tags={"team": f"t{n % 2}"}) for n in range(6)))
    before = [(await ask(store, *keys)).rows for keys in ((), ("model", "tag:team"), ("caller", "model"))]
    kept_away.rename(later)
    await migrate(empty_database_url, folder=folder)
    assert [
        (await ask(store, *keys)).rows for keys in ((), ("model", "tag:team"), ("caller", "model"))
    ] == before
    await fill(store, an_entry(caller="c0"))
    assert (await total(store)).requests == 7
    await store.close()
