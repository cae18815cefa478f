"""Jobs, requests and models over gRPC."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from gateway.ids import new_id
from gateway.v1 import common_pb2, jobs_pb2, models_pb2, requests_pb2
from gateway.v1.models_pb2_grpc import ModelsServiceStub
from gateway.v1.requests_pb2_grpc import RequestsServiceStub
from tests.api.rpc import bearer, chat, code_of, create, failure_of
from tests.api.world import ADMIN, KEY, OTHER
from tests.waits import until


# ---- jobs --------------------------------------------------------------------------------------------------------
async def watched(jobs, job_id, key=KEY):
    return [
        seen.job
        async for seen in jobs.Watch(jobs_pb2.JobsServiceWatchRequest(id=job_id), metadata=bearer(key))
    ]


async def test_a_job_is_accepted_watched_and_brings_its_result(jobs):
    asked = create(metadata={"run": "7"}, deadline=Duration(seconds=90))
    job = (await jobs.Create(asked, metadata=bearer(), timeout=5)).job
    assert (job.status, job.model, job.endpoint) == (common_pb2.STATUS_QUEUED, "good", "/v1/chat/completions")
    assert job.deadline.ToDatetime() - job.created_at.ToDatetime() == timedelta(seconds=90)
    assert dict(job.metadata) == {"run": "7"}
    states = await watched(jobs, job.id)
    assert [state.status for state in states][-1] == common_pb2.STATUS_COMPLETED
    assert len({state.status for state in states}) == len(states)
    ended = states[-1]
    assert (ended.served_model, ended.attempts, ended.cost_usd) == ("good", 1, "0.000027")
    assert (ended.usage.input, ended.usage.output) == (11, 8)
    assert ended.chat.choices[0].message.content.startswith("A café")
    got = (await jobs.Get(jobs_pb2.JobsServiceGetRequest(id=job.id), metadata=bearer())).job
    assert got == ended
    result = await jobs.GetResult(jobs_pb2.JobsServiceGetResultRequest(id=job.id), metadata=bearer())
    assert result.chat == ended.chat


async def test_the_same_key_gives_the_same_job_and_never_another_ones(jobs):
    metadata = bearer(idempotency_key='"k-1"')
    first = (await jobs.Create(create(), metadata=metadata)).job
    assert (await jobs.Create(create(), metadata=bearer(idempotency_key="k-1"))).job.id == first.id
    assert await code_of(jobs.Create(create("dear"), metadata=metadata)) == (
        "ALREADY_EXISTS",
        "idempotency_key_reused",
    )
    assert (await jobs.Create(create(), metadata=bearer(OTHER, idempotency_key="k-1"))).job.id != first.id


async def test_a_job_without_a_body_is_refused(jobs):
    _, details = await failure_of(jobs.Create(jobs_pb2.JobsServiceCreateRequest(), metadata=bearer()))
    assert details[BadRequest].field_violations[0].field == "chat"


async def test_a_job_is_its_callers_alone(jobs):
    job = (await jobs.Create(create(), metadata=bearer())).job
    get = jobs_pb2.JobsServiceGetRequest(id=job.id)
    assert await code_of(jobs.Get(get, metadata=bearer(OTHER))) == ("NOT_FOUND", "job_not_found")
    watch = jobs.Watch(jobs_pb2.JobsServiceWatchRequest(id=job.id), metadata=bearer(OTHER))
    assert await code_of(watch) == ("NOT_FOUND", "job_not_found")
    assert (await jobs.Get(get, metadata=bearer(ADMIN))).job.id == job.id
    assert await code_of(jobs.Get(jobs_pb2.JobsServiceGetRequest(id="x"), metadata=bearer())) == (
        "NOT_FOUND",
        "job_not_found",
    )


async def test_a_job_that_runs_has_no_result_and_can_be_cancelled(jobs):
    job = (await jobs.Create(create("slow"), metadata=bearer())).job
    await until_running(jobs, job.id)
    call = jobs.GetResult(jobs_pb2.JobsServiceGetResultRequest(id=job.id), metadata=bearer())
    code, details = await failure_of(call)
    assert (code.name, details[ErrorInfo].reason) == ("FAILED_PRECONDITION", "job_not_finished")
    assert details[RetryInfo].retry_delay.seconds == 1
    await jobs.Cancel(jobs_pb2.JobsServiceCancelRequest(id=job.id), metadata=bearer())
    ended = (await watched(jobs, job.id))[-1]
    assert (ended.status, ended.error.code) == (common_pb2.STATUS_CANCELLED, "cancelled")
    again = jobs.Cancel(jobs_pb2.JobsServiceCancelRequest(id=job.id), metadata=bearer())
    assert await code_of(again) == ("FAILED_PRECONDITION", "job_finished")
    result = jobs.GetResult(jobs_pb2.JobsServiceGetResultRequest(id=job.id), metadata=bearer())
    assert await code_of(result) == ("CANCELLED", "cancelled")


async def until_running(jobs, job_id):
    async for seen in jobs.Watch(jobs_pb2.JobsServiceWatchRequest(id=job_id), metadata=bearer()):
        if seen.job.status == common_pb2.STATUS_IN_PROGRESS:
            return


async def test_a_failed_job_says_why(jobs):
    job = (await jobs.Create(create("rejects"), metadata=bearer())).job
    ended = (await watched(jobs, job.id))[-1]
    assert (ended.status, ended.error.code) == (common_pb2.STATUS_FAILED, "upstream_rejected")
    assert not ended.error.HasField("detail")
    result = jobs.GetResult(jobs_pb2.JobsServiceGetResultRequest(id=job.id), metadata=bearer())
    assert await code_of(result) == ("INVALID_ARGUMENT", "upstream_rejected")


async def test_jobs_are_listed_page_by_page_newest_first(jobs):
    made = [(await jobs.Create(create(), metadata=bearer())).job.id for _ in range(5)]
    await jobs.Create(create(), metadata=bearer(OTHER))
    for job_id in made:
        await watched(jobs, job_id)
    seen, after = [], ""
    while True:
        asked = jobs_pb2.JobsServiceListRequest(limit=2, after=after, status=common_pb2.STATUS_COMPLETED)
        page = await jobs.List(asked, metadata=bearer())
        assert not any(job.HasField("chat") for job in page.jobs)
        seen += [job.id for job in page.jobs]
        after = page.next_after
        if not after:
            break
    assert seen == made[::-1]
    assert len((await jobs.List(jobs_pb2.JobsServiceListRequest(), metadata=bearer(ADMIN))).jobs) == 6


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"limit": 201}, "limit"),
        ({"limit": -1}, "limit"),
        ({"status": 77}, "status"),
        ({"after": "x"}, "after"),
    ],
)
async def test_a_list_that_cannot_be_is_refused(jobs, fields, param):
    _, details = await failure_of(jobs.List(jobs_pb2.JobsServiceListRequest(**fields), metadata=bearer()))
    assert details[BadRequest].field_violations[0].field == param


# ---- requests and models -----------------------------------------------------------------------------------------
async def test_a_request_is_shown_with_its_attempts_and_its_text_to_who_may_read_it(
    channel, inference, world
):
    requests = RequestsServiceStub(channel)
    served = (await inference.Chat(chat("assistant"), metadata=bearer(x_client_request_id="mine"))).served
    await until(lambda: not len(world.exchanges))
    asked = requests_pb2.RequestsServiceGetRequest(id=served.request_id)
    own = (await requests.Get(asked, metadata=bearer())).request
    assert (own.id, own.model, own.served_model, own.caller, own.door) == (
        served.request_id,
        "assistant",
        "good",
        "agent-1",
        "grpc",
    )
    assert (own.status, own.mode) == (common_pb2.STATUS_COMPLETED, requests_pb2.MODE_SYNC)
    assert [a.outcome for a in own.attempts] == [requests_pb2.OUTCOME_FAILED, requests_pb2.OUTCOME_SUCCEEDED]
    assert own.attempts[0].error.code == "upstream_unavailable"
    assert not own.attempts[0].error.HasField("detail")
    assert own.decision
    assert list(own.candidates) == ["down", "good"]
    assert own.timings.total_ms > 0
    assert own.client_request_id == "mine"
    assert not own.HasField("prompt")
    full = (await requests.Get(asked, metadata=bearer(ADMIN))).request
    assert '"content":"Hello"' in full.prompt
    assert "café" in full.answer
    assert full.attempts[0].error.status == 503
    assert await code_of(requests.Get(asked, metadata=bearer(OTHER))) == ("NOT_FOUND", "request_not_found")


async def test_requests_are_listed_by_what_is_asked(channel, inference, world):
    requests = RequestsServiceStub(channel)
    for model, key in (("good", KEY), ("dear", KEY), ("good", OTHER)):
        await inference.Chat(chat(model), metadata=bearer(key))
    await until(lambda: not len(world.exchanges))

    async def count(key=KEY, **fields):
        asked = requests_pb2.RequestsServiceListRequest(**fields)
        return len((await requests.List(asked, metadata=bearer(key))).requests)

    assert await count() == 2
    assert await count(ADMIN) == 3
    assert await count(ADMIN, caller="agent-2") == 1
    assert await count(model="dear") == 1
    assert await count(status=common_pb2.STATUS_FAILED) == 0
    ago = Timestamp()
    ago.FromDatetime(datetime.now(UTC) - timedelta(hours=2))
    hour = Timestamp()
    hour.FromDatetime(datetime.now(UTC) - timedelta(hours=1))
    assert await count(since=ago, until=hour) == 0
    page = await requests.List(requests_pb2.RequestsServiceListRequest(limit=1), metadata=bearer())
    asked = requests_pb2.RequestsServiceListRequest(limit=1, after=page.next_after)
    assert (await requests.List(asked, metadata=bearer())).requests[0].id != page.requests[0].id
    beyond = requests_pb2.RequestsServiceListRequest(since=Timestamp(seconds=10**15))
    assert await code_of(requests.List(beyond, metadata=bearer())) == ("INVALID_ARGUMENT", "invalid_request")


async def test_models_are_what_this_caller_may_use(channel, world):
    models = ModelsServiceStub(channel)
    world.identity.callers = {
        KEY: replace(world.identity.callers[KEY], models=frozenset({"good", "assistant"}))
    }
    listed = (await models.List(models_pb2.ModelsServiceListRequest(), metadata=bearer())).models
    assert [(offer.id, offer.owned_by) for offer in listed] == [
        ("assistant", "llm-gateway"),
        ("auto", "llm-gateway"),
        ("good", "scripted"),
    ]
    one = (await models.Get(models_pb2.ModelsServiceGetRequest(id="good"), metadata=bearer())).model
    assert one == listed[2]
    for name in ("dear", "nobody"):
        call = models.Get(models_pb2.ModelsServiceGetRequest(id=name), metadata=bearer())
        assert await code_of(call) == ("NOT_FOUND", "model_not_found")


async def test_a_job_that_is_not_known_is_not_watched(jobs):
    call = jobs.Watch(jobs_pb2.JobsServiceWatchRequest(id=new_id()), metadata=bearer())
    assert await code_of(call) == ("NOT_FOUND", "job_not_found")
