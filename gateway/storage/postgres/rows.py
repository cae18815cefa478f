"""Between our values and their rows: what each column holds, and the value that a row stands for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec

from gateway import decisions
from gateway.domain.delivery import Destination
from gateway.domain.identity import Budget, Caller, CallerKind, Key, Period, Right
from gateway.domain.inference import (
    Attempt,
    Durability,
    Failure,
    InferenceRequest,
    Kind,
    Limits,
    Mode,
    Outcome,
    Settlement,
    Status,
    Traits,
    Usage,
)
from gateway.domain.jobs import Job
from gateway.storage.ports import Entry, Record
from gateway.storage.text import storable_json

Row = Mapping[str, Any]

_RIGHTS = frozenset(right.value for right in Right)


def request_row(entry: Entry, accepted_at: datetime) -> dict[str, object]:
    """The ledger row of a request."""
    request, settlement = entry.request, entry.settlement
    served = settlement.served
    return {
        "id": request.id,
        "accepted_at": accepted_at,
        "finished_at": settlement.finished_at,
        "deadline": request.deadline,
        "status": settlement.status,
        "kind": request.kind,
        "mode": request.mode,
        "durability": request.durability,
        "endpoint": request.endpoint,
        "door": request.door,
        "origin": request.origin,
        "caller": request.caller,
        "model": request.model,
        "served_model": served.model if served else None,
        "served_provider": served.provider if served else None,
        "attempts": len(settlement.attempts),
        "candidates": request.candidates,
        "decision": settlement.decision,
        "rules_version": request.rules_version,
        "limits": request.limits,
        "tags": request.tags,
        "metadata": request.metadata,
        "deliver": {channel: there.shown() for channel, there in request.deliver.items()},
        "trace_id": request.trace_id,
        "traceparent": request.traceparent,
        "client_request_id": request.client_request_id,
        "fingerprint": request.fingerprint,
        "registry_version": request.registry_version,
        "facts": request.traits,
        "queue_ms": settlement.queue_ms,
        "overhead_ms": settlement.overhead_ms,
        "finish_reason": served.finish_reason if served else None,
        "cost_usd": settlement.cost_usd,
        **_usage_columns(settlement.usage),
        **_failure_columns(settlement.failure),
    }


def attempt_row(request_id: str, accepted_at: datetime, attempt: Attempt) -> dict[str, object]:
    """The ledger row of an attempt."""
    return {
        "request_id": request_id,
        "accepted_at": accepted_at,
        "number": attempt.number,
        "model": attempt.model,
        "provider": attempt.provider,
        "upstream_model": attempt.upstream_model,
        "reason": attempt.reason,
        "outcome": attempt.outcome,
        "started_at": attempt.started_at,
        "total_ms": attempt.total_ms,
        "first_token_ms": attempt.first_token_ms,
        "finish_reason": attempt.finish_reason,
        "provider_request_id": attempt.provider_request_id,
        "cost_usd": attempt.cost_usd,
        **_usage_columns(attempt.usage),
        **_failure_columns(attempt.failure),
    }


def job_row(job: Job) -> dict[str, object]:
    """The row of a job, its mappings as they are."""
    return {
        "id": job.id,
        "caller": job.caller,
        "endpoint": job.endpoint,
        "kind": job.kind,
        "model": job.model,
        "status": job.status,
        "created_at": job.created_at,
        "deadline": job.deadline,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "served_model": job.served_model,
        "attempts": job.attempts,
        "cost_usd": job.cost_usd,
        "deliver": msgspec.to_builtins(job.deliver),
        "metadata": job.metadata,
        "trace_id": job.trace_id,
        "fingerprint": job.fingerprint,
        "priority": job.priority,
        "not_before": job.not_before,
        **dict.fromkeys(_SELDOM),
        **_usage_columns(job.usage),
        **_failure_columns(job.failure),
    }


def decisions_told(entry: Entry) -> str | None:
    """The decisions about a request as one JSON list; None if there is none."""
    told = [each for each in (entry.request.decision, *entry.settlement.decisions) if each]
    return storable_json([msgspec.Raw(each.encode()) for each in told]) if told else None


def record_of(row: Row, attempts: Iterable[Row], body: Row | None = None) -> Record:
    """The record of a ledger row, of its attempts' rows in order and, if they are wanted, of its body."""
    request = InferenceRequest(
        id=str(row["id"]),
        kind=Kind(row["kind"]),
        mode=Mode(row["mode"]),
        endpoint=row["endpoint"],
        door=row["door"],
        caller=row["caller"],
        model=row["model"],
        body="",
        accepted_at=row["accepted_at"],
        deadline=row["deadline"],
        durability=Durability(row["durability"]),
        origin=row["origin"],
        candidates=tuple(row["candidates"]),
        rules_version=row["rules_version"],
        limits=msgspec.convert(row["limits"], Limits),
        tags=row["tags"],
        metadata=row["metadata"],
        deliver=msgspec.convert(row["deliver"], dict[str, Destination]),
        trace_id=row["trace_id"],
        traceparent=row["traceparent"],
        client_request_id=row["client_request_id"],
        fingerprint=row["fingerprint"],
        registry_version=row["registry_version"],
        traits=msgspec.convert(row["facts"], Traits),
    )
    body = body or {}
    attempts = list(attempts)
    return Record(
        request,
        settlement_of(row, attempts),
        prompt=body.get("prompt"),
        answer=body.get("answer"),
        corrected_usd={
            each["number"]: each["corrected_usd"] for each in attempts if each["repricing_id"] is not None
        },
        decisions=decisions.of_values(body.get("decisions") or ()),
    )


