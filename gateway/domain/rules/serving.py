"""What cannot serve a request at all, whatever the rules say."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime, timedelta
from decimal import Decimal

from gateway.domain.errors import ContextTooLong
from gateway.domain.health import Breaker
from gateway.domain.registry import Model
from gateway.domain.rules.course import Course
from gateway.domain.rules.decision import Step
from gateway.domain.rules.facts import Asked
from gateway.domain.rules.known import Basis
from gateway.domain.rules.predicates.price import REQUEST
from gateway.domain.rules.scene import Scene

FAILED = "just failed"
EXCLUDED = "excluded by the caller"
KIND = "kind of request"
OPERATION = "operation"
STATE = "state of the model"
CONTEXT = "context window"
CAPABILITIES = "capabilities"
BREAKER = "circuit breaker"
CONCURRENCY = "concurrency limit"
COST = "cost limit"
CHECKS = frozenset(
    [FAILED, EXCLUDED, KIND, OPERATION, STATE, CONTEXT, CAPABILITIES, BREAKER, CONCURRENCY, COST]
)
LIVE = frozenset([FAILED, BREAKER, CONCURRENCY])
"""The checks whose answer changes by itself."""
_Why = dict[int, tuple[str, str]]
"""Candidates by number, each with the check that takes it out and the reason."""


def check(course: Course) -> None:
    """Take out what cannot serve before the first rule, and leave one step for each check that found any."""
    scene = course.scene
    # Of what stands in a model's way the first check is told: whatever comes later here goes before.
    why = _busy(scene)
    why |= _unable(scene)
    why |= _too_small(scene)
    why |= _unfit(scene)
    why |= _unwanted(scene)
    if not why:
        return
    found: dict[str, dict[int, str]] = {}
    for i, (name, reason) in sorted(why.items()):
        found.setdefault(name, {})[i] = reason
    if scene.facts.live.serve_all_open:
        _serve_one(course, found)
    for name, reasons in found.items():
        count = len(course.left)
        removed = course.remove(name, reasons, live=name in LIVE)
        course.steps.append(Step(name, f"takes out {len(reasons)} of {count}", removed))


def check_cost(course: Course) -> None:
    """Take out, when all rules have run, what would cost more than the request may; unknown prices stay."""
    bounds = (course.scene.facts.asked.max_cost_usd, course.terms.cost_limit_usd)
    limits = [bound for bound in bounds if bound is not None]
    if not limits or not course.left:
        return
    limit: Decimal = min(limits)
    costs = REQUEST.of(course.scene)
    count = len(course.left)
    reasons = {
        i: f"would cost about ${cost:.6f}, more than ${limit:f}"
        for i in course.left
        if (cost := costs[i]) is not None and cost > limit
    }
    if reasons:
        removed = course.remove(COST, reasons, live=False)
        course.steps.append(
            Step(COST, f"takes out {len(reasons)} of {count}: at most ${limit:f} may be spent", removed)
        )


def over_in(course: Course) -> timedelta | None:
    """How long until one of the candidates that were taken out by their breakers may be tried again."""
    facts = course.scene.facts
    known = (facts.live.models.get(name) for name in course.passed_over)
    moments = [
        health.next_probe_at
        for health in known
        if health is not None and health.breaker is Breaker.OPEN and health.next_probe_at is not None
    ]
    return max(timedelta(0), min(moments) - facts.observed_at) if moments else None


def _unwanted(scene: Scene) -> _Why:
    """What the caller excludes, and what has just failed."""
    said = dict.fromkeys(scene.facts.asked.exclude, (EXCLUDED, "was excluded by the caller"))
    said |= {each.model: (FAILED, f"just failed with {each.code}") for each in scene.facts.failed}
    return {i: said[name] for i, name in enumerate(scene.names) if name in said} if said else {}


def _unfit(scene: Scene) -> _Why:
    """What cannot be asked for this, or is disabled."""
    asked = scene.facts.asked
    endpoint, kind = asked.endpoint, asked.kind

    def find(scene: Scene) -> _Why:
        return {
            i: (STATE, f"is {model.state}") if model.offers(endpoint, kind) else _unasked(asked, model)
            for i, model in enumerate(scene.models)
            if not (model.offers(endpoint, kind) and model.callable)
        }

    why: _Why = scene.keep(("unfit", endpoint, kind), find, Basis.MODELS)
    return why


def _needed(scene: Scene) -> int:
    """How many tokens a model must take: as many as were counted, and more than those whose window was too short."""
    asked, failed = scene.facts.asked, scene.facts.failed
    tokens = asked.input_tokens + (asked.max_output or 0)
    short = {each.model for each in failed if each.code == ContextTooLong.code} if failed else ()
    windows = [m.context_window for m in scene.models if m.name in short] if short else []
    return max(tokens, *(window + 1 for window in windows if window is not None), 0)


def _unasked(asked: Asked, model: Model) -> tuple[str, str]:
    if not model.serves(asked.kind):
        return KIND, f"is for {model.kind}"
    return OPERATION, f"cannot be asked for {asked.endpoint}"


def _too_small(scene: Scene) -> _Why:
    """What cannot take so many tokens."""
    tokens = _needed(scene)
    windows: list[tuple[int, int]] = scene.keep("windows by size", _windows, Basis.MODELS)
    return {
        i: (CONTEXT, f"takes {window:,} tokens, this needs about {tokens:,}")
        for window, i in windows[: bisect_left(windows, (tokens, -1))]
    }


def _windows(scene: Scene) -> list[tuple[int, int]]:
    windows = ((model.context_window, i) for i, model in enumerate(scene.models))
    return sorted((window, i) for window, i in windows if window is not None)


def _unable(scene: Scene) -> _Why:
    """What lacks a capability that the request needs."""
    needs = scene.facts.asked.needs

    def find(scene: Scene) -> _Why:
        return {
            i: (CAPABILITIES, f"cannot do {' and '.join(sorted(each.value for each in needs - able))}")
            for i, model in enumerate(scene.models)
            if (able := model.capabilities) is not None and not needs <= able
        }

    why: _Why = scene.keep(("unable", needs), find, Basis.MODELS)
    return why


def _busy(scene: Scene) -> _Why:
    """What is left alone after failing, or answers as many requests as it may."""
    # The breaker is this process's own, and goes on while the shared facts are stale; what others do is not.
    healths = scene.healths
    why: _Why = {}
    if scene.stale is None:
        limits: list[tuple[int, int]] = scene.keep("limits", _limits, Basis.MODELS)
        why = {
            i: (CONCURRENCY, f"is at its limit: {healths[i].in_flight} of {limit} in flight")
            for i, limit in limits
            if healths[i].in_flight >= limit
        }
    said = BREAKER, "is left alone for a while after failing (breaker open)"
    resting = Breaker.OPEN
    why.update([(i, said) for i, health in enumerate(healths) if health.breaker is resting])
    return why


def _limits(scene: Scene) -> list[tuple[int, int]]:
    limits = ((i, model.limits.concurrency) for i, model in enumerate(scene.models))
    return [(i, limit) for i, limit in limits if limit is not None]


def _serve_one(course: Course, found: dict[str, dict[int, str]]) -> None:
    """Where only open breakers stand in the way, let the model through that would be tried again soonest."""
    resting = found.get(BREAKER, {})
    if not resting or sum(len(each) for each in found.values()) < len(course.left):
        return
    models, known = course.scene.models, course.scene.facts.live.models
    never = datetime.max.replace(tzinfo=course.scene.facts.observed_at.tzinfo)
    soonest = min(resting, key=lambda i: known[models[i].name].next_probe_at or never)
    del resting[soonest]
    if not resting:
        del found[BREAKER]
    course.steps.append(Step(BREAKER, f"is open for all: {models[soonest].name} is tried all the same"))
