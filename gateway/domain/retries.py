"""What is tried next after some attempts, and how long a job waits for a model: pure, at the door and in workflows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from gateway.domain.errors import ContentFiltered, RateLimited
from gateway.domain.inference import (
    LEAST_TIME,
    Attempt,
    Choice,
    Failure,
    InferenceRequest,
    Limits,
    Outcome,
    telling,
)
from gateway.domain.limits import Throttle

_NOTHING = Decimal(0)
_FIRST_PAUSE = timedelta(seconds=1)
_EXACT_PAUSES = 4
_PATIENT = (
    20  # a pause is at most this part of the time waited: a job that waits for a day looks about 150 times
)


@dataclass(frozen=True, slots=True)
class Route:
    """What a decision leaves to be tried, best first; `refused` says why nothing is left.

    `rule` put the first of them there. `decision` is the whole of it as it is kept. Both are empty for the door's
    decision, which goes with its request. `throttles` are the limits of rate that the request falls under.
    """

    candidates: tuple[str, ...]
    estimates: Mapping[str, Decimal] = field(default_factory=dict)
    rules_version: str = ""
    rule: str = ""
    decision: str = ""
    refused: Failure | None = None
    throttles: tuple[Throttle, ...] = ()

    @staticmethod
    def first(request: InferenceRequest) -> Route:
        """What the door decided."""
        return Route(request.candidates, request.estimates, request.rules_version)


@dataclass(frozen=True, slots=True)
class Now:
    """What is known when something is tried: the candidates, best first, the time, and the dice for the jitter.

    `estimates` are what the request would cost at candidates whose price is known, `rule` what ranked them.
    """

    candidates: tuple[str, ...]
    at: datetime
    roll: float = 0.0
    estimates: Mapping[str, Decimal] = field(default_factory=dict)
    rule: str = ""


def next_choice(now: Now, attempts: tuple[Attempt, ...], limits: Limits, deadline: datetime) -> Choice | str:
    """What to try after these attempts: a model with the wait before it, or the reason why nothing more is tried.

    A model that has not failed yet is called at once. When all have failed, the one that failed longest ago (and may
    be retried) is called again after a growing, jittered wait, or after what its upstream asked for.
    """
    stop = reason_to_stop(attempts, limits)
    if stop is None and now.at >= deadline - LEAST_TIME:
        stop = "the deadline has passed"
    if stop is not None:
        return stop
    now = _affordable(now, attempts, limits)
    failed = [a for a in attempts if a.failure is not None]
    tried = {a.model for a in failed}
    fresh = next((name for name in now.candidates if name not in tried), None)
    if fresh is None:
        return _again(now, attempts, limits, deadline)
    last = failed[-1] if failed else None
    if last is None or last.failure is None:
        return Choice(fresh, "first choice")
    return Choice(fresh, f"fallback after {last.model} failed: {last.failure.code}", rule=now.rule)


def _affordable(now: Now, attempts: tuple[Attempt, ...], limits: Limits) -> Now:
    """The candidates at which one more attempt stays within the cost limit; one of unknown price does."""
    if limits.cost_usd is None:
        return now
    left = limits.cost_usd - spent(attempts, now.estimates)
    cheap = tuple(name for name in now.candidates if now.estimates.get(name, _NOTHING) <= left)
    return replace(now, candidates=cheap)


def spent(attempts: tuple[Attempt, ...], estimates: Mapping[str, Decimal]) -> Decimal:
    """What attempts cost together: as it is known, else as it was estimated."""
    costs = (a.cost_usd if a.cost_usd is not None else estimates.get(a.model, _NOTHING) for a in attempts)
    return sum(costs, _NOTHING)


def pause(
    route: Route, pauses: int, now: datetime, since: datetime, roll: float, deadline: datetime
) -> timedelta | None:
    """How long a job waits before it asks again for a model; None if waiting cannot help, or its time is up.

    Pauses grow, first by themselves (a minute after the sixth), then with the time waited `since` the job was accepted;
    the last one ends with the job's time. Where a limit of rate says when its turn is, that is exact at first.
    """
    left = deadline - LEAST_TIME - now
    if route.candidates or route.refused is None or not route.refused.retryable or left <= timedelta(0):
        return None
    turn = route.refused.retry_after or timedelta(0)
    if route.refused.code == RateLimited.code:
        if pauses < _EXACT_PAUSES:
            return min(max(turn, LEAST_TIME), left)
        pauses -= _EXACT_PAUSES
    grown = min(_FIRST_PAUSE * 2 ** min(pauses, 6), timedelta(minutes=1))
    wait = max(grown, (now - since) / _PATIENT) * (0.5 + roll / 2)
    return min(max(wait, turn), left)


def reason_to_stop(attempts: tuple[Attempt, ...], limits: Limits) -> str | None:
    """Why nothing is tried after these attempts, whatever candidates there are; None if something may be."""
    last = telling(attempts)
    if last is None:
        return None
    if last.failure is None or last.outcome not in (Outcome.FAILED, Outcome.INTERRUPTED):
        return f"attempt {last.number} {last.outcome.value}"
    if last.outcome is Outcome.INTERRUPTED and not limits.retry_interrupted:
        return "an interrupted call is not made again by setting"
    if last.failure.code == RateLimited.code:
        return "every model that is left is at a limit"
    if not last.failure.retryable and not _may_go_elsewhere(last.failure, limits):
        return f"{last.failure.code} is not retryable"
    if len(attempts) >= limits.attempts:
        return f"all {limits.attempts} attempts are used up"
    return None


def _may_go_elsewhere(failure: Failure, limits: Limits) -> bool:
    """Whether another model may serve what the one that failed never will."""
    return failure.elsewhere or (limits.past_content_filter and failure.code == ContentFiltered.code)


def _again(now: Now, attempts: tuple[Attempt, ...], limits: Limits, deadline: datetime) -> Choice | str:
    latest = {a.model: a for a in attempts}  # a later attempt replaces an earlier one at its old place
    waiting = sorted(
        (
            a
            for a in latest.values()
            if a.model in now.candidates and a.failure is not None and a.failure.retryable
        ),
        key=lambda a: a.number,
    )
    if not waiting:
        return (
            "no candidate is left"
            if limits.cost_usd is None
            else "no candidate is left within the cost limit"
        )
    chosen = waiting[0]
    rounds = sum(1 for a in attempts if a.model == chosen.model) - 1
    # The exponent is bounded: a job may go round for a day, and the wait is capped long before.
    grown = limits.backoff_initial * (limits.backoff_factor ** min(rounds, 30))
    wait = min(grown, limits.backoff_max) * (0.5 + now.roll / 2)
    asked_for = chosen.failure.retry_after if chosen.failure is not None else None
    wait = max(wait, asked_for or timedelta(0))
    if now.at + wait >= deadline - LEAST_TIME:
        return "the deadline would pass before the next attempt"
    return Choice(
        chosen.model, f"retry: every candidate has failed, {chosen.model} longest ago", wait, now.rule
    )
