"""What a process counts becomes facts within a second; what it is at, and its breakers, at once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from gateway.domain import errors
from gateway.domain.breaker import BreakerPolicy
from gateway.domain.health import Breaker, ModelHealth, Use, Window
from gateway.domain.inference import Failure, Outcome, Usage
from gateway.live.clock import SharedClock
from gateway.live.delta import Report
from gateway.live.vitals import Vitals
from tests.builders import a_failed_attempt, a_request, an_attempt

START = 1_800_000_000.0
POLICY = BreakerPolicy(failures=3, min_requests=10, cool_down=timedelta(seconds=5))


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(clock):
    def make(replica="a", **changes):
        return Vitals(replica, POLICY, clock=SharedClock(clock), **changes)

    return make


@pytest.fixture
def vitals(make):
    return make()


def happened(vitals, *attempts, caller="agent-1"):
    for attempt in attempts:
        probe = vitals.begin(attempt.model)
        vitals.settle(attempt, a_request(caller=caller), probe=probe)


def refresh(vitals, **more):
    told = vitals.tick()
    for _ in vitals.rebuild(as_of=datetime(2026, 1, 1, tzinfo=UTC), **more):
        pass
    return told


def failing(code: type[errors.GatewayError] = errors.UpstreamUnavailable, **changes):
    return a_failed_attempt(failure=Failure.of(code()), **changes)


def test_before_anything_happened_nothing_is_known(vitals):
    refresh(vitals)
    facts = vitals.facts()
    assert (facts.models, facts.callers, facts.replicas) == ({}, {}, ("a",))
    assert facts.age(datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC)) == timedelta(seconds=3)


def test_what_was_counted_stands_in_every_window_after_a_tick(vitals):
    answered = an_attempt(
        total_ms=1100.0, first_token_ms=100.0, usage=Usage(10, 50), cost_usd=Decimal("0.0001")
    )
    happened(vitals, answered, answered, failing())
    assert vitals.facts().models == {}
    refresh(vitals)
    windows = vitals.facts().models["good"].windows
    assert set(windows) == set(Window)
    live = windows[Window.TEN_SECONDS]
    assert (live.requests, live.errors, live.failed) == (3, {"upstream_unavailable": 1}, 1)
    assert (live.tokens, live.cost_usd) == (120, Decimal("0.0002"))
    assert live.p50_ms == pytest.approx(1100, rel=0.02)
    assert live.first_token_p95_ms == pytest.approx(100, rel=0.02)
    assert live.tokens_per_second == pytest.approx(50, rel=0.02)
    assert vitals.facts().callers["agent-1"][Window.HOUR] == Use(3, 120, Decimal("0.0002"))


def test_a_second_attempt_is_not_a_second_request_of_its_caller(vitals):
    happened(vitals, failing(number=1), an_attempt(2, "other"))
    refresh(vitals)
    assert vitals.facts().callers["agent-1"][Window.MINUTE] == Use(1, 15, Decimal("0.00002"))


def test_a_cost_that_is_not_known_adds_nothing(vitals):
    happened(vitals, an_attempt(cost_usd=None), an_attempt())
    refresh(vitals)
    assert vitals.facts().models["good"].windows[Window.MINUTE].cost_usd == Decimal("0.00002")


@pytest.mark.parametrize(
    ("attempt", "counted"),
    [
        (failing(errors.UpstreamRateLimited), {"upstream_rate_limited": 1}),
        (failing(errors.UpstreamTimeout, total_ms=60_000.0), {"upstream_timeout": 1}),
        (failing(errors.UpstreamRejected), {}),
        (an_attempt(outcome=Outcome.CANCELLED, failure=Failure.of(errors.Cancelled())), {}),
    ],
)
def test_errors_are_those_that_are_the_models_fault(vitals, attempt, counted):
    happened(vitals, attempt)
    refresh(vitals)
    live = vitals.facts().models["good"].windows[Window.MINUTE]
    assert (live.requests, live.errors) == (1, counted)
    assert (live.p50_ms is not None) is (counted == {"upstream_timeout": 1}), (
        "only what answers has a latency"
    )


def test_what_is_in_flight_is_known_at_once(vitals):
    vitals.begin("good")
    vitals.begin("good")
    assert vitals.facts().models["good"].in_flight == 2
    refresh(vitals, elsewhere={"good": 3})
    assert vitals.facts().models["good"].in_flight == 5
    vitals.settle(an_attempt(), a_request(), probe=False)
    vitals.settle(an_attempt(), a_request(), probe=False)
    assert vitals.facts().models["good"].in_flight == 3
    refresh(vitals)
    assert vitals.facts().models["good"].in_flight == 0
    assert vitals.facts().models["good"].windows


def test_facts_are_one_object_until_something_changes_and_old_ones_stay_as_they_were(vitals):
    happened(vitals, an_attempt())
    refresh(vitals)
    before = vitals.facts()
    assert vitals.facts() is before
    vitals.begin("good")
    assert vitals.facts().models["good"].in_flight == 1
    assert before.models["good"].in_flight == 0


def test_an_hour_later_a_model_is_no_longer_known(vitals, clock):
    happened(vitals, an_attempt())
    refresh(vitals)
    clock.now += 3700
    refresh(vitals)
    assert (vitals.facts().models, vitals.facts().callers) == ({}, {})


# ---- the breaker -------------------------------------------------------------------------------------------------
def breaker(vitals, model="good"):
    return vitals.facts().models.get(model, ModelHealth()).breaker


def test_failures_in_a_row_open_the_breaker_at_once(vitals):
    happened(vitals, failing(), failing())
    assert breaker(vitals) is Breaker.CLOSED
    happened(vitals, failing())
    health = vitals.facts().models["good"]
    assert health.breaker is Breaker.OPEN
    assert health.breaker_reason == "3 failures in a row, the last by upstream_unavailable"
    assert health.next_probe_at == health.breaker_since + timedelta(seconds=5)


def test_a_half_open_breaker_lets_one_request_through_at_a_time(vitals, clock):
    happened(vitals, *[failing()] * 3)
    clock.now += 5
    assert breaker(vitals) is Breaker.HALF_OPEN
    assert vitals.begin("good")
    assert breaker(vitals) is Breaker.OPEN
    vitals.settle(an_attempt(), a_request(), probe=True)
    assert breaker(vitals) is Breaker.CLOSED
    assert not vitals.begin("good")


def test_a_probe_is_promised_when_its_request_is_decided(vitals, clock):
    happened(vitals, *[failing()] * 3)
    vitals.promise("good")
    assert breaker(vitals) is Breaker.OPEN
    clock.now += 5
    vitals.promise("good")
    assert breaker(vitals) is Breaker.OPEN
    clock.now += 5
    assert breaker(vitals) is Breaker.HALF_OPEN, "it never began"


def test_a_stream_that_begins_to_answer_is_probe_enough(vitals, clock):
    happened(vitals, *[failing()] * 3)
    clock.now += 5
    probe = vitals.begin("good")
    vitals.answering("good")
    assert breaker(vitals) is Breaker.CLOSED
    clock.now += 100
    broken = failing(errors.UpstreamBroken, outcome=Outcome.BROKEN, total_ms=100_000.0)
    vitals.settle(broken, a_request(), probe=probe)
    assert breaker(vitals) is Breaker.CLOSED, "it began before the breaker closed"


def test_many_failures_among_successes_open_it_at_the_next_tick(vitals):
    happened(vitals, *[failing(), failing(), an_attempt()] * 5)
    assert breaker(vitals) is Breaker.CLOSED
    vitals.tick()
    assert breaker(vitals) is Breaker.OPEN
    assert vitals.facts().models["good"].breaker_reason == "10 of 15 requests in 1m failed"


def test_a_model_that_came_back_is_not_judged_by_what_was_before(vitals, clock):
    happened(vitals, *[failing(), failing(), an_attempt()] * 5)
    vitals.tick()
    clock.now += 5
    happened(vitals, an_attempt())
    assert breaker(vitals) is Breaker.CLOSED
    clock.now += 2
    happened(vitals, *[an_attempt()] * 9, failing())
    refresh(vitals)
    assert breaker(vitals) is Breaker.CLOSED
    assert vitals.facts().models["good"].windows[Window.MINUTE].failed == 11


def test_refusals_for_our_rate_are_not_counted_into_the_share_that_failed(vitals):
    happened(vitals, *[failing(errors.UpstreamRateLimited), an_attempt()] * 15)
    vitals.tick()
    assert breaker(vitals) is Breaker.CLOSED


# ---- replicas ----------------------------------------------------------------------------------------------------
def tell(vitals, to, at=START):
    told = vitals.tick()
    for _ in to.hear([Report(vitals.replica, at, told)]):
        pass
    return told


def test_two_replicas_that_tell_each_other_know_the_same(make):
    one, other = make("a"), make("b")
    happened(one, an_attempt(total_ms=100.0), failing())
    happened(other, *[an_attempt(total_ms=5000.0)] * 3)
    tell(one, other)
    tell(other, one)
    refresh(one)
    refresh(other)
    assert one.facts().models["good"].windows == other.facts().models["good"].windows
    assert one.facts().callers == other.facts().callers
    assert one.facts().models["good"].windows[Window.MINUTE].requests == 5


def test_failures_spread_over_replicas_open_the_breaker_on_all(make):
    replicas = [make(name) for name in "abc"]
    for vitals in replicas:
        happened(vitals, *[failing(), failing(), an_attempt()] * 2)
    told = [(vitals, vitals.tick()) for vitals in replicas]
    for vitals in replicas:
        for _ in vitals.hear([Report(o.replica, START, delta) for o, delta in told if o is not vitals]):
            pass
        assert breaker(vitals) is Breaker.OPEN


def test_a_breaker_that_opened_elsewhere_is_open_here_and_closes_here_when_it_closes_there(make, clock):
    one, other = make("a"), make("b")
    happened(one, *[failing()] * 3)
    tell(one, other)
    assert breaker(other) is Breaker.OPEN
    clock.now += 5
    assert breaker(other) is Breaker.HALF_OPEN
    one.begin("good")
    tell(one, other)
    assert breaker(other) is Breaker.OPEN, "a probe is under way there"
    one.settle(an_attempt(), a_request(), probe=True)
    tell(one, other)
    assert breaker(other) is Breaker.CLOSED


def test_only_what_changed_is_told(vitals):
    happened(vitals, an_attempt(), an_attempt(model="other"))
    assert set(refresh(vitals).models) == {"good", "other"}
    happened(vitals, an_attempt())
    told = vitals.tick()
    assert (set(told.models), set(told.callers), told.breakers) == ({"good"}, {"agent-1"}, {})
    assert vitals.tick().empty


def test_breakers_that_are_open_are_told_again_to_those_who_came_late(vitals):
    happened(vitals, *[failing()] * 3)
    assert set(vitals.tick().breakers) == {"good"}
    assert vitals.tick().breakers == {}
    assert set(vitals.tick(tell_all=True).breakers) == {"good"}


def test_models_and_callers_are_bounded(make):
    vitals = make(most_models=3, most_callers=5)
    for number in range(20):
        happened(vitals, replace(an_attempt(), model=f"m{number}"), caller=f"c{number}")
        refresh(vitals)
    assert set(vitals.facts().models) == {"m17", "m18", "m19"}
    assert len(vitals.facts().callers) == 5
