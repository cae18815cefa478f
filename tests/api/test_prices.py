"""Prices at both doors: said once and in force, estimated, and a period priced anew."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from gateway.v1 import common_pb2, prices_pb2, requests_pb2
from tests.api import rpc
from tests.api.mistakes import Doors, both
from tests.api.mistakes_prices import stamp
from tests.api.rest import a_quick_world, body, error_of
from tests.api.world import ADMIN, KEY
from tests.waits import until

PRICES = "/api/v1/prices"
GOOD = {"model": "good", "input_usd": "1.10", "output_usd": "2.20"}


@pytest.fixture
async def doors() -> AsyncGenerator[Doors]:
    async with both(a_quick_world()) as doors:
        yield doors


async def added(doors: Doors, **given: Any) -> dict[str, Any]:
    response = await doors.rest.post(PRICES, {**GOOD, **given}, ADMIN)
    assert response.status_code == 201, response.text
    return response.json()


def plain(price: prices_pb2.Price) -> dict[str, Any]:
    """A price of gRPC as REST shows it."""

    def parts(given: prices_pb2.PriceParts) -> dict[str, str]:
        return {field.name: value for field, value in given.ListFields()}

    return {
        "id": price.id,
        "object": "price",
        "model": price.model,
        "since": price.since.ToDatetime(UTC) if price.HasField("since") else None,
        "known": price.known,
        "prices": parts(price.prices),
        "tiers": [{"over": tier.over, "prices": parts(tier.prices)} for tier in price.tiers],
        "source": price.source,
        "actor": price.actor,
        "created_at": price.created_at.ToDatetime(UTC),
    }


def timed(shown: dict[str, Any]) -> dict[str, Any]:
    """What REST shows, its times as moments."""
    return {
        name: datetime.fromisoformat(value)
        if name in ("since", "created_at") and value is not None
        else value
        for name, value in shown.items()
    }


# ---- said and shown ----------------------------------------------------------------------------------------------
async def test_a_price_that_was_said_is_shown_the_same_at_both_doors(doors: Doors):
    said = await added(
        doors,
        cached_input_usd="0.0000100",
        image_usd="0.04",
        tiers=[{"over": 200_000, "input_usd": "2.50"}],
        since="2026-02-03T04:05:06Z",
        source="a contract",
        force=True,
    )
    assert said["prices"] == {
        "input_usd": "1.10",
        "output_usd": "2.20",
        "cached_input_usd": "0.0000100",
        "image_usd": "0.04",
    }
    assert said["tiers"] == [{"over": 200_000, "prices": {"input_usd": "2.50"}}]
    assert (said["source"], said["actor"], said["since"]) == ("a contract", "admin", "2026-02-03T04:05:06Z")
    shown = (await doors.rest.get(f"{PRICES}/{said['id']}", ADMIN)).json()
    assert shown == said
    request = prices_pb2.PricesServiceGetRequest(id=said["id"])
    spoken = (await doors.prices.Get(request, metadata=rpc.bearer(ADMIN))).price
    assert plain(spoken) == timed(said)


async def test_a_price_that_was_spoken_is_the_same_as_one_that_was_written(doors: Doors):
    parts = prices_pb2.PriceParts(input_usd="1.10", output_usd="2.20", request_usd="0.001")
    tiers = [prices_pb2.PriceTier(over=9, prices=prices_pb2.PriceParts(output_usd="3.00"))]
    request = prices_pb2.PricesServiceAddRequest(model="good", prices=parts, tiers=tiers, always=True)
    spoken = (await doors.prices.Add(request, metadata=rpc.bearer(ADMIN))).price
    assert plain(spoken)["since"] is None
    assert spoken.source == "said by admin"
    again = await added(
        doors, request_usd="0.001", tiers=[{"over": 9, "output_usd": "3.00"}], always=True, source="another"
    )
    assert again["id"] == spoken.id, "the same price again is the one there is"


async def test_a_price_holds_from_its_moment_on(doors: Doors):
    now = datetime.now(UTC)
    first = await added(doors, always=True)
    later = await added(doors, input_usd="1.20", since=(now + timedelta(days=9)).isoformat())
    dear = await added(doors, model="dear", unknown=False)

    async def in_force(at: datetime, **more: Any) -> list[str]:
        given = {"at": at.isoformat(), **more}
        page = (await doors.rest.get(PRICES, ADMIN, **given)).json()
        request = prices_pb2.PricesServiceListRequest(at=stamp(at), **more)
        spoken = await doors.prices.List(request, metadata=rpc.bearer(ADMIN))
        assert [row["id"] for row in page["data"]] == [row.id for row in spoken.prices]
        assert (page["next_after"] or "") == spoken.next_after
        return [row["id"] for row in page["data"]]

    assert await in_force(now + timedelta(seconds=5)) == [dear["id"], first["id"]]
    assert await in_force(now + timedelta(days=10), model="good") == [later["id"]]
    assert await in_force(now + timedelta(days=10), limit=1) == [dear["id"]]
    assert await in_force(now + timedelta(days=10), after=dear["id"]) == [later["id"]]
    assert await in_force(now - timedelta(days=400), model="dear") == []
    page = (await doors.rest.get(PRICES, ADMIN, limit=2)).json()
    assert [row["id"] for row in page["data"]] == [dear["id"], later["id"]]
    rest = (await doors.rest.get(PRICES, ADMIN, after=page["next_after"])).json()
    assert ([row["id"] for row in rest["data"]], rest["next_after"]) == ([first["id"]], None)


async def test_requests_are_charged_by_what_was_said_last(doors: Doors):
    before = (await doors.rest.chat(body("good"))).headers["x-gateway-cost-usd"]
    await added(doors, input_usd="2.00", output_usd="4.00")
    after = (await doors.rest.chat(body("good"))).headers["x-gateway-cost-usd"]
    assert Decimal(after) == 2 * Decimal(before)
    await added(doors, input_usd=None, output_usd=None, unknown=True)
    assert "x-gateway-cost-usd" not in (await doors.rest.chat(body("good"))).headers


async def test_a_doubted_price_is_refused_in_words_and_taken_by_force(doors: Doors):
    wrong = {**GOOD, "input_usd": "0.0000011", "output_usd": "0.0000022"}
    error = error_of(await doors.rest.post(PRICES, wrong, ADMIN))
    assert error["param"] == "input_usd"
    assert "per million tokens" in error["detail"]
    assert "did you mean 1.1? (0.0000011 looks like USD per token)" in error["detail"]
    assert "output_usd" in error["detail"]
    assert (await added(doors, input_usd="0.0000011", force=True))["prices"]["input_usd"] == "0.0000011"


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"input_usd": 1.1}, "input_usd"),
        ({"inptu_usd": "1.1"}, "inptu_usd"),
        ({"tiers": [{"over": 9, "image_usd": "1"}]}, "tiers.0.image_usd"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"model": None}, "model"),
    ],
)
async def test_a_wrong_field_is_named(doors: Doors, wrong: dict[str, Any], param: str):
    response = await doors.rest.post(PRICES, {**GOOD, **wrong}, ADMIN)
    assert (response.status_code, error_of(response)["param"]) == (400, param)


@pytest.mark.parametrize(("raw", "code"), [(b"{", "invalid_json"), (b"[]", "invalid_request")])
async def test_a_body_that_is_no_object_is_refused(doors: Doors, raw: bytes, code: str):
    headers = {"authorization": f"Bearer {ADMIN}"}
    response = await doors.rest.client.post(PRICES, content=raw, headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (400, code)


async def test_nobody_unknown_gets_as_far_as_the_body(doors: Doors):
    response = await doors.rest.client.post(PRICES, content=b"{")
    assert (response.status_code, error_of(response)["code"]) == (401, "invalid_api_key")


# ---- estimated ---------------------------------------------------------------------------------------------------
async def test_an_estimate_is_the_same_bill_at_both_doors(doors: Doors):
    price = await added(doors, always=True, cached_input_usd="0.11", request_usd="0.001")
    usage = {"input_tokens": 1000, "output_tokens": 10, "cached_tokens": 400}
    shown = (await doors.rest.post(f"{PRICES}/estimate", {"model": "good", "usage": usage})).json()
    assert (shown["cost_usd"], shown["unknown"], shown["price_id"]) == ("0.001726", [], price["id"])
    request = prices_pb2.PricesServiceEstimateRequest(
        model="good", usage=common_pb2.TokenUsage(input=1000, output=10, cached=400)
    )
    spoken = await doors.prices.Estimate(request, metadata=rpc.bearer())
    assert (spoken.cost_usd, spoken.price_id) == (shown["cost_usd"], price["id"])
    assert [
        {"part": c.part, "amount": c.amount, "per": c.per, "price_usd": c.price_usd, "cost_usd": c.cost_usd}
        for c in spoken.charges
    ] == shown["charges"]


async def test_an_estimate_names_what_is_unknown(doors: Doors):
    asked = {"model": "good", "usage": {"input_tokens": 10, "audio_input_tokens": 5}}
    shown = (await doors.rest.post(f"{PRICES}/estimate", asked)).json()
    assert (shown["cost_usd"], shown["unknown"]) == (None, ["audio_input_usd"])
    shown = (await doors.rest.post(f"{PRICES}/estimate", {"model": "dear", "usage": {}})).json()
    assert (shown["cost_usd"], shown["unknown"], shown["price_id"]) == (None, ["price"], None)
    usage = common_pb2.TokenUsage(input=10, audio_seconds=float("inf"))
    call = doors.prices.Estimate(
        prices_pb2.PricesServiceEstimateRequest(model="good", usage=usage), metadata=rpc.bearer()
    )
    assert await rpc.code_of(call) == ("INVALID_ARGUMENT", "invalid_request")


# ---- priced anew -------------------------------------------------------------------------------------------------
async def repriced(doors: Doors, **given: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    asked = {"since": (now - timedelta(days=1)).isoformat(), "until": now.isoformat(), **given}
    response = await doors.rest.post(f"{PRICES}/reprice", asked, ADMIN)
    assert response.status_code == 202, response.text
    path = response.headers["location"]
    assert path == f"{PRICES}/reprice/{response.json()['id']}"
    async with asyncio.timeout(30):
        while True:
            shown = (await doors.rest.get(path, ADMIN)).json()
            if shown["status"] != "in_progress":
                return shown
            await asyncio.sleep(0.01)


async def a_request(doors: Doors) -> str:
    response = await doors.rest.chat(body("assistant"))
    await doors.settled()
    await asyncio.sleep(0.002)  # past its millisecond
    return response.headers["x-request-id"]


async def test_a_period_is_priced_anew_and_requests_show_both_costs(doors: Doors):
    request_id = await a_request(doors)
    before = (await doors.rest.get(f"/api/v1/requests/{request_id}", ADMIN)).json()
    assert (before["cost_corrected"], before["cost_corrected_usd"]) == (False, None)
    await added(doors, always=True, input_usd="2.00", output_usd="4.00")
    ended = await repriced(doors, reason="a typing mistake")
    assert (ended["status"], ended["progress"], ended["attempts"], ended["changed"]) == (
        "completed",
        1.0,
        2,
        1,
    )
    assert Decimal(ended["new_usd"]) == 2 * Decimal(ended["old_usd"]) > 0
    assert (ended["reason"], ended["actor"], ended["unknown"]) == ("a typing mistake", "admin", 0)
    after = (await doors.rest.get(f"/api/v1/requests/{request_id}", ADMIN)).json()
    assert after["cost_usd"] == before["cost_usd"], "the ledger is not changed"
    assert (after["cost_corrected"], after["cost_corrected_usd"]) == (True, ended["new_usd"])
    assert [a["cost_corrected"] for a in after["attempts"]] == [False, True]
    spoken = await doors.requests.Get(
        requests_pb2.RequestsServiceGetRequest(id=request_id), metadata=rpc.bearer(KEY)
    )
    assert spoken.request.cost_corrected_usd == ended["new_usd"]
    assert [a.cost_corrected for a in spoken.request.attempts] == [False, True]
    again = await repriced(doors)
    assert (again["changed"], again["old_usd"]) == (0, ended["new_usd"])


async def test_a_dry_run_says_what_would_change(doors: Doors):
    request_id = await a_request(doors)
    await added(doors, always=True, input_usd=None, output_usd=None, unknown=True)
    ended = await repriced(doors, dry_run=True, models=["good"])
    assert (ended["dry_run"], ended["models"], ended["changed"], ended["unknown"]) == (True, ["good"], 1, 1)
    shown = (await doors.rest.get(f"/api/v1/requests/{request_id}", ADMIN)).json()
    assert shown["cost_corrected"] is False


async def test_a_repricing_is_the_same_at_both_doors_and_can_be_cancelled(doors: Doors):
    await a_request(doors)
    doors.world.engine.repricing.clear()
    now = datetime.now(UTC)
    request = prices_pb2.PricesServiceRepriceRequest(
        since=stamp(now - timedelta(days=1)), until=stamp(now), models=["good"], reason="spoken"
    )
    begun = (await doors.prices.Reprice(request, metadata=rpc.bearer(ADMIN))).repricing
    shown = (await doors.rest.get(f"{PRICES}/reprice/{begun.id}", ADMIN)).json()
    assert (shown["status"], shown["reason"], shown["models"]) == ("in_progress", "spoken", ["good"])
    cancel = prices_pb2.PricesServiceCancelRepricingRequest(id=begun.id)
    await doors.prices.CancelRepricing(cancel, metadata=rpc.bearer(ADMIN))
    get = prices_pb2.PricesServiceGetRepricingRequest(id=begun.id)

    async with asyncio.timeout(30):
        while True:
            found = await doors.prices.GetRepricing(get, metadata=rpc.bearer(ADMIN))
            if found.repricing.status == common_pb2.STATUS_CANCELLED:
                break
            await asyncio.sleep(0.01)
    listed = (await doors.rest.get(f"{PRICES}/reprice", ADMIN)).json()["data"]
    spoken = await doors.prices.ListRepricings(
        prices_pb2.PricesServiceListRepricingsRequest(), metadata=rpc.bearer(ADMIN)
    )
    assert [row["id"] for row in listed] == [row.id for row in spoken.repricings] == [begun.id]
    again = await doors.rest.post(f"{PRICES}/reprice/{begun.id}/cancel", {}, ADMIN)
    assert (again.status_code, again.json()["status"]) == (202, "cancelled")


async def test_one_that_nobody_works_at_any_more_does_not_stand_in_the_way(doors: Doors):
    doors.world.engine.repricing.clear()
    now = datetime.now(UTC)
    asked = {"since": (now - timedelta(days=1)).isoformat(), "until": now.isoformat()}
    begun = (await doors.rest.post(f"{PRICES}/reprice", asked, ADMIN)).json()
    doors.world.engine._running.pop(begun["id"]).cancel()
    await until(lambda: True)
    await doors.rest.post(f"{PRICES}/reprice/{begun['id']}/cancel", {}, ADMIN)
    doors.world.engine.repricing.set()
    assert (await repriced(doors))["status"] == "completed"
