"""`/v1/responses/{id}`: responses that are kept, told again, read on, cancelled and forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from api.auth import authenticate
from api.rest.dialects import Dialect
from api.rest.dialects import Responses as Framing
from api.service.opened import OpenStream
from api.service.responses.service import ResponsesService
from gateway.domain.identity import Caller
from gateway.identity import Identify
from gateway.settings import Api

Limit = Annotated[int, Query(ge=1, le=100)]
Order = Literal["asc", "desc"]
Include = Annotated[list[str], Query()]
Includes = Annotated[list[str], Query(alias="include[]")]
"""The SDK writes lists with brackets; others repeat the name."""


def router(identity: Identify, service: ResponsesService, settings: Api) -> APIRouter:
    """The routes of responses that were made."""
    every = settings.keepalive.total_seconds()
    routes = APIRouter(prefix="/v1/responses", tags=["inference"])

    async def who(request: Request) -> Caller:
        return await authenticate(identity, request.scope["gateway"]["headers"])

    @routes.get("/{response_id}", response_model=None)
    async def get(
        request: Request,
        response_id: str,
        include: Include = [],  # noqa: B006  FastAPI copies it
        includes: Includes = [],  # noqa: B006
        stream: bool = False,  # noqa: FBT001, FBT002  a query's field
        starting_after: int | None = None,
    ) -> Response:
        """A response as it stands; with `stream`, its events after `starting_after`, those to come included."""
        caller = await who(request)
        if not stream:
            wanted = [*include, *includes]
            return _json(await service.get(caller, response_id, wanted))
        after = -1 if starting_after is None else starting_after
        opened = await service.follow(caller, response_id, after)
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        return StreamingResponse(_framed(opened, every), media_type="text/event-stream", headers=headers)

    @routes.delete("/{response_id}", response_model=None)
    async def delete(request: Request, response_id: str) -> dict[str, Any]:
        """Forget a response; one that is still being made is cancelled."""
        await service.delete(await who(request), response_id)
        return {"id": response_id, "object": "response", "deleted": True}

    @routes.post("/{response_id}/cancel", response_model=None)
    async def cancel(request: Request, response_id: str) -> Response:
        """End a response that is made in the background; one that has ended stays as it is."""
        return _json(await service.cancel(await who(request), response_id))

    @routes.get("/{response_id}/input_items", response_model=None)
    async def input_items(
        request: Request,
        response_id: str,
        limit: Limit = 20,
        order: Order = "desc",
        after: str | None = None,
    ) -> dict[str, Any]:
        """The items of a response's own input, without what was said before."""
        items, more = await service.inputs(
            await who(request), response_id, limit=limit, after=after, newest_first=order == "desc"
        )
        return listed(items, more=more)

    return routes


def listed(items: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A page of items."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else "",
        "last_id": items[-1]["id"] if items else "",
        "has_more": more,
    }


async def _framed(opened: OpenStream, every: float) -> AsyncIterator[bytes]:
    """The events as they go out, with a sign of life where nothing has come for so many seconds."""
    dialect: Dialect = Framing()
    async with aclosing(opened.events()) as events:
        coming = asyncio.ensure_future(anext(events))
        try:
            while True:
                done, _ = await asyncio.wait({coming}, timeout=every)
                if not done:
                    yield dialect.alive
                    continue
                try:
                    event = coming.result()
                except StopAsyncIteration:
                    break
                yield dialect.event(event)
                coming = asyncio.ensure_future(anext(events))
        finally:
            coming.cancel()
            await asyncio.wait({coming})
    yield dialect.end(opened.served)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
