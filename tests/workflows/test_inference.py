"""The story of a request, as the workflow tells it; time-outs pass in no time on the time-skipping server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import EventType, IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from gateway import decisions
from gateway.attempt import Stream, Try
from gateway.domain.errors import ModelNotFound, UpstreamAuth, UpstreamRejected, UpstreamUnavailable
from gateway.domain.inference import Choice, InferenceRequest, Mode, Outcome, Status
from gateway.providers.ports import Reply
from gateway.temporal.client import SEARCH_ATTRIBUTES
from tests.builders import QUICK, a_job, a_request, raw
from tests.servers import binary
from tests.waits import until
from tests.workflows.harness import CONVERTER, a_process, resting, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    env = await WorkflowEnvironment.start_time_skipping(
        data_converter=CONVERTER, test_server_existing_path=binary("temporal-test-server")
    )
    async with env:
        attributes = {key.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD for key in SEARCH_ATTRIBUTES}
        await env.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=env.client.namespace, search_attributes=attributes)
        )
        yield env


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(temporal_address: str) -> Client:
    """On the real server: there a worker that is busy is not taken for time that may be skipped."""
    return await Client.connect(temporal_address, data_converter=CONVERTER)


async def story(handle: WorkflowHandle) -> list[str]:
    """The names of the activities in the history, as an operator reads them."""
    told: list[str] = []
    async for event in handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            told.append(event.activity_task_scheduled_event_attributes.activity_type.name)
        if event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED:
            data = event.marker_recorded_event_attributes.details["data"].payloads[0].data
            told.append(str(data).split('"activity_type":"')[1].split('"')[0])
    return told


async def begun(handle: WorkflowHandle) -> bool:
    """Whether a worker has taken the workflow up."""
    events = (await handle.fetch_history()).events
    return any(event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED for event in events)


async def test_a_caller_is_answered_and_the_request_recorded(client: Client):
    async with serving(a_process(client)) as process:
        exchange = process.exchange(a_request())
        handle = await process.start(exchange.request)
        reply = await exchange.opened
        assert isinstance(reply, Reply)
        settlement = await handle.result()
    assert b"chat.completion" in reply.body
    assert settlement.status is Status.COMPLETED
    record = await process.store.requests.get(exchange.request.id, with_text=True)
    assert record is not None
    assert record.settlement == settlement
    assert record.prompt == exchange.request.body
    assert record.answer == reply.body.decode()
    assert await story(handle) == ["attempt", "record"]


async def test_a_failing_model_is_followed_by_the_next_and_the_history_tells_it(client: Client):
    async with serving(a_process(client)) as process:
        exchange = process.exchange(a_request(candidates=("down", "good")))
        handle = await process.start(exchange.request)
        await exchange.opened
        settlement = await handle.result()
    assert [(a.model, a.outcome) for a in settlement.attempts] == [
        ("down", Outcome.FAILED),
        ("good", Outcome.SUCCEEDED),
    ]
    assert settlement.attempts[1].reason == "fallback after down failed: upstream_unavailable"
    assert await story(handle) == ["attempt", "route", "attempt", "record"]


async def test_a_lone_model_that_fails_twice_is_tried_a_third_time(client: Client):
    async with serving(a_process(client)) as process:
        exchange = process.exchange(a_request(candidates=("recovers",)))
        handle = await process.start(exchange.request)
        await exchange.opened
        assert len((await handle.result()).attempts) == 3


@pytest.mark.parametrize(
    ("candidates", "error", "attempts"),
    [
        (("down",), UpstreamUnavailable, 3),
        (("rejects", "good"), UpstreamRejected, 1),
        (("gone",), ModelNotFound, 1),
        (("locked",), UpstreamAuth, 1),
        (("locked", "rejects", "good"), UpstreamRejected, 2),
    ],
)
async def test_the_caller_hears_why_nothing_more_is_tried(
    client: Client, candidates: tuple[str, ...], error: type[Exception], attempts: int
):
    async with serving(a_process(client)) as process:
        exchange = process.exchange(a_request(candidates=candidates))
        handle = await process.start(exchange.request)
        with pytest.raises(error):
            await exchange.opened
        settlement = await handle.result()
    assert settlement.status is Status.FAILED
    assert len(settlement.attempts) == attempts


async def test_a_caller_who_leaves_is_settled_as_cancelled(client: Client):
    async with serving(a_process(client)) as process:
        exchange = process.exchange(a_request(candidates=("hangs",)))
        handle = await process.start(exchange.request)
        while not process.provider.upstream.numbered:  # noqa: ASYNC110  the double has no event to wait for
            await asyncio.sleep(0.02)
        await exchange.leave()
        settlement = await handle.result()
    assert settlement.status is Status.CANCELLED
    assert settlement.attempts[0].usage is not None
    assert settlement.attempts[0].usage.estimated


async def test_a_stream_is_settled_when_it_has_been_read(client: Client):
    async with serving(a_process(client)) as process:
        exchange = process.exchange(a_request(mode=Mode.STREAM))
        handle = await process.start(exchange.request)
        stream = await exchange.opened
        assert isinstance(stream, Stream)
        events = [event async for event in stream.events()]
        settlement = await handle.result()
    assert len(events) > 2
    assert settlement.status is Status.COMPLETED
    assert settlement.attempts[0].first_token_ms is not None


async def test_a_workflow_that_runs_elsewhere_reaches_the_callers_process(client: Client):
    here = a_process(client, "here")
    # Two processes have two clients: one client runs one worker for a queue.
    other = await Client.connect(client.service_client.config.target_host, data_converter=CONVERTER)
    elsewhere = a_process(other, "elsewhere", here.store)
    request = a_request()
    exchange = here.exchange(request)
    async with serving(elsewhere):
        handle = await here.start(request)
        await until(lambda: begun(handle))
        # It has begun elsewhere, and looks for the caller by the queue of this process.
        async with serving(here):
            await exchange.opened
            settlement = await handle.result()
    assert settlement.status is Status.COMPLETED
    assert await story(handle) == ["attempt", "attempt", "record", "record"]


@pytest.mark.slow
async def test_the_request_of_a_dead_process_is_closed_as_abandoned_without_a_second_call(
    environment: WorkflowEnvironment,
):
    async with serving(a_process(environment.client, "elsewhere")) as process:
        deadline = await environment.get_current_time() + timedelta(minutes=5)
        handle = await process.start(a_request(origin="dead", deadline=deadline))
        settlement = await handle.result()
    assert settlement.status is Status.FAILED
    assert [a.outcome for a in settlement.attempts] == [Outcome.ABANDONED]
    assert settlement.cost_usd is None
    assert process.provider.upstream.numbered == 0
    record = await process.store.requests.get(settlement.request_id, with_text=True)
    assert record is not None
    assert record.prompt is not None


async def test_a_request_that_was_settled_by_its_process_is_not_settled_again(client: Client):
    async with serving(a_process(client)) as process:
        request = a_request()
        exchange = process.exchange(request)
        handle = await process.start(request)
        first = await handle.result()
        again = await process.client.start_workflow(
            "Inference",
            request,
            id=f"{request.id}-again",
            task_queue="gateway-requests",
            result_type=type(first),
        )
        assert await again.result() == first
    assert exchange.settled.is_set()


async def test_a_job_is_called_by_a_worker_and_its_answer_kept(client: Client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        handle = await process.start(a_job(candidates=("down", "good")))
        settlement = await handle.result()
    assert settlement.status is Status.COMPLETED
    job = await process.store.jobs.get(settlement.request_id)
    assert job is not None
    assert (job.status, job.attempts, job.served_model) == (Status.COMPLETED, 2, "good")
    assert await process.store.claims.result(job.id) is not None
    assert await story(handle) == ["begin", *["route", "call_model"] * 2, "record"]


async def test_an_answer_that_was_kept_is_never_paid_again(client: Client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        request = a_job()
        await process.store.claims.claim(request.id, 1, "a worker that died after it had kept the answer")
        done, reply = await process.attempts.complete(_try(request))
        assert reply is not None
        await process.store.claims.answer(request.id, done, reply.body)
        calls = process.provider.upstream.numbered
        settlement = await (await process.start(request)).result()
    assert settlement.status is Status.COMPLETED
    assert process.provider.upstream.numbered == calls


@pytest.mark.parametrize(("retry", "status"), [(True, Status.COMPLETED), (False, Status.FAILED)])
async def test_a_call_whose_worker_died_is_interrupted_and_made_again_by_setting(
    client: Client,
    retry: bool,
    status: Status,
):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        request = a_job(limits=replace(QUICK, retry_interrupted=retry))
        await process.store.claims.claim(request.id, 1, "a worker that died in the middle of the call")
        settlement = await (await process.start(request)).result()
    assert settlement.status is status
    assert settlement.attempts[0].outcome is Outcome.INTERRUPTED
    assert settlement.attempts[0].cost_usd is None
    assert len(settlement.attempts) == (2 if retry else 1)


async def test_a_cancelled_job_ends_its_call(client: Client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        handle = await process.start(a_job(candidates=("hangs",)))
        while not process.provider.upstream.numbered:  # noqa: ASYNC110  the double has no event to wait for
            await asyncio.sleep(0.02)
        await handle.cancel()
        settlement = await handle.result()
    assert settlement.status is Status.CANCELLED
    assert [a.outcome for a in settlement.attempts] == [Outcome.CANCELLED]
    job = await process.store.jobs.get(settlement.request_id)
    assert job is not None
    assert job.status is Status.CANCELLED


async def test_a_job_waits_out_an_outage_and_expires_at_its_deadline(environment: WorkflowEnvironment):
    async with serving(a_process(environment.client), jobs=True, callers=False) as process:
        limits = replace(
            QUICK, attempts=1000, backoff_initial=timedelta(minutes=10), backoff_max=timedelta(hours=1)
        )
        now = await environment.get_current_time()
        request = a_job(candidates=("down",), limits=limits, deadline=now + timedelta(hours=3))
        settlement = await (await process.start(request)).result()
    assert settlement.decision[-1] == "the deadline would pass before the next attempt"
    assert 3 < len(settlement.attempts) < 20


async def test_a_job_waits_out_an_outage_of_hours_and_is_done_after_it(environment: WorkflowEnvironment):
    process = a_process(environment.client, live=resting("good", looks=90))
    async with serving(process, jobs=True, callers=False):
        now = await environment.get_current_time()
        handle = await process.start(a_job(accepted_at=now, deadline=now + timedelta(hours=20)))
        settlement = await handle.result()
    assert (settlement.status, len(settlement.attempts)) == (Status.COMPLETED, 1)
    assert settlement.finished_at - now > timedelta(hours=1)


async def test_a_job_does_not_begin_before_its_time(environment: WorkflowEnvironment):
    process = a_process(environment.client)
    async with serving(process, jobs=True, callers=False):
        now = await environment.get_current_time()
        begins = now + timedelta(days=30)
        handle = await process.start(
            a_job(accepted_at=now, not_before=begins, deadline=begins + timedelta(minutes=1))
        )
        settlement = await handle.result()
    assert settlement.status is Status.COMPLETED
    assert timedelta(0) <= settlement.finished_at - begins < timedelta(seconds=30)
    job = await process.store.jobs.get(settlement.request_id)
    assert job is not None
    assert job.started_at is not None
    assert job.started_at >= begins
    assert await story(handle) == ["begin", "begin", "route", "call_model", "record"]


async def test_a_job_whose_time_has_come_before_it_was_accepted_begins_at_once(client: Client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        handle = await process.start(a_job(not_before=datetime.now(UTC) - timedelta(hours=1)))
        assert (await handle.result()).status is Status.COMPLETED
    assert await story(handle) == ["begin", "route", "call_model", "record"]


async def test_a_job_is_queued_until_its_time_has_come_and_can_be_cancelled_meanwhile(client: Client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        handle = await process.start(a_job(not_before=datetime.now(UTC) + timedelta(hours=1)))
        while (job := await process.store.jobs.get(handle.id)) is None:  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.02)
        assert job.status is Status.QUEUED
        await handle.cancel()
        settlement = await handle.result()
        job = await process.store.jobs.get(handle.id)
    assert (settlement.status, settlement.attempts) == (Status.CANCELLED, ())
    assert job is not None
    assert (job.status, job.started_at) == (Status.CANCELLED, None)
    assert not process.provider.upstream.numbered


async def test_a_job_is_cancelled_while_it_waits_for_a_model(client: Client):
    process = a_process(client, live=resting("good", looks=10**6))
    async with serving(process, jobs=True, callers=False):
        handle = await process.start(a_job())
        while "route" not in await story(handle):  # noqa: ASYNC110  a history only grows
            await asyncio.sleep(0.02)
        await handle.cancel()
        settlement = await handle.result()
    assert (settlement.status, settlement.attempts) == (Status.CANCELLED, ())


async def test_a_job_waits_until_a_model_can_be_called(environment: WorkflowEnvironment):
    process = a_process(environment.client, live=resting("good", looks=3))
    async with serving(process, jobs=True, callers=False):
        now = await environment.get_current_time()
        handle = await process.start(a_job(accepted_at=now, deadline=now + timedelta(minutes=5)))
        settlement = await handle.result()
    assert settlement.status is Status.COMPLETED
    assert [a.model for a in settlement.attempts] == ["good"]
    assert await story(handle) == ["begin", *["route"] * 4, "call_model", "record"]
    assert timedelta(seconds=3) < settlement.finished_at - now < timedelta(seconds=20)
    seen = [decisions.read(told) for told in settlement.decisions]
    assert [each.model for each in seen if each is not None] == [None, None, None, "good"]


async def test_a_job_that_waits_for_a_model_in_vain_expires_at_its_deadline(environment: WorkflowEnvironment):
    process = a_process(environment.client, live=resting("good", looks=10**6))
    async with serving(process, jobs=True, callers=False):
        now = await environment.get_current_time()
        handle = await process.start(a_job(accepted_at=now, deadline=now + timedelta(hours=20)))
        settlement = await handle.result()
    assert settlement.failure is not None
    assert (settlement.status, settlement.failure.code) == (Status.EXPIRED, "deadline_exceeded")
    assert settlement.attempts == ()
    routes = (await story(handle)).count("route")
    assert 50 < routes < 200, "it looks often at first and seldom later"


async def test_a_job_whose_only_model_refuses_the_key_fails_at_once_and_waits_for_nothing(client: Client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        settlement = await (await process.start(a_job(model="locked", candidates=("locked",)))).result()
    assert settlement.failure is not None
    assert (settlement.status, settlement.failure.code) == (Status.FAILED, "upstream_auth")
    assert len(settlement.attempts) == 1


async def test_a_job_whose_model_refuses_the_key_is_done_by_the_next(client: Client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        settlement = await (await process.start(a_job(model="any", candidates=("locked", "good")))).result()
    assert settlement.status is Status.COMPLETED
    assert [each.model for each in settlement.attempts] == ["locked", "good"]


async def test_a_job_whose_model_has_left_fails_and_says_so(client: Client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        settlement = await (await process.start(a_job(model="gone", candidates=("gone",)))).result()
    assert settlement.failure is not None
    assert (settlement.status, settlement.failure.code) == (Status.FAILED, "model_not_found")


async def test_a_fallback_is_decided_on_what_is_there_now(client: Client):
    """The second candidate rests since the request was accepted: it is passed over, and the decision says why."""
    process = a_process(client, live=resting("recovers", looks=10**6))
    async with serving(process):
        exchange = process.exchange(a_request(candidates=("down", "recovers", "good")))
        handle = await process.start(exchange.request)
        assert isinstance(await exchange.opened, Reply)
        settlement = await handle.result()
    assert [a.model for a in settlement.attempts] == ["down", "good"]
    (told,) = settlement.decisions
    decision = decisions.read(told)
    assert decision is not None
    assert set(decision.passed_over) == {"down", "recovers"}


def _try(request: InferenceRequest) -> Try:
    return Try(request, raw(), 1, Choice("good", "first choice"))
