"""What each condition says of a request, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from gateway.domain.health import LiveFacts, Use, Window
from gateway.domain.inference import Mode
from gateway.domain.registry import Capability
from gateway.domain.rules import Asked, Asking, GatewayLoad, parse
from gateway.domain.rules.conditions import CONDITIONS
from gateway.domain.rules.scene import Scene
from gateway.rules.cel import compile_cel
from tests.unit.domain.rules.scenes import NOW, facts, known

ASKED = Asked(
    "assistant",
    mode=Mode.JOB,
    door="grpc",
    endpoint="/v1/chat/completions",
    tags={"data": "confidential", "team": "search"},
    metadata={"run": "7"},
    input_tokens=20_000,
    max_output=500,
    body_bytes=70_000,
    needs=frozenset([Capability.VISION, Capability.TOOLS]),
    images=2,
    prefer="cost",
)
CALLER = Asking("id-1", "crawler-7", "agent", {"tier": "batch"})
LIVE = known(
    {},
    callers={"id-1": {Window.MINUTE: Use(120, 90_000, Decimal("0.80"))}},
    budget_used={"id-1": 0.85},
)


def said(condition, **changes):
    """A condition's answer, with its reason."""
    rules = parse({"rules": [{"name": "x", "when": condition, "refuse": "no"}]}, compile_=compile_cel)
    when = rules.rules[0].when
    given = facts("a", asked=ASKED, caller=CALLER, gateway=GatewayLoad(75, 100))
    scene = Scene(replace(given, **{"live": LIVE, **changes}), rules.max_age)
    return when.holds(scene), when.why(scene)


SAYS = [
    ({"request": {"model": "assistant"}}, True, "the model asked for is assistant"),
    ({"request": {"model": ["auto", "gpt-*"]}}, False, "the model asked for is assistant, not auto or gpt-*"),
    ({"request": {"kind": "chat"}}, True, "the kind is chat"),
    ({"request": {"mode": ["sync", "stream"]}}, False, "the mode is job, not sync or stream"),
    ({"request": {"door": "grpc"}}, True, "the door is grpc"),
    ({"request": {"endpoint": "/v1/chat/*"}}, True, "the endpoint is /v1/chat/completions"),
    ({"request": {"tags": {"data": "confidential"}}}, True, "the request's tags have data=confidential"),
    ({"request": {"tags": {"data": "public"}}}, False, "the request's tags lack data=public"),
    ({"request": {"tags": {"data": ["public", "confidential"], "legal": False}}}, True, "!legal"),
    ({"request": {"tags": "team=search,!data"}}, False, "lack !data"),
    ({"request": {"metadata": {"run": 7}}}, True, "the request's metadata have run=7"),
    (
        {"request": {"input_tokens": {"over": "10k"}}},
        True,
        "the estimated input is 20,000 tokens, over 10000",
    ),
    ({"request": {"input_tokens": {"over": "20k"}}}, False, "not over 20000"),
    ({"request": {"input_tokens": {"over": "10k", "under": "30k"}}}, True, "over 10000 and under 30000"),
    ({"request": {"max_output": {"under": 501}}}, True, "the most output asked for is 500 tokens, under 501"),
    ({"request": {"size": {"over": "64KiB"}}}, True, "the body is 70000B, over 64KiB"),
    ({"request": {"images": {"over": 0}}}, True, "the number of images is 2, over 0"),
    ({"request": {"needs": "vision"}}, True, "the request needs vision"),
    ({"request": {"needs": ["vision", "audio"]}}, False, "the request does not need audio"),
    ({"request": {"prefer": "cost"}}, True, "the caller's preference is cost"),
    ({"request": {"prefer": "quality"}}, False, "is cost, not quality"),
    ({"caller": {"name": "crawler-*"}}, True, "the caller is crawler-7"),
    ({"caller": {"id": "id-2"}}, False, "the caller's id is id-1, not id-2"),
    ({"caller": {"kind": "person"}}, False, "the caller's kind is agent, not person"),
    ({"caller": {"tags": {"tier": "batch"}}}, True, "the caller's tags have tier=batch"),
    ({"caller": {"budget_used": {"over": "80%"}}}, True, "the caller's budget is 85% spent, over 80%"),
    ({"caller": {"use": {"requests_over": 100}}}, True, "use of requests in 1m is 120, over 100"),
    (
        {"caller": {"use": {"requests_over": 100, "tokens_under": "80k"}}},
        False,
        "use of tokens in 1m is 90000",
    ),
    ({"caller": {"use": {"cost_usd_over": 0.8}}}, False, "is 0.80, not over 0.80"),
    ({"caller": {"use": {"requests_over": 0, "window": "1h"}}}, False, "in 1h is 0"),
    ({"gateway": {"load": {"over": "70%"}}}, True, "the gateway's load is 75%, over 70%"),
    ({"gateway": {"in_flight": {"under": 75}}}, False, "in flight is 75, not under 75"),
    ({"schedule": {"days": "mon-fri", "from": "08:00", "to": "18:00"}}, True, "it is wed 12:00 in UTC"),
    ({"expr": "request.input_tokens > 10000 && caller.kind == 'agent'"}, True, "the expression is true"),
    ({"expr": 'request.tags["legal"] == "yes"'}, None, 'the expression is unknown: there is no "legal"'),
    ({"expr": '"legal" in request.tags && request.tags["legal"] == "yes"'}, False, "is false"),
    (
        {"all": [{"request": {"mode": "job"}}, {"caller": {"kind": "agent"}}]},
        True,
        "the mode is job and the caller",
    ),
    (
        {"any": [{"request": {"mode": "sync"}}, {"caller": {"kind": "agent"}}]},
        True,
        "the caller's kind is agent",
    ),
    (
        {"any": {"request": {"mode": "sync"}, "caller": {"kind": "person"}}},
        False,
        "not sync and the caller's",
    ),
    ({"not": {"request": {"mode": "job"}}}, False, "the mode is job"),
    ({"request": {"mode": "job"}, "caller": {"kind": "person"}}, False, "the caller's kind is agent"),
    (
        {"all": [{"expr": 'request.tags["no"] == ""'}, {"request": {"mode": "sync"}}]},
        False,
        "the mode is job",
    ),
    ({"any": [{"expr": 'request.tags["no"] == ""'}, {"request": {"mode": "job"}}]}, True, "the mode is job"),
    ({"not": {"expr": 'request.tags["no"] == ""'}}, None, "unknown"),
]


