"""`/v1/conversations`: what was said, for responses to go on with."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from api.auth import authenticate
from api.headers import idempotency_key_of
from api.rest import bodies
from api.rest.openai.responses import Limit, Order, listed
from api.service.responses.conversations import ConversationsService
from gateway.domain.identity import Caller
from gateway.identity import Identify
from gateway.settings import Api
from gateway.storage.ports import Conversation

_MOST_ITEMS = 20


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class New(_Body):
    """A new conversation."""

    items: list[dict[str, Any]] | None = Field(None, max_length=_MOST_ITEMS)
    metadata: dict[str, str] | None = None


class Changed(_Body):
    """A conversation's metadata."""

    metadata: dict[str, str] | None = None


class Added(_Body):
    """Items for a conversation."""

    items: list[dict[str, Any]] = Field(min_length=1, max_length=_MOST_ITEMS)


def router(identity: Identify, service: ConversationsService, settings: Api) -> APIRouter:
    """The routes of conversations."""
    routes = APIRouter(prefix="/v1/conversations", tags=["inference"])

    async def who(request: Request) -> Caller:
        return await authenticate(identity, request.scope["gateway"]["headers"])

    @routes.post("", openapi_extra=bodies.described(New))
    async def create(request: Request) -> dict[str, Any]:
        """Begin a conversation."""
        caller = await who(request)
        new = await bodies.read(request, New, settings)
        key = idempotency_key_of(request.scope["gateway"]["headers"])
        return _shape(await service.create(caller, new.items or [], new.metadata or {}, key))

    @routes.get("/{conversation_id}")
    async def get(request: Request, conversation_id: str) -> dict[str, Any]:
        """One conversation."""
        return _shape(await service.get(await who(request), conversation_id))

    @routes.post("/{conversation_id}", openapi_extra=bodies.described(Changed))
    async def update(request: Request, conversation_id: str) -> dict[str, Any]:
        """Give a conversation other metadata."""
        caller = await who(request)
        changed = await bodies.read(request, Changed, settings)
        return _shape(await service.update(caller, conversation_id, changed.metadata or {}))

    @routes.delete("/{conversation_id}")
    async def delete(request: Request, conversation_id: str) -> dict[str, Any]:
        """Forget a conversation; responses in it stay."""
        await service.delete(await who(request), conversation_id)
        return {"id": conversation_id, "object": "conversation.deleted", "deleted": True}

    @routes.post("/{conversation_id}/items", openapi_extra=bodies.described(Added))
    async def add(request: Request, conversation_id: str) -> dict[str, Any]:
        """Add items at a conversation's end."""
        caller = await who(request)
        added = await bodies.read(request, Added, settings)
        return listed(await service.add(caller, conversation_id, added.items), more=False)

    @routes.get("/{conversation_id}/items")
    async def items(
        request: Request,
        conversation_id: str,
        limit: Limit = 20,
        order: Order = "desc",
        after: str | None = None,
    ) -> dict[str, Any]:
        """The items of a conversation."""
        found, more = await service.items(
            await who(request), conversation_id, limit=limit, after=after, newest_first=order == "desc"
        )
        return listed(found, more=more)

    @routes.get("/{conversation_id}/items/{item_id}")
    async def item(request: Request, conversation_id: str, item_id: str) -> dict[str, Any]:
        """One item of a conversation."""
        return await service.item(await who(request), conversation_id, item_id)

    @routes.delete("/{conversation_id}/items/{item_id}")
    async def remove(request: Request, conversation_id: str, item_id: str) -> dict[str, Any]:
        """Take an item out of a conversation."""
        return _shape(await service.remove(await who(request), conversation_id, item_id))

    return routes


def _shape(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": int(conversation.created_at.timestamp()),
        "metadata": dict(conversation.metadata),
    }
