"""Rules at both doors: shown, tried out, put in force and taken back."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from gateway.v1 import inference_pb2, rules_pb2
from tests.api import rpc
from tests.api.mistakes import Doors, both
from tests.api.rest import bearer, body
from tests.api.world import ADMIN, KEY, World, a_world

KEEPS = 'rules = [ { name = "at home", keep { tagged { location = on-prem } } } ]'
PREFERS = 'rules = [ { name = "good first", prefer { name = good } } ]'
WRONG = 'rules = [\n  { name = "slow ones"\n    drop { latency { p95_over = 8, window = 5m } } }\n]'
ASKED = {"model": "assistant", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
async def doors() -> AsyncGenerator[Doors]:
    async with both(a_world()) as doors:
        yield doors


async def post(
    doors: Doors, path: str, told: dict[str, Any], headers: Mapping[str, str] | None = None
) -> Any:
    return await doors.rest.client.post(f"/api/v1/rules{path}", json=told, headers=headers or bearer(ADMIN))


async def get(doors: Doors, path: str) -> Any:
    return await doors.rest.get(f"/api/v1/rules{path}", ADMIN)


async def test_what_is_published_is_the_version_in_force_at_both_doors(doors: Doors):
    answer = await post(doors, "/publish", {"text": KEEPS, "note": "first"})
    assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
    shown = (await get(doors, "")).json()
    assert (shown["version"], shown["text"], shown["note"], shown["in_force"]) == (1, KEEPS, "first", True)
    told = await doors.rules.Get(rules_pb2.RulesServiceGetRequest(), metadata=rpc.bearer(ADMIN))
    assert (told.version.number, told.version.text, told.version.author) == (1, KEEPS, shown["author"])


async def test_going_back_makes_no_version(doors: Doors):
    for text in (KEEPS, PREFERS):
        await post(doors, "/publish", {"text": text})
    back = await doors.rules.Rollback(
        rules_pb2.RulesServiceRollbackRequest(number=1, note="again"), metadata=rpc.bearer(ADMIN)
    )
    assert (back.version.number, back.version.in_force) == (1, True)
    page = (await get(doors, "/versions")).json()
    assert [(v["version"], v["in_force"], v["text"]) for v in page["data"]] == [
        (2, False, None),
        (1, True, None),
    ]
    assert (await get(doors, "/versions/2")).json()["text"] == PREFERS


async def test_a_mistake_is_said_with_line_rule_key_and_what_would_be_right(doors: Doors):
    checked = (await post(doors, "/validate", {"text": WRONG})).json()
    assert checked["valid"] is False
    (wrong,) = checked["problems"]
    assert (wrong["line"], wrong["rule"]) == (3, "slow ones")
    assert "needs a duration such as 8s; got 8" in wrong["message"]
    told = await doors.rules.Validate(
        rules_pb2.RulesServiceValidateRequest(text=WRONG), metadata=rpc.bearer(ADMIN)
    )
    assert [MessageToDict(each, preserving_proto_field_name=True) for each in told.problems] == [
        {name: value for name, value in wrong.items() if value}
    ]


async def test_a_bad_set_never_replaces_a_good_one(doors: Doors):
    await post(doors, "/publish", {"text": KEEPS})
    refused = await post(doors, "/publish", {"text": WRONG})
    assert (refused.status_code, refused.json()["code"]) == (422, "rules_invalid")
    assert "slow ones" in refused.json()["detail"]
    assert (await get(doors, "")).json()["text"] == KEEPS


async def test_a_text_is_told_in_its_canonical_layout(doors: Doors):
    checked = (await post(doors, "/validate", {"text": KEEPS})).json()
    assert (checked["valid"], checked["rules"]) == (True, ["at home"])
    again = (await post(doors, "/validate", {"text": checked["canonical"]})).json()
    assert (again["digest"], again["canonical"]) == (checked["digest"], checked["canonical"])


async def test_a_change_from_what_is_no_longer_in_force_is_refused(doors: Doors):
    await post(doors, "/publish", {"text": KEEPS})
    late = await post(doors, "/publish", {"text": PREFERS}, bearer(ADMIN, if_match='"7"'))
    assert (late.status_code, late.json()["code"]) == (412, "version_conflict")
    odd = await post(doors, "/publish", {"text": PREFERS}, bearer(ADMIN, if_match="soon"))
    assert odd.status_code == 400
    call = doors.rules.Publish(
        rules_pb2.RulesServicePublishRequest(text=PREFERS, expected_version=7), metadata=rpc.bearer(ADMIN)
    )
    assert await rpc.code_of(call) == ("ABORTED", "version_conflict")


# ---- explain -----------------------------------------------------------------------------------------------------
async def test_a_draft_is_explained_and_nothing_is_called(doors: Doors):
    before = calls(doors.world)
    explained = (await post(doors, "/explain", {"text": PREFERS, "body": ASKED})).json()
    decision = explained["decision"]
    assert decision["ranked"][0] == "good"
    assert decision["rule"] == "good first"
    assert any(step["rule"] == "good first" for step in decision["steps"])
    request = rules_pb2.RulesServiceExplainRequest(
        text=PREFERS,
        chat=inference_pb2.ChatRequest(
            model="assistant", messages=[inference_pb2.ChatMessage(role="user", content="Hello")]
        ),
    )
    told = await doors.rules.Explain(request, metadata=rpc.bearer(ADMIN))
    assert list(told.decision.ranked) == decision["ranked"]
    assert [step.effect for step in told.decision.steps] == [step["effect"] for step in decision["steps"]]
    assert calls(doors.world) == before


def calls(world: World) -> int:
    return world.upstream.stats()["calls"]


async def test_a_request_is_explained_as_another_caller(doors: Doors):
    text = """rules = [ { name = "batch agents wait for nobody"
        when { caller.tags { tier = batch } }, refuse { message = "Not by day." } } ]"""
    asked = {"text": text, "body": ASKED, "caller": {"name": "night", "tags": {"tier": "batch"}}}
    refused = (await post(doors, "/explain", asked)).json()["decision"]["refused"]
    assert (refused["message"], refused["rule"]) == ("Not by day.", "batch agents wait for nobody")
    asked["caller"] = {"name": "day"}
    assert (await post(doors, "/explain", asked)).json()["decision"]["refused"] is None


async def test_a_logged_request_is_explained_with_what_it_really_called_first(doors: Doors):
    answer = await doors.rest.chat(body("assistant"), headers=bearer(KEY))
    request_id = answer.headers["x-request-id"]
    await doors.settled()
    explained = (await post(doors, "/explain", {"text": PREFERS, "request_id": request_id})).json()
    assert (explained["actual_model"], answer.headers["x-gateway-model"]) == ("down", "good")
    assert explained["decision"]["ranked"][0] == "good"


@pytest.mark.parametrize(
    ("told", "param"),
    [
        ({}, "body"),
        ({"body": ASKED, "request_id": "x"}, "body"),
        ({"body": {"model": "assistant"}}, "messages"),
        ({"body": ASKED, "text": KEEPS, "version": 1}, "version"),
        ({"body": ASKED, "roll": 1.0}, "roll"),
        ({"body": ASKED, "rule": KEEPS}, "rule"),
    ],
)
async def test_a_wrong_question_names_its_field(doors: Doors, told: dict[str, Any], param: str):
    answer = await post(doors, "/explain", told)
    assert answer.status_code in (400, 422)
    assert answer.json()["param"] == param, json.dumps(answer.json())


@pytest.mark.parametrize("version", [7])
async def test_a_version_that_never_was_is_not_found(doors: Doors, version: int):
    assert (await get(doors, f"/versions/{version}")).status_code == 404
    assert (await post(doors, "/rollback", {"version": version})).json()["code"] == "rule_version_not_found"
    assert (await get(doors, "")).status_code == 404


# ---- rights ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/validate", {"text": KEEPS}),
        ("/explain", {"body": ASKED}),
        ("/publish", {"text": KEEPS}),
        ("/rollback", {"version": 1}),
    ],
)
async def test_rules_are_for_those_who_have_the_right(doors: Doors, path: str, told: dict[str, Any]):
    answer = await post(doors, path, told, bearer(KEY))
    assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
