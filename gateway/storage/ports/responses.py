"""What is kept of responses and conversations, so that any model can go on where another one ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

UNDER_WAY: Final = ("queued", "in_progress")
"""The states of a response that has not ended."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an input or output: its id, and the rest sealed."""

    id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """A response as it is kept: `id` is its request's, `body` the response sealed. It goes after `kept_until`.

    `previous` is the request's id of the response before it. `streamed` ones can be read event by event.
    """

    id: str
    caller: str
    status: str
    created_at: datetime
    kept_until: datetime
    body: bytes
    previous: str | None = None
    conversation: str | None = None
    background: bool = False
    streamed: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status not in UNDER_WAY


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation: what was said in it is kept apart."""

    id: str
    caller: str
    created_at: datetime
    kept_until: datetime
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Paged:
    """A page of items, and whether there are more."""

    items: tuple[Item, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class History:
    """What led to a response, itself included: the items in order; None of them where they are too many bytes.

    `missing` is the request's id of a response in the line that is no longer kept.
    """

    items: tuple[Item, ...] | None
    missing: str | None = None


class Responses(Protocol):
    """Responses with their items. Everything is a caller's own: of another's nothing is told and nothing changed."""

    async def keep(
        self, response: KeptResponse, inputs: Sequence[Item] = (), outputs: Sequence[Item] = ()
    ) -> bool:
        """Keep a response: a new one with its inputs, or how one that was under way stands now.

        When it has ended, its outputs are kept, and inputs and outputs become part of its conversation. False, and
        nothing happens, if it had ended before. Raises ValueError for an id that is not a UUID.
        """
        ...

    async def get(self, caller: str, response_id: str) -> KeptResponse | None:
        """One response."""
        ...

    async def history(
        self, caller: str, response_id: str, *, most_bytes: int, keep_until: datetime
    ) -> History | None:
        """The items of a response and of all before it, which are then kept until then; None if it is not kept."""
        ...

    async def inputs(
        self,
        caller: str,
        response_id: str,
        *,
        limit: int,
        after: str | None = None,
        newest_first: bool = True,
    ) -> Paged | None:
        """The input items of a response; None if it is not kept. Raises InvalidRequest when `after` is none of them."""
        ...

    async def items(self, caller: str, ids: Sequence[str]) -> Mapping[str, Item]:
        """Those of these items that are kept, the newest of each id."""
        ...

    async def delete(self, caller: str, response_id: str) -> bool:
        """Forget a response; what is part of a conversation stays in it. False if it is not kept."""
        ...

    async def expire(self, now: datetime) -> int:
        """Forget some of what need not be kept any longer, conversations included; returns how many."""
        ...


class Conversations(Protocol):
    """Conversations with their items; of another caller's nothing is told and nothing changed."""

    async def create(self, conversation: Conversation, items: Sequence[Item]) -> None:
        """Keep a new one with its first items."""
        ...

    async def get(self, caller: str, conversation_id: str) -> Conversation | None:
        """One of them."""
        ...

    async def update(
        self, caller: str, conversation_id: str, metadata: Mapping[str, str], keep_until: datetime
    ) -> Conversation | None:
        """Give it other metadata."""
        ...

    async def delete(self, caller: str, conversation_id: str) -> bool:
        """Forget it, and its items but for those of responses that are kept."""
        ...

    async def add(
        self, caller: str, conversation_id: str, items: Sequence[Item], keep_until: datetime
    ) -> bool:
        """Add items at its end; False if there is no such conversation."""
        ...

    async def history(
        self, caller: str, conversation_id: str, *, most_bytes: int, keep_until: datetime
    ) -> History | None:
        """All its items, which are then kept at least until then."""
        ...

    async def page(
        self,
        caller: str,
        conversation_id: str,
        *,
        limit: int,
        after: str | None = None,
        newest_first: bool = True,
    ) -> Paged | None:
        """Some of its items; None if there is none. Raises InvalidRequest when `after` is none of them."""
        ...

    async def item(self, caller: str, conversation_id: str, item_id: str) -> Item | None:
        """One of its items."""
        ...

    async def remove(self, caller: str, conversation_id: str, item_id: str) -> bool:
        """Take an item out of it; False if it is not there."""
        ...
