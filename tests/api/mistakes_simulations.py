"""Every mistake that can be made with simulations, and how it is made at each door."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.ids import new_id
from gateway.v1 import rules_pb2 as pb
from tests.api import rpc
from tests.api.mistakes import Doors, Mistake
from tests.api.rest import bearer
from tests.api.world import ADMIN, KEY

TEXT = 'rules = [ { name = "good first", prefer { name = good } } ]'


async def one_under_way(doors: Doors) -> None:
    doors.world.engine.simulating.clear()
    await doors.rest.client.post("/api/v1/rules/simulate", json={"text": TEXT}, headers=bearer(ADMIN))


async def lose_engine(doors: Doors) -> None:
    doors.world.engine.up = False


def begun(name: str, code: str, given: dict[str, Any], key: str = ADMIN, prepare: Any = None) -> Mistake:
    spoken = {**given}
    for field in ("since", "until"):
        if field in given:
            spoken[field] = Timestamp()
            spoken[field].FromDatetime(datetime.fromisoformat(given[field]).astimezone(UTC))
    return Mistake(
        name,
        code,
        lambda d: d.rest.client.post("/api/v1/rules/simulate", json=given, headers=bearer(key)),
        lambda d: d.rules.Simulate(pb.RulesServiceSimulateRequest(**spoken), metadata=rpc.bearer(key)),
        prepare,
    )


def looked_at(name: str, code: str, simulation_id: str, key: str = ADMIN) -> Mistake:
    return Mistake(
        name,
        code,
        lambda d: d.rest.get(f"/api/v1/rules/simulations/{simulation_id}", key),
        lambda d: d.rules.GetSimulation(
            pb.RulesServiceGetSimulationRequest(id=simulation_id), metadata=rpc.bearer(key)
        ),
    )


SIMULATION_MISTAKES: list[Mistake] = [
    begun("a draft that is none", "rules_invalid", {"text": "rules = [ { keep { tag = 1 } } ]"}),
    begun("a version that never was", "rule_version_not_found", {"version": 7}),
    begun("a draft and a version", "invalid_request", {"text": TEXT, "version": 1}),
    begun(
        "a period that ends before it begins",
        "invalid_request",
        {"text": TEXT, "since": "2026-02-01T00:00:00+00:00", "until": "2026-01-01T00:00:00+00:00"},
    ),
    begun(
        "a period of a year",
        "invalid_request",
        {"text": TEXT, "since": "2025-01-01T00:00:00+00:00", "until": "2026-01-01T00:00:00+00:00"},
    ),
    begun("more requests than a million", "invalid_request", {"text": TEXT, "limit": 1_000_001}),
    begun("fewer requests than one", "invalid_request", {"text": TEXT, "limit": -1}),
    begun("a simulation without the right", "permission_denied", {"text": TEXT}, KEY),
    begun(
        "a second simulation beside the first", "simulation_under_way", {"text": TEXT}, ADMIN, one_under_way
    ),
    begun("a simulation without an engine", "engine_unavailable", {"text": TEXT}, ADMIN, lose_engine),
    looked_at("an unknown simulation", "simulation_not_found", new_id()),
    looked_at("no simulation's id", "simulation_not_found", "x"),
    looked_at("a look without the right", "permission_denied", new_id(), KEY),
]
