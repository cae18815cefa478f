"""Conversations: what was said in them is kept here, whichever model said it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from api.service.ask import checked
from api.service.responses.state import named
from gateway.domain.errors import ConversationNotFound, InvalidRequest, ItemNotFound, NotCarried
from gateway.domain.identity import Caller, Right
from gateway.ids import derive_id, new_id
from gateway.providers.dialects.responses.items import Messages
from gateway.responses import ResponseKeeper, unsealed
from gateway.storage.ports import Conversation, Conversations


class ConversationsService:
    """Keeps conversations, each for its caller alone."""

    def __init__(self, conversations: Conversations, keeper: ResponseKeeper) -> None:
        """`keeper` seals what is said."""
        self._conversations = conversations
        self._keeper = keeper

    async def create(
        self,
        caller: Caller,
        items: Sequence[Mapping[str, Any]],
        metadata: Mapping[str, str],
        key: str | None = None,
    ) -> Conversation:
        """Begin one; the same Idempotency-Key gives the same. Raises InvalidRequest naming what is wrong."""
        caller.require(Right.INFER)
        now = datetime.now(UTC)
        named_after = new_id() if key is None else derive_id(caller.id, "conversation", key)
        conversation = Conversation(
            f"conv_{named_after}", caller.id, now, self._keeper.until(), checked(metadata, "metadata")
        )
        await self._conversations.create(conversation, self._keeper.items(_named(items)))
        return conversation if key is None else await self.get(caller, conversation.id)

    async def get(self, caller: Caller, conversation_id: str) -> Conversation:
        """One of the caller's. Raises ConversationNotFound."""
        caller.require(Right.INFER)
        return _there(await self._conversations.get(caller.id, conversation_id))

    async def update(self, caller: Caller, conversation_id: str, metadata: Mapping[str, str]) -> Conversation:
        """Give one other metadata. Raises ConversationNotFound, InvalidRequest."""
        caller.require(Right.INFER)
        metadata = checked(metadata, "metadata")
        return _there(
            await self._conversations.update(caller.id, conversation_id, metadata, self._keeper.until())
        )

    async def delete(self, caller: Caller, conversation_id: str) -> None:
        """Forget one. Raises ConversationNotFound."""
        caller.require(Right.INFER)
        if not await self._conversations.delete(caller.id, conversation_id):
            raise ConversationNotFound

    async def add(
        self, caller: Caller, conversation_id: str, items: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Add items at its end. Raises ConversationNotFound, InvalidRequest."""
        caller.require(Right.INFER)
        found = _named(items)
        kept = self._keeper.items(found)
        if not await self._conversations.add(caller.id, conversation_id, kept, self._keeper.until()):
            raise ConversationNotFound
        return found

    async def items(
        self, caller: Caller, conversation_id: str, *, limit: int, after: str | None, newest_first: bool
    ) -> tuple[list[dict[str, Any]], bool]:
        """Some of its items, and whether there are more. Raises ConversationNotFound, InvalidRequest."""
        caller.require(Right.INFER)
        page = await self._conversations.page(
            caller.id, conversation_id, limit=limit, after=after, newest_first=newest_first
        )
        if page is None:
            raise ConversationNotFound
        return [unsealed(self._keeper.item(item)) for item in page.items], page.more

    async def item(self, caller: Caller, conversation_id: str, item_id: str) -> dict[str, Any]:
        """One of its items. Raises ConversationNotFound, ItemNotFound."""
        await self.get(caller, conversation_id)
        item = await self._conversations.item(caller.id, conversation_id, item_id)
        if item is None:
            raise ItemNotFound
        return unsealed(self._keeper.item(item))

    async def remove(self, caller: Caller, conversation_id: str, item_id: str) -> Conversation:
        """Take an item out of it. Raises ConversationNotFound, ItemNotFound."""
        conversation = await self.get(caller, conversation_id)
        if not await self._conversations.remove(caller.id, conversation_id, item_id):
            raise ItemNotFound
        return conversation


def _there(conversation: Conversation | None) -> Conversation:
    if conversation is None:
        raise ConversationNotFound
    return conversation


def _named(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Items as they are kept. Raises InvalidRequest naming the first that is none."""
    for place, item in enumerate(items):
        where = f"items[{place}]"
        if item.get("type") == "item_reference":
            raise InvalidRequest(f"`{where}` must be an item itself.", param=where)
        with suppress(NotCarried):  # a model that speaks the dialect may take it
            Messages().add(dict(item), where)
    return [named(item) for item in items]
