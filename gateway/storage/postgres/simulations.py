"""Simulations in PostgreSQL, and the requests that they read."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from uuid import UUID

import msgspec

from gateway.domain.errors import SimulationUnderWay
from gateway.domain.inference import Attempt, Durability, InferenceRequest, Kind, Mode, Status, Traits
from gateway.domain.simulation import Logged, Place, Report, Simulation, Stretch
from gateway.ids import parse_id
from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q
from gateway.storage.postgres.rows import Row, attempt_of
from gateway.storage.text import storable, storable_json


class PostgresSimulations:
    """The port `Simulations`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def begin(self, simulation: Simulation) -> Simulation:
        """Keep one that is asked for, or return the one that is kept under its id. Raises SimulationUnderWay."""
        row = await self._database.row(
            Q.simulations.begin,
            {
                "id": UUID(simulation.id),
                "text": storable(simulation.text),
                "version": simulation.version,
                "digest": simulation.digest,
                "since": simulation.since,
                "until": simulation.until,
                "most": simulation.most,
                "actor": simulation.actor,
                "created_at": simulation.created_at,
            },
        )
        if row is None:
            raise SimulationUnderWay
        return _simulation_of(row)

    async def get(self, simulation_id: str) -> Simulation | None:
        """One of them."""
        uuid = parse_id(simulation_id)
        row = None if uuid is None else await self._database.row(Q.simulations.get, {"id": uuid})
        return None if row is None else _simulation_of(row)

    async def unfinished(self, actor: str) -> Simulation | None:
        """The one of an actor that has not ended."""
        row = await self._database.row(Q.simulations.unfinished, {"actor": actor})
        return None if row is None else _simulation_of(row)

    async def take(self, simulation_id: str, run: str) -> Simulation | None:
        """Take one up, or take it over."""
        uuid = parse_id(simulation_id)
        if uuid is None:
            return None
        row = await self._database.row(Q.simulations.take, {"id": uuid, "run": run})
        return None if row is None else _simulation_of(row)

    async def advance(self, simulation_id: str, run: str, done: int, total: int) -> bool:
        """Say how far a run is."""
        said = {"id": parse_id(simulation_id), "run": run, "done": done, "total": total}
        return await self._database.row(Q.simulations.advance, said) is not None

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
        await self._database.rows(
            Q.simulations.end,
            {
                "id": parse_id(simulation_id),
                "status": status.value,
                "run": run,
                "error": None if error is None else storable(error),
                "report": None if report is None else storable_json(report),
            },
        )
        return await self.get(simulation_id)

    async def stretch(self, since: datetime, until: datetime, most: int) -> Stretch:
        """The newest requests of a period."""
        row = await self._database.row(Q.simulations.stretch, {"since": since, "until": until, "most": most})
        return Stretch() if row is None else Stretch(row["total"], Place(row["accepted_at"], str(row["id"])))

    async def logged(
        self, since: datetime, until: datetime, *, limit: int, after: Place | None = None
    ) -> tuple[Logged, ...]:
        """The requests of a period, or the next ones after a place in it."""
        rows = await self._database.rows(
            Q.simulations.logged,
            {
                "from": since if after is None else after.accepted_at,
                "until": until,
                "after": None if after is None else UUID(after.request_id),
                "limit": limit,
            },
            prepare=False,
        )
        if not rows:
            return ()
        tried: dict[UUID, list[Attempt]] = defaultdict(list)
        for row in await self._database.rows(
            Q.simulations.attempts,
            {"earliest": rows[0]["accepted_at"], "latest": rows[-1]["accepted_at"]},
            prepare=False,
        ):
            tried[row["request_id"]].append(attempt_of(row))
        return tuple(Logged(_request_of(row), tuple(tried.get(row["id"], ()))) for row in rows)


def _request_of(row: Row) -> InferenceRequest:
    return InferenceRequest(
        id=str(row["id"]),
        kind=Kind(row["kind"]),
        mode=Mode(row["mode"]),
        endpoint=row["endpoint"],
        door=row["door"],
        caller=row["caller"],
        model=row["model"],
        body="",
        accepted_at=row["accepted_at"],
        deadline=row["deadline"],
        durability=Durability(row["durability"]),
        tags=row["tags"],
        metadata=row["metadata"],
        traits=msgspec.convert(row["facts"], Traits),
    )


def _simulation_of(row: Row) -> Simulation:
    return Simulation(
        id=str(row["id"]),
        text=row["text"],
        version=row["version"],
        digest=row["digest"],
        since=row["since"],
        until=row["until"],
        most=row["most"],
        actor=row["actor"],
        created_at=row["created_at"],
        status=Status(row["status"]),
        completed_at=row["completed_at"],
        done=row["done"],
        total=row["total"],
        error=row["error"],
        report=None if row["report"] is None else msgspec.convert(row["report"], Report),
    )
