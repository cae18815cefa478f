"""Simulations as messages."""

from __future__ import annotations

from api.rpc.common import STATUS
from api.rpc.values import decimal, moment, timestamp
from api.service.rules import By
from api.service.simulations import Wanted
from gateway.domain.simulation import Report, Simulation
from gateway.v1 import rules_pb2 as pb


def wanted_of(request: pb.RulesServiceSimulateRequest) -> tuple[By, Wanted]:
    """By which rules, and on which requests. Raises InvalidRequest."""
    return (
        By(request.text or None, request.version or None),
        Wanted(
            moment(request.since, "since") if request.HasField("since") else None,
            moment(request.until, "until") if request.HasField("until") else None,
            request.limit or None,
        ),
    )


def simulation_message(simulation: Simulation) -> pb.Simulation:
    """A simulation as we show it."""
    return pb.Simulation(
        id=simulation.id,
        status=STATUS[simulation.status],
        version=simulation.version or 0,
        digest=simulation.digest,
        since=timestamp(simulation.since),
        until=timestamp(simulation.until),
        limit=simulation.most,
        created_at=timestamp(simulation.created_at),
        completed_at=timestamp(simulation.completed_at),
        done=simulation.done,
        total=simulation.total,
        error=simulation.error or "",
        report=None if simulation.report is None else _report(simulation.report),
    )


def _report(report: Report) -> pb.SimulationReport:
    moves = [
        pb.SimulationMove(
            requests=move.requests,
            cost_usd=decimal(move.cost_usd),
            estimated_cost_usd=decimal(move.estimated_cost_usd),
            cost_unknown=move.cost_unknown,
            to=move.target,
            **{"from": move.source},
        )
        for move in report.moves
    ]
    examples = [
        pb.SimulationExample(
            request_id=each.request_id, rule=each.rule, why=each.why, to=each.target, **{"from": each.source}
        )
        for each in report.examples
    ]
    return pb.SimulationReport(
        requests=report.requests,
        moved=report.moved,
        refused=report.refused,
        cost_usd=decimal(report.cost_usd),
        estimated_cost_usd=decimal(report.estimated_cost_usd),
        cost_unknown=report.cost_unknown,
        p50_ms=report.p50_ms,
        estimated_p50_ms=report.estimated_p50_ms,
        latency_unknown=report.latency_unknown,
        moves=moves,
        moves_left=report.moves_left,
        examples=examples,
    )
