"""Callers and their keys in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec
from psycopg.types.json import Jsonb

from gateway.domain.identity import Budget, Caller, Key, Right
from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q
from gateway.storage.postgres.rows import budget_columns, caller_of, key_of
from gateway.storage.text import storable_all


class PostgresKeys:
    """The port `Keys`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def caller(self, digest: bytes, now: datetime) -> Caller | None:
        """The caller whose valid key has this SHA-256."""
        row = await self._database.row(Q.keys.caller, {"digest": digest, "now": now})
        return None if row is None else caller_of(row)

    async def add_caller(self, caller: Caller) -> Caller:
        """Keep a caller, or return the one of that name."""
        row = await self._database.row(
            Q.keys.add_caller,
            {
                "id": caller.id,
                "name": caller.name,
                "kind": caller.kind,
                "rights": sorted(caller.rights),
                "models": None if caller.models is None else sorted(caller.models),
                "tags": Jsonb(storable_all(caller.tags), dumps=msgspec.json.encode),
                **budget_columns(caller.budget),
                "subjects": sorted(caller.subjects),
            },
        )
        if row is None:
            raise AssertionError("an insert with RETURNING that updates on conflict has a row")
        return caller_of(row)

    async def set_tags(self, caller: str, tags: Mapping[str, str]) -> bool:
        """Give the caller of that name these tags instead of its own."""
        params = {"caller": caller, "tags": Jsonb(storable_all(tags), dumps=msgspec.json.encode)}
        return await self._database.row(Q.keys.set_tags, params) is not None

    async def set_rights(self, caller: str, rights: Collection[Right]) -> bool:
        """Give the caller of that name these rights instead of its own."""
        params = {"caller": caller, "rights": sorted(rights)}
        return await self._database.row(Q.keys.set_rights, params) is not None

    async def set_budget(self, caller: str, budget: Budget | None) -> bool:
        """Give the caller of that name this budget instead of its own."""
        params = {"caller": caller, **budget_columns(budget)}
        return await self._database.row(Q.keys.set_budget, params) is not None

    async def set_subjects(self, caller: str, subjects: Collection[str]) -> bool:
        """Give the caller of that name these patterns of subjects instead of its own."""
        params = {"caller": caller, "subjects": sorted(subjects)}
        return await self._database.row(Q.keys.set_subjects, params) is not None

    async def add_key(self, key: Key) -> None:
        """Keep a key for a caller that exists."""
        await self._database.rows(
            Q.keys.add_key,
            {
                "id": key.id,
                "caller_id": key.caller_id,
                "digest": key.digest,
                "last_four": key.last_four,
                "note": key.note,
                "created_at": key.created_at,
                "expires_at": key.expires_at,
                "revoked_at": key.revoked_at,
            },
        )

    async def revoke_key(self, key_id: str, at: datetime) -> bool:
        """Revoke a key that is valid."""
        return await self._database.row(Q.keys.revoke_key, {"id": key_id, "at": at}) is not None

    async def keys(self) -> tuple[tuple[Caller, Key], ...]:
        """All keys with their callers, oldest first."""
        rows = await self._database.rows(Q.keys.keys)
        return tuple((caller_of(row), key_of(row)) for row in rows)
