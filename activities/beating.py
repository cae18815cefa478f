"""Telling the engine that a long activity is still worked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from temporalio import activity


@asynccontextmanager
async def beating(every: float) -> AsyncGenerator[None]:
    """Send a heartbeat at once and each `every` seconds, until the block ends."""
    task = asyncio.create_task(_beat(every))
    try:
        yield
    finally:
        task.cancel()


async def _beat(every: float) -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(every)
