"""The year that is loaded is one that the roll-ups could have made."""

from datetime import UTC, datetime, timedelta

import psycopg

from bench import year
from gateway.domain.secret import Secret
from gateway.domain.usage import Kept, Question, period_of
from gateway.settings import Postgres
from gateway.storage.postgres.store import open_store


async def test_a_year_adds_up_in_every_roll_up(database_url):
    loaded = year.load(database_url, year.Shape(days=1, hours=1, few_hours=1, models=10, callers=12))
    assert {name for name, rows, _ in loaded.parts if rows} == {name for name, _, _ in loaded.parts}
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "SELECT grain, cut, sum(requests) FROM usage WHERE at >= now() - interval '1 day' OR grain = 'month'"
            " GROUP BY 1, 2"
        ).fetchall()
    for grain in ("month", "day", "hour"):
        sums = [int(requests) for each, _, requests in found if each == grain]
        assert len(sums) == 6
        assert max(sums) - min(sums) < 0.02 * max(sums)
    store = await open_store(Postgres(url=Secret(database_url)))
    now = datetime.now(UTC)
    ever = Kept(now - timedelta(days=900), now - timedelta(days=900))
    since = (now - timedelta(days=330)).replace(day=1)
    period = period_of(since, now, now, ever, bucket=None, local=False)
    page = await store.rollups.find(Question(period, ("model",)), limit=500)
    await store.close()
    assert len(page.rows) == 10
    assert sum(row.sums.requests for row in page.rows) > 250 * year.PER_DAY
