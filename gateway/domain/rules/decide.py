"""`decide(facts)`: which candidates are left, in which order, and why the others are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gateway.domain.inference import LEAST_TIME, Attempt, Choice, Limits, Outcome
from gateway.domain.rules.facts import Facts, Failed


@dataclass(frozen=True, slots=True)
class Decision:
    """The models to call, best first; for each one passed over, the reason; and one line a step taken."""

    ranked: tuple[str, ...]
    passed_over: Mapping[str, str] = field(default_factory=dict)
    rules_version: str = ""
    rule: str = "order of the name"
    lines: tuple[str, ...] = ()

    @property
    def model(self) -> str | None:
        """The model to call, or None when nothing is left."""
        return self.ranked[0] if self.ranked else None


def decide(facts: Facts) -> Decision:
    """Rank the candidates of the name in their order, those that just failed left out."""
    failed = {f.model: f for f in facts.failed}
    ranked = tuple(name for name in facts.candidates if name not in failed)
    passed_over = {
        name: f"just failed with {failed[name].code}" for name in facts.candidates if name in failed
    }
    lines = (
        f"candidates of {facts.asked}: {', '.join(facts.candidates) or 'none'}",
        *(f"{name} passed over: {why}" for name, why in passed_over.items()),
        f"ranked: {', '.join(ranked) or 'none'}",
    )
    return Decision(ranked, passed_over, facts.rules_version, lines=lines)


def next_choice(
    facts: Facts, attempts: tuple[Attempt, ...], limits: Limits, deadline: datetime
) -> Choice | str:
    """What to try after these attempts: a model with the wait before it, or the reason why nothing more is tried.

    A model that has not failed yet is called at once. When all have failed, the one that failed longest ago (and may
    be retried) is called again after a growing, jittered wait, or after what its upstream asked for.
    """
    stop = _reason_to_stop(attempts, limits)
    if stop is None and facts.observed_at >= deadline - LEAST_TIME:
        stop = "the deadline has passed"
    if stop is not None:
        return stop
    failed = tuple(
        Failed(a.model, a.failure.code, a.failure.retryable) for a in attempts if a.failure is not None
    )
    fresh = decide(
        Facts(facts.asked, facts.candidates, facts.observed_at, failed, facts.rules_version, facts.roll)
    )
    if fresh.model is not None:
        reason = (
            "first choice" if not attempts else f"fallback after {failed[-1].model} failed: {failed[-1].code}"
        )
        return Choice(fresh.model, reason)
    return _again(facts, attempts, limits, deadline)


def _reason_to_stop(attempts: tuple[Attempt, ...], limits: Limits) -> str | None:
    if not attempts:
        return None
    last = attempts[-1]
    if last.failure is None or last.outcome not in (Outcome.FAILED, Outcome.INTERRUPTED):
        return f"attempt {last.number} {last.outcome.value}"
    if last.outcome is Outcome.INTERRUPTED and not limits.retry_interrupted:
        return "an interrupted call is not made again by setting"
    if not last.failure.retryable:
        return f"{last.failure.code} is not retryable"
    if len(attempts) >= limits.attempts:
        return f"all {limits.attempts} attempts are used up"
    return None


def _again(facts: Facts, attempts: tuple[Attempt, ...], limits: Limits, deadline: datetime) -> Choice | str:
    latest = {a.model: a for a in attempts}  # a later attempt replaces an earlier one at its old place
    waiting = sorted(
        (
            a
            for a in latest.values()
            if a.model in facts.candidates and a.failure is not None and a.failure.retryable
        ),
        key=lambda a: a.number,
    )
    if not waiting:
        return "no candidate is left"
    chosen = waiting[0]
    rounds = sum(1 for a in attempts if a.model == chosen.model) - 1
    # The exponent is bounded: a job may go round for a day, and the wait is capped long before.
    grown = limits.backoff_initial * (limits.backoff_factor ** min(rounds, 30))
    wait = min(grown, limits.backoff_max) * (0.5 + facts.roll / 2)
    asked_for = chosen.failure.retry_after if chosen.failure is not None else None
    wait = max(wait, asked_for or timedelta(0))
    if facts.observed_at + wait >= deadline - LEAST_TIME:
        return "the deadline would pass before the next attempt"
    return Choice(chosen.model, f"retry: every candidate has failed, {chosen.model} longest ago", wait)
