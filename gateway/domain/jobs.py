"""A job: a request whose caller does not wait, and what it can be told about it at any time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from gateway.domain.delivery import Destination
from gateway.domain.inference import PRIORITY, Failure, InferenceRequest, Status, Usage


@dataclass(frozen=True, slots=True)
class Job:
    """One job as its caller sees it. `id` is the request's id and the workflow's; the result is kept apart.

    Of one that was deleted only this is left, and nobody sees it: its Idempotency-Key is not to begin another.
    """

    id: str
    caller: str
    endpoint: str
    kind: str
    model: str
    status: Status
    created_at: datetime
    deadline: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    served_model: str | None = None
    attempts: int = 0
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    failure: Failure | None = None
    deliver: Mapping[str, Destination] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    trace_id: str = ""
    fingerprint: str = ""
    priority: int = PRIORITY
    not_before: datetime | None = None
    deleted_at: datetime | None = None


def job_of(request: InferenceRequest) -> Job:
    """The job that an accepted request is, still queued."""
    return Job(
        id=request.id,
        caller=request.caller,
        endpoint=request.endpoint,
        kind=request.kind.value,
        model=request.model,
        status=Status.QUEUED,
        created_at=request.accepted_at,
        deadline=request.deadline,
        deliver=request.deliver,
        metadata=request.metadata,
        trace_id=request.trace_id,
        fingerprint=request.fingerprint,
        priority=request.priority,
        not_before=request.not_before,
    )
