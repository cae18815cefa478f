"""Copies that stay up to date: what a process keeps in memory is read again soon after it changed in the store.

`feed.follow("registry", reload)` calls `reload` at start, and within moments of each change: the store announces it,
and the feed looks every second anyway. While the store is away the last copy stays in force, and its age is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Final

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.storage.ports import Changes

EVERY: Final = timedelta(seconds=1)
_SHARE: Final = (
    4  # times as long as the reading took, a noun rests: reading takes a fifth of the time at most
)
_REST: Final = 0.5  # seconds that it rests at most


@dataclass(eq=False, slots=True)
class _Followed:
    """A noun, and how far this process's copy of it is."""

    noun: str
    reload: Callable[[], Awaitable[None]]
    version: int | None = None  # of the copy; None before the first
    known_at: float | None = None  # when the store last said that there is nothing newer
    trouble: str = ""
    rests_until: float = 0.0  # so that of many changes in a row not each is read
    bringing: asyncio.Task[None] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Feed:
    """Keeps copies of the nouns that are followed up to date."""

    def __init__(
        self, changes: Changes, every: timedelta = EVERY, clock: Callable[[], float] = monotonic
    ) -> None:
        """`every` is how often it looks when it hears of nothing; `clock` counts seconds."""
        self._changes = changes
        self._every = every.total_seconds()
        self._clock = clock
        self._followed: dict[str, _Followed] = {}
        self._wake = asyncio.Event()
        self._reloaded = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._trouble = ""

    def follow(self, noun: str, reload: Callable[[], Awaitable[None]]) -> None:
        """Have `reload` called now and after each change of a noun, never twice at once.

        It must read a state that is whole and put it in force, or raise: it is then called again, and what was there
        stays.
        """
        self._followed[noun] = _Followed(noun, reload)
        telemetry.COPY_AGE.labels(noun).set_function(lambda: self._age(noun))
        self._wake.set()

    def start(self) -> None:
        """Begin to look and to listen."""
        self._tasks = [
            asyncio.create_task(self._look(), name="look for changes"),
            asyncio.create_task(self._listen(), name="listen for changes"),
        ]

    async def close(self) -> None:
        """Look and listen no more."""
        bringing = [each.bringing for each in self._followed.values() if each.bringing is not None]
        for task in (*self._tasks, *bringing):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def age(self, noun: str) -> timedelta | None:
        """How long ago the copy of a noun was known to be the latest; None before there is one."""
        known_at = self._followed[noun].known_at
        return None if known_at is None else timedelta(seconds=self._clock() - known_at)

    @property
    def copies(self) -> Mapping[str, bool]:
        """Of which nouns there is a copy, and of which there is none yet."""
        return {each.noun: each.version is not None for each in self._followed.values()}

    async def complete(self) -> None:
        """Return when there is a copy of every noun."""
        while not all(self.copies.values()):
            self._reloaded.clear()
            await self._reloaded.wait()

    async def catch_up(self, noun: str) -> None:
        """Return when what was committed before this call is in force here.

        Raises StorageUnavailable, and what `reload` raises.
        """
        followed = self._followed[noun]
        async with followed.lock:
            asked = self._clock()
            version = (await self._changes.revisions()).get(noun, 0)
            if version != followed.version:
                began = self._clock()
                await self._reload(followed)
                followed.version = version
                now = self._clock()
                followed.rests_until = now + min(_REST, (now - began) * _SHARE)
                self._reloaded.set()
            followed.known_at = asked

    async def _reload(self, followed: _Followed) -> None:
        try:
            await followed.reload()
        except Exception as error:
            telemetry.RELOADS.labels(followed.noun, "failed").inc()
            trouble = f"{type(error).__name__}: {error}"
            if trouble != followed.trouble:  # once, and not every second
                telemetry.log.error("reload_failed", noun=followed.noun, exc_info=error)
            followed.trouble = trouble
            raise
        if followed.trouble:
            telemetry.log.warning("reload_works_again", noun=followed.noun)
        followed.trouble = ""
        telemetry.RELOADS.labels(followed.noun, "done").inc()

    async def _look(self) -> None:
        while True:
            self._wake.clear()
            await self._compare()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await self._wake.wait()

    async def _compare(self) -> None:
        asked = self._clock()
        try:
            versions = await self._changes.revisions()
        except Exception as error:  # noqa: BLE001  whatever it is, the next look may find it mended
            self._seen(error)
            return
        self._seen(None)
        for followed in self._followed.values():
            if followed.bringing is not None and not followed.bringing.done():
                continue
            rest = followed.rests_until - self._clock()
            if followed.version == versions.get(followed.noun, 0):
                followed.known_at = asked
            elif rest > 0:
                asyncio.get_running_loop().call_later(rest, self._wake.set)
            else:
                name = f"bring {followed.noun} up to date"
                followed.bringing = asyncio.create_task(self._bring(followed.noun), name=name)

    async def _bring(self, noun: str) -> None:
        # Not within the look itself: one noun that is slow to read must not hold up the others.
        with suppress(Exception):  # told by _reload, or by the next look; the next look also tries again
            await self.catch_up(noun)
            self._wake.set()  # it may have changed again while it was read

    async def _listen(self) -> None:
        while True:
            try:
                async with aclosing(self._changes.listen()) as heard:
                    async for _ in heard:
                        self._wake.set()
            except StorageUnavailable:
                pass  # the look says so, and goes on at its own pace
            except Exception as error:  # noqa: BLE001  looking does without
                telemetry.log.error("listening_failed", exc_info=error)
            await asyncio.sleep(self._every)

    def _seen(self, error: Exception | None) -> None:
        trouble = "" if error is None else type(error).__name__
        if trouble != self._trouble:
            if error is None:
                telemetry.log.warning("changes_seen_again")
            elif isinstance(error, StorageUnavailable):
                telemetry.log.warning("changes_not_seen", detail=error.detail)
            else:
                telemetry.log.error("changes_not_seen", exc_info=error)
        self._trouble = trouble

    def _age(self, noun: str) -> float:
        age = self.age(noun)
        return float("nan") if age is None else age.total_seconds()
