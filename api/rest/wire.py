"""What `/api/v1` answers: our own shapes, times in RFC 3339, decimals as strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, PlainSerializer

from api.rest.decisions import DecisionShape, decision_shape
from api.rest.deliveries import DeliverShape, DeliveryShape, deliver_shape, delivery_shapes
from gateway.domain.delivery import Delivery
from gateway.domain.inference import Attempt, Failure, Status, Traits, Usage, telling
from gateway.domain.jobs import Job
from gateway.storage.ports import JSON, KeptAnswer, Record

# Without an exponent: not every reader of decimals knows one.
Usd = Annotated[Decimal, PlainSerializer(lambda usd: f"{usd:f}", return_type=str)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class UsageShape(_Shape):
    """Tokens, images made, seconds of audio, characters to be spoken and search units of a reranker.

    `input_tokens` includes those that were cached, written to a cache, audio and images; `output_tokens` includes
    reasoning, audio and images.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    estimated: bool
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    images: int = 0
    audio_seconds: float = 0.0
    characters: int = 0
    search_units: int = 0


class FailureShape(_Shape):
    """Why something failed; `detail` and `status` are the upstream's, for operators."""

    code: str
    message: str
    param: str | None = None
    status: int | None = None
    detail: str | None = None


class JobShape(_Shape):
    """A job. Asked for by its id it has its `result` when it is completed, and `deliveries` when it has ended.

    An answer that is no JSON stands at `result_url` alone.
    """

    id: str
    object: Literal["job"] = "job"
    status: str
    endpoint: str
    kind: str
    model: str
    served_model: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    not_before: datetime | None
    deadline: datetime
    priority: int
    attempts: int
    usage: UsageShape | None
    cost_usd: Usd | None
    result: Any = None
    result_url: str | None = None
    error: FailureShape | None
    deliver: DeliverShape | None
    deliveries: list[DeliveryShape] = []
    metadata: Mapping[str, str]
    workflow_id: str
    trace_id: str


class AttemptShape(_Shape):
    """One try at one model; times in milliseconds.

    `cost_usd` is what the ledger holds, `cost_corrected_usd` what it cost after all, where `cost_corrected` says so.
    """

    number: int
    model: str
    provider: str
    upstream_model: str
    reason: str
    outcome: str
    started_at: datetime
    total_ms: float
    first_token_ms: float | None
    usage: UsageShape | None
    cost_usd: Usd | None
    cost_unknown: bool
    cost_corrected: bool
    cost_corrected_usd: Usd | None
    finish_reason: str | None
    provider_request_id: str | None
    error: FailureShape | None


class FactsShape(_Shape):
    """What rules knew of the request beside its model and tags: never its text. `input_tokens` is an estimate.

    `conversation` is a digest, shown to the request's caller and to those who may read prompts.
    """

    input_tokens: int
    max_output: int | None
    body_bytes: int
    needs: list[str]
    images: int
    conversation: str
    select: str
    prefer: str
    exclude: list[str]
    max_cost_usd: Decimal | None


class RequestShape(_Shape):
    """A request of the ledger; `prompt` and `answer` only for those who may read prompts.

    `decisions`, of one request that is asked for by its id, are the one at acceptance and the last few that followed
    failures; models that the reader may not know are left out of them. `cost_usd` is what the ledger holds,
    `cost_corrected_usd` what it cost after all, where `cost_corrected` says so.
    """

    id: str
    object: Literal["request"] = "request"
    status: str
    kind: str
    mode: str
    endpoint: str
    door: str
    caller: str
    model: str
    served_model: str | None
    provider: str | None
    accepted_at: datetime
    finished_at: datetime
    deadline: datetime
    durability: str
    rules_version: str
    registry_version: str
    candidates: list[str]
    decision: list[str]
    decisions: list[DecisionShape]
    facts: FactsShape
    queue_ms: float
    overhead_ms: float | None
    total_ms: float
    usage: UsageShape | None
    cost_usd: Usd | None
    cost_unknown: bool
    cost_corrected: bool
    cost_corrected_usd: Usd | None
    error: FailureShape | None
    attempts: list[AttemptShape]
    tags: Mapping[str, str]
    metadata: Mapping[str, str]
    workflow_id: str
    workflow_url: str | None = None
    trace_id: str
    client_request_id: str | None
    prompt: Any = None
    answer: Any = None


class JobsPage(_Shape):
    """Jobs, newest first; ask again with `after=next_after` while it is there."""

    object: Literal["list"] = "list"
    data: list[JobShape]
    next_after: str | None


class RequestsPage(_Shape):
    """Requests, newest first; ask again with `after=next_after` while it is there."""

    object: Literal["list"] = "list"
    data: list[RequestShape]
    next_after: str | None


def usage_shape(usage: Usage | None) -> UsageShape | None:
    """Tokens as we show them."""
    if usage is None:
        return None
    return UsageShape(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cached_tokens=usage.cached,
        reasoning_tokens=usage.reasoning,
        estimated=usage.estimated,
        cache_write_tokens=usage.cache_write,
        cache_write_1h_tokens=usage.cache_write_1h,
        audio_input_tokens=usage.audio_input,
        audio_output_tokens=usage.audio_output,
        image_input_tokens=usage.image_input,
        image_output_tokens=usage.image_output,
        images=usage.images,
        audio_seconds=usage.seconds,
        characters=usage.characters,
        search_units=usage.search_units,
    )


