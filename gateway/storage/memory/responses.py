"""Responses and conversations in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count

from gateway.ids import parse_id
from gateway.storage.paging import no_such_page
from gateway.storage.ports.responses import Conversation, History, Item, KeptResponse, Paged

_SAID = ("completed", "incomplete")


@dataclass(slots=True)
class _Row:
    """An item where it stands."""

    caller: str
    item: Item
    response: str | None
    conversation: str | None
    turn: int
    output: bool
    place: int

    @property
    def order(self) -> tuple[int, bool, int]:
        return self.turn, self.output, self.place


class _Shelf:
    """What both ports share."""

    def __init__(self) -> None:
        self.responses: dict[str, KeptResponse] = {}
        self.conversations: dict[str, Conversation] = {}
        self.rows: list[_Row] = []
        self.turns = count(1)

    def add(
        self,
        items: Sequence[Item],
        turn: int,
        caller: str,
        *,
        output: bool = False,
        response: str | None = None,
        conversation: str | None = None,
    ) -> None:
        for place, item in enumerate(items, 1):
            self.rows.append(_Row(caller, item, response, conversation, turn, output, place))

    def found(self, holds: Callable[[_Row], bool]) -> list[_Row]:
        return sorted((row for row in self.rows if holds(row)), key=lambda row: row.order)

    def sweep(self) -> None:
        """Forget items that belong to nothing."""
        self.rows = [row for row in self.rows if row.response or row.conversation]


class MemoryResponses:
    """The port `Responses`."""

    def __init__(self, shelf: _Shelf | None = None) -> None:
        """There are none yet."""
        self.shelf = shelf or _Shelf()

    async def keep(
        self, response: KeptResponse, inputs: Sequence[Item] = (), outputs: Sequence[Item] = ()
    ) -> bool:
        """Keep a response as it stands now. Raises ValueError for an id that is not a UUID."""
        if parse_id(response.id) is None:
            raise ValueError(f"a request's id is a UUID, not {response.id!r}")
        shelf, turn = self.shelf, next(self.shelf.turns)
        known = shelf.responses.get(response.id)
        if known is not None and (known.ended or known.caller != response.caller):
            return False
        if known is None:
            shelf.responses[response.id] = response
            shelf.add(inputs, turn, response.caller, response=response.id)
        else:
            shelf.responses[response.id] = replace(
                known, status=response.status, body=response.body, kept_until=response.kept_until
            )
        kept = shelf.responses[response.id]
        if kept.ended:
            shelf.add(outputs, turn, response.caller, output=True, response=response.id)
            conversation = shelf.conversations.get(kept.conversation or "")
            if conversation is not None and conversation.caller == kept.caller and kept.status in _SAID:
                until = max(conversation.kept_until, kept.kept_until)
                shelf.conversations[conversation.id] = replace(conversation, kept_until=until)
                for row in shelf.rows:
                    if row.response == kept.id:
                        row.conversation, row.turn = conversation.id, turn
        return True

    async def get(self, caller: str, response_id: str) -> KeptResponse | None:
        """One response."""
        kept = self.shelf.responses.get(response_id)
        return kept if kept is not None and kept.caller == caller else None

    async def history(
        self, caller: str, response_id: str, *, most_bytes: int, keep_until: datetime
    ) -> History | None:
        """The items of a response and of all before it."""
        line: list[KeptResponse] = []
        wanted: str | None = response_id
        while wanted is not None:
            kept = await self.get(caller, wanted)
            if kept is None:
                return None if not line else History((), wanted)
            line.append(kept)
            wanted = kept.previous
        rows: list[_Row] = []
        first = line[-1]
        if first.conversation is not None:
            began = min((row.turn for row in self.shelf.rows if row.response == first.id), default=0)
            rows += self.shelf.found(
                lambda row: (
                    row.conversation == first.conversation and row.caller == caller and row.turn < began
                )
            )
        for kept in reversed(line):
            own = [row for row in self.shelf.rows if row.response == kept.id]
            rows += sorted(own, key=lambda row: (row.output, row.place))
            until = max(kept.kept_until, keep_until)
            self.shelf.responses[kept.id] = replace(kept, kept_until=until)
        return _within([row.item for row in rows], most_bytes)

    async def inputs(
        self,
        caller: str,
        response_id: str,
        *,
        limit: int,
        after: str | None = None,
        newest_first: bool = True,
    ) -> Paged | None:
        """The input items of a response."""
        if await self.get(caller, response_id) is None:
            return None
        rows = self.shelf.found(lambda row: row.response == response_id and not row.output)
        return _page(rows, limit, after, newest_first=newest_first)

    async def items(self, caller: str, ids: Sequence[str]) -> Mapping[str, Item]:
        """Those of these items that are kept."""
        return {
            row.item.id: row.item for row in self.shelf.rows if row.caller == caller and row.item.id in ids
        }

    async def delete(self, caller: str, response_id: str) -> bool:
        """Forget a response."""
        if await self.get(caller, response_id) is None:
            return False
        del self.shelf.responses[response_id]
        for row in self.shelf.rows:
            if row.response == response_id:
                row.response = None
        self.shelf.sweep()
        return True

    async def expire(self, now: datetime) -> int:
        """Forget what need not be kept any longer."""
        old = [kept for kept in self.shelf.responses.values() if kept.kept_until < now]
        for kept in old:
            await self.delete(kept.caller, kept.id)
        talks = [talk for talk in self.shelf.conversations.values() if talk.kept_until < now]
        for talk in talks:
            await MemoryConversations(self.shelf).delete(talk.caller, talk.id)
        return len(old) + len(talks)


class MemoryConversations:
    """The port `Conversations`."""

    def __init__(self, shelf: _Shelf) -> None:
        """`shelf` is that of the responses."""
        self._shelf = shelf

    async def create(self, conversation: Conversation, items: Sequence[Item]) -> None:
        """Keep a new one with its first items."""
        if conversation.id not in self._shelf.conversations:
            self._shelf.conversations[conversation.id] = conversation
            self._shelf.add(items, next(self._shelf.turns), conversation.caller, conversation=conversation.id)

    async def get(self, caller: str, conversation_id: str) -> Conversation | None:
        """One of them."""
        kept = self._shelf.conversations.get(conversation_id)
        return kept if kept is not None and kept.caller == caller else None

    async def update(
        self, caller: str, conversation_id: str, metadata: Mapping[str, str], keep_until: datetime
    ) -> Conversation | None:
        """Give it other metadata."""
        kept = await self.get(caller, conversation_id)
        if kept is None:
            return None
        changed = replace(kept, metadata=dict(metadata), kept_until=max(kept.kept_until, keep_until))
        self._shelf.conversations[conversation_id] = changed
        return changed

    async def delete(self, caller: str, conversation_id: str) -> bool:
        """Forget it."""
        if await self.get(caller, conversation_id) is None:
            return False
        del self._shelf.conversations[conversation_id]
        for row in self._shelf.rows:
            if row.conversation == conversation_id:
                row.conversation = None
        self._shelf.sweep()
        return True

    async def add(
        self, caller: str, conversation_id: str, items: Sequence[Item], keep_until: datetime
    ) -> bool:
        """Add items at its end."""
        kept = await self.get(caller, conversation_id)
        if kept is None:
            return False
        until = max(kept.kept_until, keep_until)
        self._shelf.conversations[conversation_id] = replace(kept, kept_until=until)
        self._shelf.add(items, next(self._shelf.turns), caller, conversation=conversation_id)
        return True

    async def history(
        self, caller: str, conversation_id: str, *, most_bytes: int, keep_until: datetime
    ) -> History | None:
        """All its items."""
        kept = await self.get(caller, conversation_id)
        if kept is None:
            return None
        until = max(kept.kept_until, keep_until)
        self._shelf.conversations[conversation_id] = replace(kept, kept_until=until)
        return _within([row.item for row in self._rows(caller, conversation_id)], most_bytes)

    async def page(
        self,
        caller: str,
        conversation_id: str,
        *,
        limit: int,
        after: str | None = None,
        newest_first: bool = True,
    ) -> Paged | None:
        """Some of its items."""
        if await self.get(caller, conversation_id) is None:
            return None
        return _page(self._rows(caller, conversation_id), limit, after, newest_first=newest_first)

    async def item(self, caller: str, conversation_id: str, item_id: str) -> Item | None:
        """One of its items."""
        rows = self._rows(caller, conversation_id)
        return next((row.item for row in reversed(rows) if row.item.id == item_id), None)

    async def remove(self, caller: str, conversation_id: str, item_id: str) -> bool:
        """Take an item out of it."""
        rows = [row for row in self._rows(caller, conversation_id) if row.item.id == item_id]
        for row in rows:
            row.conversation = None
        self._shelf.sweep()
        return bool(rows)

    def _rows(self, caller: str, conversation_id: str) -> list[_Row]:
        return self._shelf.found(lambda row: row.conversation == conversation_id and row.caller == caller)


def _within(items: Sequence[Item], most_bytes: int) -> History:
    fits = sum(len(item.data) for item in items) <= most_bytes
    return History(tuple(items) if fits else None)


def _page(rows: list[_Row], limit: int, after: str | None, *, newest_first: bool) -> Paged:
    items = [row.item for row in (reversed(rows) if newest_first else rows)]
    if after is not None:
        place = next((n for n, item in enumerate(items) if item.id == after), None)
        if place is None:
            raise no_such_page()
        items = items[place + 1 :]
    return Paged(tuple(items[:limit]), len(items) > limit)
