"""Which models a request may go to, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.domain.rules import Asked, Facts, Failed, RuleSet, decide
from tests.builders import a_model

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def facts(*candidates: str, failed: tuple[Failed, ...] = ()) -> Facts:
    models = tuple(a_model(name) for name in candidates)
    return Facts(Asked("assistant"), models, NOW, failed=failed)


def test_the_candidates_of_a_name_are_ranked_in_its_order():
    assert decide(RuleSet(), facts("a", "b")).ranked == ("a", "b")


def test_a_model_that_just_failed_is_passed_over_and_says_so():
    decision = decide(RuleSet(), facts("a", "b", failed=(Failed("a", "upstream_timeout", retryable=True),)))
    assert decision.model == "b"
    assert decision.passed_over == {"a": "just failed with upstream_timeout"}


def test_nothing_is_decided_when_nothing_is_left():
    assert decide(RuleSet(), facts()).model is None
