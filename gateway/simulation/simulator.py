"""Running a simulation: pages of the log go to processes that take turns in deciding them, and what they found adds up.

Each process hears of every request, since the live facts hang on all of them, and decides every other page. The event
loop only passes pages on.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final, Self

from gateway.domain.simulation import Logged, Report
from gateway.settings import ROOT
from gateway.simulation.frames import END, HEAD, encode, framed, tally_in
from gateway.simulation.replay import Setting
from gateway.simulation.tally import Tally
from gateway.simulation.worker import DONE

PROCESSES: Final = 2
_AHEAD: Final = 4  # pages that a process has in hand: it decides while the next ones are read
_PATIENCE: Final = 60.0  # seconds for a page; one takes a quarter of a second on a busy machine


class SimulationBroken(Exception):
    """A process that decides has ended, or does not answer."""


async def simulate(
    setting: Setting,
    pages: AsyncIterator[tuple[bool, Sequence[Logged]]],
    progress: Callable[[int], Awaitable[None]],
    processes: int = PROCESSES,
) -> Report:
    """Decide the pages that say so, in the order they come. `progress` is told how many requests are decided.

    Raises SimulationBroken, and what `pages` and `progress` raise.
    """
    done, turn = 0, 0
    told = encode(setting)
    async with AsyncExitStack() as stack:
        hands = [await stack.enter_async_context(_Hand(told)) for _ in range(processes)]
        async for decide, page in pages:
            for number, hand in enumerate(hands):
                mine = decide and turn % processes == number
                done += await hand.give(encode((mine, page)), len(page) if mine else 0)
            turn += decide
            await progress(done)
        tally = Tally()
        for hand in hands:
            found, more = await hand.finish()
            tally.add(found)
            done += more
        await progress(done)
    return tally.report()


class _Hand:
    """One process that decides."""

    def __init__(self, setting: bytes) -> None:
        self._setting = setting
        self._given: deque[int] = deque()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.simulation.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=ROOT,
            # Nothing of ours: no secret is where a hostile expression is worked out.
            env={"PYTHONPATH": str(ROOT)},
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("pipes were asked for")
        self._asks, self._answers = self._process.stdin, self._process.stdout
        await self._tell(framed(self._setting))
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def give(self, page: bytes, count: int) -> int:
        """Hand over a page of which so many requests are to be decided; returns how many of earlier ones are."""
        self._given.append(count)
        await self._tell(framed(page))
        return await self._taken() if len(self._given) > _AHEAD else 0

    async def finish(self) -> tuple[Tally, int]:
        """What it found, and how many more requests it decided for it."""
        await self._tell(END)
        more = 0
        while self._given:
            more += await self._taken()
        length = int.from_bytes(await self._hear(HEAD), "big")
        return tally_in(await self._hear(length)), more

    async def _taken(self) -> int:
        if await self._hear(len(DONE)) != DONE:
            raise SimulationBroken("a process that decides says what it should not")
        return self._given.popleft()

    async def _tell(self, frame: bytes) -> None:
        try:
            self._asks.write(frame)
            async with asyncio.timeout(_PATIENCE):
                await self._asks.drain()
        except (ConnectionError, TimeoutError) as e:
            raise SimulationBroken("a process that decides does not listen") from e

    async def _hear(self, count: int) -> bytes:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._answers.readexactly(count)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as e:
            raise SimulationBroken("a process that decides does not answer") from e
