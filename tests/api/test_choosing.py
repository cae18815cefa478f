"""What rules decide reaches both doors: refusals with their rule, terms that hold, and what is kept of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway import telemetry
from gateway.domain.identity import Right
from gateway.domain.inference import Durability
from gateway.v1 import jobs_pb2, requests_pb2
from tests.api import rpc
from tests.api.mistakes import Doors, both
from tests.api.rest import a_quick_world, bearer, body, error_of
from tests.api.world import ADMIN, CALLERS, KEY, OTHER

RULES = {
    "rules": [
        {
            "name": "no secrets here",
            "when": {"request": {"tags": {"data": "secret"}}},
            "refuse": "Secret data is not for models. Ask the privacy team.",
        },
        {
            "name": "leave no text",
            "when": {"request": {"tags": {"data": "private"}}},
            "set": {
                "log_content": False,
                "durability": "start-first",
                "deadline": "5s",
                "attempts": 1,
                "tags": {"privacy": "high"},
            },
        },
        {
            "name": "cheap lane",
            "when": {"request": {"tags": {"lane": "cheap"}}},
            "set": {"cost_limit_usd": "0.001"},
        },
        {"name": "good first", "when": {"request": {"model": "auto"}}, "prefer": {"name": "good"}},
    ]
}


@pytest.fixture
async def doors() -> AsyncGenerator[Doors]:
    async with both(a_quick_world(rules=RULES)) as doors:
        yield doors


def tagged(**tags: str) -> dict[str, Any]:
    return {"gateway": {"tags": tags}}


async def test_what_a_rule_refuses_calls_nobody_and_says_which_rule_it_was(doors: Doors):
    refused = telemetry.REFUSED.labels("refused_by_rule")
    before = refused._value.get()
    answers = [
        await doors.rest.chat(body(**tagged(data="secret"))),
        await doors.rest.chat(body(stream=True, **tagged(data="secret"))),
        await doors.rest.job(body(**tagged(data="secret"))),
    ]
    for answer in answers:
        assert answer.status_code == 403
        said = error_of(answer)
        assert said["code"] == "refused_by_rule"
        assert "Ask the privacy team." in (said.get("message") or said["detail"])
        assert answer.headers["x-gateway-rule"] == "no secrets here"
        assert answer.headers["x-gateway-rules-version"]
        assert answer.headers["x-gateway-registry-version"] == "test"
        assert answer.headers["x-should-retry"] == "false"
    options = {"x-gateway-tags": "data=secret"}
    metadata = (*rpc.bearer(), *options.items())
    request = jobs_pb2.JobsServiceCreateRequest(chat=rpc.chat())
    for call in (
        doors.chat.Chat(rpc.chat(), metadata=metadata),
        doors.chat.ChatStream(rpc.streamed(), metadata=metadata),
        doors.jobs.Create(request, metadata=metadata),
    ):
        assert await rpc.code_of(call) == ("PERMISSION_DENIED", "refused_by_rule")
        assert dict(await call.trailing_metadata())["x-gateway-rule"] == "no secrets here"
    assert refused._value.get() == before + 6
    assert doors.world.upstream.numbered == 0
    assert len(doors.world.exchanges) == 0


async def test_what_a_rule_sets_holds_for_the_request(doors: Doors):
    response = await doors.rest.chat(body("down", **tagged(data="private")))
    assert (response.status_code, response.headers["x-gateway-attempts"]) == (502, "1")
    assert response.headers["x-gateway-durability"] == "start-first"
    record = await doors.rest.settled(response)
    request = record.request
    assert request.durability is Durability.START_FIRST
    assert (request.limits.attempts, request.deadline - request.accepted_at) == (1, timedelta(seconds=5))
    assert request.tags == {"data": "private", "privacy": "high"}
    kept = await doors.world.store.requests.get(request.id, with_text=True)
    assert kept is not None
    assert (kept.prompt, kept.answer) == (None, None)
    assert [step.rule for step in kept.decisions[0].steps if step.effect.startswith("sets")] == [
        "leave no text"
    ]


async def test_the_lower_of_two_cost_limits_holds(doors: Doors):
    for limit in ({}, {"max_cost_usd": 5}):
        asked = body(gateway={"tags": {"lane": "cheap"}, **limit})
        answer = await doors.rest.chat(asked)
        assert (answer.status_code, error_of(answer)["code"]) == (400, "no_model_fits")
        assert "cost limit" in error_of(answer)["message"]
    assert (await doors.rest.chat(body(gateway={"max_cost_usd": 5}))).status_code == 200


async def test_the_rule_that_chose_is_told(doors: Doors):
    answer = await doors.rest.chat(body("auto"))
    assert (answer.headers["x-gateway-model"], answer.headers["x-gateway-rule"]) == ("good", "good first")
    async with doors.rest.streaming(body("auto")) as streamed:
        assert streamed.headers["x-gateway-rule"] == "good first"
        await streamed.aread()
    answer = await doors.rest.chat(body("good"))
    assert answer.headers["x-gateway-rule"] == "order of the name"


async def test_a_caller_is_shown_no_model_that_it_may_not_know(doors: Doors):
    narrow = replace(CALLERS[KEY], models=frozenset({"assistant"}))
    doors.world.identity.callers = {**CALLERS, KEY: narrow}
    response = await doors.rest.chat(body("assistant", **tagged(lane="wide")))
    await doors.settled()
    request_id = response.headers["x-request-id"]
    own = (await doors.rest.get(f"/api/v1/requests/{request_id}", KEY)).json()
    assert own["candidates"] == ["down", "good"], "both were called for it"
    failed = await doors.rest.chat(body("assistant", gateway={"exclude": ["down"]}), bearer(KEY))
    await doors.settled()
    own = (await doors.rest.get(f"/api/v1/requests/{failed.headers['x-request-id']}", KEY)).json()
    assert own["candidates"] == ["good"]
    assert "down" not in str(own["decisions"][0]["passed_over"])
    missing = await doors.rest.get(f"/api/v1/requests/{request_id}", OTHER)
    assert missing.status_code == 404


async def test_which_conversation_a_request_belongs_to_is_for_those_who_may_know_its_words(doors: Doors):
    """A digest of few words can be guessed."""
    reader = replace(CALLERS[OTHER], rights=CALLERS[OTHER].rights | {Right.REQUESTS_READ})
    doors.world.identity.callers = {**CALLERS, OTHER: reader}
    response = await doors.rest.chat()
    await doors.settled()
    request_id = response.headers["x-request-id"]
    shown: dict[str, str] = {}
    for key in (KEY, ADMIN, OTHER):
        facts = (await doors.rest.get(f"/api/v1/requests/{request_id}", key)).json()["facts"]
        asked = requests_pb2.RequestsServiceGetRequest(id=request_id)
        spoken = (await doors.requests.Get(asked, metadata=rpc.bearer(key))).request
        listed = (await doors.rest.get("/api/v1/requests", key)).json()["data"]
        told = {row["facts"]["conversation"] for row in listed if row["id"] == request_id}
        assert told == {facts["conversation"]} == {spoken.facts.conversation}
        shown[key] = facts["conversation"]
    assert shown[KEY] == shown[ADMIN] != ""
    assert shown[OTHER] == ""
