"""Temporal away: callers who wait are answered all the same, jobs go on when it is back."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.e2e.person import Person, Upstream
from tests.e2e.stack import Stack, until
from tests.faults.ledger import outcomes, row_of


def test_a_job_goes_on_when_temporal_is_back(stack: Stack, admin: Person, upstream: Upstream):
    made = [admin.hand_over("one-second").json()["id"] for _ in range(5)]
    until(lambda: all(upstream.calls(job_id) for job_id in made))
    stack.kill("temporal")
    for job_id in made:
        assert admin.ended(job_id, within=90)["status"] == "completed"
        attempts = outcomes(row_of(admin, job_id))
        assert attempts in (["succeeded"], ["interrupted", "succeeded"])
        assert upstream.calls(job_id) == len(attempts)


def test_callers_who_wait_while_temporal_dies_get_their_answers_and_their_rows(
    stack: Stack, admin: Person, upstream: Upstream, pool: ThreadPoolExecutor
):
    before = upstream.stats()["in_flight"]
    whole = [pool.submit(admin.ask, "three-seconds") for _ in range(5)]
    streams = [pool.submit(admin.ask, "four-second-stream", stream=True) for _ in range(5)]
    until(lambda: upstream.stats()["in_flight"] == before + 10)
    with stack.down("temporal"):
        answers = [each.result() for each in (*whole, *streams)]
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.text.endswith("data: [DONE]\n\n") for answer in answers[5:])
    for answer in answers:
        row = row_of(admin, answer.headers["x-request-id"], within=90)
        assert (row["status"], outcomes(row)) == ("completed", ["succeeded"])
        assert upstream.calls(row["id"]) == 1


def test_while_temporal_is_away_callers_are_served_and_told_so_and_jobs_are_not_taken(
    stack: Stack, admin: Person, upstream: Upstream
):
    with stack.down("temporal"):
        answers: list[httpx2.Response] = []

        def degraded() -> bool:
            answers.append(admin.ask("ok"))
            return answers[-1].headers["x-gateway-durability"] == "degraded"

        until(degraded)
        assert {answer.status_code for answer in answers} == {200}
        assert "x-gateway-workflow-id" not in answers[-1].headers
        row = admin.request(answers[-1].headers["x-request-id"])
        assert (row["status"], row["cost_usd"]) == ("completed", "0.000027")
        with admin.streaming("ok") as stream:
            assert stream.read().endswith(b"data: [DONE]\n\n")
        assert stream.headers["x-gateway-durability"] == "degraded"
        fallen = admin.ask("fallback")
        assert (fallen.headers["x-gateway-model"], fallen.headers["x-gateway-durability"]) == (
            "other",
            "degraded",
        )
        job = admin.hand_over("ok")
        assert (job.status_code, job.json()["code"]) == (503, "engine_unavailable")
        assert int(job.headers["retry-after"]) >= 1
        assert admin.http.get("/readyz").status_code == 200  # it is of use all the same
        assert re.search(r'gateway_degraded_total\{kind="chat"\} [1-9]', admin.http.get("/metrics").text)
    stack.wait_ready()
    until(lambda: admin.ask("ok").headers["x-gateway-durability"] == "overlapped", within=30, every=0.3)
    for answer in (*answers, stream, fallen):
        row = row_of(admin, answer.headers["x-request-id"])
        assert row["status"] == "completed"
    assert admin.ended(admin.hand_over("ok").json()["id"])["status"] == "completed"


def test_a_request_that_was_to_be_started_first_is_served_without_an_engine_too(stack: Stack, admin: Person):
    with stack.down("temporal"):
        answer = admin.ask("ok", headers={"x-gateway-durability": "start-first"})
        assert (answer.status_code, answer.headers["x-gateway-durability"]) == (200, "degraded")
        row = admin.request(answer.headers["x-request-id"])
        assert (row["status"], outcomes(row)) == ("completed", ["succeeded"])


@pytest.mark.parametrize("durability", ["overlapped", "start-first"])
def test_without_an_engine_a_gateway_that_is_to_refuse_refuses(
    stack: Stack, admin: Person, upstream: Upstream, durability: str
):
    with stack.replica(GATEWAY__INFERENCE__ENGINE_DOWN="refuse") as replica:
        strict = Person(replica.rest, stack.admin_key)
        wanted = {"x-gateway-durability": durability}
        assert strict.ask("ok", headers=wanted).status_code == 200
        with stack.down("temporal"):
            first = strict.ask("three-seconds", headers=wanted)  # nobody has noticed yet
            assert first.status_code == 503
            _refuses(strict, wanted, upstream)
        until(lambda: strict.http.get("/readyz").status_code == 200, within=60)
        assert strict.ask("ok", headers=wanted).status_code == 200
        row = row_of(admin, first.headers["x-request-id"])
        assert row["status"] in ("failed", "cancelled")


def _refuses(strict: Person, wanted: dict[str, str], upstream: Upstream) -> None:
    until(lambda: strict.http.get("/readyz").status_code == 503)
    calls = upstream.stats()["calls"]
    for answer in (strict.ask("ok", headers=wanted), strict.ask("ok", headers=wanted, stream=True)):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "engine_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    assert upstream.stats()["calls"] == calls


def test_a_gateway_that_starts_without_an_engine_serves_and_finds_it_later(stack: Stack, admin: Person):
    with stack.down("temporal"), stack.replica() as replica:
        person = Person(replica.rest, stack.admin_key)
        answer = person.ask("ok")
        assert (answer.status_code, answer.headers["x-gateway-durability"]) == (200, "degraded")
        stack.wake()
        until(lambda: person.ask("ok").headers["x-gateway-durability"] == "overlapped", within=60, every=0.3)
        assert replica.process.poll() is None
    assert row_of(admin, answer.headers["x-request-id"])["status"] == "completed"
