"""The circuit breaker as a table: where it stands, what happens, where it stands then."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import errors
from gateway.domain.breaker import (
    CLOSED,
    BreakerPolicy,
    BreakerState,
    Ended,
    Verdict,
    ended,
    judged,
    merged,
    opened,
    position,
    probed,
    reserved,
    verdict_of,
)
from gateway.domain.health import Breaker
from gateway.domain.inference import Failure, Outcome
from tests.builders import a_failed_attempt, an_attempt

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
POLICY = BreakerPolicy(
    failures=3, limited=3, min_requests=10, cool_down=5 * SECOND, cool_down_max=60 * SECOND
)


def end(verdict, after=0.0, *, probe=False, began=None, code="upstream_unavailable", retry_after=None):
    at = NOW + after * SECOND
    return Ended(verdict, began or at, at, code, probe, retry_after)


def after(state, *verdicts, **more):
    for verdict in verdicts:
        state = ended(state, end(verdict, **more), POLICY)
    return state


def an_open_one(**changes):
    return replace(opened(CLOSED, NOW, POLICY, "3 failures in a row"), **changes)


# ---- closed ------------------------------------------------------------------------------------------------------
BAD, GOOD, LIMITED, NONE = Verdict.BAD, Verdict.GOOD, Verdict.LIMITED, Verdict.NONE


@pytest.mark.parametrize(
    ("story", "opens"),
    [
        ([BAD, BAD], False),
        ([BAD, BAD, BAD], True),
        ([BAD, BAD, GOOD, BAD, BAD], False),
        ([BAD, NONE, BAD, NONE, BAD], True),
        ([NONE] * 20, False),
        ([GOOD] * 20, False),
        ([LIMITED, LIMITED], False),
        ([LIMITED, LIMITED, LIMITED], True),
        ([LIMITED, LIMITED, GOOD, LIMITED], False),
        ([BAD, LIMITED, BAD, LIMITED], False),
    ],
)
def test_a_closed_breaker_opens_after_failures_in_a_row(story, opens):
    assert after(CLOSED, *story).is_open is opens


def test_an_open_breaker_says_since_when_why_and_until_when():
    state = after(CLOSED, BAD, BAD, BAD)
    assert state.reason == "3 failures in a row, the last by upstream_unavailable"
    assert (state.since, state.until, state.trips) == (NOW, NOW + 5 * SECOND, 1)


def test_a_rate_that_is_limited_opens_for_as_long_as_asked_and_does_not_grow():
    state = after(CLOSED, LIMITED, LIMITED, LIMITED, retry_after=20 * SECOND)
    assert (state.until, state.trips) == (NOW + 20 * SECOND, 0)
    assert after(CLOSED, LIMITED, LIMITED, LIMITED, retry_after=timedelta(hours=1)).until == NOW + 60 * SECOND


@pytest.mark.parametrize(
    ("requests", "failed", "opens"), [(9, 9, False), (10, 5, False), (10, 6, True), (1000, 501, True)]
)
def test_a_closed_breaker_opens_when_too_large_a_share_of_enough_requests_failed(requests, failed, opens):
    state = judged(CLOSED, requests, failed, NOW, POLICY)
    assert state.is_open is opens
    assert not opens or state.reason == f"{failed} of {requests} requests in 1m failed"


def test_what_began_before_the_breaker_closed_is_not_about_the_model_of_now():
    closed = BreakerState(since=NOW, version=7)
    assert after(closed, BAD, BAD, BAD, BAD, began=NOW - SECOND) is closed


def test_a_policy_that_is_off_never_opens():
    off = replace(POLICY, enabled=False)
    assert ended(replace(CLOSED, failures=99), end(BAD), off).is_open is False
    assert judged(CLOSED, 100, 100, NOW, off) is CLOSED


# ---- open and half-open ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("state", "at", "expected"),
    [
        (CLOSED, 0, Breaker.CLOSED),
        (an_open_one(), 0, Breaker.OPEN),
        (an_open_one(), 4.9, Breaker.OPEN),
        (an_open_one(), 5, Breaker.HALF_OPEN),
        (probed(an_open_one(), NOW + 5 * SECOND), 5, Breaker.OPEN),
        (probed(an_open_one(), NOW + 5 * SECOND), 64, Breaker.OPEN),
        (probed(an_open_one(), NOW + 5 * SECOND), 65, Breaker.HALF_OPEN),
        (reserved(an_open_one(), NOW + 5 * SECOND, POLICY, 2 * SECOND), 6, Breaker.OPEN),
        (reserved(an_open_one(), NOW + 5 * SECOND, POLICY, 2 * SECOND), 7, Breaker.HALF_OPEN),
    ],
)
def test_it_is_half_open_only_while_a_probe_may_begin(state, at, expected):
    assert position(state, NOW + at * SECOND, POLICY) is expected


def test_a_probe_that_succeeds_closes():
    state = ended(probed(an_open_one(), NOW + 5 * SECOND), end(GOOD, 6, probe=True), POLICY)
    assert (state.is_open, state.since, state.reason) == (False, NOW + 6 * SECOND, "")


def test_a_probe_that_fails_opens_for_longer_each_time_up_to_a_bound():
    state, waits = an_open_one(), []
    for number in range(6):
        state = ended(state, end(BAD, number, probe=True), POLICY)
        waits.append((state.until - NOW - number * SECOND).total_seconds())
    assert waits == [10, 20, 40, 60, 60, 60]
    assert state.since == NOW, "it has been open all the time"


def test_a_model_that_fails_again_soon_after_it_closed_rests_longer_and_after_a_good_while_does_not():
    closed = ended(an_open_one(), end(GOOD, 6, probe=True), POLICY)
    assert opened(closed, NOW + 10 * SECOND, POLICY, "again").trips == 2
    assert opened(closed, NOW + 66 * SECOND, POLICY, "again").trips == 1


def test_a_probe_that_says_nothing_leaves_room_for_the_next():
    state = ended(probed(an_open_one(), NOW + 5 * SECOND), end(NONE, 6, probe=True), POLICY)
    assert position(state, NOW + 6 * SECOND, POLICY) is Breaker.HALF_OPEN


def test_a_probe_that_is_limited_waits_as_it_was_asked_and_not_for_longer_each_time():
    state = ended(an_open_one(), end(LIMITED, 6, probe=True, retry_after=9 * SECOND), POLICY)
    assert (state.until, state.trips) == (NOW + 15 * SECOND, 1)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_what_was_under_way_when_it_opened_changes_nothing(verdict):
    state = an_open_one()
    assert ended(state, end(verdict, 1), POLICY) is state


# ---- replicas ----------------------------------------------------------------------------------------------------
def test_of_two_states_the_later_one_holds():
    opened_, closed = an_open_one(), ended(an_open_one(), end(GOOD, 6, probe=True), POLICY)
    assert merged(opened_, closed) is merged(closed, opened_) is closed


def test_of_two_that_changed_at_once_the_more_cautious_holds():
    one = BreakerState(is_open=True, since=NOW, until=NOW + SECOND, version=5)
    other = BreakerState(since=NOW, version=5)
    assert merged(one, other) is merged(other, one) is one


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Verdict)), st.booleans(), st.floats(0, 90), st.integers(0, 2)),
        max_size=60,
    )
)
def test_replicas_that_heard_of_everything_agree_whatever_came_first(story):
    """Three replicas see different things; then all states are told in three orders, and all stand at one place."""
    states = [CLOSED] * 3
    now = NOW
    for verdict, probe, wait, replica in story:
        now += wait * SECOND
        before = states[replica]
        state = ended(before, Ended(verdict, now, now, "upstream_broken", probe), POLICY)
        assert state.version >= before.version
        assert not state.is_open or state.reason
        states[replica] = state
    a, b, c = states
    orders = [merged(merged(a, b), c), merged(merged(c, a), b), merged(c, merged(b, a))]
    told = [(each.version, each.is_open, each.until, each.reason) for each in orders]
    assert told[0] == told[1] == told[2]


# ---- whose fault -------------------------------------------------------------------------------------------------
DEADLINE = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
PATIENCE = 30 * SECOND


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (errors.UpstreamUnavailable, BAD),
        (errors.UpstreamTimeout, BAD),
        (errors.UpstreamMalformed, BAD),
        (errors.UpstreamBroken, BAD),
        (errors.UpstreamAuth, BAD),
        (errors.UpstreamNotFound, BAD),
        (errors.UpstreamForbidden, BAD),
        (errors.GatewayError, BAD),
        (errors.UpstreamRateLimited, LIMITED),
        (errors.UpstreamRejected, NONE),
        (errors.ContextTooLong, NONE),
        (errors.ContentFiltered, NONE),
        (errors.Cancelled, NONE),
        (errors.DeadlineExceeded, NONE),
        (errors.ModelNotFound, NONE),
        (errors.StorageUnavailable, NONE),
    ],
)
def test_only_the_models_own_failures_count(error, verdict):
    attempt = a_failed_attempt(failure=Failure.of(error()))
    assert verdict_of(attempt, DEADLINE, PATIENCE) is verdict
    broken = replace(attempt, outcome=Outcome.BROKEN)
    assert verdict_of(broken, DEADLINE, PATIENCE) is verdict


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.INTERRUPTED, Outcome.ABANDONED])
def test_what_was_cut_off_says_nothing(outcome):
    assert verdict_of(a_failed_attempt(outcome=outcome), DEADLINE, PATIENCE) is NONE


def test_what_succeeded_is_good():
    assert verdict_of(an_attempt(), DEADLINE, PATIENCE) is GOOD


@pytest.mark.parametrize(
    ("took_s", "deadline_s", "verdict"),
    [(1, 1, NONE), (1, 60, BAD), (29, 29, NONE), (30, 30, BAD), (60, 60, BAD)],
)
def test_a_caller_in_a_hurry_says_nothing_of_a_model_that_did_not_answer_in_time(took_s, deadline_s, verdict):
    attempt = a_failed_attempt(failure=Failure.of(errors.UpstreamTimeout()), total_ms=took_s * 1000)
    assert verdict_of(attempt, attempt.started_at + deadline_s * SECOND, PATIENCE) is verdict
