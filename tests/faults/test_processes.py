"""`kill -9` of our own processes, at each phase of what they do."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.person import Person, Upstream, canary
from tests.e2e.stack import Stack, until
from tests.faults.ledger import named, outcomes, row_of, settled


def test_a_job_outlives_the_api_that_accepted_it(stack: Stack, admin: Person, upstream: Upstream):
    accepted = [admin.hand_over("one-second") for _ in range(5)]
    stack.kill("api")
    assert [answer.status_code for answer in accepted] == [202] * 5
    for answer in accepted:
        job = admin.ended(answer.json()["id"], within=60)
        assert (job["status"], job["attempts"]) == ("completed", 1)
        assert upstream.calls(job["id"]) == 1
        assert row_of(admin, job["id"])["status"] == "completed"


def test_a_job_whose_worker_dies_in_the_middle_of_a_call_is_called_again_and_says_so(
    stack: Stack, admin: Person, upstream: Upstream
):
    job_id = admin.hand_over("three-seconds").json()["id"]
    until(lambda: upstream.calls(job_id))
    stack.kill("worker")
    job = admin.ended(job_id, within=90)
    assert (job["status"], job["attempts"]) == ("completed", 2)
    row = row_of(admin, job_id)
    assert outcomes(row) == ["interrupted", "succeeded"]
    assert row["attempts"][0]["cost_usd"] is None
    assert row["attempts"][0]["error"]["code"] == "interrupted"
    assert row["cost_unknown"] is True
    assert upstream.calls(job_id) == 2


def test_a_job_whose_worker_dies_before_its_call_is_called_once(
    stack: Stack, admin: Person, upstream: Upstream
):
    with stack.down("worker"):
        made = [admin.hand_over("ok").json()["id"] for _ in range(5)]
        assert {admin.job(job_id)["status"] for job_id in made} == {"queued"}
    for job_id in made:
        assert admin.ended(job_id, within=60)["status"] == "completed"
        assert upstream.calls(job_id) == 1


def test_an_answer_that_was_stored_is_not_paid_again(stack: Stack, admin: Person, upstream: Upstream):
    job_id = admin.hand_over("one-second").json()["id"]
    until(lambda: upstream.calls(job_id))
    with stack.down("temporal"):
        # The engine is away: the worker keeps the answer, and can report it to nobody.
        until(
            lambda: stack.rows(
                "SELECT 1 FROM claims WHERE request_id = %s::uuid AND attempt IS NOT NULL", job_id
            )
        )
        stack.kill("worker")
    job = admin.ended(job_id, within=90)
    assert job["status"] == "completed"
    assert job["result"]["choices"][0]["message"]["content"].startswith("A café")
    assert upstream.calls(job_id) == 1
    row = row_of(admin, job_id)
    assert outcomes(row) == ["succeeded"]
    assert row["cost_usd"] == "0.000027"


def test_both_of_us_may_die_at_once(stack: Stack, admin: Person, upstream: Upstream):
    made = [admin.hand_over("one-second").json()["id"] for _ in range(3)]
    until(lambda: all(upstream.calls(job_id) for job_id in made))
    with stack.down("api", "worker"):
        pass
    for job_id in made:
        assert admin.ended(job_id, within=90)["status"] == "completed"
        attempts = outcomes(row_of(admin, job_id))
        assert attempts in (["succeeded"], ["interrupted", "succeeded"])
        assert upstream.calls(job_id) == len(attempts)


def test_requests_that_were_being_answered_by_an_api_that_died_are_closed_as_abandoned_and_not_called_again(
    stack: Stack, admin: Person, upstream: Upstream, pool: ThreadPoolExecutor
):
    names = [canary() for _ in range(4)]
    before = upstream.stats()
    asked = [
        pool.submit(
            settled,
            lambda name=name, stream=stream: admin.ask(
                "hang-mid-stream", headers={"x-client-request-id": name}, stream=stream
            ),
        )
        for name, stream in zip(names, (False, False, True, True), strict=True)
    ]
    until(lambda: upstream.stats()["in_flight"] == before["in_flight"] + 4)
    # Their starts are on their way beside the calls: given the time to be committed.
    until(lambda: _eager_starts(admin) >= 4)
    stack.kill("api")
    assert [each.result() for each in asked] == [None] * 4
    until(lambda: upstream.stats()["in_flight"] == before["in_flight"])
    stack.wait_ready()
    for row in named(admin, names, within=90):
        assert row["status"] == "failed"
        assert row["error"]["code"] == "abandoned"
        assert outcomes(row) == ["abandoned"]
        assert row["cost_usd"] is None
        assert upstream.calls(row["id"]) == 1


def _eager_starts(person: Person) -> float:
    text = person.http.get("/metrics").text
    starts = [line for line in text.splitlines() if line.startswith("gateway_eager_starts_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in starts)


def test_a_new_api_answers_as_soon_as_the_old_one_is_replaced(stack: Stack, admin: Person):
    before = stack.pid("api")
    stack.kill("api")
    stack.wait_ready()
    assert stack.pid("api") != before
    assert admin.ask("ok").status_code == 200


def test_an_api_that_is_told_to_end_finishes_what_it_has_begun_and_loses_no_row(
    stack: Stack, admin: Person, pool: ThreadPoolExecutor
):
    with stack.replica() as replica:
        person = Person(replica.rest, stack.admin_key)
        fresh = Person(replica.rest, stack.admin_key)
        quick = [person.ask("ok") for _ in range(20)]  # their rows may still be on their way
        whole = [pool.submit(person.ask, "one-second") for _ in range(10)]
        streams = [pool.submit(person.ask, "four-second-stream", stream=True) for _ in range(10)]
        until(lambda: 'gateway_in_flight{kind="chat"} 20.0' in person.http.get("/metrics").text)
        replica.process.terminate()
        until(lambda: not fresh.http.get("/readyz").json()["checks"]["serving"])
        refused = fresh.ask("ok")
        assert refused.status_code == 503, refused.text
        assert refused.json()["error"]["code"] == "shutting_down"
        assert refused.headers["retry-after"]
        answers = [each.result() for each in (*whole, *streams)]
        assert replica.process.wait(20) == 0
    assert {answer.status_code for answer in (*quick, *answers)} == {200}
    assert all(answer.text.endswith("data: [DONE]\n\n") for answer in answers[10:])
    for answer in (*quick, *answers):
        row = admin.request(answer.headers["x-request-id"], within=0)
        assert (row["status"], outcomes(row)) == ("completed", ["succeeded"])


@pytest.mark.parametrize("stream", [False, True])
def test_an_api_that_is_told_to_end_does_not_wait_for_ever(
    stack: Stack, admin: Person, pool: ThreadPoolExecutor, stream: bool
):
    name = canary()
    with stack.replica(GATEWAY__API__SHUTDOWN_GRACE="1s") as replica:
        person = Person(replica.rest, stack.admin_key)
        asked = pool.submit(
            settled,
            lambda: person.ask("hang-mid-stream", headers={"x-client-request-id": name}, stream=stream),
        )
        until(lambda: 'gateway_in_flight{kind="chat"} 1.0' in person.http.get("/metrics").text)
        began = time.monotonic()
        replica.process.terminate()
        assert replica.process.wait(20) == 0
        assert time.monotonic() - began < 18
        asked.result()
    (row,) = named(admin, [name])
    assert (row["status"], outcomes(row)) == ("cancelled", ["cancelled"])


def test_a_worker_that_is_told_to_end_hands_its_jobs_over(stack: Stack, admin: Person, upstream: Upstream):
    job_id = admin.hand_over("three-seconds").json()["id"]
    until(lambda: upstream.calls(job_id))
    stack.kill("worker", by=signal.SIGTERM)
    job = admin.ended(job_id, within=60)
    assert job["status"] == "completed"
    assert outcomes(row_of(admin, job_id)) == ["succeeded"]
    assert upstream.calls(job_id) == 1
