"""`/api/v1/rules/simulations`: rules are tried on logged requests before they go live."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from api.auth import authenticate
from api.rest import bodies
from api.service.rules import By
from api.service.simulations import SimulationsService, Wanted
from gateway.domain.inference import Status
from gateway.domain.simulation import MOST, USUAL, Report, Simulation
from gateway.identity import Identify
from gateway.settings import Api

Usd = Annotated[Decimal, PlainSerializer(lambda usd: f"{usd:f}", return_type=str)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SimulateBody(_Body):
    """By which rules (a text, a version, or those in force), and on which requests: the newest of a period."""

    text: str | None = None
    version: int | None = Field(default=None, ge=1)
    since: datetime | None = Field(default=None, description="A day before `until` unless said.")
    until: datetime | None = Field(
        default=None, description="Now unless said; at most 92 days after `since`."
    )
    limit: int = Field(default=USUAL, ge=1, le=MOST)


class MoveShape(_Body):
    """So many requests would go from one model to another; `to` is null for a refusal, `from` where none was called."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    source: str | None = Field(serialization_alias="from")
    target: str | None = Field(serialization_alias="to")
    requests: int
    cost_usd: Usd
    estimated_cost_usd: Usd
    cost_unknown: int


class ExampleShape(_Body):
    """A request that would be decided otherwise, the rule of the draft that decided, and why."""

    request_id: str
    source: str | None = Field(serialization_alias="from")
    target: str | None = Field(serialization_alias="to")
    rule: str
    why: str


class ReportShape(_Body):
    """What was found. Costs and medians leave out the requests of which one side is unknown, and say how many."""

    requests: int
    moved: int
    refused: int
    cost_usd: Usd
    estimated_cost_usd: Usd
    cost_unknown: int
    p50_ms: float | None
    estimated_p50_ms: float | None
    latency_unknown: int
    moves: list[MoveShape]
    moves_left: int
    examples: list[ExampleShape]


class SimulationShape(_Body):
    """Where a simulation stands; `total` is null until it is counted, `report` until it is completed."""

    id: str
    object: Literal["rules.simulation"] = "rules.simulation"
    status: Status
    version: int | None
    digest: str
    since: datetime
    until: datetime
    limit: int
    created_at: datetime
    completed_at: datetime | None
    done: int
    total: int | None
    error: str | None
    report: ReportShape | None


def router(identity: Identify, service: SimulationsService, settings: Api) -> APIRouter:
    """The routes of simulations."""
    routes = APIRouter(prefix="/api/v1/rules", tags=["rules"])

    @routes.post("/simulate", status_code=202, openapi_extra=bodies.described(SimulateBody))
    async def simulate(request: Request, response: Response) -> SimulationShape:
        """Try rules on logged requests, in the background; `Location` says where to look for what was found."""
        caller = await authenticate(identity, request.scope["gateway"]["headers"])
        body = await bodies.read(request, SimulateBody, settings)
        begun = await service.simulate(
            caller, By(body.text, body.version), Wanted(body.since, body.until, body.limit)
        )
        response.headers["location"] = f"/api/v1/rules/simulations/{begun.id}"
        return simulation_shape(begun)

    @routes.get("/simulations/{simulation_id}")
    async def get(request: Request, simulation_id: str) -> SimulationShape:
        """How far a simulation is, and what it found."""
        caller = await authenticate(identity, request.scope["gateway"]["headers"])
        return simulation_shape(await service.get(caller, simulation_id))

    return routes


def simulation_shape(simulation: Simulation) -> SimulationShape:
    """A simulation as we show it."""
    return SimulationShape(
        id=simulation.id,
        status=simulation.status,
        version=simulation.version,
        digest=simulation.digest,
        since=simulation.since,
        until=simulation.until,
        limit=simulation.most,
        created_at=simulation.created_at,
        completed_at=simulation.completed_at,
        done=simulation.done,
        total=simulation.total,
        error=simulation.error,
        report=None if simulation.report is None else _report(simulation.report),
    )


def _report(report: Report) -> ReportShape:
    moves = [
        MoveShape(
            source=move.source or None,
            target=move.target or None,
            requests=move.requests,
            cost_usd=move.cost_usd,
            estimated_cost_usd=move.estimated_cost_usd,
            cost_unknown=move.cost_unknown,
        )
        for move in report.moves
    ]
    examples = [
        ExampleShape(
            request_id=each.request_id,
            source=each.source or None,
            target=each.target or None,
            rule=each.rule,
            why=each.why,
        )
        for each in report.examples
    ]
    return ReportShape(
        requests=report.requests,
        moved=report.moved,
        refused=report.refused,
        cost_usd=report.cost_usd,
        estimated_cost_usd=report.estimated_cost_usd,
        cost_unknown=report.cost_unknown,
        p50_ms=report.p50_ms,
        estimated_p50_ms=report.estimated_p50_ms,
        latency_unknown=report.latency_unknown,
        moves=moves,
        moves_left=report.moves_left,
        examples=examples,
    )
