"""`kill -9` of the worker that prices a period anew: another one goes on, and every attempt is corrected once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.person import Person
from tests.e2e.stack import Stack, until

ATTEMPTS = 60_000
# A minute of a ledger that was never written by a request: one attempt each, at a price that was wrong.
LEDGER = """
INSERT INTO attempts (accepted_at, request_id, number, model, provider, upstream_model, reason, outcome, started_at,
    total_ms, input_tokens, output_tokens, cached_tokens, reasoning_tokens, usage_estimated, cost_usd)
SELECT timestamptz '2026-01-01 00:00Z' + n * interval '1 millisecond', gen_random_uuid(), 1, 'ok', 'compatible',
       'x', '',
       'succeeded', timestamptz '2026-01-01 00:00Z' + n * interval '1 millisecond', 10, 1000, 100, 0, 0, false, 0.5
  FROM generate_series(1, %s) AS n RETURNING 1
"""


def test_a_repricing_outlives_its_worker_and_corrects_each_attempt_once(stack: Stack, admin: Person):
    assert len(stack.rows(LEDGER, ATTEMPTS)) == ATTEMPTS
    until(lambda: stack.rows("SELECT 1 FROM prices WHERE model = 'ok'"), 20)
    since = datetime(2026, 1, 1, tzinfo=UTC)
    asked = {"since": since.isoformat(), "until": (since + timedelta(days=1)).isoformat(), "models": ["ok"]}
    answer = admin.http.post("/api/v1/prices/reprice", json=asked)
    assert answer.status_code == 202, answer.text
    path = answer.headers["location"]

    def shown() -> dict[str, Any]:
        told: dict[str, Any] = admin.http.get(path).json()
        return told

    until(lambda: shown()["attempts"] > 0, 30, every=0.01)
    stack.kill("worker")
    stood = shown()
    assert stood["attempts"] < ATTEMPTS, "it was too quick to be killed in the middle"
    ended = until(lambda: (told := shown())["status"] != "in_progress" and told, 120)
    assert (ended["status"], ended["attempts"], ended["changed"]) == ("completed", ATTEMPTS, ATTEMPTS)
    [(rows, attempts, total)] = stack.rows(
        "SELECT count(*), count(DISTINCT request_id), sum(new_usd) FROM corrections WHERE repricing_id = %s::uuid",
        ended["id"],
    )
    assert (rows, attempts) == (ATTEMPTS, ATTEMPTS)
    assert total == 72, "1,000 tokens in and 100 out, at 1.00 and 2.00 for a million, 60,000 times"