@pytest.mark.parametrize(("condition", "answer", "why"), SAYS, ids=[str(each[0]) for each in SAYS])
def test_a_condition_answers_with_its_reason(condition, answer, why):
    found, reason = said(condition)
    assert found is answer
    assert why in reason


@pytest.mark.parametrize("kind", list(CONDITIONS))
def test_every_kind_of_condition_is_tried_here(kind):
    assert any(kind in condition for condition, _, _ in SAYS)


def test_what_is_not_known_is_unknown():
    assert said({"request": {"max_output": {"over": 1}}}, asked=Asked("x"))[0] is None
    assert said({"gateway": {"load": {"over": "1%"}}}, gateway=GatewayLoad(1, 0))[0] is None
    blind = LiveFacts()
    assert said({"caller": {"budget_used": {"over": "80%"}}}, live=blind)[0] is None
    assert said({"caller": {"use": {"requests_over": 1}}}, live=blind) == (
        None,
        "the caller's use of requests in 1m is not known: no live facts are there yet",
    )
    assert (
        said({"caller": {"use": {"requests_over": 1}}}, live=replace(LIVE, as_of=NOW.replace(hour=11)))[0]
        is None
    )


def test_who_has_no_budget_has_used_none_of_it():
    assert said({"caller": {"budget_used": {"over": "0%"}}}, live=known({}))[0] is False


# ---- the clock ---------------------------------------------------------------------------------------------------
def at(text, **schedule):
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return said({"schedule": schedule}, observed_at=moment, live=LiveFacts())[0]


BRATISLAVA = "Europe/Bratislava"


@pytest.mark.parametrize(
    ("moment", "holds"),
    [
        ("2026-07-01T05:59", False),  # 07:59 in Bratislava, in summer
        ("2026-07-01T06:00", True),
        ("2026-07-01T15:59", True),
        ("2026-07-01T16:00", False),
        ("2026-01-14T06:59", False),  # winter: an hour later
        ("2026-01-14T07:00", True),
        ("2026-07-04T10:00", False),  # a Saturday
        ("2026-07-05T22:30", False),  # Monday there already, but before eight
    ],
)
def test_office_hours_follow_the_wall_clock(moment, holds):
    assert at(moment, days="mon-fri", **{"from": "08:00", "to": "18:00"}, zone=BRATISLAVA) is holds


@pytest.mark.parametrize(
    ("moment", "holds"),
    [
        ("2026-07-03T21:59", False),
        ("2026-07-03T22:00", True),  # Friday evening
        ("2026-07-04T05:59", True),  # is still Friday's night on Saturday morning
        ("2026-07-04T06:00", False),
        ("2026-07-04T23:00", False),  # Saturday's night is not named
        ("2026-07-03T05:00", False),  # nor Thursday's
    ],
)
def test_a_night_belongs_to_the_day_on_which_it_began(moment, holds):
    assert at(moment, days=["fri"], **{"from": "22:00", "to": "06:00"}) is holds


@pytest.mark.parametrize(
    ("days", "moment", "holds"),
    [
        (["mon", "fri"], "2026-07-01T12:00", False),  # two days, not a range
        ("mon-fri", "2026-07-01T12:00", True),
        ("fri-mon", "2026-07-05T12:00", True),  # over the weekend
        ("fri-mon", "2026-07-01T12:00", False),
        (["mon-tue", "wed"], "2026-07-01T12:00", True),
        ("mon-sun", "2026-07-05T12:00", True),
    ],
)
def test_days_are_listed_or_a_range(days, moment, holds):
    assert at(moment, days=days) is holds


def test_the_hour_that_summer_time_skips_is_not_missed_and_the_one_it_repeats_counts_twice():
    night = {"from": "02:00", "to": "03:30", "zone": BRATISLAVA}
    assert at("2026-03-29T00:59", **night) is False  # 01:59
    assert at("2026-03-29T01:00", **night) is True  # 03:00: two o'clock does not come
    assert at("2026-10-25T00:30", **night) is True  # 02:30, summer time
    assert at("2026-10-25T01:30", **night) is True  # 02:30 again, winter time
    assert at("2026-10-25T02:30", **night) is False  # 03:30


def test_until_midnight_is_until_midnight():
    for end in ("24:00", "00:00"):
        assert at("2026-07-01T23:59", **{"from": "20:00", "to": end}) is True
        assert at("2026-07-02T00:00", **{"from": "20:00", "to": end}) is False
