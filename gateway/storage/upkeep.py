"""What a store needs now and then: partitions for the months to come, and an end to what has been kept long enough."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.storage.ports import Store

EVERY: Final = timedelta(hours=1)
AGAIN: Final = timedelta(minutes=1)


async def keep_up(store: Store, retention: timedelta) -> None:
    """Tend the store for ever; each worker may do it, since doing it twice changes nothing."""
    while True:
        try:
            await tend(store, retention)
        except StorageUnavailable:
            await asyncio.sleep(AGAIN.total_seconds())
        else:
            await asyncio.sleep(EVERY.total_seconds())


async def tend(store: Store, retention: timedelta) -> int:
    """Make room, and delete what ended longer than `retention` ago; returns how many rows went."""
    now = datetime.now(UTC)
    await store.ensure_partitions(now)
    gone = 0
    while deleted := await store.expire(now - retention):
        gone += deleted
    if gone:
        telemetry.log.info("expired", rows=gone)
    return gone
