"""Jobs and the ledger over REST: accepted, watched, fetched, cancelled, and found again."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.errors import StorageUnavailable
from gateway.domain.inference import Status
from gateway.ids import new_id
from tests.api.rest import a_quick_world, body, error_of, script, serving
from tests.api.world import ADMIN, OTHER
from tests.waits import until


@pytest.fixture
def world():
    return a_quick_world()


@pytest.fixture
async def rest(world):
    async with serving(world) as rest:
        yield rest


_FIELDS = {
    "id",
    "object",
    "status",
    "endpoint",
    "kind",
    "model",
    "served_model",
    "created_at",
    "started_at",
    "completed_at",
    "deadline",
    "not_before",
    "priority",
    "attempts",
    "usage",
    "cost_usd",
    "result",
    "result_url",
    "error",
    "deliver",
    "deliveries",
    "metadata",
    "workflow_id",
    "trace_id",
}


# ---- a job's life ------------------------------------------------------------------------------------------------
async def test_a_job_is_accepted_and_brings_its_result(rest):
    given = {
        "endpoint": "/v1/chat/completions",
        "body": body(metadata={"a": "1"}),
        "deadline_s": 90,
        "metadata": {"run": "7"},
    }
    accepted = await rest.post("/api/v1/jobs", given)
    assert accepted.status_code == 202
    job = accepted.json()
    assert set(job) == _FIELDS
    assert accepted.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert accepted.headers["x-gateway-workflow-id"] == job["workflow_id"] == job["id"]
    assert accepted.headers["x-gateway-durability"] == "start-first"
    assert "preference-applied" not in accepted.headers
    assert (job["object"], job["status"], job["result"]) == ("job", "queued", None)
    assert job["metadata"] == {"a": "1", "run": "7"}
    span = datetime.fromisoformat(job["deadline"]) - datetime.fromisoformat(job["created_at"])
    assert span == timedelta(seconds=90)
    ended = await rest.ended(job["id"])
    assert (ended["status"], ended["served_model"], ended["attempts"]) == ("completed", "good", 1)
    assert ended["cost_usd"] == "0.000027"
    assert ended["usage"] == {
        "input_tokens": 11,
        "output_tokens": 8,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "estimated": False,
        "cache_write_tokens": 0,
        "cache_write_1h_tokens": 0,
        "audio_input_tokens": 0,
        "audio_output_tokens": 0,
        "image_input_tokens": 0,
        "image_output_tokens": 0,
        "images": 0,
        "audio_seconds": 0.0,
        "characters": 0,
        "search_units": 0,
    }
    assert ended["completed_at"] >= ended["started_at"] >= ended["created_at"]
    result = await rest.get(f"/api/v1/jobs/{job['id']}/result")
    assert result.headers["content-type"] == "application/json"
    assert result.json() == ended["result"]
    assert result.json()["object"] == "chat.completion"


async def test_prefer_makes_a_chat_a_job_and_says_so(rest):
    for prefer in ("respond-async", 'foo=10, Respond-Async; x="1"', "respond-async=1"):
        response = await rest.chat(headers={"x-api-key": "sk-agent", "prefer": prefer})
        assert (response.status_code, response.headers["preference-applied"]) == (202, "respond-async")
        assert response.headers["location"] == f"/api/v1/jobs/{response.json()['id']}"
        assert response.headers["content-type"] == "application/json"
        assert (await rest.ended(response.json()["id"]))["status"] == "completed"


async def test_the_states_of_a_job_are_streamed_until_it_has_ended(rest):
    job = (await rest.job()).json()
    response = await rest.get(f"/api/v1/jobs/{job['id']}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache"
    events = [event.split("\n") for event in response.text.strip().split("\n\n")]
    assert all(event[0] == "event: job" for event in events)
    states = [json.loads(event[1].removeprefix("data: "))["status"] for event in events]
    assert states[-1] == "completed"
    assert states == sorted(set(states), key=["queued", "in_progress", "completed"].index)


async def test_a_job_that_runs_has_no_result_and_can_be_cancelled(rest, world):
    job = (await rest.job(body("slow"))).json()
    await until(lambda: world.upstream.in_flight == 1)
    early = await rest.get(f"/api/v1/jobs/{job['id']}/result")
    assert (early.status_code, error_of(early)["code"]) == (409, "job_not_finished")
    assert early.headers["retry-after"] == "1"
    cancelled = await rest.post(f"/api/v1/jobs/{job['id']}/cancel")
    assert (cancelled.status_code, cancelled.json()["id"]) == (202, job["id"])
    ended = await rest.ended(job["id"])
    assert (ended["status"], ended["error"]["code"]) == ("cancelled", "cancelled")
    assert world.upstream.in_flight == 0
    again = await rest.post(f"/api/v1/jobs/{job['id']}/cancel")
    assert (again.status_code, error_of(again)["code"]) == (409, "job_finished")


async def test_a_failed_job_says_why_without_the_upstreams_words(rest):
    job = (await rest.job(body("rejects"))).json()
    ended = await rest.ended(job["id"])
    assert (ended["status"], ended["error"]["code"], ended["error"]["detail"]) == (
        "failed",
        "upstream_rejected",
        None,
    )
    result = await rest.get(f"/api/v1/jobs/{job['id']}/result")
    assert (result.status_code, error_of(result)["code"]) == (400, "upstream_rejected")
    assert "scripted" not in json.dumps(ended) + result.text


# ---- the same key ------------------------------------------------------------------------------------------------
async def test_the_same_key_gives_the_same_job_and_pays_once(rest, world):
    first = await rest.job(idempotency_key='"k-1"')
    again = await asyncio.gather(*(rest.job(idempotency_key="k-1") for _ in range(5)))
    assert {r.json()["id"] for r in (first, *again)} == {first.json()["id"]}
    assert {r.status_code for r in again} == {202}
    await rest.ended(first.json()["id"])
    late = await rest.job(idempotency_key="k-1")
    assert (late.status_code, late.json()["status"]) == (202, "completed")
    assert world.upstream.calls.total() == 1


async def test_the_same_key_with_another_body_is_refused_for_good(rest):
    await rest.job(idempotency_key="k-1")
    response = await rest.job(body("dear"), idempotency_key="k-1")
    assert (response.status_code, error_of(response)["code"]) == (422, "idempotency_key_reused")
    assert response.headers["x-should-retry"] == "false"


async def test_a_key_belongs_to_its_caller(rest):
    first, second = await rest.job(idempotency_key="k"), await rest.job(key=OTHER, idempotency_key="k")
    assert first.json()["id"] != second.json()["id"]


async def test_a_chat_and_a_job_with_one_key_and_body_are_one_job(rest):
    sent = json.dumps(body()).encode()
    headers = {"x-api-key": "sk-agent", "idempotency-key": "k", "prefer": "respond-async"}
    first = (await rest.chat(sent, headers)).json()
    again = await rest.client.post(
        "/api/v1/jobs",
        content=b'{"endpoint":"/v1/chat/completions","body":%b}' % sent,
        headers={"x-api-key": "sk-agent", "idempotency-key": "k"},
    )
    assert again.json()["id"] == first["id"]


# ---- what cannot be ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({}, "endpoint"),
        ({"endpoint": "/v1/chat/completions"}, "body"),
        ({"endpoint": "/v1/odd", "body": {}}, "endpoint"),
        ({"endpoint": "/v1/chat/completions", "body": []}, None),
        ({"endpoint": "/v1/chat/completions", "body": {"model": "good"}}, "messages"),
        ({"endpoint": "/v1/chat/completions", "body": body(), "urgency": 1}, "urgency"),
        ({"endpoint": "/v1/chat/completions", "body": body(), "deadline_s": 0}, "deadline_s"),
        ({"endpoint": "/v1/chat/completions", "body": body(), "deadline_s": 10**9}, "deadline_s"),
        ({"endpoint": "/v1/chat/completions", "body": body(), "deliver": {"fax": {}}}, "deliver.fax"),
        ({"endpoint": "/v1/chat/completions", "body": body(), "metadata": {"a": 1}}, "metadata[...]"),
    ],
)
async def test_a_job_that_is_wrong_is_refused_by_what_is_wrong(rest, given, param):
    response = await rest.post("/api/v1/jobs", given)
    assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json")
    assert response.json().get("param") == param
    assert response.json()["code"] == "invalid_request"


async def test_a_body_that_is_no_json_is_refused(rest):
    response = await rest.client.post("/api/v1/jobs", content=b"{", headers={"x-api-key": "sk-agent"})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_json")


async def test_without_an_engine_no_job_is_accepted(rest, world):
    world.engine.up = False
    for response in (
        await rest.job(),
        await rest.chat(headers={"x-api-key": "sk-agent", "prefer": "respond-async"}),
    ):
        assert (response.status_code, error_of(response)["code"]) == (503, "engine_unavailable")
        assert response.headers["retry-after"]
        assert "x-should-retry" not in response.headers
    assert (await rest.get("/api/v1/jobs")).json()["data"] == []


async def test_without_a_database_no_job_is_accepted(rest, world):
    world.jobs._storage_up = lambda: False
    response = await rest.job()
    assert (response.status_code, error_of(response)["code"]) == (503, "storage_unavailable")
    assert response.headers["retry-after"] == "1"


async def test_a_job_whose_start_is_committed_is_accepted_although_its_row_is_late(rest, world, monkeypatch):
    async def away(job):
        raise StorageUnavailable

    monkeypatch.setattr(world.store.jobs, "accept", away)
    response = await rest.job()
    assert (response.status_code, response.json()["status"]) == (202, "queued")
    again = await rest.job(idempotency_key="k")
    assert again.status_code == 202
    assert (await rest.job(idempotency_key="k")).status_code == 503, "nobody can tell whether it is the same"


# ---- whose, and which --------------------------------------------------------------------------------------------
async def test_a_job_is_its_callers_alone(rest):
    job = (await rest.job()).json()["id"]
    for path in (f"/api/v1/jobs/{job}", f"/api/v1/jobs/{job}/result", f"/api/v1/jobs/{job}/events"):
        response = await rest.get(path, OTHER)
        assert (response.status_code, error_of(response)["code"]) == (404, "job_not_found")
    assert (await rest.post(f"/api/v1/jobs/{job}/cancel", key=OTHER)).status_code == 404
    assert (await rest.get(f"/api/v1/jobs/{job}", ADMIN)).status_code == 200
    for unknown in (new_id(), "x", job.upper().replace("-", "")):
        assert (await rest.get(f"/api/v1/jobs/{unknown}")).status_code == 404


async def test_jobs_are_listed_page_by_page_newest_first(rest):
    made = [(await rest.job()).json()["id"] for _ in range(5)]
    other = (await rest.job(key=OTHER)).json()["id"]
    for job in made:
        await rest.ended(job)
    seen, after = [], None
    while True:
        page = (
            await rest.get("/api/v1/jobs", limit=2, status="completed", **({"after": after} if after else {}))
        ).json()
        assert all(job["result"] is None for job in page["data"])
        seen += [job["id"] for job in page["data"]]
        after = page["next_after"]
        if after is None:
            break
    assert seen == made[::-1]
    assert {job["id"] for job in (await rest.get("/api/v1/jobs", ADMIN)).json()["data"]} == {*made, other}
    assert (await rest.get("/api/v1/jobs", status="failed")).json()["data"] == []
    for wrong in ({"limit": 0}, {"limit": 201}, {"after": "x"}, {"after": new_id()}):
        assert (await rest.get("/api/v1/jobs", **wrong)).status_code == 400


# ---- the ledger --------------------------------------------------------------------------------------------------
async def test_a_request_is_shown_with_its_attempts_and_its_text_to_who_may_read_it(rest):
    response = await rest.chat(body("assistant", metadata={"run": "7"}))
    record = await rest.settled(response)
    path = f"/api/v1/requests/{record.request.id}"
    own = (await rest.get(path)).json()
    assert (own["id"], own["model"], own["served_model"], own["provider"]) == (
        record.request.id,
        "assistant",
        "good",
        "scripted",
    )
    assert (own["status"], own["mode"], own["door"], own["durability"]) == (
        "completed",
        "sync",
        "rest",
        "overlapped",
    )
    assert own["candidates"] == ["down", "good"]
    assert own["decision"]
    assert [each["ranked"] for each in own["decisions"]] == [["down", "good"], ["good"]]
    assert own["decisions"][1]["passed_over"] == {"down": "just failed with upstream_unavailable"}
    assert own["facts"]["input_tokens"] > 0
    (listed,) = (await rest.get("/api/v1/requests")).json()["data"]
    assert (listed["decisions"], listed["facts"]) == ([], own["facts"])
    assert own["metadata"] == {"run": "7"}
    assert [a["outcome"] for a in own["attempts"]] == ["failed", "succeeded"]
    assert own["attempts"][0]["error"]["code"] == "upstream_unavailable"
    assert own["attempts"][0]["error"]["detail"] is None
    assert own["attempts"][1]["cost_usd"] == own["cost_usd"] == "0.000027"
    assert own["total_ms"] >= own["attempts"][1]["total_ms"] > 0
    assert own["prompt"] is own["answer"] is None
    full = (await rest.get(path, ADMIN)).json()
    assert full["prompt"]["messages"] == body()["messages"]
    assert full["answer"] == response.json()
    assert full["attempts"][0]["error"]["status"] == 503
    assert "scripted failure" in full["attempts"][0]["error"]["detail"]
    for key, request_id in ((OTHER, record.request.id), (ADMIN, new_id()), (ADMIN, "x")):
        missing = await rest.get(f"/api/v1/requests/{request_id}", key)
        assert (missing.status_code, error_of(missing)["code"]) == (404, "request_not_found")


async def test_requests_are_found_by_what_is_asked(rest):
    await rest.chat()
    await rest.chat(body("dear"))
    await rest.chat(body("rejects"))
    await rest.settled(await rest.chat(script(tokens=1), {"x-api-key": OTHER}))

    async def count(key="sk-agent", **wanted):
        return len((await rest.get("/api/v1/requests", key, **wanted)).json()["data"])

    assert await count() == 3
    assert await count(caller="agent-2") == 3, "another's cannot be asked for"
    assert await count(ADMIN) == 4
    assert await count(ADMIN, caller="agent-2") == 1
    assert await count(model="dear") == 1
    assert await count(status="failed") == 1
    now = datetime.now(UTC)
    long_ago = (now - timedelta(hours=2)).isoformat(), (now - timedelta(hours=1)).isoformat()
    assert await count(since=long_ago[0], until=long_ago[1]) == 0
    first = (await rest.get("/api/v1/requests", limit=1)).json()
    second = (await rest.get("/api/v1/requests", limit=1, after=first["next_after"])).json()
    assert first["data"][0]["id"] > second["data"][0]["id"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"since": "2026-01-01T00:00:00"},
        {"since": "2020-01-01T00:00:00Z"},
        {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"},
        {"after": "x"},
        {"limit": 0},
        {"status": "odd"},
    ],
)
async def test_a_period_or_a_page_that_cannot_be_is_refused(rest, wanted):
    response = await rest.get("/api/v1/requests", **wanted)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")


async def test_a_cancelled_job_is_in_the_ledger_too(rest, world):
    job = (await rest.job(body("slow"))).json()["id"]
    await until(lambda: world.upstream.in_flight == 1)
    await rest.post(f"/api/v1/jobs/{job}/cancel")
    await rest.ended(job)
    record = await world.store.requests.get(job)
    assert record is not None
    assert record.settlement.status is Status.CANCELLED
