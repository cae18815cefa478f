"""What a store needs now and then: room for the months to come, an end to what was kept long enough, usage counted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.settings import UsageSettings
from gateway.storage.ports import Rollups, Store

EVERY: Final = timedelta(hours=1)
AGAIN: Final = timedelta(minutes=1)
STEP: Final = 2000
"""Requests that are rolled up in one transaction: a few tenths of a second's work."""


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


async def keep_usage(rollups: Rollups, settings: UsageSettings) -> None:
    """Roll up the ledger for ever; each worker may do it, since one at a time does and nothing is counted twice."""
    expired = datetime.min.replace(tzinfo=UTC)
    while True:
        pause = settings.every
        try:
            while await rollups.roll(settings.tags, values=settings.tag_values, most=STEP) == STEP:
                telemetry.tell_usage_lag(await rollups.as_of())
            telemetry.tell_usage_lag(await rollups.as_of())
            if datetime.now(UTC) - expired >= EVERY:
                await expire_usage(rollups, settings)
                expired = datetime.now(UTC)
        except StorageUnavailable:
            pause *= 5
        except Exception:  # noqa: BLE001  a row that cannot be counted is seen, and does not end the counting of others
            telemetry.log.exception("usage_not_rolled_up")
            pause *= 30
        await asyncio.sleep(pause.total_seconds())


async def expire_usage(rollups: Rollups, settings: UsageSettings) -> int:
    """Delete hours and days that need not be kept any longer; returns how many rows went."""
    now = datetime.now(UTC)
    gone = 0
    while deleted := await rollups.expire(now - settings.keep_hours, now - settings.keep_days):
        gone += deleted
    if gone:
        telemetry.log.info("usage_expired", rows=gone)
    return gone
