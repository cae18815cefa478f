"""RequestsService: the ledger and the prompt log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from api.rpc.common import DURABILITY, STATUS, failure_message, tokens
from api.rpc.decisions import decision_message
from api.rpc.door import Call
from api.rpc.values import decimal, limit_of, moment, numbers_of, timestamp, word_of
from api.service.requests import RequestsService, Wanted, may_group
from gateway.domain.identity import Right
from gateway.domain.inference import Attempt, Mode, Outcome, Traits, telling
from gateway.storage.ports import Record
from gateway.v1 import requests_pb2 as pb

_MODE = numbers_of(pb.Mode, Mode, "MODE")
_OUTCOME = numbers_of(pb.Outcome, Outcome, "OUTCOME")


class RequestsServicer:
    """Shows requests."""

    def __init__(self, requests: RequestsService, link: Callable[[str], str | None]) -> None:
        """`link` gives the address at which an operator sees a request's workflow."""
        self._requests = requests
        self._link = link

    async def get(self, call: Call, request: pb.RequestsServiceGetRequest) -> pb.RequestsServiceGetResponse:
        """One request with its attempts, decision and timings; its texts with the right `prompts.read`."""
        record = await self._requests.get(call.caller, request.id)
        return pb.RequestsServiceGetResponse(request=self._message(call, record))

    async def list(
        self, call: Call, request: pb.RequestsServiceListRequest
    ) -> pb.RequestsServiceListResponse:
        """Requests newest first, without their texts."""
        wanted = Wanted(
            caller=request.caller or None,
            model=request.model or None,
            status=word_of(STATUS, request.status, "status"),
            since=moment(request.since, "since") if request.HasField("since") else None,
            until=moment(request.until, "until") if request.HasField("until") else None,
            limit=limit_of(request.limit),
            after=request.after or None,
        )
        page = await self._requests.find(call.caller, wanted)
        rows = [self._message(call, record) for record in page.rows]
        return pb.RequestsServiceListResponse(requests=rows, next_after=page.next_after or "")

    def _message(self, call: Call, record: Record) -> pb.Request:
        operator = call.caller.may(Right.REQUESTS_READ)
        return request_message(
            record,
            operator=operator,
            grouped=may_group(call.caller, record),
            workflow_url=self._link(record.request.id),
        )


def request_message(
    record: Record, *, operator: bool, grouped: bool, workflow_url: str | None = None
) -> pb.Request:
    """A request as we show it; `grouped` with the digest of its conversation."""
    request, settlement = record.request, record.settlement
    last = telling(settlement.attempts)
    timings = pb.Timings(
        queue_ms=settlement.queue_ms,
        overhead_ms=settlement.overhead_ms,
        first_token_ms=last.first_token_ms if last else None,
        total_ms=(settlement.finished_at - request.accepted_at).total_seconds() * 1000,
    )
    return pb.Request(
        id=request.id,
        status=STATUS[settlement.status],
        kind=request.kind.value,
        mode=_MODE[request.mode],
        endpoint=request.endpoint,
        door=request.door,
        caller=request.caller,
        model=request.model,
        served_model=settlement.served.model if settlement.served else "",
        provider=last.provider if last else "",
        accepted_at=timestamp(request.accepted_at),
        finished_at=timestamp(settlement.finished_at),
        deadline=timestamp(request.deadline),
        timings=timings,
        attempts=[
            attempt_message(attempt, record.corrected_usd, operator=operator)
            for attempt in settlement.attempts
        ],
        decision=settlement.decision,
        candidates=request.candidates,
        rules_version=request.rules_version,
        usage=tokens(settlement.usage),
        cost_usd=decimal(settlement.cost_usd),
        cost_corrected=bool(record.corrected_usd),
        cost_corrected_usd=decimal(record.cost_corrected_usd) if record.corrected_usd else None,
        error=failure_message(settlement.failure, operator=operator),
        durability=DURABILITY[request.durability],
        workflow_id=request.id,
        workflow_url=workflow_url or "",
        trace_id=request.trace_id,
        client_request_id=request.client_request_id or "",
        tags=dict(request.tags),
        metadata=dict(request.metadata),
        prompt=record.prompt,
        answer=record.answer,
        registry_version=request.registry_version,
        decisions=[decision_message(each) for each in record.decisions],
        facts=facts_message(request.traits, grouped=grouped),
    )


def facts_message(traits: Traits, *, grouped: bool) -> pb.RequestFacts:
    """What rules knew of a request; `grouped` with the digest of its conversation."""
    return pb.RequestFacts(
        input_tokens=traits.input_tokens,
        max_output=traits.max_output,
        body_bytes=traits.body_bytes,
        needs=traits.needs,
        images=traits.images,
        conversation=traits.conversation if grouped else "",
        select=traits.select,
        prefer=traits.prefer,
        exclude=traits.exclude,
        max_cost_usd=decimal(traits.max_cost_usd),
    )


def attempt_message(
    attempt: Attempt, corrected: Mapping[int, Decimal | None], *, operator: bool
) -> pb.Attempt:
    """One try at one model; `corrected` has the costs of those whose cost was corrected, by their numbers."""
    return pb.Attempt(
        number=attempt.number,
        model=attempt.model,
        provider=attempt.provider,
        upstream_model=attempt.upstream_model,
        reason=attempt.reason,
        outcome=_OUTCOME[attempt.outcome],
        started_at=timestamp(attempt.started_at),
        total_ms=attempt.total_ms,
        first_token_ms=attempt.first_token_ms,
        error=failure_message(attempt.failure, operator=operator),
        usage=tokens(attempt.usage),
        cost_usd=decimal(attempt.cost_usd),
        cost_corrected=attempt.number in corrected,
        cost_corrected_usd=decimal(corrected.get(attempt.number)),
        finish_reason=attempt.finish_reason or "",
        provider_request_id=attempt.provider_request_id or "",
    )
