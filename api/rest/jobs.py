"""`/api/v1/jobs`: work that is handed over and asked for later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse
from starlette.types import Send

from api.auth import authenticate
from api.headers import hints_of
from api.rest import http
from api.rest.described import DELIVER, IDEMPOTENCY_KEY
from api.rest.wire import JobShape, JobsPage, job_shape
from api.service.deliveries import DeliveriesService
from api.service.forms.job import ENDPOINTS, job_ask
from api.service.jobs import JobsService, Output
from gateway.domain.errors import InvalidRequest
from gateway.domain.identity import Caller
from gateway.domain.inference import Status
from gateway.domain.jobs import Job
from gateway.identity import Identify
from gateway.jobcalls import BEGUN_ANEW
from gateway.settings import Api
from gateway.storage.ports import JobFilter

_LONGEST_NUMBER = 9
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["endpoint", "body"],
                "additionalProperties": False,
                "properties": {
                    "endpoint": {"type": "string", "enum": list(ENDPOINTS)},
                    "body": {"type": "object", "description": "What would be posted to the endpoint."},
                    "deadline_s": {
                        "type": "number",
                        "exclusiveMinimum": 0,
                        "description": "From its acceptance on, or from `not_before`.",
                    },
                    "priority": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": 5,
                        "default": 3,
                        "description": "1 goes first where workers are few.",
                    },
                    "not_before": {
                        "type": "string",
                        "format": "date-time",
                        "description": "It does not begin before this moment; it can be cancelled meanwhile.",
                    },
                    "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                    "deliver": DELIVER,
                },
            }
        }
    },
}

_DESCRIBED: dict[str, Any] = {"parameters": [IDEMPOTENCY_KEY], "requestBody": _BODY}


async def send_accepted(send: Send, job: Job, preferences: str) -> None:
    """Answer 202 with the job and where it is found; `preferences` are those that were applied."""
    headers = [http.JSON, *accepted_headers(job, preferences)]
    await http.send_whole(send, 202, headers, job_shape(job).model_dump_json().encode())


def accepted_headers(job: Job, preferences: str = "") -> list[http.Header]:
    """What a job that was accepted is told with."""
    headers = [
        (b"location", f"/api/v1/jobs/{job.id}".encode()),
        (b"x-gateway-workflow-id", job.id.encode()),
        (b"x-gateway-durability", b"start-first"),
    ]
    return [*headers, (b"preference-applied", preferences.encode())] if preferences else headers


def _after(last_event_id: str | None) -> int:
    """The number of the last event that the caller has seen. Raises InvalidRequest for what is none."""
    if last_event_id is None:
        return -1
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= _LONGEST_NUMBER):
        raise InvalidRequest(
            "`Last-Event-ID` must be the id of an event as it was given.", param="Last-Event-ID"
        )
    return int(last_event_id)


def _state(job: Job) -> bytes:
    return b"event: job\ndata: " + job_shape(job).model_dump_json().encode() + b"\n\n"


def _output(output: Output) -> bytes:
    name = b"begun_anew" if output.name == BEGUN_ANEW else b"output"
    data = b"".join(b"data: %s\n" % line for line in output.data.split(b"\n"))
    return b"id: %d\nevent: %s\n%s\n" % (output.number, name, data)


def waited(wait: timedelta, service: JobsService) -> str:
    """The preference that was applied: a wait is no longer than the settings allow."""
    return f"wait={min(wait, service.max_wait).total_seconds():.0f}"


class JobsAsked(BaseModel):
    """Which jobs are asked for."""

    model_config = ConfigDict(extra="forbid")

    caller: str | None = None
    status: Status | None = None
    endpoint: str | None = None
    model: str | None = Field(None, description="As it was asked for, or which served.")
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    after: str | None = None


def router(
    identity: Identify, service: JobsService, deliveries: DeliveriesService, settings: Api
) -> APIRouter:
    """The routes of jobs."""
    routes = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    async def who(request: Request) -> Caller:
        return await authenticate(identity, request.scope["gateway"]["headers"])

    @routes.post("", status_code=202, response_model=JobShape, openapi_extra=_DESCRIBED)
    async def create(request: Request) -> Response:
        """Accept a job; `Idempotency-Key` makes it safe to send again, `Prefer: wait=N` waits for its end."""
        caller = await who(request)
        door: dict[str, Any] = request.scope["gateway"]
        headers: Mapping[str, str] = door["headers"]
        raw = await http.read_body(request.receive, headers, settings.body_limit, settings.body_timeout)
        hints = hints_of(headers, door["span"], door["request_id"])
        ask = job_ask(raw, hints, door="rest")
        job = await service.create(caller, ask)
        wait, applied = http.wait_of(headers), ""
        if wait is not None:
            async with http.cancelled_when_gone(request.receive, http.no_tick, 60.0):
                job, applied = await service.wait(job, wait), waited(wait, service)
        done = wait is not None and job.status.terminal
        shape = job_shape(job, await service.result_of(job) if done else None)
        answer = Response(shape.model_dump_json(), 200 if done else 202, media_type="application/json")
        answer.raw_headers.extend(accepted_headers(job, applied))
        return answer

    @routes.get("")
    async def find(
        request: Request,
        asked: Annotated[JobsAsked, Query()],
    ) -> JobsPage:
        """Jobs newest first: one's own, or everyone's with the right `jobs.all`."""
        wanted = JobFilter(asked.caller, asked.status, asked.endpoint, asked.model, asked.since, asked.until)
        page = await service.find(await who(request), wanted, limit=asked.limit, after=asked.after)
        return JobsPage(data=[job_shape(job) for job in page.rows], next_after=page.next_after)

    @routes.get("/{job_id}")
    async def get(request: Request, job_id: str) -> JobShape:
        """One job, with its result when it is completed."""
        job = await service.get(await who(request), job_id)
        return job_shape(job, await service.result_of(job), await deliveries.of(job))

    @routes.get("/{job_id}/result")
    async def result(request: Request, job_id: str) -> Response:
        """The model's answer as it came, sound as sound; 409 while there is none, the job's error if it failed."""
        kept = await service.result(await who(request), job_id)
        return Response(kept.body, media_type=http.content_type(kept.media_type))

    @routes.get("/{job_id}/events")
    async def events(request: Request, job_id: str) -> StreamingResponse:
        """The job's states as server-sent events, until it has ended; of one that streams, its output too.

        An event `output` has a number as its id: `Last-Event-ID` goes on after it, on any replica. `begun_anew` voids
        the output before it.
        """
        caller = await who(request)
        after = _after(request.headers.get("last-event-id"))
        await service.get(caller, job_id)  # what is wrong is said by a status, not in a stream

        async def told() -> AsyncIterator[bytes]:
            async with aclosing(service.events(caller, job_id, after)) as events:
                async for each in events:
                    yield _output(each) if isinstance(each, Output) else _state(each)

        return StreamingResponse(
            told(),
            media_type="text/event-stream",
            headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
        )

    @routes.delete("/{job_id}", status_code=204)
    async def delete(request: Request, job_id: str) -> None:
        """Forget a job that has ended, with its answer; 409 while it has not. Its row in the ledger stays."""
        await service.delete(await who(request), job_id)

    @routes.post("/{job_id}/cancel", status_code=202)
    async def cancel(request: Request, job_id: str) -> JobShape:
        """Ask for the job's end; its status says when it has come."""
        return job_shape(await service.cancel(await who(request), job_id))

    return routes
