"""The body of a new job: `{endpoint, body, deadline_s?, priority?, not_before?, metadata?, deliver?}`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from api.service.ask import Ask, Hints, checked, deadline_of, priority_of, reason_of, wrong_field
from api.service.destinations import DeliverBody, wanted_of
from api.service.forms import FORMS, read
from gateway.domain.errors import InvalidJson, InvalidRequest
from gateway.domain.operations import Operation

ENDPOINTS: Final = tuple(sorted(operation.value for operation in FORMS))
"""What a job may ask for."""
_LATEST: Final = timedelta(days=365)


class _Job(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be done stays raw."""

    endpoint: str
    body: msgspec.Raw
    deadline_s: float | None = None
    priority: int | None = None
    not_before: datetime | None = None
    metadata: dict[str, str] = {}
    deliver: DeliverBody | None = None


_job = msgspec.json.Decoder(_Job)


def job_ask(raw: bytes, hints: Hints, *, door: str) -> Ask:
    """Read the body of a new job. Raises InvalidJson, or InvalidRequest naming the field and what it should be."""
    try:
        job = _job.decode(raw)
    except msgspec.ValidationError as e:
        raise wrong_field(e) from e
    except msgspec.DecodeError as e:
        raise InvalidJson(f"The request body is not valid JSON: {reason_of(e)}") from e
    except UnicodeDecodeError as e:
        raise InvalidJson("The request body is not valid UTF-8.") from e
    if job.endpoint not in ENDPOINTS:
        known = ", ".join(f"`{endpoint}`" for endpoint in ENDPOINTS)
        raise InvalidRequest(f"`endpoint` must be one of {known}.", param="endpoint")
    ask = read(Operation(job.endpoint), bytes(job.body), hints, door=door)
    deadline = deadline_of(job.deadline_s, "deadline_s") or ask.deadline
    metadata = checked({**ask.metadata, **job.metadata}, "metadata")
    return replace(
        ask,
        deadline=deadline,
        metadata=metadata,
        priority=priority_of(job.priority, "priority") or ask.priority,
        not_before=_not_before(job.not_before),
        deliver=wanted_of(job.deliver, "deliver") or ask.deliver,
    )


def _not_before(moment: datetime | None) -> datetime | None:
    """When the job may begin, in UTC. Raises InvalidRequest for what says no zone or is too far away."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise InvalidRequest(
            "`not_before` must say its zone, such as 2026-01-31T08:00:00Z.", param="not_before"
        )
    moment = moment.astimezone(UTC)
    if moment > datetime.now(UTC) + _LATEST:
        raise InvalidRequest(f"`not_before` must be within {_LATEST.days} days.", param="not_before")
    return moment
