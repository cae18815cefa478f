"""JobsService: work that is handed over and asked for later."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec

from api.rpc.answered import chat_chunk
from api.rpc.common import STATUS, failure_message, tokens
from api.rpc.door import Call
from api.rpc.kinds.jobs import job_body, job_result
from api.rpc.values import decimal, limit_of, moment, seconds, struct_of, timestamp, word_of
from api.service.deliveries import DeliveriesService
from api.service.forms.job import job_ask
from api.service.jobs import JobsService, Output
from gateway.domain.delivery import Delivery, Destination
from gateway.domain.errors import InvalidRequest
from gateway.domain.jobs import Job
from gateway.jobcalls import BEGUN_ANEW
from gateway.storage.ports import JobFilter, KeptAnswer
from gateway.v1 import jobs_pb2 as pb


class JobsServicer:
    """Takes jobs, tells of them, cancels them."""

    def __init__(self, jobs: JobsService, deliveries: DeliveriesService) -> None:
        """`jobs` does the work, `deliveries` what follows it."""
        self._jobs = jobs
        self._deliveries = deliveries

    async def create(self, call: Call, request: pb.JobsServiceCreateRequest) -> pb.JobsServiceCreateResponse:
        """Accept a job."""
        # The rpc's own deadline is for its acceptance.
        hints = replace(call.hints, deadline=None)
        ask = job_ask(_body(request), hints, door="grpc")
        job = await self._jobs.create(call.caller, ask)
        if request.HasField("wait"):
            wait = seconds(request.wait)
            if wait < 0:
                raise InvalidRequest("`wait` must not be less than nothing.", param="wait")
            return pb.JobsServiceCreateResponse(
                job=await self._whole(await self._jobs.wait(job, timedelta(seconds=wait)))
            )
        return pb.JobsServiceCreateResponse(job=job_message(job))

    async def get(self, call: Call, request: pb.JobsServiceGetRequest) -> pb.JobsServiceGetResponse:
        """One job, with its result when it is completed."""
        return pb.JobsServiceGetResponse(job=await self._whole(await self._jobs.get(call.caller, request.id)))

    async def get_result(
        self, call: Call, request: pb.JobsServiceGetResultRequest
    ) -> pb.JobsServiceGetResultResponse:
        """The answer alone."""
        kept = await self._jobs.result(call.caller, request.id)
        job = await self._jobs.get(call.caller, request.id)
        return pb.JobsServiceGetResultResponse(**job_result(job.endpoint, kept))

    async def delete(self, call: Call, request: pb.JobsServiceDeleteRequest) -> pb.JobsServiceDeleteResponse:
        """Forget a job that has ended."""
        await self._jobs.delete(call.caller, request.id)
        return pb.JobsServiceDeleteResponse()

    async def cancel(self, call: Call, request: pb.JobsServiceCancelRequest) -> pb.JobsServiceCancelResponse:
        """Ask for the job's end; its status says when it has come."""
        return pb.JobsServiceCancelResponse(job=job_message(await self._jobs.cancel(call.caller, request.id)))

    async def list(self, call: Call, request: pb.JobsServiceListRequest) -> pb.JobsServiceListResponse:
        """Jobs newest first."""
        wanted = JobFilter(
            caller=request.caller or None,
            status=word_of(STATUS, request.status, "status"),
            endpoint=request.endpoint or None,
            model=request.model or None,
            since=moment(request.since, "since") if request.HasField("since") else None,
            until=moment(request.until, "until") if request.HasField("until") else None,
        )
        page = await self._jobs.find(
            call.caller,
            wanted,
            limit=limit_of(request.limit),
            after=request.after or None,
        )
        rows = [job_message(job) for job in page.rows]
        return pb.JobsServiceListResponse(jobs=rows, next_after=page.next_after or "")

    async def watch(
        self, call: Call, request: pb.JobsServiceWatchRequest
    ) -> AsyncGenerator[pb.JobsServiceWatchResponse, None]:
        """The job at once and with every change, at last with its result."""
        call.only_watches()
        after = request.after if request.HasField("after") else -1
        async with aclosing(self._jobs.events(call.caller, request.id, after)) as events:
            async for each in events:
                if isinstance(each, Output):
                    yield pb.JobsServiceWatchResponse(output=_output(each))
                else:
                    yield pb.JobsServiceWatchResponse(job=await self._whole(each))

    async def redeliver(
        self, call: Call, request: pb.JobsServiceRedeliverRequest
    ) -> pb.JobsServiceRedeliverResponse:
        """Tell of a job once more."""
        begun = await self._deliveries.redeliver(call.caller, request.id, request.channel or None)
        return pb.JobsServiceRedeliverResponse(
            job_id=begun.job_id, event_id=begun.event_id, channels=begun.channels
        )

    async def _whole(self, job: Job) -> pb.Job:
        return job_message(job, await self._jobs.result_of(job), await self._deliveries.of(job))


