"""A model's circuit breaker as a pure state machine: closed, open, and half-open by single probes from real traffic.

```
            too many failures               cool-down over
   closed ─────────────────────────▶ open ──────────────────▶ half-open
     ▲                                ▲                           │ one request goes through: for others it is open
     │                                └──── it failed: longer ────┤
     └────────────────────────────────────────── it succeeded ────┘
```

Every replica runs the machine on what it sees and on what all others tell it. Each change has a `version` that grows
with time, and of two states the one with the higher version holds everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from gateway.domain import errors
from gateway.domain.health import Breaker, Window
from gateway.domain.inference import LEAST_TIME, Attempt, Outcome

_FAULTS = frozenset(
    kind.code
    for kind in (
        errors.GatewayError,  # a bug of ours in calling this model: another one may do better
        errors.UpstreamUnavailable,
        errors.UpstreamTimeout,
        errors.UpstreamMalformed,
        errors.UpstreamBroken,
        errors.UpstreamAuth,
        errors.UpstreamNotFound,
        errors.UpstreamForbidden,
    )
)
_LIMITED = errors.UpstreamRateLimited.code
_TIMEOUT = errors.UpstreamTimeout.code


class Verdict(StrEnum):
    """What an attempt says of its model. `none`: it was the caller's doing, or the attempt was cut off."""

    GOOD = "good"
    BAD = "bad"
    LIMITED = "limited"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a breaker opens, and for how long.

    It opens after `failures` in a row, after `limited` refusals for our rate (429) in a row, or when more than
    `error_rate` of at least `min_requests` in `window` failed. The cool-down grows by `cool_down_factor` with each
    opening until the model has been well for `cool_down_max`. A probe that says nothing for `probe_lease` is forgotten.
    A timeout at the caller's own deadline counts only when the model had `patience`: a caller in a hurry says nothing.
    """

    enabled: bool = True
    failures: int = 5
    limited: int = 10
    error_rate: float = 0.5
    min_requests: int = 20
    window: Window = Window.MINUTE
    cool_down: timedelta = timedelta(seconds=5)
    cool_down_factor: float = 2.0
    cool_down_max: timedelta = timedelta(seconds=60)
    probe_lease: timedelta = timedelta(seconds=60)
    patience: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class BreakerState:
    """Where a breaker stands. `since` is its last opening or closing; `until` when an open one may be probed.

    `probing_since` is when the probe under way began. `trips` counts the openings that the cool-down grows by.
    `failures` and `limited` count those in a row while it is closed, and are this replica's alone.
    """

    is_open: bool = False
    since: datetime | None = None
    reason: str = ""
    trips: int = 0
    until: datetime | None = None
    probing_since: datetime | None = None
    version: int = 0
    failures: int = 0
    limited: int = 0


CLOSED = BreakerState()


def is_fault(code: str) -> bool:
    """Whether a failure by this code is its model's fault."""
    return code in _FAULTS


def verdict_of(attempt: Attempt, deadline: datetime, patience: timedelta) -> Verdict:
    """What an attempt says of its model; `deadline` is its request's."""
    if attempt.outcome is Outcome.SUCCEEDED:
        return Verdict.GOOD
    if attempt.failure is None or attempt.outcome not in (Outcome.FAILED, Outcome.BROKEN):
        return Verdict.NONE
    code = attempt.failure.code
    if code == _LIMITED:
        return Verdict.LIMITED
    if code not in _FAULTS:
        return Verdict.NONE
    if code == _TIMEOUT:
        took = timedelta(milliseconds=attempt.total_ms)
        if attempt.started_at + took >= deadline - LEAST_TIME and took < patience:
            return Verdict.NONE
    return Verdict.BAD


def position(state: BreakerState, now: datetime, policy: BreakerPolicy) -> Breaker:
    """What a decision sees: half-open only while a probe may begin."""
    if not state.is_open:
        return Breaker.CLOSED
    if state.until is not None and now < state.until:
        return Breaker.OPEN
    if state.probing_since is not None and now < state.probing_since + policy.probe_lease:
        return Breaker.OPEN
    return Breaker.HALF_OPEN


def probed(state: BreakerState, now: datetime) -> BreakerState:
    """The breaker with a probe under way; only for one that is half-open."""
    return replace(state, probing_since=now, version=_next(state, now))