def failure_shape(failure: Failure | None, *, operator: bool) -> FailureShape | None:
    """A failure as we show it; the upstream's own words only to operators."""
    if failure is None:
        return None
    return FailureShape(
        code=failure.code,
        message=failure.message,
        param=failure.param,
        status=failure.status if operator else None,
        detail=failure.detail if operator else None,
    )


def job_shape(job: Job, result: KeptAnswer | None = None, deliveries: Sequence[Delivery] = ()) -> JobShape:
    """A job as we show it."""
    is_json = result is not None and result.media_type == JSON
    return JobShape(
        id=job.id,
        status=job.status.value,
        endpoint=job.endpoint,
        kind=job.kind,
        model=job.model,
        served_model=job.served_model,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        not_before=job.not_before,
        deadline=job.deadline,
        priority=job.priority,
        attempts=job.attempts,
        usage=usage_shape(job.usage),
        cost_usd=job.cost_usd,
        result=msgspec.json.decode(result.body) if result is not None and is_json else None,
        result_url=f"/api/v1/jobs/{job.id}/result" if job.status is Status.COMPLETED else None,
        error=failure_shape(job.failure, operator=False),
        deliver=deliver_shape(job.deliver),
        deliveries=delivery_shapes(deliveries),
        metadata=job.metadata,
        workflow_id=job.id,
        trace_id=job.trace_id,
    )


def attempt_shape(
    attempt: Attempt, corrected: Mapping[int, Decimal | None], *, operator: bool
) -> AttemptShape:
    """An attempt as we show it; `corrected` has the costs of those whose cost was corrected, by their numbers."""
    return AttemptShape(
        number=attempt.number,
        model=attempt.model,
        provider=attempt.provider,
        upstream_model=attempt.upstream_model,
        reason=attempt.reason,
        outcome=attempt.outcome.value,
        started_at=attempt.started_at,
        total_ms=attempt.total_ms,
        first_token_ms=attempt.first_token_ms,
        usage=usage_shape(attempt.usage),
        cost_usd=attempt.cost_usd,
        cost_unknown=attempt.cost_usd is None,
        cost_corrected=attempt.number in corrected,
        cost_corrected_usd=corrected.get(attempt.number),
        finish_reason=attempt.finish_reason,
        provider_request_id=attempt.provider_request_id,
        error=failure_shape(attempt.failure, operator=operator),
    )


def facts_shape(traits: Traits, *, grouped: bool) -> FactsShape:
    """What rules knew of a request, as we show it; `grouped` with the digest of its conversation."""
    return FactsShape(
        input_tokens=traits.input_tokens,
        max_output=traits.max_output,
        body_bytes=traits.body_bytes,
        needs=list(traits.needs),
        images=traits.images,
        conversation=traits.conversation if grouped else "",
        select=traits.select,
        prefer=traits.prefer,
        exclude=list(traits.exclude),
        max_cost_usd=traits.max_cost_usd,
    )


def request_shape(
    record: Record, *, operator: bool, grouped: bool, workflow_url: str | None = None
) -> RequestShape:
    """A request as we show it; `grouped` with the digest of its conversation."""
    request, settlement = record.request, record.settlement
    last = telling(settlement.attempts)
    return RequestShape(
        id=request.id,
        status=settlement.status.value,
        kind=request.kind.value,
        mode=request.mode.value,
        endpoint=request.endpoint,
        door=request.door,
        caller=request.caller,
        model=request.model,
        served_model=settlement.served.model if settlement.served else None,
        provider=last.provider if last else None,
        accepted_at=request.accepted_at,
        finished_at=settlement.finished_at,
        deadline=request.deadline,
        durability=request.durability.value,
        rules_version=request.rules_version,
        registry_version=request.registry_version,
        candidates=list(request.candidates),
        decision=list(settlement.decision),
        decisions=[decision_shape(each) for each in record.decisions],
        facts=facts_shape(request.traits, grouped=grouped),
        queue_ms=settlement.queue_ms,
        overhead_ms=settlement.overhead_ms,
        total_ms=(settlement.finished_at - request.accepted_at).total_seconds() * 1000,
        usage=usage_shape(settlement.usage),
        cost_usd=settlement.cost_usd,
        cost_unknown=settlement.cost_usd is None,
        cost_corrected=bool(record.corrected_usd),
        cost_corrected_usd=record.cost_corrected_usd if record.corrected_usd else None,
        error=failure_shape(settlement.failure, operator=operator),
        attempts=[attempt_shape(a, record.corrected_usd, operator=operator) for a in settlement.attempts],
        tags=request.tags,
        metadata=request.metadata,
        workflow_id=request.id,
        workflow_url=workflow_url,
        trace_id=request.trace_id,
        client_request_id=request.client_request_id,
        prompt=_json_or_text(record.prompt),
        answer=_json_or_text(record.answer),
    )


def _json_or_text(text: str | None) -> Any:
    """A logged text as the JSON it was; one that was cut stays text."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
