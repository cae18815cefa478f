"""Responses and conversations in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg.types.json import Jsonb

from gateway.ids import parse_id
from gateway.storage.paging import no_such_page
from gateway.storage.ports.responses import Conversation, History, Item, KeptResponse, Paged
from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q
from gateway.storage.text import storable, storable_all

_SAID: Final = ("completed", "incomplete")
_DAY: Final = timedelta(days=1)
"""What is kept longer than until this before is not renewed: a turn a minute is not as many writes."""


class PostgresResponses:
    """The port `Responses`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def keep(
        self, response: KeptResponse, inputs: Sequence[Item] = (), outputs: Sequence[Item] = ()
    ) -> bool:
        """Keep a response as it stands now. Raises ValueError for an id that is not a UUID."""
        uuid = parse_id(response.id)
        if uuid is None:
            raise ValueError(f"a request's id is a UUID, not {response.id!r}")
        params = {
            "id": uuid,
            "caller": storable(response.caller),
            "status": response.status,
            "created_at": response.created_at,
            "kept_until": response.kept_until,
            "body": response.body,
            "previous": None if response.previous is None else UUID(response.previous),
            "conversation": response.conversation,
            "background": response.background,
            "streamed": response.streamed,
            "said": response.status in _SAID,
            "input_ids": [storable(item.id) for item in inputs],
            "inputs": [item.data for item in inputs],
            "output_ids": [storable(item.id) for item in outputs],
            "outputs": [item.data for item in outputs],
        }
        return await self._database.row(Q.responses.keep, params) is not None

    async def get(self, caller: str, response_id: str) -> KeptResponse | None:
        """One response."""
        uuid = parse_id(response_id)
        if uuid is None:
            return None
        row = await self._database.row(Q.responses.get, {"id": uuid, "caller": storable(caller)})
        return None if row is None else _kept_of(row)

    async def history(
        self, caller: str, response_id: str, *, most_bytes: int, keep_until: datetime
    ) -> History | None:
        """The items of a response and of all before it."""
        uuid, caller = parse_id(response_id), storable(caller)
        line = (
            []
            if uuid is None
            else await self._database.rows(Q.responses.line, {"id": uuid, "caller": caller})
        )
        if not line:
            return None
        first = line[-1]
        if first["previous"] is not None:
            return History((), str(first["previous"]))
        if first["bytes"] > most_bytes:
            return History(None)
        rows: list[Mapping[str, Any]] = []
        if first["conversation"] is not None:
            earlier = {"conversation": first["conversation"], "caller": caller, "id": first["id"]}
            rows += await self._database.rows(Q.responses.earlier, earlier)
        ids = [row["id"] for row in reversed(line)]
        rows += await self._database.rows(Q.responses.said, {"ids": ids})
        if any(row["kept_until"] < keep_until - _DAY for row in line):
            await self._database.rows(Q.responses.renew, {"ids": ids, "kept_until": keep_until})
        return _within(rows, most_bytes)

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
        uuid, place = parse_id(response_id), None
        if after is not None:
            found = await self._database.row(Q.responses.input_place, {"id": uuid, "item": storable(after)})
            if found is None:
                raise no_such_page()
            place = found["place"]
        query = Q.responses.inputs_back if newest_first else Q.responses.inputs
        rows = await self._database.rows(query, {"id": uuid, "after": place, "limit": limit + 1})
        return _paged(rows, limit)

    async def items(self, caller: str, ids: Sequence[str]) -> Mapping[str, Item]:
        """Those of these items that are kept."""
        params = {"caller": storable(caller), "ids": [storable(each) for each in ids]}
        return {row["id"]: _item_of(row) for row in await self._database.rows(Q.responses.items, params)}

    async def delete(self, caller: str, response_id: str) -> bool:
        """Forget a response."""
        uuid = parse_id(response_id)
        params = {"id": uuid, "caller": storable(caller)}
        return uuid is not None and bool(await self._database.rows(Q.responses.delete, params))

    async def expire(self, now: datetime) -> int:
        """Forget some of what need not be kept any longer."""
        queries = (Q.responses.expire, Q.conversations.expire)
        return sum([len(await self._database.rows(query, {"now": now})) for query in queries])


