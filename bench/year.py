"""A year of usage as a million requests a day leave it: written straight into the roll-ups, since nobody waits a year.

100 models × 200 callers, each pair as busy as any other, which is the worst that roll-ups can get; 20 teams and two
environments by caller; every fifth pair also fails now and then. Latencies are spread as models' are (log-normal).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import perf_counter

import psycopg

MODELS, CALLERS, PER_DAY = 100, 200, 1_000_000
_SOME = ("model_tags",)
_MANY = ("all",)
_FEW = ("total", "model", "caller", "tags")

# Sketches of so many measurements, a few of each, from which every row takes one.
_PALETTE = """
CREATE TEMP TABLE palette AS
SELECT size, number, sum(usage_sketch(2000 * exp(0.7 * random_normal()))) AS latency,
       sum(usage_sketch(400 * exp(0.6 * random_normal()))) AS first_token
  FROM unnest(ARRAY[2, 8, 50, 400, 1500]) size, generate_series(1, 40) number, generate_series(1, size)
 GROUP BY 1, 2"""

_KEYS = """
WITH pairs AS (
  SELECT 'caller-' || lpad(caller::text, 4, '0') AS caller, 'model-' || lpad(model::text, 3, '0') AS model,
         'provider-' || model %% 8 AS provider, status, code,
         jsonb_build_object('team', 'team-' || lpad((caller %% 20)::text, 2, '0'),
                            'env', CASE WHEN caller %% 7 = 0 THEN 'dev' ELSE 'prod' END) AS tags
    FROM generate_series(1, %(models)s) model, generate_series(1, %(callers)s) caller,
         (VALUES ('completed', ''), ('failed', 'upstream_timeout')) ends (status, code)
   WHERE status = 'completed' OR (model + caller) %% 5 = 0
), told AS (
  SELECT cut, CASE WHEN cut IN ('caller', 'all') THEN caller ELSE '' END AS caller,
         CASE WHEN cut IN ('model', 'model_tags', 'all') THEN model ELSE '' END AS model,
         CASE WHEN cut IN ('model', 'model_tags', 'all') THEN provider ELSE '' END AS provider, status, code,
         CASE WHEN cut IN ('tags', 'model_tags', 'all') THEN tags ELSE '{}' END AS tags
    FROM pairs, unnest(ARRAY['total', 'model', 'caller', 'tags', 'model_tags', 'all']) cut
), kept AS (
  INSERT INTO usage_keys (digest, cut, caller, model, provider, kind, status, code, tags)
  SELECT DISTINCT sha256(convert_to(jsonb_build_array(
           cut, caller, model, provider, 'chat', status, code, tags)::text, 'UTF8')),
         cut, caller, model, provider, 'chat', status, code, tags
    FROM told
  RETURNING *
)
SELECT kept.id AS key, kept.cut, kept.status, count(*) AS pairs INTO TEMP key_pairs
  FROM kept JOIN told USING (cut, caller, model, provider, status, code, tags) GROUP BY 1, 2, 3"""

_ROWS = """
WITH counted AS (
  SELECT cut, key, at, pairs, n, 1 + (key + extract(epoch FROM at)::bigint / 3600) %% 40 AS number,
         CASE WHEN n < 8 THEN 2 WHEN n < 50 THEN 8 WHEN n < 400 THEN 50 WHEN n < 1500 THEN 400 ELSE 1500 END AS size
    FROM generate_series(%(since)s::timestamptz, %(until)s::timestamptz - interval '1 hour', %(step)s::interval) at,
         key_pairs,
         LATERAL (
           SELECT ceil(pairs * %(each)s * CASE WHEN status = 'completed' THEN 1 ELSE 0.02 END)::bigint AS n) counts
   WHERE cut = ANY(%(cuts)s)
)
INSERT INTO usage
SELECT %(grain)s, cut, key, at, n, 0, n, n * 900, n * 300, n * 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n / 400,
       n * 0.0123, 0, latency * pairs, first_token * pairs
  FROM counted JOIN palette USING (size, number)
 ORDER BY at, key"""


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of the year is loaded: all of it by the month, and of the rest what a machine has room for.

    `days` is for how many days each pair stands in the table by the day, and `hours` by the hour. The roll-ups with few
    rows (by model, by caller, by tags) are loaded for the whole year by the day, and for `few_hours` days by the hour.
    """

    days: int = 31
    hours: int = 1
    few_hours: int = 31
    models: int = MODELS
    callers: int = CALLERS

    @property
    def pairs(self) -> int:
        """How many callers of models there are."""
        return self.models * self.callers


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was loaded: rows and MiB by what they are, and how long it took."""

    parts: Sequence[tuple[str, int, float]]
    seconds: float


def load(url: str, shape: Shape) -> Loaded:
    """Load a year that ends today into a database that has been migrated."""
    began = perf_counter()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    month = (today - timedelta(days=1)).replace(day=1)
    months = (month.replace(year=month.year - 1), (month + timedelta(days=32)).replace(day=1))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("TRUNCATE usage, usage_keys, usage_pending")
        connection.execute(_PALETTE)
        connection.execute(_KEYS, {"models": shape.models, "callers": shape.callers})
        connection.execute("ANALYZE palette")
        for grain, cuts, since, until, each in (
            ("month", _FEW + _SOME + _MANY, *months, PER_DAY * 30 / shape.pairs),
            ("day", _FEW, today - timedelta(days=366), today, PER_DAY / shape.pairs),
            ("day", _SOME + _MANY, today - timedelta(days=shape.days), today, PER_DAY / shape.pairs),
            ("hour", _FEW, today - timedelta(days=shape.few_hours), today, PER_DAY / 24 / shape.pairs),
            ("hour", _SOME + _MANY, today - timedelta(days=shape.hours), today, PER_DAY / 24 / shape.pairs),
        ):
            connection.execute(
                _ROWS,
                {
                    "grain": grain,
                    "cuts": list(cuts),
                    "since": since,
                    "until": until,
                    "step": f"1 {grain}",
                    "each": each,
                },
            )
        connection.execute("VACUUM ANALYZE usage, usage_keys")
        found = connection.execute(
            "SELECT relname, reltuples::bigint, pg_total_relation_size(oid) / 1048576.0 FROM pg_class"
            " WHERE relname ~ '^usage_(hours|days|months)_(few|some|many)$' ORDER BY relname"
        ).fetchall()
    return Loaded([(name, rows, float(size)) for name, rows, size in found], perf_counter() - began)
