"""What is tried next after some attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import (
    ContentFiltered,
    Interrupted,
    ModelNotFound,
    NoModelAvailable,
    UpstreamAuth,
    UpstreamRateLimited,
    UpstreamRejected,
)
from gateway.domain.inference import LEAST_TIME, Attempt, Choice, Failure, Limits, Outcome
from gateway.domain.retries import Now, Route, next_choice, pause
from tests.builders import a_failed_attempt, an_attempt

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
LIMITS = Limits(attempts=4, backoff_initial=timedelta(seconds=1), backoff_max=timedelta(seconds=8))


def after(
    *attempts: Attempt, among: tuple[str, ...] = ("a", "b"), limits: Limits = LIMITS, roll: float = 0.0
) -> Choice | str:
    return next_choice(Now(among, NOW, roll), attempts, limits, LATER)


def test_the_first_candidate_is_called_first():
    assert after() == Choice("a", "first choice")


def test_a_retryable_failure_goes_to_the_next_model_at_once():
    choice = after(a_failed_attempt(1, "a"))
    assert isinstance(choice, Choice)
    assert choice.model == "b"
    assert choice.wait == timedelta(0)
    assert choice.reason == "fallback after a failed: upstream_unavailable"


def test_a_failure_that_is_not_retryable_ends_it():
    failed = a_failed_attempt(1, "a", failure=Failure.of(UpstreamRejected()))
    assert after(failed) == "upstream_rejected is not retryable"


def test_what_only_this_model_refuses_goes_to_the_next_and_never_to_it_again():
    failed = a_failed_attempt(1, "a", failure=Failure.of(UpstreamAuth()))
    choice = after(failed)
    assert isinstance(choice, Choice)
    assert choice.model == "b"
    alone = next_choice(Now(("a",), NOW), (failed,), LIMITS, LATER)
    assert alone == "no candidate is left"


def test_a_content_filter_ends_it_unless_a_rule_lets_it_be_passed():
    failed = a_failed_attempt(1, "a", failure=Failure.of(ContentFiltered()))
    assert after(failed) == "content_filter is not retryable"
    choice = after(failed, limits=Limits(past_content_filter=True))
    assert isinstance(choice, Choice)
    assert choice.model == "b"


def test_what_was_kept_before_failures_said_so_ends_as_it_did():
    failure = replace(Failure.of(UpstreamAuth()), elsewhere=False)
    assert after(a_failed_attempt(1, "a", failure=failure)) == "upstream_auth is not retryable"


def test_a_success_ends_it():
    assert after(an_attempt(1, "a")) == "attempt 1 succeeded"


def test_a_stream_that_broke_after_its_first_byte_is_never_continued_elsewhere():
    broken = a_failed_attempt(1, "a", outcome=Outcome.BROKEN)
    assert after(broken) == "attempt 1 broken"


def test_when_all_have_failed_the_one_that_failed_longest_ago_is_called_again_after_a_wait():
    choice = after(a_failed_attempt(1, "a"), a_failed_attempt(2, "b"), roll=1.0)
    assert isinstance(choice, Choice)
    assert choice.model == "a"
    assert choice.wait == timedelta(seconds=1)


def test_the_wait_is_what_the_upstream_asked_for_if_that_is_longer():
    asked = Failure.of(UpstreamRateLimited(retry_after=timedelta(seconds=7)))
    choice = after(a_failed_attempt(1, "a", failure=asked), among=("a",))
    assert isinstance(choice, Choice)
    assert choice.wait == timedelta(seconds=7)


def test_no_wait_goes_past_the_deadline():
    asked = Failure.of(UpstreamRateLimited(retry_after=timedelta(hours=1)))
    assert (
        after(a_failed_attempt(1, "a", failure=asked), among=("a",))
        == "the deadline would pass before the next attempt"
    )


def test_a_call_that_ended_at_the_deadline_is_not_followed_by_another_for_a_millisecond():
    at = LATER - timedelta(milliseconds=1)
    choice = next_choice(Now(("a", "b"), at), (a_failed_attempt(1, "a"),), LIMITS, LATER)
    assert choice == "the deadline has passed"


def test_attempts_are_bounded():
    attempts = tuple(a_failed_attempt(n, "ab"[n % 2]) for n in range(1, 5))
    assert after(*attempts) == "all 4 attempts are used up"


@pytest.mark.parametrize(("retry", "expected"), [(True, Choice), (False, str)])
def test_an_interrupted_call_is_made_again_only_by_setting(retry: bool, expected: type):
    interrupted = a_failed_attempt(1, "a", outcome=Outcome.INTERRUPTED, failure=Failure.of(Interrupted()))
    limits = Limits(attempts=4, retry_interrupted=retry)
    assert isinstance(after(interrupted, limits=limits), expected)


@given(
    models=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True),
    roll=st.floats(0, 1, exclude_max=True),
    bound=st.integers(1, 12),
)
def test_whatever_fails_the_story_ends_within_its_bound(models: list[str], roll: float, bound: int):
    attempts: list[Attempt] = []
    limits = Limits(attempts=bound, backoff_max=timedelta(seconds=8))
    while isinstance(choice := after(*attempts, among=tuple(models), limits=limits, roll=roll), Choice):
        assert choice.model in models
        assert timedelta(0) <= choice.wait <= timedelta(seconds=8)
        attempts.append(a_failed_attempt(len(attempts) + 1, choice.model))
    assert len(attempts) == bound
    assert {a.model for a in attempts} == set(models[:bound])


# ---- within the cost limit -------------------------------------------------------------------------------------------
def tried(*attempts: Attempt, estimates: Mapping[str, str], limit: str) -> Choice | str:
    now = Now(("a", "b"), NOW, estimates={name: Decimal(usd) for name, usd in estimates.items()})
    return next_choice(now, attempts, Limits(cost_usd=Decimal(limit)), NOW + timedelta(minutes=1))


def test_no_attempt_begins_that_would_go_above_the_cost_limit():
    spent = a_failed_attempt(1, "a", cost_usd=Decimal("0.3"))
    prices = {"a": "0.3", "b": "0.3"}
    assert isinstance(tried(spent, estimates=prices, limit="0.6"), Choice)
    assert tried(spent, estimates=prices, limit="0.5") == "no candidate is left within the cost limit"


def test_a_cheaper_candidate_is_called_where_the_best_would_go_above_it():
    choice = tried(estimates={"a": "2", "b": "1"}, limit="1")
    assert isinstance(choice, Choice)
    assert choice.model == "b"


def test_what_an_attempt_cost_is_taken_as_estimated_where_it_is_not_known():
    lost = a_failed_attempt(1, "a", cost_usd=None)
    assert isinstance(tried(lost, estimates={"a": "0.3", "b": "0.3"}, limit="0.5"), str)
    assert isinstance(tried(lost, estimates={"b": "0.3"}, limit="0.5"), Choice)


def test_a_model_of_unknown_price_is_not_held_back_until_the_limit_is_passed():
    assert isinstance(tried(estimates={}, limit="0"), Choice)
    dear = a_failed_attempt(1, "a", cost_usd=Decimal(2))
    assert isinstance(tried(dear, estimates={}, limit="1"), str)


# ---- how long a job waits --------------------------------------------------------------------------------------------
RESTING_FAILURE = Failure.of(NoModelAvailable())
RESTING = Route((), refused=RESTING_FAILURE)


def waits(
    pauses: int, *, waited: timedelta = timedelta(0), left: timedelta = timedelta(days=1)
) -> timedelta | None:
    return pause(RESTING, pauses, NOW, NOW - waited, 1.0, NOW + left)


def test_a_job_waits_longer_each_time_and_then_in_proportion_to_what_it_has_waited():
    seconds = [wait.total_seconds() for number in range(9) if (wait := waits(number))]
    assert seconds == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert waits(50, waited=timedelta(hours=10)) == timedelta(minutes=30)


def test_the_last_pause_ends_with_the_jobs_time():
    left = waits(9, left=timedelta(seconds=10))
    assert left == timedelta(seconds=10) - LEAST_TIME
    assert waits(9, left=LEAST_TIME) is None


@pytest.mark.parametrize(
    "route",
    [
        Route(("a",), refused=RESTING.refused),
        Route(()),
        Route((), refused=Failure.of(ModelNotFound())),
    ],
)
def test_a_job_does_not_wait_for_what_will_not_change(route: Route):
    assert pause(route, 0, NOW, NOW, 0.5, NOW + timedelta(hours=1)) is None


def test_a_pause_is_as_long_as_was_said():
    said = replace(RESTING_FAILURE, retry_after=timedelta(seconds=30))
    assert pause(Route((), refused=said), 0, NOW, NOW, 0.0, NOW + timedelta(hours=1)) == timedelta(seconds=30)
