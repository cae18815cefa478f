"""PostgreSQL away: callers are told to come back, never that they are strangers; nothing that was begun is lost."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx2

from tests.e2e.person import CHAT, Person, Upstream, chat
from tests.e2e.stack import Stack, until
from tests.faults.ledger import outcomes, row_of

UNKNOWN = "gw_" + "A" * 43


def test_while_the_database_is_away_everybody_is_told_to_come_back_and_nobody_is_a_stranger(
    stack: Stack, admin: Person
):
    api, worker = stack.pid("api"), stack.pid("worker")
    unknown = Person(stack.rest, UNKNOWN)
    assert unknown.ask("ok").status_code == 401
    admin.ask("ok")
    seen: list[httpx2.Response] = []
    with stack.down("postgres"):
        ends = time.monotonic() + 4  # longer than a key is known without asking
        while time.monotonic() < ends:
            seen += [
                admin.ask("ok"),
                admin.ask("ok", stream=True),
                admin.hand_over("ok"),
                admin.http.get("/api/v1/jobs"),
                admin.http.get("/api/v1/requests"),
            ]
            time.sleep(0.1)
        # A key nobody has seen yet: it may be a good one.
        seen.append(admin.http.post(CHAT, json=chat(), headers={"authorization": f"Bearer gw_{'B' * 43}"}))
        late = seen[-6:]
        assert admin.http.get("/readyz").status_code == 503
        assert admin.http.get("/livez").status_code == 200
    assert {answer.status_code for answer in seen} <= {200, 202, 503}
    for answer in late:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert "storage_unavailable" in answer.text
        assert "postgres" not in answer.text.lower()
    until(lambda: admin.ask("ok").status_code == 200, within=30)
    assert unknown.ask("ok").status_code == 401
    stack.wait_ready()
    assert (stack.pid("api"), stack.pid("worker")) == (api, worker)
    for answer in seen:
        if answer.status_code == 200 and "x-gateway-attempts" in answer.headers:
            assert row_of(admin, answer.headers["x-request-id"])["status"] == "completed"


def test_what_runs_while_the_database_dies_is_answered_and_recorded_when_it_is_back(
    stack: Stack, admin: Person, upstream: Upstream, pool: ThreadPoolExecutor
):
    before = upstream.stats()["in_flight"]
    jobs = [admin.hand_over("three-seconds").json()["id"] for _ in range(5)]
    whole = [pool.submit(admin.ask, "three-seconds") for _ in range(5)]
    streams = [pool.submit(admin.ask, "four-second-stream", stream=True) for _ in range(5)]
    until(lambda: upstream.stats()["in_flight"] == before + 15)
    with stack.down("postgres"):
        answers = [each.result() for each in (*whole, *streams)]
        assert {answer.status_code for answer in answers} == {200}
        assert all(answer.text.endswith("data: [DONE]\n\n") for answer in answers[5:])
    for answer in answers:
        row = row_of(admin, answer.headers["x-request-id"], within=60)
        assert (row["status"], outcomes(row)) == ("completed", ["succeeded"])
    for job_id in jobs:
        assert admin.ended(job_id, within=60)["status"] == "completed"
        assert outcomes(row_of(admin, job_id)) == ["succeeded"]
        assert upstream.calls(job_id) == 1
    counted = stack.rows("SELECT count(*), count(DISTINCT id) FROM requests")
    assert counted[0][0] == counted[0][1]


def test_a_job_that_was_accepted_just_before_is_done_after(stack: Stack, admin: Person, upstream: Upstream):
    made = [admin.hand_over("quick").json()["id"] for _ in range(10)]
    stack.kill("postgres")
    for job_id in made:
        assert admin.ended(job_id, within=60)["status"] == "completed"
        assert upstream.calls(job_id) == len(outcomes(row_of(admin, job_id)))


def test_an_api_that_is_told_to_end_while_the_database_is_away_leaves_its_rows_to_be_written(
    stack: Stack, admin: Person, pool: ThreadPoolExecutor
):
    with stack.replica(GATEWAY__API__SHUTDOWN_GRACE="2s") as replica:
        person = Person(replica.rest, stack.admin_key)
        asked = [pool.submit(person.ask, "one-second") for _ in range(5)]
        until(lambda: 'gateway_in_flight{kind="chat"} 5.0' in person.http.get("/metrics").text)
        with stack.down("postgres"):
            answers = [each.result() for each in asked]
            assert {answer.status_code for answer in answers} == {200}
            assert replica.end() == 0
    for answer in answers:
        # Its workflow is left to another process: what it writes is a row, though not what had been answered.
        row = row_of(admin, answer.headers["x-request-id"], within=90)
        assert row["status"] in ("completed", "failed")
        assert outcomes(row) in (["succeeded"], ["abandoned"])


def test_database_and_engine_may_die_together(stack: Stack, admin: Person, upstream: Upstream):
    made = [admin.hand_over("one-second").json()["id"] for _ in range(3)]
    until(lambda: all(upstream.calls(job_id) for job_id in made))
    with stack.down("postgres", "temporal"):
        answer = until(lambda: (found := admin.ask("ok")).status_code == 503 and found, within=10)
        assert int(answer.headers["retry-after"]) >= 1
    for job_id in made:
        assert admin.ended(job_id, within=90)["status"] == "completed"
        attempts = outcomes(row_of(admin, job_id))
        assert attempts in (["succeeded"], ["interrupted", "succeeded"])
        assert upstream.calls(job_id) == len(attempts)
