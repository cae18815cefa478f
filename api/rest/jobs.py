"""`/api/v1/jobs`: work that is handed over and asked for later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Send

from api.auth import authenticate
from api.headers import hints_of
from api.rest import http
from api.rest.described import DELIVER, IDEMPOTENCY_KEY
from api.rest.wire import JobShape, JobsPage, job_shape
from api.service.deliveries import DeliveriesService
from api.service.forms.job import ENDPOINTS, job_ask
from api.service.jobs import JobsService
from gateway.domain.identity import Caller
from gateway.domain.inference import Status
from gateway.domain.jobs import Job
from gateway.identity import Identify
from gateway.settings import Api

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
                    "deadline_s": {"type": "number", "exclusiveMinimum": 0},
                    "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                    "deliver": DELIVER,
                },
            }
        }
    },
}

_DESCRIBED: dict[str, Any] = {"parameters": [IDEMPOTENCY_KEY], "requestBody": _BODY}


async def send_accepted(send: Send, job: Job, *, preferred: bool) -> None:
    """Answer 202 with the job and where it is found."""
    headers = [http.JSON, *_accepted(job, preferred=preferred)]
    await http.send_whole(send, 202, headers, job_shape(job).model_dump_json().encode())


def _accepted(job: Job, *, preferred: bool) -> list[http.Header]:
    headers = [
        (b"location", f"/api/v1/jobs/{job.id}".encode()),
        (b"x-gateway-workflow-id", job.id.encode()),
        (b"x-gateway-durability", b"start-first"),
    ]
    return [*headers, (b"preference-applied", b"respond-async")] if preferred else headers


def router(
    identity: Identify, service: JobsService, deliveries: DeliveriesService, settings: Api
) -> APIRouter:
    """The routes of jobs."""
    routes = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    async def who(request: Request) -> Caller:
        return await authenticate(identity, request.scope["gateway"]["headers"])

    @routes.post("", status_code=202, response_model=JobShape, openapi_extra=_DESCRIBED)
    async def create(request: Request) -> Response:
        """Accept a job; `Idempotency-Key` makes it safe to send again."""
        caller = await who(request)
        door: dict[str, Any] = request.scope["gateway"]
        headers: Mapping[str, str] = door["headers"]
        raw = await http.read_body(request.receive, headers, settings.body_limit, settings.body_timeout)
        hints = hints_of(headers, door["span"], door["request_id"])
        ask = job_ask(raw, hints, door="rest")
        job = await service.create(caller, ask)
        answer = Response(job_shape(job).model_dump_json(), 202, media_type="application/json")
        answer.raw_headers.extend(_accepted(job, preferred=False))
        return answer

    @routes.get("")
    async def find(
        request: Request,
        status: Status | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        after: str | None = None,
    ) -> JobsPage:
        """Jobs newest first: one's own, or everyone's with the right `jobs.all`."""
        page = await service.find(await who(request), status=status, limit=limit, after=after)
        return JobsPage(data=[job_shape(job) for job in page.rows], next_after=page.next_after)

    @routes.get("/{job_id}")
    async def get(request: Request, job_id: str) -> JobShape:
        """One job, with its result when it is completed."""
        job = await service.get(await who(request), job_id)
        return job_shape(job, await service.result_of(job), await deliveries.of(job))

    @routes.get("/{job_id}/result")
    async def result(request: Request, job_id: str) -> Response:
        """The model's answer as it came; 409 while there is none, the job's error if it failed."""
        return Response(await service.result(await who(request), job_id), media_type="application/json")

    @routes.get("/{job_id}/events")
    async def events(request: Request, job_id: str) -> StreamingResponse:
        """The job's states as server-sent events, until it has ended."""
        caller = await who(request)
        await service.get(caller, job_id)  # what is wrong is said by a status, not in a stream

        async def states() -> AsyncIterator[bytes]:
            async for job in service.watch(caller, job_id):
                yield b"event: job\ndata: " + job_shape(job).model_dump_json().encode() + b"\n\n"

        return StreamingResponse(
            states(),
            media_type="text/event-stream",
            headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
        )

    @routes.post("/{job_id}/cancel", status_code=202)
    async def cancel(request: Request, job_id: str) -> JobShape:
        """Ask for the job's end; its status says when it has come."""
        return job_shape(await service.cancel(await who(request), job_id))

    return routes
