"""A model that turns slow or sick is left within the window that a rule names, and called again when it is well."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e.choosing.conftest import LOCAL, WELL, Publish
from tests.e2e.choosing.traffic import flowing
from tests.e2e.person import Person, Upstream
from tests.e2e.stack import BUSY, Stack, until

WINDOW = 10.0  # seconds that the rules name
FRESH = 2.0  # seconds that facts may be old


def pair(_: int) -> dict[str, Any]:
    return {"model": "pair"}


@pytest.mark.parametrize(
    ("rule", "ill"),
    [
        (
            '{ name = "slow models rest", drop { latency { p95_over = 300ms, window = 10s } } }',
            {"latency_ms": 700},
        ),
        (
            '{ name = "sick models rest", drop { error_rate { over = 25%, window = 10s, min_requests = 5 } } }',
            {"failure": "status:503"},
        ),
    ],
    ids=["slow", "sick"],
)
def test_a_model_that_turns_is_left_and_called_again_when_it_is_well(
    admin: Person, upstream: Upstream, publish: Publish, rule: str, ill: dict[str, Any]
):
    publish(f"rules = [{rule}]")
    with flowing([admin], 10, pair) as traffic:
        traffic.turned_to("swift", time.monotonic(), within=30)
        turned_ill = time.monotonic()
        upstream.play(swift=ill)
        left_after = traffic.turned_to("steady", turned_ill, within=60)
        assert left_after < WINDOW + FRESH + BUSY
        left = traffic.since(turned_ill)[-1]
        told = admin.request(left.request_id)
        assert told["attempts"][0]["model"] == "steady"
        assert rule.split('"')[1] in {
            step["rule"] for step in told["decisions"][0]["steps"] if step["removed"]
        }
        upstream.play(swift=WELL["swift"])
        turned_well = time.monotonic()
        back_after = traffic.turned_to("swift", turned_well, within=60)
        assert back_after < WINDOW + FRESH + BUSY
    assert traffic.failed == []


def test_the_real_local_model_is_left_when_it_dies_and_called_again_when_it_is_back(
    stack: Stack, admin: Person
):
    answer = admin.ask("mixed", max_tokens=8)
    assert (answer.status_code, answer.headers["x-gateway-model"]) == (200, LOCAL)
    assert answer.json()["choices"][0]["message"]["content"]
    with stack.down("model"):
        answer = admin.ask("mixed", max_tokens=8)
        assert (answer.status_code, answer.headers["x-gateway-model"]) == (200, "steady")
        assert answer.headers["x-gateway-attempts"] == "2"
    stack.wait_ready()
    until(lambda: admin.ask("mixed", max_tokens=8).headers["x-gateway-model"] == LOCAL, 20)


def test_tags_lead_to_the_real_local_model(admin: Person):
    answer = admin.ask("tags:location=on-prem", max_tokens=8)
    assert (answer.status_code, answer.headers["x-gateway-model"]) == (200, LOCAL)
    answer = admin.ask("mixed", max_tokens=8, gateway={"select": "!location"})
    assert (answer.status_code, answer.headers["x-gateway-model"]) == (200, "steady")
    answer = admin.ask("tags:location=moon")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "no_model_fits")
    listed = {model["id"] for model in admin.http.get("/v1/models").json()["data"]}
    assert {"auto", "pair", "mixed", LOCAL} <= listed
