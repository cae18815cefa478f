"""Few round trips for many keys: what waits when one is done goes together into the next, and no key is in two."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

_MOST: Final = 2  # round trips at once: with one, a database that hangs for one would hold up all keys
_LARGEST: Final = 500  # keys in one


class Flights:
    """Carries keys to the store in batches, each key at most once at a time."""

    def __init__(self, carry: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        """`carry` does the round trip for some keys, and keeps what it brought."""
        self._carry = carry
        self._waiting: dict[str, None] = {}
        self._next: asyncio.Future[None] | None = None
        self._of_key: dict[str, asyncio.Future[None]] = {}
        self._under_way: set[asyncio.Task[None]] = set()
        self._closed = False

    def join(self, key: str) -> asyncio.Future[None]:
        """Have a key carried; done when it was, with the error if it could not be. Joins a flight that it is on."""
        under_way = self._of_key.get(key)
        if under_way is not None:
            return under_way
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        landed = self._next
        self._waiting[key] = None
        self._start()
        return landed

    def carries(self, key: str) -> bool:
        """Whether a key is on its way, or waits to be."""
        return key in self._of_key or key in self._waiting

    async def close(self) -> None:
        """Carry no more, and wait for what is under way."""
        self._closed = True
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _start(self) -> None:
        if self._next is None or len(self._under_way) >= _MOST or self._closed:
            return
        keys, landed = list(self._waiting)[:_LARGEST], self._next
        for key in keys:
            del self._waiting[key]
            self._of_key[key] = landed
        self._next = asyncio.get_running_loop().create_future() if self._waiting else None
        self._under_way.add(asyncio.create_task(self._fly(keys, landed), name="limits"))

    async def _fly(self, keys: Sequence[str], landed: asyncio.Future[None]) -> None:
        error: BaseException | None = None
        try:
            await self._carry(keys)
        except Exception as e:  # noqa: BLE001  whatever it is, those who wait for it are told
            error = e
        finally:
            for key in keys:
                self._of_key.pop(key, None)
            task = asyncio.current_task()
            if task is not None:
                self._under_way.discard(task)
            if error is None:
                landed.set_result(None)
            else:
                landed.set_exception(error)
                landed.exception()  # often nobody waits: an exception nobody asks for is no mistake
            with suppress(RuntimeError):  # the loop is closing
                self._start()
