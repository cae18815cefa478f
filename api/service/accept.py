"""Accepting a request: what is asked, decided upon, becomes what the gateway commits itself to."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from api.service.ask import Ask
from api.service.served import RequestFailed, Served
from gateway import decisions
from gateway.domain.errors import InvalidRequest
from gateway.domain.identity import Caller
from gateway.domain.inference import PRIORITY, Durability, InferenceRequest, Limits, Mode
from gateway.domain.rules import Decision
from gateway.domain.rules import Terms as RuleTerms
from gateway.ids import moment_in, new_id, parse_id
from gateway.router import KEPT_CANDIDATES, Router, asked_of, error_of
from gateway.settings import Fallback


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms requests of one kind are accepted; `deadline` is for those that say none."""

    mode: Mode
    durability: Durability
    deadline: timedelta
    max_deadline: timedelta
    limits: Limits
    origin: str = ""


def accept(
    caller: Caller,
    ask: Ask,
    router: Router,
    terms: Terms,
    *,
    request_id: str | None = None,
    fingerprint: str = "",
) -> tuple[InferenceRequest, Decision]:
    """Make the request that the gateway commits itself to, and the first decision about it.

    Where a job is to be told of is for whoever asks to add.

    Raises InvalidRequest, and RequestFailed with the error of a decision that refuses: ModelNotFound (alike for what is
    unknown and what the caller may not use), NoModelFits, NoModelAvailable, RefusedByRule, or what else a rule names.
    """
    if ask.deadline is not None and ask.deadline > terms.max_deadline:
        raise InvalidRequest(
            f"The deadline must not be longer than {terms.max_deadline.total_seconds():.0f} seconds.",
            param="deadline",
        )
    if ask.deliver is not None and terms.mode is not Mode.JOB:
        raise InvalidRequest(
            "`gateway.deliver` is for jobs: send `Prefer: respond-async` with it, or leave it out.",
            param="gateway.deliver",
        )
    request_id = request_id or ask.hints.request_id or new_id()
    uuid = parse_id(request_id)
    # An id that was derived from an Idempotency-Key does not say when it was made.
    at = (None if uuid is None else moment_in(uuid)) or datetime.now(UTC)
    traits = replace(
        ask.traits,
        caller_name=caller.name,
        caller_kind=caller.kind.value,
        caller_tags=caller.tags,
        caller_models=None if caller.models is None else tuple(sorted(caller.models)),
        roll=random.random(),  # noqa: S311  no secret
    )
    asked = asked_of(ask, terms.mode, traits)
    decision = router.decide(asked, caller, at, roll=traits.roll, brief=True)
    if decision.refused is not None or not decision.ranked:
        raise _refusal(request_id, ask, decision)
    said = decision.terms
    begins = at if ask.not_before is None else max(at, ask.not_before)
    limits = _limits(terms.limits, said, traits.max_cost_usd)
    request = InferenceRequest(
        id=request_id,
        kind=ask.kind,
        mode=terms.mode,
        endpoint=ask.operation.value,
        door=ask.door,
        caller=caller.id,
        model=ask.model,
        body=ask.text,
        accepted_at=at,
        deadline=begins + _deadline(ask.deadline, said.deadline, terms),
        durability=_durability(ask.durability, said.durability, terms),
        origin=terms.origin,
        candidates=decision.ranked[:KEPT_CANDIDATES],
        rules_version=decision.rules_version,
        limits=limits,
        tags={**ask.tags, **said.tags} if said.tags else ask.tags,
        metadata=ask.metadata,
        trace_id=ask.hints.trace_id,
        traceparent=ask.hints.traceparent,
        tracestate=ask.hints.tracestate,
        client_request_id=ask.hints.client_request_id,
        fingerprint=fingerprint,
        registry_version=decision.registry_version,
        traits=traits,
        decision=decisions.tell(decision),
        estimates=router.estimates(decision, asked, at) if _bounded(limits, decision) else {},
        log_content=said.log_content,
        strict=ask.strict,
        dialect_headers=ask.hints.dialect,
        priority=said.priority or ask.priority or PRIORITY,
        weight=said.weight,
        not_before=ask.not_before,
    )
    return request, decision


def limits_of(fallback: Fallback) -> Limits:
    """The bounds of a request's attempts, from the settings."""
    return Limits(
        attempts=fallback.attempts,
        backoff_initial=fallback.backoff_initial,
        backoff_factor=fallback.backoff_factor,
        backoff_max=fallback.backoff_max,
    )


def _limits(usual: Limits, said: RuleTerms, max_cost_usd: Decimal | None) -> Limits:
    cost = min((c for c in (max_cost_usd, said.cost_limit_usd) if c is not None), default=None)
    return replace(
        usual,
        attempts=said.attempts or usual.attempts,
        backoff_initial=_or(said.backoff_initial, usual.backoff_initial),
        backoff_factor=said.backoff_factor or usual.backoff_factor,
        backoff_max=_or(said.backoff_max, usual.backoff_max),
        cost_usd=cost,
        past_content_filter=said.past_content_filter or usual.past_content_filter,
    )


def _bounded(limits: Limits, decision: Decision) -> bool:
    """Whether what the request may cost is bounded, in all or beside the first model."""
    hedge = decision.hedge
    return limits.cost_usd is not None or (hedge is not None and hedge.max_extra_cost_usd is not None)


def _or(said: timedelta | None, usual: timedelta) -> timedelta:
    return usual if said is None else said


def _deadline(asked: timedelta | None, said: timedelta | None, terms: Terms) -> timedelta:
    """A rule's deadline stands for the usual one, and bounds what a caller asks for; the settings bound both."""
    if said is None:
        return asked or terms.deadline
    return min(asked or said, said, terms.max_deadline)


def _durability(asked: Durability | None, said: str | None, terms: Terms) -> Durability:
    """The safer of what the caller and the rules say; else what one of them says. A job is always safe."""
    if terms.mode is Mode.JOB or Durability.START_FIRST in (asked, said):
        return Durability.START_FIRST
    return asked or (terms.durability if said is None else Durability(said))


def _refusal(request_id: str, ask: Ask, decision: Decision) -> RequestFailed:
    """The error of a decision that calls nothing, with what it may tell of itself."""
    served = Served(
        request_id=request_id,
        trace_id=ask.hints.trace_id,
        rule=(decision.refused.rule if decision.refused else "") or decision.rule,
        rules_version=decision.rules_version,
        registry_version=decision.registry_version,
    )
    return RequestFailed(error_of(decision), served)
