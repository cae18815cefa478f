"""Idempotency-Keys in PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from gateway.storage.ports.idempotency import KeyClaim, KeyHeld, KeyState
from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q
from gateway.storage.text import storable


class PostgresIdempotency:
    """The port `Idempotency`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def claim(self, wanted: KeyClaim) -> KeyHeld:
        """Claim a key, or tell what stands in the way."""
        params = {
            "id": wanted.id,
            "caller": storable(wanted.caller),
            "fingerprint": wanted.fingerprint,
            "token": uuid4(),
            "state": wanted.state,
            "lease": wanted.lease,
            "retention": wanted.retention,
        }
        while True:
            row = await self._database.row(Q.idempotency.claim, params)
            mine = row is not None
            row = row or await self._database.row(Q.idempotency.get, {"id": wanted.id})
            if row is not None:
                return KeyHeld(
                    token=str(row["token"]),
                    run=row["run"],
                    state=KeyState(row["state"]),
                    fingerprint=row["fingerprint"],
                    mine=mine,
                    answer=row["answer"],
                )
            # Between the two it was swept away: then it is free.

    async def renew(self, id_: str, token: str, lease: timedelta) -> bool:
        """Give a sign of life for a run."""
        params = {"id": id_, "token": token, "lease": lease}
        return await self._database.row(Q.idempotency.renew, params) is not None

    async def keep(self, id_: str, token: str, answer: bytes | None, retention: timedelta) -> bool:
        """End a run with its answer."""
        params = {
            "id": id_,
            "token": token,
            "state": KeyState.UNKEPT if answer is None else KeyState.ANSWERED,
            "answer": answer,
            "retention": retention,
        }
        return await self._database.row(Q.idempotency.keep, params) is not None

    async def free(self, id_: str, token: str) -> None:
        """End a run without an answer."""
        await self._database.rows(Q.idempotency.free, {"id": id_, "token": token})
