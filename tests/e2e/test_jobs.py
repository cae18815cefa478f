"""Jobs over REST: accepted once their start is committed, asked for later."""

from __future__ import annotations

import pytest

from tests.e2e.person import Person, Upstream, chat
from tests.e2e.seed import COST_OF_OK
from tests.e2e.stack import until


def test_a_chat_becomes_a_job_by_a_preference(admin: Person, upstream: Upstream):
    answer = admin.ask("assistant", max_tokens=16, headers={"prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    job = answer.json()
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert answer.headers["x-gateway-workflow-id"] == job["workflow_id"] == job["id"]
    ended = admin.ended(job["id"])
    assert ended["status"] == "completed"
    assert ended["result"]["choices"][0]["message"]["content"]
    assert ended["served_model"] == "smollm2-135m-instruct"


def test_a_job_is_made_polled_and_its_result_fetched(admin: Person, upstream: Upstream):
    made = admin.hand_over("fallback", metadata={"order": "7"})
    assert made.status_code == 202
    job = admin.ended(made.json()["id"])
    assert (job["status"], job["attempts"], job["served_model"]) == ("completed", 2, "other")
    assert job["metadata"] == {"order": "7"}
    assert job["started_at"] is not None
    assert job["completed_at"] is not None
    result = admin.http.get(f"{made.headers['location']}/result")
    assert result.json() == job["result"]
    assert upstream.calls(job["id"]) == 2
    row = admin.request(job["id"])
    assert (row["mode"], row["status"]) == ("job", "completed")
    assert [(a["model"], a["outcome"]) for a in row["attempts"]] == [
        ("down", "failed"),
        ("other", "succeeded"),
    ]


def test_a_result_that_is_not_there_yet_is_a_conflict_and_the_job_can_be_cancelled(
    admin: Person, upstream: Upstream
):
    before = upstream.stats()
    job_id = admin.hand_over("hang").json()["id"]
    until(lambda: upstream.calls(job_id))
    early = admin.http.get(f"/api/v1/jobs/{job_id}/result")
    assert (early.status_code, early.json()["code"]) == (409, "job_not_finished")
    assert int(early.headers["retry-after"]) >= 1
    assert admin.http.post(f"/api/v1/jobs/{job_id}/cancel").status_code == 202
    assert admin.ended(job_id)["status"] == "cancelled"
    assert upstream.stats()["cancelled"] > before["cancelled"]
    assert [a["outcome"] for a in admin.request(job_id)["attempts"]] == ["cancelled"]
    again = admin.http.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "job_finished")


def test_a_job_that_fails_says_why_in_its_result(admin: Person):
    job = admin.ended(admin.hand_over("rejects").json()["id"])
    assert (job["status"], job["error"]["code"]) == ("failed", "upstream_rejected")
    result = admin.http.get(f"/api/v1/jobs/{job['id']}/result")
    assert (result.status_code, result.json()["code"]) == (400, "upstream_rejected")


def test_a_job_that_cannot_be_done_by_its_deadline_expires(admin: Person):
    job = admin.ended(admin.hand_over("hang", deadline_s=1).json()["id"])
    assert job["status"] == "expired"
    assert job["error"]["code"] == "deadline_exceeded"
    assert admin.request(job["id"])["status"] == "expired"


def test_the_same_key_is_the_same_job(admin: Person, upstream: Upstream):
    first, second = (admin.hand_over("ok", "Once.", key="once-1") for _ in range(2))
    quoted = admin.hand_over("ok", "Once.", key='"once-1"')
    assert [each.status_code for each in (first, second, quoted)] == [202] * 3
    assert first.json()["id"] == second.json()["id"] == quoted.json()["id"]
    admin.ended(first.json()["id"])
    assert admin.hand_over("ok", "Once.", key="once-1").json()["status"] == "completed"
    assert upstream.calls(first.json()["id"]) == 1


def test_the_same_key_with_another_body_is_refused(admin: Person):
    assert admin.hand_over("ok", "One thing.", key="once-2").status_code == 202
    other = admin.hand_over("ok", "Another.", key="once-2")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert other.headers["x-should-retry"] == "false"


def test_one_callers_key_is_not_anothers(agent: Person, neighbour: Person):
    made = [person.hand_over("ok", key="shared").json()["id"] for person in (agent, neighbour)]
    assert made[0] != made[1]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"endpoint": "/v1/elsewhere"}, "endpoint"),
        ({"body": {"model": "ok"}}, "messages"),
        ({"endpoint": "/v1/rerank", "body": chat(stream=True)}, "query"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"deliver": {"pigeon": {}}}, "deliver.pigeon"),
        ({"priorty": 1}, "priorty"),
    ],
)
def test_a_job_that_is_wrong_is_refused_by_the_name_of_its_field(admin: Person, change: dict, param: str):
    body = {"endpoint": "/v1/chat/completions", "body": chat(), **change}
    answer = admin.http.post("/api/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["param"]) == (
        400,
        "invalid_request",
        param,
    )


def test_the_states_of_a_job_are_told_as_events(admin: Person):
    job_id = admin.hand_over("slow").json()["id"]
    with admin.http.stream("GET", f"/api/v1/jobs/{job_id}/events") as stream:
        text = stream.read().decode()
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert text.count("event: job\n") > 1
    assert '"status":"completed"' in text.split("event: job\n")[-1]


def test_jobs_are_listed_newest_first_and_page_by_page(agent: Person):
    made = [agent.hand_over("ok").json()["id"] for _ in range(3)]
    first = agent.http.get("/api/v1/jobs", params={"limit": 2}).json()
    assert [job["id"] for job in first["data"]] == [made[2], made[1]]
    second = agent.http.get("/api/v1/jobs", params={"limit": 2, "after": first["next_after"]}).json()
    assert second["data"][0]["id"] == made[0]
    assert admin_cost(agent, made[0]) == COST_OF_OK


def admin_cost(person: Person, job_id: str) -> str:
    return str(person.ended(job_id)["cost_usd"])
