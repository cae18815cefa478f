"""Jobs at both doors: who goes first and when, waiting for them a while, looking for some, and forgetting them."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.domain.jobs import Job
from gateway.settings import Api, Jobs, Settings
from gateway.storage.memory import MemoryJobs
from gateway.v1 import common_pb2, jobs_pb2
from tests.api import rpc
from tests.api.mistakes import Doors, both
from tests.api.rest import a_quick_world, bearer, body, error_of, left
from tests.api.world import ADMIN, KEY, OTHER, a_world
from tests.waits import until

pytestmark = pytest.mark.slow

CHAT = "/v1/chat/completions"


@pytest.fixture
async def doors() -> AsyncGenerator[Doors]:
    async with both(a_quick_world()) as doors:
        yield doors


def handed_over(model: str = "good", **fields: Any) -> dict[str, Any]:
    return {"endpoint": CHAT, "body": body(model), **fields}


def created(**fields: Any) -> jobs_pb2.JobsServiceCreateRequest:
    return jobs_pb2.JobsServiceCreateRequest(chat=rpc.chat(fields.pop("model", "good")), **fields)


# ---- waiting a while ---------------------------------------------------------------------------------------------
async def test_who_prefers_to_wait_has_the_answer_of_a_job_that_is_done_in_time(doors):
    answer = await doors.rest.chat(body(), bearer(prefer="wait=5"))
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=5")
    assert answer.json()["choices"][0]["message"]["content"]
    job = (await doors.rest.get(f"/api/v1/jobs/{answer.headers['x-request-id']}")).json()
    assert (job["status"], job["result"]) == ("completed", answer.json())
    assert answer.headers["x-gateway-workflow-id"] == job["id"]
    assert answer.headers["x-gateway-durability"] == "start-first"


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("wait=0", "wait=0"),
        ("respond-async, wait=1", "respond-async, wait=1"),
        ("respond-async", "respond-async"),
        ("wait=1; x=y, respond-async", "respond-async, wait=1"),
    ],
)
async def test_when_the_wait_is_over_it_is_a_job(doors, prefer, applied):
    answer = await doors.rest.chat(body("slow"), bearer(prefer=prefer))
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, applied)
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['id']}"
    assert answer.json()["status"] in ("queued", "in_progress")


async def test_nobody_waits_longer_than_the_settings_allow():
    async with both(
        a_world(Settings(api=Api(grpc_port=0), jobs=Jobs(max_wait=timedelta(seconds=0.5))))
    ) as doors:
        answer = await doors.rest.chat(body("slow"), bearer(prefer="wait=90"))
        assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=0")


async def test_a_job_that_fails_while_its_caller_waits_is_an_error(doors):
    answer = await doors.rest.chat(body("rejects"), bearer(prefer="wait=5"))
    assert (answer.status_code, error_of(answer)["code"]) == (400, "upstream_rejected")
    job = (await doors.rest.get(f"/api/v1/jobs/{answer.headers['x-request-id']}")).json()
    assert job["status"] == "failed"


async def test_a_caller_who_leaves_while_it_waits_has_its_job_done(doors):
    asking = asyncio.create_task(doors.rest.chat(body("one-call"), bearer(prefer="wait=5")))
    await until(lambda: doors.world.upstream.in_flight == 1)
    await left(asking)
    (job_id,) = doors.world.store.jobs._jobs
    assert (await doors.rest.ended(job_id))["status"] == "completed"


async def test_waiting_with_a_key_twice_is_one_job(doors):
    given = bearer(prefer="wait=5", idempotency_key="k")
    first, second = [await doors.rest.chat(body(), given) for _ in range(2)]
    assert first.content == second.content
    assert first.headers["x-request-id"] == second.headers["x-request-id"]
    assert doors.world.upstream.calls.total() == 1


async def test_both_doors_wait_for_a_job_alike(doors):
    answer = await doors.rest.post("/api/v1/jobs", handed_over(), prefer="wait=5")
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
    assert answer.json()["result"]["choices"]
    spoken = await doors.jobs.Create(created(wait=Duration(seconds=5)), metadata=rpc.bearer())
    assert spoken.job.status == inference_status("completed")
    assert spoken.job.chat.choices
    late = await doors.rest.post("/api/v1/jobs", handed_over("slow"), prefer="wait=0")
    assert (late.status_code, late.headers["preference-applied"]) == (202, "wait=0")
    spoken = await doors.jobs.Create(created(model="slow", wait=Duration()), metadata=rpc.bearer())
    assert spoken.job.status in (inference_status("queued"), inference_status("in_progress"))


def inference_status(word: str) -> int:
    return common_pb2.Status.Value(f"STATUS_{word.upper()}")


# ---- who goes first, and when ------------------------------------------------------------------------------------
async def test_a_jobs_priority_is_said_in_the_job_or_in_the_request(doors):
    for given, expected in (
        (handed_over(priority=1), 1),
        (handed_over(), 3),
        ({"endpoint": CHAT, "body": {**body(), "gateway": {"priority": 5}}}, 5),
        ({"endpoint": CHAT, "body": {**body(), "gateway": {"priority": 5}}, "priority": 2}, 2),
    ):
        job = (await doors.rest.post("/api/v1/jobs", given)).json()
        assert job["priority"] == expected
    spoken = await doors.jobs.Create(created(priority=4), metadata=rpc.bearer())
    assert spoken.job.priority == 4
    own = rpc.chat("good", gateway=common_pb2.GatewayOptions(priority=2))
    spoken = await doors.jobs.Create(jobs_pb2.JobsServiceCreateRequest(chat=own), metadata=rpc.bearer())
    assert spoken.job.priority == 2


async def test_a_rule_has_the_last_word_on_priority():
    rules = {"rules": [{"name": "patience", "set": {"priority": 5, "weight": 0.5}}]}
    async with both(a_quick_world(rules=rules)) as doors:
        assert (await doors.rest.post("/api/v1/jobs", handed_over(priority=1))).json()["priority"] == 5


@pytest.mark.parametrize("priority", [0, 6, -1])
async def test_a_priority_that_there_is_not_is_refused(doors, priority):
    answer = await doors.rest.post("/api/v1/jobs", handed_over(priority=priority))
    assert (answer.status_code, answer.json()["param"]) == (400, "priority")
    answer = await doors.rest.chat({**body(), "gateway": {"priority": priority}})
    assert (answer.status_code, error_of(answer)["param"]) == (400, "gateway.priority")
    if priority:  # which says nothing over gRPC
        call = doors.jobs.Create(created(priority=priority), metadata=rpc.bearer())
        assert await rpc.code_of(call) == ("INVALID_ARGUMENT", "invalid_request")


async def test_the_deadline_of_a_job_that_begins_later_is_counted_from_then_on(doors):
    begins = datetime.now(UTC) + timedelta(hours=3)
    job = (
        await doors.rest.post("/api/v1/jobs", handed_over(not_before=begins.isoformat(), deadline_s=60))
    ).json()
    assert datetime.fromisoformat(job["not_before"]) == begins
    assert datetime.fromisoformat(job["deadline"]) == begins + timedelta(seconds=60)
    stamp = Timestamp()
    stamp.FromDatetime(begins)
    spoken = await doors.jobs.Create(
        created(not_before=stamp, deadline=Duration(seconds=60)), metadata=rpc.bearer()
    )
    assert spoken.job.not_before == stamp
    assert spoken.job.deadline.seconds == stamp.seconds + 60


@pytest.mark.parametrize("moment", ["tomorrow", "2026-01-01T00:00:00", "2999-01-01T00:00:00Z", 5])
async def test_a_moment_that_is_none_or_too_far_away_is_refused(doors, moment):
    answer = await doors.rest.post("/api/v1/jobs", handed_over(not_before=moment))
    assert (answer.status_code, answer.json()["param"]) == (400, "not_before")


# ---- forgetting --------------------------------------------------------------------------------------------------
async def a_done_job(doors: Doors, **headers: str) -> str:
    job: dict[str, Any] = (await doors.rest.post("/api/v1/jobs", handed_over(), **headers)).json()
    await doors.rest.ended(job["id"])
    return job["id"]


async def test_a_deleted_job_is_gone_and_its_row_in_the_ledger_stays(doors):
    for spoken in (False, True):
        job_id = await a_done_job(doors)
        if spoken:
            await doors.jobs.Delete(jobs_pb2.JobsServiceDeleteRequest(id=job_id), metadata=rpc.bearer())
        else:
            answer = await doors.rest.client.delete(f"/api/v1/jobs/{job_id}", headers=bearer())
            assert (answer.status_code, answer.content) == (204, b"")
        for path in ("", "/result", "/events"):
            assert (await doors.rest.get(f"/api/v1/jobs/{job_id}{path}")).status_code == 404
        listed = (await doors.rest.get("/api/v1/jobs")).json()["data"]
        assert job_id not in {job["id"] for job in listed}
        assert await doors.world.store.claims.result(job_id) is None
        assert (await doors.rest.get(f"/api/v1/requests/{job_id}", ADMIN)).json()["status"] == "completed"


async def test_the_key_of_a_deleted_job_begins_no_other(doors):
    job_id = await a_done_job(doors, idempotency_key="k")
    await doors.rest.client.delete(f"/api/v1/jobs/{job_id}", headers=bearer())
    answer = await doors.rest.post("/api/v1/jobs", handed_over(), idempotency_key="k")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert "deleted" in answer.json()["detail"]
    assert doors.world.upstream.calls.total() == 1


async def test_a_running_job_is_not_deleted_and_nobody_elses_is(doors):
    running = (await doors.rest.job(body("slow"))).json()["id"]
    await until(lambda: doors.world.upstream.in_flight == 1)
    answer = await doors.rest.client.delete(f"/api/v1/jobs/{running}", headers=bearer())
    assert (answer.status_code, answer.json()["code"]) == (409, "job_not_finished")
    call = doors.jobs.Delete(jobs_pb2.JobsServiceDeleteRequest(id=running), metadata=rpc.bearer())
    assert await rpc.code_of(call) == ("FAILED_PRECONDITION", "job_not_finished")
    done = await a_done_job(doors)
    answer = await doors.rest.client.delete(f"/api/v1/jobs/{done}", headers=bearer(OTHER))
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    assert (await doors.rest.client.delete(f"/api/v1/jobs/{done}", headers=bearer(ADMIN))).status_code == 204


# ---- looking for some --------------------------------------------------------------------------------------------
async def test_jobs_are_looked_for_by_what_they_are(doors):
    good, dear = await a_done_job(doors), (await doors.rest.job(body("dear"))).json()["id"]
    others = (await doors.rest.job(key=OTHER)).json()["id"]
    await doors.rest.ended(dear)

    async def found(key: str = KEY, **params: Any) -> set[str]:
        answer = await doors.rest.get("/api/v1/jobs", key, **params)
        assert answer.status_code == 200, answer.text
        spoken = jobs_pb2.JobsServiceListRequest(**params)
        page = await doors.jobs.List(spoken, metadata=rpc.bearer(key))
        ids = {job["id"] for job in answer.json()["data"]}
        assert ids == {job.id for job in page.jobs}
        return ids

    assert await found() == {good, dear}
    assert await found(model="dear") == {dear}
    assert await found(endpoint=CHAT) == {good, dear}
    assert await found(endpoint="/v1/embeddings") == set()
    assert await found(ADMIN, caller="agent-2") == {others}
    assert await found(caller="agent-2") == {good, dear}, "one's own, whoever is asked for"
    now = datetime.now(UTC)
    late = await doors.rest.get("/api/v1/jobs", since=(now + timedelta(hours=1)).isoformat())
    assert late.json()["data"] == []
    assert (await doors.rest.get("/api/v1/jobs", since="yesterday")).status_code == 400
    assert (await doors.rest.get("/api/v1/jobs", odd="1")).status_code == 400


class Counting(MemoryJobs):
    """Jobs that count how often they are looked at together."""

    looks = 0

    async def get_many(self, job_ids: Collection[str]) -> Sequence[Job]:
        self.looks += 1
        return await super().get_many(job_ids)


async def test_many_who_watch_cost_one_query_a_look(doors):
    job_id = (await doors.rest.job(body("one-call"))).json()["id"]
    jobs = Counting()
    jobs._jobs = doors.world.store.jobs._jobs
    doors.world.jobs._lookout._jobs = jobs
    watching = [asyncio.create_task(doors.rest.get(f"/api/v1/jobs/{job_id}/events")) for _ in range(20)]
    answers = await asyncio.gather(*watching)
    assert all('"completed"' in answer.text.rsplit("event: job", 1)[1] for answer in answers)
    assert 0 < jobs.looks < 10