def settlement_of(row: Row, attempts: Iterable[Row]) -> Settlement:
    """How the request of a ledger row ended."""
    return Settlement(
        request_id=str(row["id"]),
        status=Status(row["status"]),
        finished_at=row["finished_at"],
        attempts=tuple(attempt_of(each) for each in attempts),
        failure=_failure_of(row),
        queue_ms=row["queue_ms"],
        overhead_ms=row["overhead_ms"],
        decision=tuple(row["decision"]),
    )


def job_of(row: Row) -> Job:
    """The job of a row."""
    return Job(
        id=str(row["id"]),
        caller=row["caller"],
        endpoint=row["endpoint"],
        kind=row["kind"],
        model=row["model"],
        status=Status(row["status"]),
        created_at=row["created_at"],
        deadline=row["deadline"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        served_model=row["served_model"],
        attempts=row["attempts"],
        usage=usage_of(row),
        cost_usd=row["cost_usd"],
        failure=_failure_of(row),
        deliver=msgspec.convert(row["deliver"], dict[str, Destination]),
        metadata=row["metadata"],
        trace_id=row["trace_id"],
        fingerprint=row["fingerprint"],
        priority=row["priority"],
        not_before=row["not_before"],
        deleted_at=row["deleted_at"],
    )


def caller_of(row: Row) -> Caller:
    """The caller of a row. Rights that a newer version knows are left out: this one could not grant them."""
    models = cast("list[str] | None", row["models"])
    return Caller(
        id=row["id"],
        name=row["name"],
        kind=CallerKind(row["kind"]),
        rights=frozenset(Right(right) for right in row["rights"] if right in _RIGHTS),
        models=None if models is None else frozenset(models),
        key_id=row["key_id"],
        tags=row["tags"],
        budget=None if row["budget_usd"] is None else Budget(row["budget_usd"], Period(row["budget_period"])),
        subjects=tuple(row["subjects"]),
    )


def budget_columns(budget: Budget | None) -> dict[str, object]:
    """The columns of a budget, or of none."""
    return {
        "budget_usd": None if budget is None else budget.usd,
        "budget_period": None if budget is None else budget.period,
    }


def key_of(row: Row) -> Key:
    """The key of a row of `keys`."""
    return Key(
        id=row["key_id"],
        caller_id=row["id"],
        digest=row["digest"],
        last_four=row["last_four"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        note=row["note"],
    )


def attempt_of(row: Row) -> Attempt:
    """The attempt of a row of `attempts`."""
    return Attempt(
        number=row["number"],
        model=row["model"],
        provider=row["provider"],
        upstream_model=row["upstream_model"],
        reason=row["reason"],
        outcome=Outcome(row["outcome"]),
        started_at=row["started_at"],
        total_ms=row["total_ms"],
        first_token_ms=row["first_token_ms"],
        failure=_failure_of(row),
        usage=usage_of(row),
        cost_usd=row["cost_usd"],
        finish_reason=row["finish_reason"],
        provider_request_id=row["provider_request_id"],
    )


# Seldom used: left out of a row, or NULL in one that an older gateway wrote, they are nothing.
_SELDOM = {
    "cache_write_tokens": "cache_write",
    "cache_write_1h_tokens": "cache_write_1h",
    "audio_input_tokens": "audio_input",
    "audio_output_tokens": "audio_output",
    "image_input_tokens": "image_input",
    "image_output_tokens": "image_output",
    "images": "images",
    "audio_seconds": "seconds",
    "characters": "characters",
    "search_units": "search_units",
}


def _usage_columns(usage: Usage | None) -> dict[str, object]:
    columns: dict[str, object] = {
        "input_tokens": usage.input if usage else None,
        "output_tokens": usage.output if usage else None,
        "cached_tokens": usage.cached if usage else None,
        "reasoning_tokens": usage.reasoning if usage else None,
        "usage_estimated": usage.estimated if usage else False,
    }
    if usage is not None:
        for column, part in _SELDOM.items():
            if used := getattr(usage, part):
                columns[column] = used
    return columns


def usage_of(row: Row) -> Usage | None:
    """The usage of a row that has its columns; None where it is not known."""
    if row["input_tokens"] is None:
        return None
    return Usage(
        input=row["input_tokens"],
        output=row["output_tokens"],
        cached=row["cached_tokens"],
        reasoning=row["reasoning_tokens"],
        estimated=row["usage_estimated"],
        **{part: row[column] for column, part in _SELDOM.items() if row[column] is not None},
    )


def _failure_columns(failure: Failure | None) -> dict[str, object]:
    wait = failure.retry_after if failure else None
    return {
        "failure_code": failure.code if failure else None,
        "failure_message": failure.message if failure else None,
        "failure_detail": failure.detail if failure else None,
        "failure_param": failure.param if failure else None,
        "failure_status": failure.status if failure else None,
        "failure_retryable": failure.retryable if failure else None,
        "failure_retry_after_ms": wait / timedelta(milliseconds=1) if wait is not None else None,
    }


def _failure_of(row: Row) -> Failure | None:
    if row["failure_code"] is None:
        return None
    wait = row["failure_retry_after_ms"]
    return Failure(
        code=row["failure_code"],
        message=row["failure_message"],
        retryable=row["failure_retryable"],
        param=row["failure_param"],
        status=row["failure_status"],
        detail=row["failure_detail"],
        retry_after=None if wait is None else timedelta(milliseconds=wait),
    )
