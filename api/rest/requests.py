"""`/api/v1/requests`: the ledger and the prompt log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.auth import authenticate
from api.rest.wire import RequestShape, RequestsPage, request_shape
from api.service.requests import RequestsService, Wanted, may_group
from gateway.domain.identity import Caller, Right
from gateway.domain.inference import Status
from gateway.identity import Identify


def router(identity: Identify, service: RequestsService, workflow_ui: str, namespace: str) -> APIRouter:
    """The routes of requests; `workflow_ui` is where an operator finds their workflows, or empty."""
    routes = APIRouter(prefix="/api/v1/requests", tags=["requests"])

    async def who(request: Request) -> Caller:
        return await authenticate(identity, request.scope["gateway"]["headers"])

    def link(request_id: str) -> str | None:
        return (
            f"{workflow_ui.rstrip('/')}/namespaces/{namespace}/workflows/{request_id}"
            if workflow_ui
            else None
        )

    @routes.get("")
    async def find(
        request: Request,
        model: str | None = None,
        caller: str | None = None,
        status: Status | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        after: str | None = None,
    ) -> RequestsPage:
        """Requests newest first, without their texts; of the last day unless said otherwise."""
        asking = await who(request)
        page = await service.find(asking, Wanted(caller, model, status, since, until, limit, after))
        operator = asking.may(Right.REQUESTS_READ)
        rows = [
            request_shape(r, operator=operator, grouped=may_group(asking, r), workflow_url=link(r.request.id))
            for r in page.rows
        ]
        return RequestsPage(data=rows, next_after=page.next_after)

    @routes.get("/{request_id}")
    async def get(request: Request, request_id: str) -> RequestShape:
        """One request with its attempts, decision and timings; its texts with the right `prompts.read`."""
        asking = await who(request)
        record = await service.get(asking, request_id)
        return request_shape(
            record,
            operator=asking.may(Right.REQUESTS_READ),
            grouped=may_group(asking, record),
            workflow_url=link(record.request.id),
        )

    return routes
