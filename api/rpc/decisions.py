"""A decision as a message: the models in their order, why, and on which terms."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from api.rpc.values import decimal
from gateway.domain.rules import Decision
from gateway.v1 import decision_pb2 as pb


def decision_message(decision: Decision) -> pb.Decision:
    """A decision, every model of it named: for those who may know all models."""
    terms, hedge, shadow, refused = decision.terms, decision.hedge, decision.shadow, decision.refused
    return pb.Decision(
        ranked=decision.ranked,
        passed_over=dict(decision.passed_over),
        rule=decision.rule,
        steps=[
            pb.DecisionStep(
                rule=step.rule, effect=step.effect, removed=dict(step.removed), reasons=dict(step.reasons)
            )
            for step in decision.steps
        ],
        scores=dict(decision.scores),
        roll=decision.roll,
        rules_version=decision.rules_version,
        registry_version=decision.registry_version,
        refused=None
        if refused is None
        else pb.DecisionRefusal(code=refused.code, message=refused.message, rule=refused.rule),
        throttles=[
            pb.DecisionThrottle(rule=each.rule, rate=each.rate, burst=each.burst, then=each.then.value)
            for each in decision.throttles
        ],
        terms=pb.DecisionTerms(
            durability=terms.durability or "",
            attempts=terms.attempts,
            deadline=duration(terms.deadline),
            cost_limit_usd=decimal(terms.cost_limit_usd),
            log_content=terms.log_content,
            tags=dict(terms.tags),
            past_content_filter=terms.past_content_filter,
        ),
        hedge=None
        if hedge is None
        else pb.DecisionHedge(
            after=duration(hedge.after),
            max_extra=hedge.max_extra,
            max_extra_cost_usd=decimal(hedge.max_extra_cost_usd),
        ),
        shadow=None if shadow is None else pb.DecisionShadow(model=shadow.model, share=shadow.share),
    )


def duration(span: timedelta | None) -> Duration | None:
    """A span of time; None stays unset."""
    if span is None:
        return None
    message = Duration()
    message.FromTimedelta(span)
    return message
