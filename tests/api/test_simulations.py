"""Rules are tried on logged requests before they go live, asked for and looked at by either door."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from api.rpc.common import STATUS
from gateway.domain.identity import Right
from gateway.domain.inference import Status
from gateway.settings import ROOT
from gateway.v1 import rules_pb2 as pb
from tests.api import rpc
from tests.api.mistakes import Doors, both
from tests.api.mistakes_simulations import TEXT
from tests.api.rest import bearer, body
from tests.api.world import ADMIN, CALLERS, KEY, a_world
from tests.waits import until

LOOKER = "sk-looker"


@pytest.fixture
async def doors() -> AsyncGenerator[Doors]:
    async with both(a_world()) as doors:
        looker = replace(CALLERS[KEY], id="looker", rights=frozenset({Right.RULES_READ}))
        doors.world.identity.callers = {**CALLERS, LOOKER: looker}
        yield doors


async def traffic(doors: Doors) -> None:
    """Three requests to an alias whose first model is down, and one that names a model."""
    for model in ("assistant", "assistant", "good", "assistant"):
        await doors.rest.chat(body(model), headers=bearer(KEY))
    await doors.settled()


async def begin(doors: Doors, **given: Any) -> Any:
    return await doors.rest.client.post(
        "/api/v1/rules/simulate", json={"text": TEXT, **given}, headers=bearer(ADMIN)
    )


async def ended(doors: Doors, simulation_id: str) -> dict[str, Any]:
    store = doors.world.store.simulations
    await until(lambda: store._kept[simulation_id].status.terminal)
    return (await doors.rest.get(f"/api/v1/rules/simulations/{simulation_id}", ADMIN)).json()


async def test_a_draft_is_tried_on_what_was_logged_and_changes_nothing(doors: Doors):
    await traffic(doors)
    before = doors.world.upstream.stats()["calls"]
    answer = await begin(doors)
    assert answer.status_code == 202
    asked = answer.json()
    assert answer.headers["location"] == f"/api/v1/rules/simulations/{asked['id']}"
    assert (asked["object"], asked["status"], asked["version"]) == ("rules.simulation", "queued", None)
    assert (asked["limit"], asked["done"], asked["total"], asked["report"]) == (100_000, 0, None, None)
    found = await ended(doors, asked["id"])
    assert (found["status"], found["done"], found["total"]) == ("completed", 4, 4)
    report = found["report"]
    assert (report["requests"], report["moved"], report["refused"]) == (4, 3, 0)
    (move,) = report["moves"]
    assert (move["from"], move["to"], move["requests"]) == ("down", "good", 3)
    assert {example["rule"] for example in report["examples"]} == {"good first"}
    shown = await doors.rest.get(f"/api/v1/requests/{report['examples'][0]['request_id']}", ADMIN)
    assert shown.json()["model"] == "assistant"
    assert doors.world.upstream.stats()["calls"] == before
    assert (await doors.rest.get("/api/v1/rules", ADMIN)).status_code == 404


async def test_both_doors_show_the_same_report(doors: Doors):
    await traffic(doors)
    call = doors.rules.Simulate(
        pb.RulesServiceSimulateRequest(text=TEXT, limit=3), metadata=rpc.bearer(ADMIN)
    )
    begun = (await call).simulation
    assert begun.status == STATUS[Status.QUEUED]
    said = await ended(doors, begun.id)
    assert (said["limit"], said["report"]["requests"]) == (3, 3)  # the newest
    told = await doors.rules.GetSimulation(
        pb.RulesServiceGetSimulationRequest(id=begun.id), metadata=rpc.bearer(ADMIN)
    )
    report = told.simulation.report
    assert (told.simulation.digest, told.simulation.total) == (said["digest"], 3)
    for name in (
        "cost_usd",
        "estimated_cost_usd",
        "moved",
        "refused",
        "cost_unknown",
        "p50_ms",
        "moves_left",
    ):
        assert getattr(report, name) == said["report"][name], name
    moves = [
        MessageToDict(each, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
        for each in report.moves
    ]
    assert moves == [
        {**each, "requests": str(each["requests"]), "cost_unknown": str(each["cost_unknown"])}
        for each in said["report"]["moves"]
    ]
    assert [example.request_id for example in report.examples] == [
        each["request_id"] for each in said["report"]["examples"]
    ]


async def test_a_version_can_be_tried_and_so_can_the_rules_in_force(doors: Doors):
    await traffic(doors)
    publish = {"text": TEXT, "note": "now"}
    await doors.rest.client.post("/api/v1/rules/publish", json=publish, headers=bearer(ADMIN))
    for given in ({"version": 1}, {}):
        answer = await doors.rest.client.post("/api/v1/rules/simulate", json=given, headers=bearer(ADMIN))
        assert answer.json()["version"] == 1
        assert (await ended(doors, answer.json()["id"]))["report"]["moved"] == 3


async def test_a_period_without_requests_has_an_empty_report(doors: Doors):
    await traffic(doors)
    past = datetime.now(UTC) - timedelta(days=2)
    answer = await begin(doors, since=(past - timedelta(days=3)).isoformat(), until=past.isoformat())
    found = await ended(doors, answer.json()["id"])
    assert (found["status"], found["total"], found["report"]["requests"]) == ("completed", 0, 0)
    assert found["report"]["p50_ms"] is None


async def test_who_may_not_see_requests_is_not_told_which_the_examples_are(doors: Doors):
    await traffic(doors)
    asked = (await begin(doors)).json()
    await ended(doors, asked["id"])
    seen = (await doors.rest.get(f"/api/v1/rules/simulations/{asked['id']}", LOOKER)).json()
    assert (seen["report"]["moved"], seen["report"]["examples"]) == (3, [])
    denied = await doors.rest.client.post(
        "/api/v1/rules/simulate", json={"text": TEXT}, headers=bearer(LOOKER)
    )
    assert (denied.status_code, denied.json()["detail"]) == (
        403,
        "Your key does not carry the right `requests.read`.",
    )


async def test_one_at_a_time_and_the_error_names_the_other(doors: Doors):
    doors.world.engine.simulating.clear()
    first = (await begin(doors)).json()
    refused = await begin(doors)
    assert (refused.status_code, refused.json()["code"]) == (409, "simulation_under_way")
    assert first["id"] in refused.json()["detail"]
    doors.world.engine.simulating.set()
    await ended(doors, first["id"])
    assert (await begin(doors)).status_code == 202


async def test_one_whose_start_was_lost_is_started_by_the_next_who_asks(doors: Doors):
    doors.world.engine.simulating.clear()
    first = (await begin(doors)).json()
    doors.world.engine._running.pop(first["id"]).cancel()
    assert (await begin(doors)).status_code == 409
    doors.world.engine.simulating.set()
    assert (await ended(doors, first["id"]))["status"] == "completed"


async def test_one_that_was_ended_from_outside_stands_in_nobodys_way(doors: Doors):
    doors.world.engine.simulating.clear()
    first = (await begin(doors)).json()
    doors.world.engine._running[first["id"]].cancel()
    await until(doors.world.engine._running[first["id"]].done)
    assert (await begin(doors)).status_code == 202
    assert (await ended(doors, first["id"]))["error"] == "Its workflow was ended from outside."


async def test_without_an_engine_nothing_stays_behind(doors: Doors):
    doors.world.engine.up = False
    assert (await begin(doors)).status_code == 503
    doors.world.engine.up = True
    assert (await begin(doors)).status_code == 202


async def test_times_without_a_zone_are_refused(doors: Doors):
    refused = await begin(doors, since="2026-01-01T00:00:00")
    assert (refused.status_code, refused.json()["param"]) == (400, "since")


def shape(value: Any) -> Any:
    """What an answer is made of, whatever stands in it."""
    match value:
        case dict():
            return {key: shape(each) for key, each in value.items()}
        case list():
            return [shape(each) for each in value[:1]]
        case str():
            return "text"
        case int() | float():
            return "number"
        case _:
            return "null"


async def test_the_answer_in_the_guide_has_the_shape_of_an_answer(doors: Doors):
    guide = (ROOT / "docs" / "rules.md").read_text("utf-8")
    shown = re.search(r"```json\n(.*?)```", guide[guide.index("### What a simulation says") :], re.DOTALL)
    assert shown is not None
    await traffic(doors)
    found = await ended(doors, (await begin(doors)).json()["id"])
    assert shape(json.loads(shown[1])) == shape(found)