def _output(output: Output) -> pb.JobsServiceWatchResponse.Output:
    said = pb.JobsServiceWatchResponse.Output(number=output.number, name=output.name)
    data = msgspec.json.decode(output.data, type=dict[str, Any])
    if output.name == BEGUN_ANEW:
        said.name, said.begun_anew = "", data["attempt"]
    elif data.get("object") == "chat.completion.chunk":
        said.chunk.CopyFrom(chat_chunk(output.data))
    else:
        said.data.CopyFrom(struct_of(data))
    return said


def _body(request: pb.JobsServiceCreateRequest) -> bytes:
    """The body that `POST /api/v1/jobs` would have got."""
    body: dict[str, object] = {**job_body(request), "metadata": dict(request.metadata)}
    if request.HasField("deadline"):
        body["deadline_s"] = seconds(request.deadline)
    if request.HasField("deliver"):
        body["deliver"] = _deliver(request.deliver)
    if request.priority:
        body["priority"] = request.priority
    if request.HasField("not_before"):
        body["not_before"] = moment(request.not_before, "not_before")
    return msgspec.json.encode(body)


def _deliver(deliver: pb.Deliver) -> dict[str, object]:
    """What REST would have said: an empty text is one that was left out."""
    said: dict[str, object] = {}
    if deliver.HasField("webhook"):
        said["webhook"] = {"url": deliver.webhook.url, "secret": deliver.webhook.secret or None}
    if deliver.HasField("nats"):
        said["nats"] = {"subject": deliver.nats.subject, "trace_id": deliver.nats.trace_id or None}
    return said


def job_message(job: Job, result: KeptAnswer | None = None, deliveries: Sequence[Delivery] = ()) -> pb.Job:
    """A job as we show it."""
    return pb.Job(
        id=job.id,
        status=STATUS[job.status],
        endpoint=job.endpoint,
        kind=job.kind,
        model=job.model,
        served_model=job.served_model or "",
        created_at=timestamp(job.created_at),
        started_at=timestamp(job.started_at),
        completed_at=timestamp(job.completed_at),
        deadline=timestamp(job.deadline),
        attempts=job.attempts,
        usage=tokens(job.usage),
        cost_usd=decimal(job.cost_usd),
        error=failure_message(job.failure, operator=False),
        metadata=dict(job.metadata),
        deliver={channel: there.target for channel, there in job.deliver.items()},
        destinations=[_destination(channel, there) for channel, there in sorted(job.deliver.items())],
        deliveries=[_delivery(each) for each in deliveries],
        workflow_id=job.id,
        trace_id=job.trace_id,
        priority=job.priority,
        not_before=timestamp(job.not_before),
        **job_result(job.endpoint, result),
    )


def _destination(channel: str, there: Destination) -> pb.Destination:
    return pb.Destination(
        channel=channel, target=there.target, trace_id=there.trace_id, has_secret=there.has_secret
    )


def _delivery(each: Delivery) -> pb.Delivery:
    return pb.Delivery(
        channel=each.channel,
        target=each.target,
        number=each.number,
        at=timestamp(each.at),
        outcome=each.outcome.value,
        status=each.status,
        code=each.code or "",
        message=each.message or "",
        next_at=timestamp(each.next_at),
        by_hand=each.by_hand,
        took_ms=each.took_ms,
    )
