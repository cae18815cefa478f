"""What cannot serve a request at all, whatever the rules say."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from gateway.domain.health import Breaker, ModelHealth
from gateway.domain.registry import Model
from gateway.domain.rules.course import Course
from gateway.domain.rules.decision import Step
from gateway.domain.rules.facts import Asked, Facts
from gateway.domain.rules.predicates.price import REQUEST

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


def check(course: Course) -> None:
    """Take out what cannot serve before the first rule, and leave one step for each check that found any."""
    scene = course.scene
    facts = scene.facts
    asked, known, fresh = facts.asked, facts.live.models, scene.stale is None
    failed = {each.model: each.code for each in facts.failed}
    tokens = asked.input_tokens + (asked.max_output or 0)
    found: dict[str, dict[int, str]] = {}
    for i, model in enumerate(scene.models):
        name, why = "", ""
        if model.name in failed:
            name, why = FAILED, f"just failed with {failed[model.name]}"
        elif model.name in asked.exclude:
            name, why = EXCLUDED, "was excluded by the caller"
        elif not model.offers(asked.endpoint, asked.kind):
            name, why = _unasked(asked, model)
        elif not model.callable:
            name, why = STATE, f"is {model.state}"
        elif model.context_window is not None and tokens > model.context_window:
            name, why = CONTEXT, f"takes {model.context_window:,} tokens, this needs about {tokens:,}"
        elif model.capabilities is not None and not asked.needs <= model.capabilities:
            name, why = CAPABILITIES, f"cannot do {_missing(facts, model)}"
        elif (health := known.get(model.name)) is not None:
            name, why = _busy(model, health, fresh=fresh)
        if name:
            found.setdefault(name, {})[i] = why
    if facts.live.serve_all_open:
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


def _unasked(asked: Asked, model: Model) -> tuple[str, str]:
    if not model.serves(asked.kind):
        return KIND, f"is for {model.kind}"
    return OPERATION, f"cannot be asked for {asked.endpoint}"


def _missing(facts: Facts, model: Model) -> str:
    able = model.capabilities or frozenset()
    return " and ".join(sorted(each.value for each in facts.asked.needs if each not in able))


def _busy(model: Model, health: ModelHealth, *, fresh: bool) -> tuple[str, str]:
    # The breaker is this process's own, and goes on while the shared facts are stale; what others do is not.
    if health.breaker is Breaker.OPEN:
        return BREAKER, "is left alone for a while after failing (breaker open)"
    limit = model.limits.concurrency
    if limit is not None and fresh and health.in_flight >= limit:
        return CONCURRENCY, f"is at its limit: {health.in_flight} of {limit} in flight"
    return "", ""


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
