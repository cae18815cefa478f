"""Who a token stands for: our own keys, looked up by their SHA-256, and remembered for a moment.

A key is 256 random bits, so its plain SHA-256 is safe to keep and quick to compare; a slow hash is for passwords.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, Protocol

from gateway.domain.errors import StorageUnavailable, Unauthenticated
from gateway.domain.identity import Caller, Key
from gateway.domain.secret import Secret
from gateway.ids import new_id
from gateway.storage.ports import Keys

_PREFIX: Final = "gw_"
_WELL_FORMED: Final = re.compile(r"gw_[A-Za-z0-9_-]{43}")  # 32 bytes in url-safe base64


class Identify(Protocol):
    """A way to tell who a token stands for."""

    async def identify(self, token: str) -> Caller:
        """The caller. Raises Unauthenticated, or StorageUnavailable when nobody can tell for the moment."""
        ...


def digest_of(token: str) -> bytes | None:
    """The SHA-256 by which a key is kept; None for what cannot be one of our keys."""
    return sha256(token.encode()).digest() if _WELL_FORMED.fullmatch(token) else None


def new_key(
    caller_id: str, now: datetime, *, expires_at: datetime | None = None, note: str = ""
) -> tuple[Secret, Key]:
    """Make a key: the secret, to be shown once, and what is kept of it."""
    token = _PREFIX + secrets.token_urlsafe(32)
    key = Key(
        id=new_id(),
        caller_id=caller_id,
        digest=sha256(token.encode()).digest(),
        last_four=token[-4:],
        created_at=now,
        expires_at=expires_at,
        note=note,
    )
    return Secret(token), key


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store said of a digest, and until when it need not be asked again."""

    caller: Caller | None
    said_at: datetime
    fresh_until: datetime


class KeyIdentity:
    """Identifies callers by our own keys.

    What the store said holds for `cache`, so a revoked key ends that long after at the latest; while the store is away
    a known caller stays known for `max_stale`. Tokens themselves are never kept: only their digests are.
    """

    def __init__(
        self,
        keys: Keys,
        cache: timedelta,
        max_stale: timedelta,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        most: int = 10_000,
        known: Callable[[Caller], Awaitable[None]] | None = None,
    ) -> None:
        """`clock` tells the time in UTC; at most `most` callers are remembered, and as many strangers.

        `known` is told who the caller of a key is, each time that the store has said so, and waited for.
        """
        self._keys = keys
        self._cache = cache
        self._max_stale = max_stale
        self._clock = clock
        self._most = most
        self._known = known
        # Apart, so that a flood of made-up tokens does not push out those who are known.
        self._callers: OrderedDict[bytes, _Known] = OrderedDict()
        self._strangers: OrderedDict[bytes, _Known] = OrderedDict()
        self._lookups: dict[bytes, asyncio.Task[_Known | StorageUnavailable]] = {}

    async def identify(self, token: str) -> Caller:
        """The caller. Raises Unauthenticated, or StorageUnavailable when nobody can tell for the moment."""
        digest = digest_of(token)
        if digest is None:
            raise Unauthenticated
        known = self._callers.get(digest) or self._strangers.get(digest)
        if known is None or known.fresh_until <= self._clock():
            known = await self._ask(digest)
        elif known.caller is not None:
            self._callers.move_to_end(digest)
        if known.caller is None:
            raise Unauthenticated
        return known.caller

    async def _ask(self, digest: bytes) -> _Known:
        lookup = self._lookups.get(digest)
        if lookup is None:
            lookup = asyncio.create_task(self._look_up(digest), name="look up a key")
            self._lookups[digest] = lookup
        # One question for all who wait, and it goes on when the first of them leaves.
        answer = await asyncio.shield(lookup)
        if isinstance(answer, StorageUnavailable):
            raise StorageUnavailable(answer.message, detail=answer.detail, retry_after=answer.retry_after)
        return answer

    async def _look_up(self, digest: bytes) -> _Known | StorageUnavailable:
        try:
            now = self._clock()
            caller = await self._keys.caller(digest, now)
            if caller is not None and self._known is not None:
                await self._known(caller)
            known = _Known(caller, now, now + self._cache)
        except StorageUnavailable as error:
            before = self._callers.get(digest)
            now = self._clock()
            if before is None or now > before.said_at + self._max_stale:
                return error
            known = _Known(
                before.caller, before.said_at, min(now + self._cache, before.said_at + self._max_stale)
            )
        finally:
            del self._lookups[digest]
        self._remember(digest, known)
        return known

    def _remember(self, digest: bytes, known: _Known) -> None:
        place, other = (
            (self._strangers, self._callers) if known.caller is None else (self._callers, self._strangers)
        )
        other.pop(digest, None)
        place[digest] = known
        place.move_to_end(digest)
        if len(place) > self._most:
            place.popitem(last=False)
