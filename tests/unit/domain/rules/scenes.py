"""Facts and rules for the tests of decisions: values that work, to change one thing of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.domain.health import Live, LiveFacts, ModelHealth, Window
from gateway.domain.registry import Model
from gateway.domain.rules import Asked, Decision, Facts, RuleSet, decide, parse
from tests.builders import a_model

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)  # a Wednesday


def facts(*candidates: str | Model, live: Mapping[str, Any] | None = None, **changes: Any) -> Facts:
    """A chat request for `assistant`, answered by these models; live facts are a second old."""
    models = tuple(a_model(each) if isinstance(each, str) else each for each in candidates)
    usual = Facts(Asked("assistant"), models, NOW, live=known(live or {}))
    return replace(usual, **changes)


def known(models: Mapping[str, ModelHealth], age: float = 1, **changes: Any) -> LiveFacts:
    """Live facts of this age in seconds."""
    return LiveFacts(NOW - timedelta(seconds=age), models, **changes)


def did(window: str = "1m", **measured: Any) -> ModelHealth:
    """A model with something measured in one window."""
    usual = Live(requests=100)
    return ModelHealth({Window(window): replace(usual, **measured)})


def rules(*these: Mapping[str, Any], **others: Any) -> RuleSet:
    """A rule set of these rules; one without a name is called by its number."""
    named = [{"name": f"rule {number}", **rule} for number, rule in enumerate(these, 1)]
    return parse({"rules": named, **others})


def decided(rule: Mapping[str, Any], given: Facts) -> Decision:
    """What one rule makes of facts."""
    return decide(rules(rule), given)
