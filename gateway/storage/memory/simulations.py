"""Simulations in memory, and the requests that they read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from gateway.domain.errors import SimulationUnderWay
from gateway.domain.inference import Attempt, Failure, InferenceRequest, Status
from gateway.domain.simulation import Logged, Place, Report, Simulation, Stretch
from gateway.ids import parse_id
from gateway.storage.ports import Record


class Ledger(Protocol):
    """What of the ledger is read."""

    def records(self) -> Mapping[str, Record]:
        """All requests by their ids."""
        ...


class MemorySimulations:
    """The port `Simulations`."""

    def __init__(self, ledger: Ledger) -> None:
        """`ledger` holds the requests."""
        self._ledger = ledger
        self._kept: dict[str, Simulation] = {}
        self._runs: dict[str, str] = {}

    async def begin(self, simulation: Simulation) -> Simulation:
        """Keep one that is asked for, or return the one that is kept under its id. Raises SimulationUnderWay."""
        if simulation.id not in self._kept:
            if await self.unfinished(simulation.actor) is not None:
                raise SimulationUnderWay
            self._kept[simulation.id] = simulation
        return self._kept[simulation.id]

    async def get(self, simulation_id: str) -> Simulation | None:
        """One of them."""
        return self._kept.get(simulation_id)

    async def unfinished(self, actor: str) -> Simulation | None:
        """The one of an actor that has not ended."""
        return next(
            (each for each in self._kept.values() if each.actor == actor and not each.status.terminal), None
        )

    async def take(self, simulation_id: str, run: str) -> Simulation | None:
        """Take one up, or take it over."""
        known = self._kept.get(simulation_id)
        if known is None or known.status.terminal:
            return None
        self._runs[simulation_id] = run
        self._kept[simulation_id] = replace(known, status=Status.IN_PROGRESS, done=0, total=None)
        return self._kept[simulation_id]

    async def advance(self, simulation_id: str, run: str, done: int, total: int) -> bool:
        """Say how far a run is."""
        known = self._kept.get(simulation_id)
        if known is None or known.status is not Status.IN_PROGRESS or self._runs[simulation_id] != run:
            return False
        self._kept[simulation_id] = replace(known, done=done, total=max(done, total))
        return True

    async def end(
        self,
        simulation_id: str,
        status: Status,
        *,
        run: str | None = None,
        error: str | None = None,
        report: Report | None = None,
    ) -> Simulation | None:
        """End it, unless it has ended or another run works at it."""
        known = self._kept.get(simulation_id)
        if known is None or known.status.terminal or run not in (None, self._runs.get(simulation_id)):
            return known
        ended = replace(known, status=status, error=error, report=report, completed_at=datetime.now(UTC))
        self._kept[simulation_id] = ended
        return ended

    def expire(self, before: datetime) -> int:
        """Forget those that ended before then; returns how many they were."""
        old = [id_ for id_, each in self._kept.items() if each.completed_at and each.completed_at < before]
        for id_ in old:
            del self._kept[id_]
        return len(old)

    async def stretch(self, since: datetime, until: datetime, most: int) -> Stretch:
        """The newest requests of a period."""
        newest = self._of(since, until)[-most:]
        return Stretch(len(newest), _place(newest[0])) if newest else Stretch()

    async def logged(
        self, since: datetime, until: datetime, *, limit: int, after: Place | None = None
    ) -> tuple[Logged, ...]:
        """The requests of a period, or the next ones after a place in it."""
        found = [each for each in self._of(since, until) if after is None or _place(each) > after]
        return tuple(_logged(each) for each in found[:limit])

    def _of(self, since: datetime, until: datetime) -> list[Record]:
        found = self._ledger.records().values()
        return sorted((each for each in found if since <= each.request.accepted_at < until), key=_place)


def _place(record: Record) -> Place:
    return Place(record.request.accepted_at, str(parse_id(record.request.id)))


def _logged(record: Record) -> Logged:
    request = record.request
    asked = InferenceRequest(
        id=request.id,
        kind=request.kind,
        mode=request.mode,
        endpoint=request.endpoint,
        door=request.door,
        caller=request.caller,
        model=request.model,
        body="",
        accepted_at=request.accepted_at,
        deadline=request.deadline,
        durability=request.durability,
        tags=request.tags,
        metadata=request.metadata,
        traits=request.traits,
    )
    return Logged(asked, tuple(_attempt(record, each) for each in record.settlement.attempts))


def _attempt(record: Record, attempt: Attempt) -> Attempt:
    failure = attempt.failure
    if failure is not None:
        failure = Failure(
            failure.code, "", failure.retryable, status=failure.status, retry_after=failure.retry_after
        )
    cost = record.corrected_usd.get(attempt.number, attempt.cost_usd)
    return replace(attempt, failure=failure, cost_usd=cost, provider_request_id=None)