class PostgresConversations:
    """The port `Conversations`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def create(self, conversation: Conversation, items: Sequence[Item]) -> None:
        """Keep a new one with its first items."""
        params = {
            "id": conversation.id,
            "caller": storable(conversation.caller),
            "created_at": conversation.created_at,
            "kept_until": conversation.kept_until,
            "metadata": _json(conversation.metadata),
            **_arrays(items),
        }
        await self._database.rows(Q.conversations.create, params)

    async def get(self, caller: str, conversation_id: str) -> Conversation | None:
        """One of them."""
        params = {"id": storable(conversation_id), "caller": storable(caller)}
        row = await self._database.row(Q.conversations.get, params)
        return None if row is None else _conversation_of(row)

    async def update(
        self, caller: str, conversation_id: str, metadata: Mapping[str, str], keep_until: datetime
    ) -> Conversation | None:
        """Give it other metadata."""
        params = {
            "id": storable(conversation_id),
            "caller": storable(caller),
            "metadata": _json(metadata),
            "kept_until": keep_until,
        }
        row = await self._database.row(Q.conversations.update, params)
        return None if row is None else _conversation_of(row)

    async def delete(self, caller: str, conversation_id: str) -> bool:
        """Forget it."""
        params = {"id": storable(conversation_id), "caller": storable(caller)}
        return bool(await self._database.rows(Q.conversations.delete, params))

    async def add(
        self, caller: str, conversation_id: str, items: Sequence[Item], keep_until: datetime
    ) -> bool:
        """Add items at its end."""
        params = {
            "id": storable(conversation_id),
            "caller": storable(caller),
            "kept_until": keep_until,
            **_arrays(items),
        }
        return bool(await self._database.rows(Q.conversations.add, params, again=False))

    async def history(
        self, caller: str, conversation_id: str, *, most_bytes: int, keep_until: datetime
    ) -> History | None:
        """All its items."""
        params = {
            "id": storable(conversation_id),
            "caller": storable(caller),
            "kept_until": keep_until,
        }
        known = await self._database.row(Q.conversations.renew, params)
        if known is None:
            return None
        if known["bytes"] > most_bytes:
            return History(None)
        del params["kept_until"]
        return _within(await self._database.rows(Q.conversations.said, params), most_bytes)

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
        place: Mapping[str, Any] = {"turn": None, "output": None, "place": None}
        if after is not None:
            found = await self._place(caller, conversation_id, after)
            if found is None:
                raise no_such_page()
            place = found
        params = {
            "id": storable(conversation_id),
            "limit": limit + 1,
            **{name: place[name] for name in ("turn", "output", "place")},
        }
        query = Q.conversations.page_back if newest_first else Q.conversations.page
        return _paged(await self._database.rows(query, params), limit)

    async def item(self, caller: str, conversation_id: str, item_id: str) -> Item | None:
        """One of its items."""
        row = await self._place(caller, conversation_id, item_id)
        return None if row is None else _item_of(row)

    async def remove(self, caller: str, conversation_id: str, item_id: str) -> bool:
        """Take an item out of it."""
        params = {
            "conversation": storable(conversation_id),
            "caller": storable(caller),
            "id": storable(item_id),
        }
        return bool(await self._database.rows(Q.conversations.remove, params))

    async def _place(self, caller: str, conversation_id: str, item_id: str) -> Mapping[str, Any] | None:
        params = {
            "conversation": storable(conversation_id),
            "caller": storable(caller),
            "id": storable(item_id),
        }
        return await self._database.row(Q.conversations.item, params)


def _kept_of(row: Mapping[str, Any]) -> KeptResponse:
    return KeptResponse(
        id=str(row["id"]),
        caller=row["caller"],
        status=row["status"],
        created_at=row["created_at"],
        kept_until=row["kept_until"],
        body=row["body"],
        previous=None if row["previous"] is None else str(row["previous"]),
        conversation=row["conversation"],
        background=row["background"],
        streamed=row["streamed"],
    )


def _conversation_of(row: Mapping[str, Any]) -> Conversation:
    return Conversation(row["id"], row["caller"], row["created_at"], row["kept_until"], row["metadata"])


def _item_of(row: Mapping[str, Any]) -> Item:
    return Item(row["id"], row["data"])


def _within(rows: Sequence[Mapping[str, Any]], most_bytes: int) -> History:
    fits = sum(len(row["data"]) for row in rows) <= most_bytes
    return History(tuple(_item_of(row) for row in rows) if fits else None)


def _paged(rows: Sequence[Mapping[str, Any]], limit: int) -> Paged:
    return Paged(tuple(_item_of(row) for row in rows[:limit]), len(rows) > limit)


def _arrays(items: Sequence[Item]) -> Mapping[str, object]:
    return {"ids": [storable(item.id) for item in items], "items": [item.data for item in items]}


def _json(metadata: Mapping[str, str]) -> Jsonb:
    return Jsonb(storable_all(metadata), dumps=msgspec.json.encode)
