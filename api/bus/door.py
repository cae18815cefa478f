"""A request on NATS: who sent it, whether it may be sent there, and the job that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

import msgspec

from api.auth import authenticate
from api.errors import problem_body, row_of
from api.headers import hints_of
from api.service.ask import Ask
from api.service.destinations import Wanted
from api.service.forms.job import job_ask
from api.service.jobs import JobsService
from api.service.served import RequestFailed
from gateway import telemetry
from gateway.delivery.inbox import Letter, PutOff, Refused, Taken, Verdict
from gateway.domain.delivery import may_publish, own_part, own_subjects, wrong_subject
from gateway.domain.errors import BodyTooLarge, Forbidden, GatewayError, InvalidRequest
from gateway.domain.identity import Caller
from gateway.identity import Identify
from gateway.ids import new_id
from gateway.settings import Settings

DOOR: Final = "nats"
_LONGEST_PAUSE: Final = timedelta(seconds=30)
_BUGS: Final = 5
"""How often a request is tried that our own code could not cope with."""
_PATIENT: Final = frozenset({429, 503})


@dataclass(slots=True)
class _Seen:
    """What is known of a letter by the time that it is refused."""

    caller: Caller | None = None


class BusDoor:
    """Reads letters. The answer of a job is for delivery to bring."""

    def __init__(self, identity: Identify, jobs: JobsService, settings: Settings) -> None:
        """`jobs` makes one job of a letter, however often it is brought."""
        self._identity = identity
        self._jobs = jobs
        self._subject = settings.nats.requests.subject
        self._patience = settings.nats.requests.patience
        self._body_limit = settings.api.body_limit

    async def take(self, letter: Letter) -> Verdict:
        """Make a job of a letter; what cannot be done now is put off, and what never can is refused."""
        request_id, seen = new_id(), _Seen()
        attributes = {
            "messaging.system": DOOR,
            "messaging.destination.name": self._subject,
            "gateway.request_id": request_id,
        }
        with telemetry.DoorSpan(f"{self._subject} process", letter.headers, attributes) as span:
            try:
                await self._create(letter, request_id, span, seen)
                return Taken()
            except Exception as e:  # noqa: BLE001  the last place where anything can be answered
                error = e.error if isinstance(e, RequestFailed) else e
                if not isinstance(error, GatewayError):
                    telemetry.log.error("bug", request_id=request_id, door=DOOR, exc_info=e)
                    error = GatewayError()
                span.fail(error.code)
                if self._is_for_later(error, letter):
                    return PutOff(_pause(error, letter.tries))
                telemetry.REFUSED.labels(error.code).inc()
                return self._refusal(error, letter, request_id, seen.caller)

    async def _create(self, letter: Letter, request_id: str, span: telemetry.DoorSpan, seen: _Seen) -> None:
        caller = seen.caller = await authenticate(self._identity, letter.headers)
        own = own_part(caller.name, caller.id)
        if self._part(letter) not in (own, caller.id):
            raise Forbidden(f"Requests of yours are published to `{self._subject}.{own}`.")
        if len(letter.body) > self._body_limit:
            raise BodyTooLarge
        headers = {**letter.headers, "idempotency-key": letter.id}
        ask = job_ask(letter.body, hints_of(headers, span, request_id), door=DOOR)
        await self._jobs.create(caller, _told_where(ask, letter.headers, caller))

    def _part(self, letter: Letter) -> str:
        return letter.subject.removeprefix(f"{self._subject}.")

    def _is_for_later(self, error: GatewayError, letter: Letter) -> bool:
        if error.code == GatewayError.code:
            return letter.tries < _BUGS
        waits = error.retryable and row_of(error).http in _PATIENT
        return waits and datetime.now(UTC) - letter.sent_at < self._patience

    def _refusal(
        self, error: GatewayError, letter: Letter, request_id: str, caller: Caller | None
    ) -> Refused:
        return Refused(
            self._reply_to(letter, caller),
            _body(error, letter, request_id),
            {
                "Nats-Msg-Id": _event_id(letter),
                "In-Reply-To": letter.id,
                "Content-Type": "application/json",
                **_traced(letter.headers),
            },
        )

    def _reply_to(self, letter: Letter, caller: Caller | None) -> str | None:
        """Where a refusal is told: where the sender's jobs may be told of, and nowhere else.

        A sender that nobody knows may have it told to the subjects of the caller that its letter's subject names: NATS
        has let it publish there.
        """
        subject = letter.headers.get("reply-to", "")
        if wrong_subject(subject) is not None:
            return None
        if caller is None:
            part = self._part(letter)
            return subject if may_publish(subject, own_subjects(part, part), ()) else None
        own = own_subjects(caller.name, caller.id)
        return subject if may_publish(subject, own, caller.subjects) else None


def _told_where(ask: Ask, headers: Mapping[str, str], caller: Caller) -> Ask:
    """The same with `Reply-To` as the subject to tell, where the body names none. Raises InvalidRequest."""
    subject = headers.get("reply-to")
    if subject is None:
        return ask
    own = own_subjects(caller.name, caller.id)
    if wrong_subject(subject) is not None or not may_publish(subject, own, caller.subjects):
        yours = ", ".join(f"`{each}`" for each in (own, *caller.subjects))
        raise InvalidRequest(f"`Reply-To` must be a subject of yours: {yours}.", param="Reply-To")
    wanted = ask.deliver or Wanted("deliver")
    if wanted.subject is not None:
        return ask
    trace_id = wanted.trace_id or headers.get("x-trace-id", "")
    return replace(ask, deliver=replace(wanted, subject=subject, trace_id=trace_id))


def _pause(error: GatewayError, tries: int) -> timedelta:
    """How long a letter waits: twice as long each time, or as long as the error says."""
    usual = min(timedelta(seconds=2 ** min(tries - 1, 5)), _LONGEST_PAUSE)
    return usual if error.retry_after is None else min(max(usual, error.retry_after), _LONGEST_PAUSE)


def _event_id(letter: Letter) -> str:
    """The same however often it is refused."""
    return "evt_" + sha256(f"{letter.subject}\n{letter.id}".encode()).hexdigest()[:32]


def _traced(headers: Mapping[str, str]) -> dict[str, str]:
    found = {"X-Trace-Id": headers.get("x-trace-id", ""), "Traceparent": headers.get("traceparent", "")}
    return {name: value for name, value in found.items() if value}


def _body(error: GatewayError, letter: Letter, request_id: str) -> bytes:
    """An event like those of finished jobs, with the problem details in it that REST would have answered."""
    now = datetime.now(UTC)
    return msgspec.json.encode(
        {
            "id": _event_id(letter),
            "object": "event",
            "created_at": int(now.timestamp()),
            "type": "request.refused",
            "timestamp": now,
            "data": {
                "message_id": letter.id,
                "error": msgspec.Raw(problem_body(error, request_id)),
            },
        }
    )
