"""Waiting for what must come, for as long as a busy machine may take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar, cast

T = TypeVar("T")


async def until(holds: Callable[[], T | Awaitable[T]], within: float = 30.0) -> T:
    """Wait until something holds, or a coroutine says so; returns what it said."""
    ends = time.monotonic() + within
    while not (said := await _said(holds)):
        assert time.monotonic() < ends, "it never came to hold"
        await asyncio.sleep(0.01)
    return said


async def _said(holds: Callable[[], T | Awaitable[T]]) -> T:
    said = holds()
    return cast("T", await said if isawaitable(said) else said)
