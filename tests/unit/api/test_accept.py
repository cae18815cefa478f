"""What a request is accepted as: what was asked, what the rules set, within what the settings allow."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from api.service.accept import Terms, _deadline, _durability, _limits
from gateway.domain.inference import Durability, Limits, Mode
from gateway.domain.rules import Terms as RuleTerms

USUAL = Terms(Mode.SYNC, Durability.OVERLAPPED, timedelta(seconds=60), timedelta(seconds=300), Limits())


def seconds(number: float | None) -> timedelta | None:
    return None if number is None else timedelta(seconds=number)


@pytest.mark.parametrize(
    ("asked", "said", "found"),
    [(None, None, 60), (20, None, 20), (None, 30, 30), (20, 30, 20), (50, 30, 30), (None, 900, 300)],
)
def test_a_rules_deadline_stands_for_the_usual_one_and_bounds_what_is_asked(
    asked: float | None, said: float | None, found: float
):
    assert _deadline(seconds(asked), seconds(said), USUAL) == seconds(found)


@pytest.mark.parametrize(
    ("asked", "said", "found"),
    [
        (None, None, "overlapped"),
        (None, "start-first", "start-first"),
        ("overlapped", "start-first", "start-first"),
        ("start-first", "overlapped", "start-first"),
        (None, "overlapped", "overlapped"),
    ],
)
def test_the_safer_durability_holds(asked: str | None, said: str | None, found: str):
    own = None if asked is None else Durability(asked)
    assert _durability(own, said, USUAL).value == found


def test_a_job_is_committed_first_whatever_anybody_says():
    job = Terms(Mode.JOB, Durability.START_FIRST, USUAL.deadline, USUAL.max_deadline, Limits())
    assert _durability(Durability.OVERLAPPED, "overlapped", job) is Durability.START_FIRST


def test_rules_set_the_bounds_of_attempts_and_leave_what_they_do_not_name():
    usual = Limits(attempts=3, backoff_max=timedelta(seconds=9))
    assert _limits(usual, RuleTerms(), None) == usual
    said = RuleTerms(attempts=5, backoff_initial=timedelta(0), backoff_factor=3.0)
    found = _limits(usual, said, None)
    assert (found.attempts, found.backoff_initial, found.backoff_factor) == (5, timedelta(0), 3.0)
    assert found.backoff_max == timedelta(seconds=9)


@pytest.mark.parametrize(
    ("caller", "rule", "found"), [("1", None, "1"), (None, "2", "2"), ("1", "2", "1"), ("2", "1", "1")]
)
def test_the_lower_cost_limit_holds(caller: str | None, rule: str | None, found: str):
    said = RuleTerms(cost_limit_usd=None if rule is None else Decimal(rule))
    assert _limits(Limits(), said, None if caller is None else Decimal(caller)).cost_usd == Decimal(found)
