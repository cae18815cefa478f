"""The event that tells of a finished job: OpenAI's shape with Standard Webhooks' `timestamp`, alike on all channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.domain.delivery import event_id
from gateway.domain.inference import Failure, Usage
from gateway.domain.jobs import Job


@dataclass(frozen=True, slots=True)
class Event:
    """One event, with the result inside and with a link to it alone."""

    id: str
    job: Job
    whole: bytes
    brief: bytes

    def body(self, limit: int) -> bytes:
        """With the result if that is no longer than `limit` bytes, else with the link."""
        return self.whole if len(self.whole) <= limit else self.brief


def event_of(job: Job, result: bytes | None, public_url: str) -> Event:
    """The event of a job that has ended, the same bytes at every try. `result` is None if there is none, or no more."""
    link = f"{public_url.rstrip('/')}/api/v1/jobs/{job.id}/result" if result is not None else None
    brief = _body(job, link, None)
    whole = brief if result is None or not _is_json(result) else _body(job, link, result)
    return Event(event_id(job.id), job, whole, brief)


def _body(job: Job, link: str | None, result: bytes | None) -> bytes:
    ended = job.completed_at or job.created_at
    data: dict[str, Any] = {
        "id": job.id,
        "object": "job",
        "status": job.status.value,
        "endpoint": job.endpoint,
        "kind": job.kind,
        "model": job.model,
        "served_model": job.served_model,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "attempts": job.attempts,
        "usage": _usage(job.usage),
        "cost_usd": None if job.cost_usd is None else f"{job.cost_usd:f}",
        "error": _error(job.failure),
        "metadata": job.metadata,
        "trace_id": job.trace_id,
        "result_url": link,
    }
    if result is not None:
        data["result"] = msgspec.Raw(result)
    return msgspec.json.encode(
        {
            "id": event_id(job.id),
            "object": "event",
            "created_at": int(ended.timestamp()),
            "type": f"job.{job.status.value}",
            "timestamp": ended,
            "data": data,
        }
    )


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    return {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cached_tokens": usage.cached,
        "reasoning_tokens": usage.reasoning,
        "estimated": usage.estimated,
    }


def _error(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {"code": failure.code, "message": failure.message, "param": failure.param}


def _is_json(result: bytes) -> bool:
    try:
        result.decode()  # what stays raw is not looked at for its letters
        msgspec.json.decode(result, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True
