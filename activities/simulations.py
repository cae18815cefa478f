"""Trying rules on logged requests: one activity, from the first request to the report."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import uuid4

from temporalio import activity

from activities.beating import beating
from gateway import telemetry
from gateway.domain.breaker import BreakerPolicy
from gateway.domain.inference import Status
from gateway.domain.registry import Registry
from gateway.domain.simulation import Logged, Place, Report, Simulation, Stretch
from gateway.rulebook import Reads
from gateway.settings import SettingsError
from gateway.simulation.replay import setting_of
from gateway.simulation.simulator import PROCESSES, simulate
from gateway.storage.ports import Simulations

PAGE: Final = 250
"""Requests that are read at once: some ten milliseconds of the event loop."""
_BEFORE: Final = timedelta(hours=1)
_MOST_BEFORE: Final = 100_000
"""Requests before the first one that fill the longest window, at most so many."""
_TELL_EVERY: Final = 1.0  # seconds between two words on how far it is


@dataclass(frozen=True, slots=True)
class Simulate:
    """A simulation that is to be worked at. What it is about stands in its row: histories hold no rule texts."""

    id: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A simulation that cannot be brought to an end."""

    id: str
    error: str


@dataclass(frozen=True, slots=True)
class Health:
    """How this gateway counts what happens to models, and when it leaves one alone."""

    breaker: BreakerPolicy
    serve_all_open: bool
    most_models: int
    most_callers: int


class _Superseded(Exception):
    """Another worker has taken over."""


class SimulationActivities:
    """Works at simulations, in each process at one after the other."""

    def __init__(
        self,
        simulations: Simulations,
        texts: Reads,
        registry: Callable[[], Registry],
        health: Health,
        heartbeat: timedelta,
        processes: int = PROCESSES,
    ) -> None:
        """`heartbeat` is how often a running one is reported; `processes` share the decisions of one."""
        self._simulations = simulations
        self._texts = texts
        self._registry = registry
        self._health = health
        self._heartbeat = heartbeat.total_seconds()
        self._processes = processes
        self._turn = asyncio.Lock()

    @activity.defn(name="simulate")
    async def simulate(self, wanted: Simulate) -> Status:
        """Bring a simulation to its end.

        It begins at its beginning whenever it is taken up: a report is about one state of the registry.
        """
        async with beating(self._heartbeat), self._turn:
            return await self._work(wanted.id)

    @activity.defn(name="give_up_simulation")
    async def give_up(self, wanted: GiveUp) -> None:
        """End a simulation that failed again and again."""
        await self._simulations.end(wanted.id, Status.FAILED, error=wanted.error)

    async def _work(self, simulation_id: str) -> Status:
        run = str(uuid4())
        simulation = await self._simulations.take(simulation_id, run)
        if simulation is None:
            return await self._status(simulation_id)
        try:
            report = await self._report(simulation, run)
        except SettingsError as e:
            # They could be read when it was asked for: this worker is older, or newer, than whoever accepted them.
            error = f"The rules cannot be read here: {e}"
            await self._simulations.end(simulation_id, Status.FAILED, run=run, error=error)
        except _Superseded:
            telemetry.log.warning("simulation_taken_over", simulation=simulation_id)
        else:
            await self._simulations.end(simulation_id, Status.COMPLETED, run=run, report=report)
        return await self._status(simulation_id)

    async def _report(self, simulation: Simulation, run: str) -> Report:
        rules = await self._texts.read(simulation.text, "simulation")
        health = self._health
        setting = setting_of(
            rules,
            self._registry(),
            breaker=health.breaker,
            serve_all_open=health.serve_all_open,
            most_models=health.most_models,
            most_callers=health.most_callers,
        )
        stretch = await self._simulations.stretch(simulation.since, simulation.until, simulation.most)
        told = 0.0

        async def progress(done: int) -> None:
            nonlocal told
            now = asyncio.get_running_loop().time()
            if now - told < _TELL_EVERY and done < stretch.total:
                return
            told = now
            if not await self._simulations.advance(simulation.id, run, done, stretch.total):
                raise _Superseded

        await progress(0)
        if stretch.first is None:
            return Report()
        pages = self._pages(simulation, stretch, stretch.first)
        return await simulate(setting, pages, progress, self._processes)

    async def _pages(
        self, simulation: Simulation, stretch: Stretch, first: Place
    ) -> AsyncIterator[tuple[bool, Sequence[Logged]]]:
        """The requests before the first one, that live facts hang on, and then those that are to be decided."""
        before = await self._simulations.stretch(first.accepted_at - _BEFORE, first.accepted_at, _MOST_BEFORE)
        since = (before.first or first).accepted_at
        after: Place | None = None
        while page := await self._simulations.logged(since, simulation.until, limit=PAGE, after=after):
            after = page[-1].place
            early = sum(1 for logged in page if logged.place < first)
            if early:
                yield False, page[:early]
            if early < len(page):
                yield True, page[early:]

    async def _status(self, simulation_id: str) -> Status:
        known = await self._simulations.get(simulation_id)
        return Status.FAILED if known is None else known.status