def reserved(state: BreakerState, now: datetime, policy: BreakerPolicy, span: timedelta) -> BreakerState:
    """The breaker with its probe promised to a request that was just decided; if it never begins, for `span` only."""
    return replace(state, probing_since=now - policy.probe_lease + span, version=_next(state, now))


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that has ended: what it says, by which code, when it began and ended, and whether it was a probe."""

    verdict: Verdict
    began: datetime
    at: datetime
    code: str = ""
    probe: bool = False
    retry_after: timedelta | None = None


def ended(state: BreakerState, attempt: Ended, policy: BreakerPolicy) -> BreakerState:
    """The breaker after an attempt. What began before its last opening or closing is not about the state it is in."""
    if not policy.enabled:
        return state
    if state.is_open:
        return _after_probe(state, attempt, policy) if attempt.probe else state
    if attempt.verdict is Verdict.NONE or (state.since is not None and attempt.began < state.since):
        return state
    if attempt.verdict is Verdict.GOOD:
        return replace(state, failures=0, limited=0) if state.failures or state.limited else state
    if attempt.verdict is Verdict.LIMITED:
        state = replace(state, limited=state.limited + 1)
        if state.limited < policy.limited:
            return state
        return _limited(state, attempt, policy, f"{state.limited} refusals for our rate in a row")
    state = replace(state, failures=state.failures + 1)
    if state.failures < policy.failures:
        return state
    return opened(
        state, attempt.at, policy, f"{state.failures} failures in a row, the last by {attempt.code}"
    )


def judged(
    state: BreakerState, requests: int, failed: int, now: datetime, policy: BreakerPolicy
) -> BreakerState:
    """The breaker after a look at a window over all replicas; the counts begin with its last closing."""
    if not policy.enabled or state.is_open or requests < policy.min_requests:
        return state
    if failed <= policy.error_rate * requests:
        return state
    return opened(state, now, policy, f"{failed} of {requests} requests in {policy.window.value} failed")


def opened(state: BreakerState, now: datetime, policy: BreakerPolicy, reason: str) -> BreakerState:
    """The breaker, opened (again): the cool-down grows unless the model had been well for long."""
    well_for = timedelta(0) if state.is_open or state.since is None else now - state.since
    trips = 1 if well_for >= policy.cool_down_max else state.trips + 1
    # The exponent is bounded: the cool-down is capped long before.
    grown = policy.cool_down * (policy.cool_down_factor ** min(trips - 1, 30))
    return BreakerState(
        is_open=True,
        since=state.since if state.is_open else now,
        reason=reason,
        trips=trips,
        until=now + min(grown, policy.cool_down_max),
        version=_next(state, now),
    )


def merged(ours: BreakerState, theirs: BreakerState) -> BreakerState:
    """Of two replicas' states the later one; where that does not tell, the more cautious. The same on both sides."""
    return theirs if _rank(theirs) > _rank(ours) else ours


def _after_probe(state: BreakerState, attempt: Ended, policy: BreakerPolicy) -> BreakerState:
    match attempt.verdict:
        case Verdict.GOOD:
            return BreakerState(since=attempt.at, trips=state.trips, version=_next(state, attempt.at))
        case Verdict.BAD:
            return opened(state, attempt.at, policy, f"its probe failed by {attempt.code}")
        case Verdict.LIMITED:
            return _limited(state, attempt, policy, "its probe was refused for our rate")
        case Verdict.NONE:
            return replace(state, probing_since=None, version=_next(state, attempt.at))


def _limited(state: BreakerState, attempt: Ended, policy: BreakerPolicy, reason: str) -> BreakerState:
    """Opened because a provider limits our rate: for as long as it asks, and without growing: it is not sick."""
    wait = max(policy.cool_down, attempt.retry_after or timedelta(0))
    return BreakerState(
        is_open=True,
        since=state.since if state.is_open else attempt.at,
        reason=reason,
        trips=state.trips,
        until=attempt.at + min(wait, policy.cool_down_max),
        version=_next(state, attempt.at),
    )


def _next(state: BreakerState, now: datetime) -> int:
    """A version above the one before, and about as high as those that others give at this moment."""
    return max(state.version + 1, int(now.timestamp() * 1000))


def _rank(state: BreakerState) -> tuple[int, bool, float, str]:
    moment = state.until or state.since
    return (state.version, state.is_open, moment.timestamp() if moment else 0.0, state.reason)
