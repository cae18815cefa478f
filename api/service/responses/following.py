"""A stream that is read from its log: one that runs elsewhere, or ran before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from time import monotonic
from typing import Final

from api.service.served import Served
from gateway.domain.errors import StorageUnavailable
from gateway.providers.ports import EVENT_STREAM, Event
from gateway.responses import ResponseKeeper, ending
from gateway.storage.ports import KeptResponse, Line, StreamLog

_LOOK: Final = 0.1
"""Seconds between two looks at a log to which nothing has come."""
_SLOW_LOOK: Final = 0.5
"""The same for one to which nothing has come for long."""
_AGAIN: Final = 1.0
"""Seconds between two looks at a database that is away."""
_QUIET: Final = 2.0
"""Seconds without an event after which is asked whether the response has ended without its log's end being told."""


class Following:
    """The events of a response after a sequence number, until its end. It cannot be cancelled by leaving."""

    def __init__(
        self,
        log: StreamLog,
        request_id: str,
        *,
        after: int,
        deadline: datetime,
        look: Callable[[], Awaitable[KeptResponse | None]],
        keeper: ResponseKeeper,
        served: Served | None = None,
    ) -> None:
        """`look` tells how the response stands now."""
        self.served = served or Served(request_id, workflow_id=request_id)
        self.deadline = deadline
        self.media_type = EVENT_STREAM
        self._log = log
        self._request_id = request_id
        self._after = after
        self._look = look
        self._keeper = keeper

    async def events(self) -> AsyncGenerator[Event, None]:
        """The events, those that are there at once and others as they come."""
        heard = monotonic()
        while True:
            try:
                tail = await self._log.read(self._request_id, self._after)
            except StorageUnavailable:
                await asyncio.sleep(_AGAIN)
                heard = monotonic()
                continue
            if tail is not None and tail.lines:
                heard = monotonic()
                for line in tail.lines:
                    yield _event(line)
                self._after = tail.last
                if not tail.ended:
                    continue
            if tail is not None and tail.ended:
                return
            quiet = monotonic() - heard
            if quiet > _QUIET:
                heard = monotonic()
                try:
                    kept = await self._look()
                except StorageUnavailable:
                    continue
                if kept is None:
                    return  # deleted
                if kept.ended:
                    name, data = ending(self._keeper.opened(kept), self._after + 1)
                    yield Event(data, name=name)
                    return
            await asyncio.sleep(_LOOK if quiet < _QUIET / 2 else _SLOW_LOOK)

    async def close(self) -> None:
        """There is nothing to close."""


def _event(line: Line) -> Event:
    return Event(line.data, name=line.name)
