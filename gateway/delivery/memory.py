"""A channel that keeps in memory what it brings: for tests."""

from __future__ import annotations

from collections import deque

from gateway.delivery.ports import Notice
from gateway.domain.errors import GatewayError


class MemoryChannel:
    """Brings events nowhere; `fails` are raised first, one at each try."""

    def __init__(self, status: int | None = 200) -> None:
        """`status` is what its receiver answers."""
        self.brought: list[Notice] = []
        self.tried = 0
        self.fails: deque[GatewayError] = deque()
        self._status = status

    async def deliver(self, notice: Notice) -> int | None:
        """Keep an event, or fail."""
        self.tried += 1
        if self.fails:
            raise self.fails.popleft()
        self.brought.append(notice)
        return self._status

    async def close(self) -> None:
        """There is nothing to close."""
