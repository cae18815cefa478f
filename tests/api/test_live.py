"""What is known of a model at this moment, at both doors; and what its circuit breaker means to callers."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.domain.health import Breaker
from gateway.settings import BreakerSettings, Health
from gateway.v1 import live_pb2
from tests.api import rpc
from tests.api.mistakes import Doors, both
from tests.api.rest import a_quick_world, bearer, body, error_of
from tests.api.world import ADMIN, KEY, POWERLESS
from tests.waits import until


@pytest.fixture
async def doors() -> AsyncGenerator[Doors]:
    async with both(a_quick_world()) as doors:
        yield doors


def refresh(doors):
    """What the beat does once a second."""
    vitals = doors.world.vitals
    vitals.tick()
    for _ in vitals.rebuild(as_of=datetime.now(UTC), replicas=("there",)):
        pass


async def live_of(doors, model="good", key=ADMIN):
    return await doors.rest.client.get(f"/api/v1/models/{model}/live", headers=bearer(key))


async def test_both_doors_tell_the_same_of_a_model(doors):
    for _ in range(3):
        await doors.rest.chat()
    await doors.rest.chat(body("down"))
    await doors.settled()
    refresh(doors)
    for model in ("good", "down", "dear"):
        response = await live_of(doors, model)
        assert response.status_code == 200
        said = response.json()
        answer = await doors.live.Get(live_pb2.LiveServiceGetRequest(model=model), metadata=rpc.bearer(ADMIN))
        live = answer.live
        assert (live.model, list(live.replicas)) == (said["model"], said["replicas"])
        assert said["replicas"] == ["here", "there"]
        assert live.as_of.ToDatetime(UTC).isoformat() == datetime.fromisoformat(said["as_of"]).isoformat()
        assert live.in_flight == said["in_flight"] == 0
        state = live_pb2.BreakerState.Name(live.breaker.state).removeprefix("BREAKER_STATE_").lower()
        assert state == said["breaker"]["state"]
        assert set(live.windows) == set(said["windows"])
        for name, window in live.windows.items():
            shown = said["windows"][name]
            assert (window.requests, dict(window.errors), window.tokens) == (
                shown["requests"],
                shown["errors"],
                shown["tokens"],
            )
            assert window.cost_usd == shown["cost_usd"]
            assert (window.p95_ms if window.HasField("p95_ms") else None) == shown["p95_ms"]
            assert window.error_rate == shown["error_rate"]


async def test_a_model_that_served_shows_what_it_did_and_how_old_that_is(doors):
    await doors.rest.chat()
    await doors.settled()
    refresh(doors)
    said = (await live_of(doors)).json()
    assert set(said["windows"]) == {"10s", "1m", "5m", "1h"}
    window = said["windows"]["10s"]
    assert (window["requests"], window["errors"], window["error_rate"]) == (1, {}, 0.0)
    assert window["p50_ms"] > 0
    assert Decimal(window["cost_usd"]) == Decimal("0.000027")
    assert 0 <= said["age_s"] < 5
    assert said["breaker"] == {"state": "closed", "since": None, "reason": "", "next_probe_at": None}
    assert said["probe"] is None


async def test_a_model_of_which_nothing_is_known_shows_that(doors):
    said = (await live_of(doors, "slow")).json()
    assert (said["windows"], said["in_flight"], said["as_of"], said["age_s"]) == ({}, 0, None, None)


@pytest.mark.parametrize(
    ("key", "model", "code"),
    [
        (KEY, "good", "permission_denied"),
        (POWERLESS, "nowhere", "permission_denied"),
        (ADMIN, "nowhere", "model_not_found"),
        ("sk-unknown", "good", "invalid_api_key"),
    ],
)
async def test_who_may_not_or_asks_for_nothing_is_told_so_at_both(doors, key, model, code):
    response = await live_of(doors, model, key)
    assert error_of(response)["code"] == code
    asked = live_pb2.LiveServiceGetRequest(model=model)
    assert (await rpc.code_of(doors.live.Get(asked, metadata=rpc.bearer(key))))[1] == code


# ---- the breaker -------------------------------------------------------------------------------------------------
async def break_it(doors, model="down"):
    while doors.world.vitals.breakers.state(model).is_open is False:
        await doors.rest.chat(body(model))


async def test_a_model_that_keeps_failing_is_called_no_more_and_callers_are_told_when_to_come_back(doors):
    await break_it(doors)
    called = doors.world.upstream.calls.total()
    response = await doors.rest.chat(body("down"))
    assert (response.status_code, error_of(response)["code"]) == (503, "no_model_available")
    assert 1 <= int(response.headers["retry-after"]) <= 5
    assert doors.world.upstream.calls.total() == called
    said = (await live_of(doors, "down")).json()["breaker"]
    assert said["state"] == "open"
    assert said["reason"] == "5 failures in a row, the last by upstream_unavailable"
    assert datetime.fromisoformat(said["next_probe_at"]) > datetime.fromisoformat(said["since"])


async def test_its_alias_goes_on_with_the_next_model_at_once(doors):
    await break_it(doors)
    response = await doors.rest.chat(body("assistant"))
    assert (response.status_code, response.headers["x-gateway-attempts"]) == (200, "1")
    assert response.headers["x-gateway-model"] == "good"


async def test_by_setting_a_model_that_is_the_only_one_is_asked_all_the_same():
    world = a_quick_world(health=Health(breaker=BreakerSettings(all_open="serve")))
    async with both(world) as doors:
        await break_it(doors)
        called = doors.world.upstream.calls.total()
        response = await doors.rest.chat(body("down"))
        assert error_of(response)["code"] == "upstream_unavailable"
        assert doors.world.upstream.calls.total() > called


async def test_what_callers_do_wrong_or_break_off_opens_nothing(doors):
    for _ in range(8):
        assert (await doors.rest.chat(body("rejects"))).status_code == 400
    await doors.settled()
    refresh(doors)
    assert (await live_of(doors, "rejects")).json()["breaker"]["state"] == "closed"
    assert (await live_of(doors, "rejects")).json()["windows"]["1m"]["errors"] == {}


async def test_of_many_at_once_one_probes_a_model_that_was_sick_and_the_rest_are_served_by_another(doors):
    vitals = doors.world.vitals
    await break_it(doors)
    await doors.settled()
    vitals.clock._ahead += 6.0  # the cool-down is over
    assert vitals.facts().models["down"].breaker is Breaker.HALF_OPEN
    answers = await asyncio.gather(*(doors.rest.chat(body("assistant")) for _ in range(12)))
    assert [answer.status_code for answer in answers] == [200] * 12
    assert sorted(answer.headers["x-gateway-attempts"] for answer in answers) == ["1"] * 11 + ["2"]
    await until(lambda: vitals.facts().models["down"].breaker is Breaker.OPEN)
    assert vitals.breakers.state("down").trips == 2
