"""Idempotency-Keys in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from gateway.storage.ports.idempotency import KeyClaim, KeyHeld, KeyState


@dataclass(slots=True)
class _Row:
    fingerprint: str
    token: str
    run: int
    state: KeyState
    alive_until: datetime
    expires_at: datetime
    answer: bytes | None = None

    def grants(self, fingerprint: str, now: datetime) -> bool:
        running = self.state is KeyState.RUNNING and self.alive_until > now
        given_up = self.state is KeyState.FREE or (self.state is KeyState.RUNNING and not running)
        return (self.fingerprint == fingerprint and given_up) or (self.expires_at <= now and not running)


class MemoryIdempotency:
    """The port `Idempotency`."""

    def __init__(self) -> None:
        """There are none yet."""
        self._rows: dict[str, _Row] = {}

    async def claim(self, wanted: KeyClaim) -> KeyHeld:
        """Claim a key, or tell what stands in the way."""
        now = datetime.now(UTC)
        row = self._rows.get(wanted.id)
        if row is not None and not row.grants(wanted.fingerprint, now):
            return KeyHeld(row.token, row.run, row.state, row.fingerprint, mine=False, answer=row.answer)
        token, run = str(uuid4()), 1 if row is None else row.run + 1
        self._rows[wanted.id] = _Row(
            wanted.fingerprint, token, run, wanted.state, now + wanted.lease, now + wanted.retention
        )
        return KeyHeld(token, run, wanted.state, wanted.fingerprint, mine=True)

    async def renew(self, id_: str, token: str, lease: timedelta) -> bool:
        """Give a sign of life for a run."""
        row = self._running(id_, token)
        if row is not None:
            row.alive_until = datetime.now(UTC) + lease
        return row is not None

    async def keep(self, id_: str, token: str, answer: bytes | None, retention: timedelta) -> bool:
        """End a run with its answer."""
        row = self._running(id_, token)
        if row is not None:
            row.state = KeyState.UNKEPT if answer is None else KeyState.ANSWERED
            row.answer, row.expires_at = answer, datetime.now(UTC) + retention
        return row is not None

    async def free(self, id_: str, token: str) -> None:
        """End a run without an answer."""
        row = self._running(id_, token)
        if row is not None:
            row.state = KeyState.FREE

    def expire(self) -> int:
        """Forget the keys whose retention has passed; returns how many."""
        now = datetime.now(UTC)
        old = [
            id_
            for id_, row in self._rows.items()
            if row.expires_at <= now and not (row.state is KeyState.RUNNING and row.alive_until > now)
        ]
        for id_ in old:
            del self._rows[id_]
        return len(old)

    def _running(self, id_: str, token: str) -> _Row | None:
        row = self._rows.get(id_)
        return row if row is not None and row.token == token and row.state is KeyState.RUNNING else None
