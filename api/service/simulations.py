"""Rules that are tried on logged requests before they go live."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from api.service.rules import By, RulesService
from gateway.domain.errors import EngineUnavailable, InvalidRequest, SimulationNotFound, SimulationUnderWay
from gateway.domain.identity import Caller, Right
from gateway.domain.inference import Status
from gateway.domain.simulation import LONGEST, MOST, USUAL, Simulation
from gateway.ids import new_id, parse_id
from gateway.rules.load import digest_of
from gateway.storage.ports import Simulations

WORKFLOW: Final = "Simulate"
_USUAL_PERIOD: Final = timedelta(days=1)


class RunsSimulations(Protocol):
    """The engine, as far as simulations need it."""

    async def run(self, workflow: str, argument: object, *, id_: str, caller: str) -> bool:
        """Commit the start; False if the workflow had been started before. Raises EngineUnavailable."""
        ...

    async def running(self, workflow_id: str) -> bool:
        """Whether the workflow has begun and not ended. Raises EngineUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests rules are tried on; a period that is left open is the last day."""

    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None


class SimulationsService:
    """Begins simulations with `rules.read` and `requests.read`, and shows them with `rules.read`.

    Which requests the examples are is shown with `requests.read` only.
    """

    def __init__(self, simulations: Simulations, rules: RulesService, engine: RunsSimulations) -> None:
        """`rules` finds and reads the text that is meant."""
        self._simulations = simulations
        self._rules = rules
        self._engine = engine

    async def simulate(self, caller: Caller, by: By, wanted: Wanted) -> Simulation:
        """Begin to try a text, a version or (neither) the rules in force on the newest requests of a period.

        Raises RulesInvalid, RuleVersionNotFound, InvalidRequest by field, SimulationUnderWay, EngineUnavailable.
        """
        caller.require(Right.RULES_READ)
        caller.require(Right.REQUESTS_READ)
        now = datetime.now(UTC)
        until = _zoned(wanted.until, "until") or now
        since = _zoned(wanted.since, "since") or until - _USUAL_PERIOD
        if not timedelta(0) < until - since <= LONGEST:
            raise InvalidRequest(
                f"The period must be more than nothing and at most {LONGEST.days} days.", param="since"
            )
        most = USUAL if wanted.limit is None else wanted.limit
        if not 1 <= most <= MOST:
            raise InvalidRequest(f"`limit` must be from 1 to {MOST}.", param="limit")
        text, rules = await self._rules.read(by)
        simulation = Simulation(
            id=new_id(),
            text=text,
            version=None if by.text is not None else int(rules.version),
            digest=digest_of(rules.said),
            since=since,
            until=until,
            most=most,
            actor=caller.id,
            created_at=now,
        )
        begun = await self._begin(simulation)
        try:
            await self._start(begun)
        except EngineUnavailable:
            # Should the start have been committed all the same, its workflow finds nothing to do.
            await self._simulations.end(begun.id, Status.FAILED, error="The engine was not there to run it.")
            raise
        return begun

    async def get(self, caller: Caller, simulation_id: str) -> Simulation:
        """One simulation, with its report when it is completed. Raises SimulationNotFound."""
        caller.require(Right.RULES_READ)
        found = await self._simulations.get(simulation_id) if parse_id(simulation_id) else None
        if found is None:
            raise SimulationNotFound
        if found.report is not None and not caller.may(Right.REQUESTS_READ):
            return replace(found, report=replace(found.report, examples=()))
        return found

    async def _begin(self, simulation: Simulation) -> Simulation:
        try:
            return await self._simulations.begin(simulation)
        except SimulationUnderWay:
            other = await self._simulations.unfinished(simulation.actor)
            if other is not None and not await self._stranded(other):
                raise SimulationUnderWay(
                    f"Your simulation {other.id} has not ended: wait for it, or look what it has found."
                ) from None
        return await self._simulations.begin(simulation)

    async def _stranded(self, other: Simulation) -> bool:
        """Whether nothing will ever end it; one whose process died before it started is started by this."""
        if await self._start(other) or await self._engine.running(other.id):
            return False
        ended = await self._simulations.end(
            other.id, Status.FAILED, error="Its workflow was ended from outside."
        )
        return ended is None or ended.status.terminal

    async def _start(self, simulation: Simulation) -> bool:
        return await self._engine.run(WORKFLOW, simulation.id, id_=simulation.id, caller=simulation.actor)


def _zoned(moment: datetime | None, param: str) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise InvalidRequest("Times need a zone, as in 2026-01-31T12:00:00Z.", param=param)
    return moment
