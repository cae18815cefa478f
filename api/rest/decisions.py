"""A decision as REST shows it: the models in their order, why, and on which terms."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from gateway.domain.rules import Decision


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StepShape(_Shape):
    """What one rule, or one check of the gateway's own, did: models taken out and found, each with the reason."""

    rule: str
    effect: str
    removed: Mapping[str, str]
    reasons: Mapping[str, str]


class RefusalShape(_Shape):
    """Why nothing is called."""

    code: str
    message: str
    rule: str


class ThrottleShape(_Shape):
    """A limit that the request falls under: `rate` tokens a second, `burst` at once, then `queue` or `reject`."""

    rule: str
    rate: float
    burst: float
    then: str


class TermsShape(_Shape):
    """What rules set for the request; null leaves it to the request or the settings."""

    durability: str | None
    attempts: int | None
    deadline_s: float | None
    cost_limit_usd: Decimal | None
    log_content: bool | None
    tags: Mapping[str, str]
    past_content_filter: bool | None


class HedgeShape(_Shape):
    """The next model is called beside a slow one: after `after_s` seconds, or after its own p95."""

    after_s: float | None
    max_extra: int
    max_extra_cost_usd: Decimal | None


class ShadowShape(_Shape):
    """A copy of the request goes to a model, whose answer nobody waits for."""

    model: str
    share: float


class DecisionShape(_Shape):
    """The models in the order in which they are called; for each other one the reason; and one step a rule."""

    ranked: list[str]
    passed_over: Mapping[str, str]
    rule: str
    steps: list[StepShape]
    scores: Mapping[str, float]
    roll: float
    rules_version: str
    registry_version: str
    refused: RefusalShape | None
    throttles: list[ThrottleShape]
    terms: TermsShape
    hedge: HedgeShape | None
    shadow: ShadowShape | None


def decision_shape(decision: Decision) -> DecisionShape:
    """A decision, every model of it named: for those who may know all models."""
    terms, hedge, shadow, refused = decision.terms, decision.hedge, decision.shadow, decision.refused
    return DecisionShape(
        ranked=list(decision.ranked),
        passed_over=decision.passed_over,
        rule=decision.rule,
        steps=[
            StepShape(rule=step.rule, effect=step.effect, removed=step.removed, reasons=step.reasons)
            for step in decision.steps
        ],
        scores=decision.scores,
        roll=decision.roll,
        rules_version=decision.rules_version,
        registry_version=decision.registry_version,
        refused=None
        if refused is None
        else RefusalShape(code=refused.code, message=refused.message, rule=refused.rule),
        throttles=[
            ThrottleShape(rule=each.rule, rate=each.rate, burst=each.burst, then=each.then.value)
            for each in decision.throttles
        ],
        terms=TermsShape(
            durability=terms.durability,
            attempts=terms.attempts,
            deadline_s=None if terms.deadline is None else terms.deadline.total_seconds(),
            cost_limit_usd=terms.cost_limit_usd,
            log_content=terms.log_content,
            tags=terms.tags,
            past_content_filter=terms.past_content_filter,
        ),
        hedge=None
        if hedge is None
        else HedgeShape(
            after_s=None if hedge.after is None else hedge.after.total_seconds(),
            max_extra=hedge.max_extra,
            max_extra_cost_usd=hedge.max_extra_cost_usd,
        ),
        shadow=None if shadow is None else ShadowShape(model=shadow.model, share=shadow.share),
    )
