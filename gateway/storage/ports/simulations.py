"""Rules that are tried on logged requests: where each simulation stands, and the requests that it reads."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from gateway.domain.inference import Status
from gateway.domain.simulation import Logged, Place, Report, Simulation, Stretch


class Simulations(Protocol):
    """Simulations and what they read. Their store is that of the requests."""

    async def begin(self, simulation: Simulation) -> Simulation:
        """Keep one that is asked for, or return the one that is kept under its id.

        Raises SimulationUnderWay while its actor has another one that has not ended.
        """
        ...

    async def get(self, simulation_id: str) -> Simulation | None:
        """One of them."""
        ...

    async def unfinished(self, actor: str) -> Simulation | None:
        """The one of an actor that has not ended."""
        ...

    async def take(self, simulation_id: str, run: str) -> Simulation | None:
        """Take one up, or take it over: it begins anew, and what an earlier run says of it counts no more.

        None if it has ended, or never was.
        """
        ...

    async def advance(self, simulation_id: str, run: str, done: int, total: int) -> bool:
        """Say how far a run is; False, and nothing happens, if it is no longer the one that works."""
        ...

    async def end(
        self,
        simulation_id: str,
        status: Status,
        *,
        run: str | None = None,
        error: str | None = None,
        report: Report | None = None,
    ) -> Simulation | None:
        """End it, unless it has ended, or `run` is no longer the one that works; returns it as it is then."""
        ...

    async def stretch(self, since: datetime, until: datetime, most: int) -> Stretch:
        """The newest requests of a period, at most so many."""
        ...

    async def logged(
        self, since: datetime, until: datetime, *, limit: int, after: Place | None = None
    ) -> tuple[Logged, ...]:
        """The requests of a period in the order of places, or the next ones after a place in it."""
        ...
