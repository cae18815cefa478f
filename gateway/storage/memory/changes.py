"""What changes while we run, in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping


class MemoryChanges:
    """The port `Changes`."""

    def __init__(self) -> None:
        """Nothing was ever changed."""
        self._versions: Counter[str] = Counter()
        self._listeners: set[asyncio.Queue[str]] = set()

    def bump(self, noun: str) -> int:
        """Grow a noun's revision, tell those who listen, and return it."""
        self._versions[noun] += 1
        for listener in self._listeners:
            listener.put_nowait(noun)
        return self._versions[noun]

    async def revisions(self) -> Mapping[str, int]:
        """The revision of every noun that was ever changed."""
        return dict(self._versions)

    async def listen(self) -> AsyncGenerator[str]:
        """Yield `""` once listening, and then each noun that changes."""
        heard: asyncio.Queue[str] = asyncio.Queue()
        self._listeners.add(heard)
        try:
            yield ""
            while True:
                yield await heard.get()
        finally:
            self._listeners.discard(heard)
