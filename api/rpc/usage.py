"""UsageService: the ledger, counted by whatever keys."""

from __future__ import annotations

from api.rpc.common import STATUS, tokens
from api.rpc.door import Call
from api.rpc.values import decimal, moment, numbers_of, timestamp, word_of
from api.service.usage import LIMIT, Asked, Row, UsageService
from gateway.domain.usage import Bucket, Percentiles
from gateway.v1 import usage_pb2 as pb

_BUCKET = numbers_of(pb.Bucket, Bucket, "BUCKET")


class UsageServicer:
    """Answers questions about usage."""

    def __init__(self, usage: UsageService) -> None:
        """`usage` is the service behind both doors."""
        self._usage = usage

    async def query(self, call: Call, request: pb.UsageServiceQueryRequest) -> pb.UsageServiceQueryResponse:
        """Requests, errors, tokens, cost and percentiles, by any keys; of the last day unless said otherwise."""
        statuses = [word_of(STATUS, status, "status") for status in request.statuses]
        asked = Asked(
            group_by=list(request.group_by),
            bucket=word_of(_BUCKET, request.bucket, "bucket"),
            zone=request.zone or None,
            since=moment(request.since, "since") if request.HasField("since") else None,
            until=moment(request.until, "until") if request.HasField("until") else None,
            callers=list(request.callers),
            models=list(request.models),
            providers=list(request.providers),
            kinds=list(request.kinds),
            statuses=[status or "" for status in statuses],
            codes=list(request.codes),
            tags=request.tags or None,
            limit=request.limit or LIMIT,
            after=request.after or None,
        )
        answer = await self._usage.ask(call.caller, asked)
        return pb.UsageServiceQueryResponse(
            rows=[row_message(answer.keys, row) for row in answer.rows],
            next_after=answer.next_after or "",
            since=timestamp(answer.period.since),
            until=timestamp(answer.period.until),
            as_of=timestamp(answer.as_of),
        )


def row_message(keys: tuple[str, ...], row: Row) -> pb.UsageRow:
    """One row of an answer."""
    sums = row.sums
    return pb.UsageRow(
        keys=dict(zip(keys, row.values, strict=True)),
        start=timestamp(row.start),
        requests=sums.requests,
        errors=sums.errors,
        attempts=sums.attempts,
        error_codes=sums.codes,
        usage=tokens(sums.usage),
        usage_unknown=sums.usage_unknown,
        usage_estimated=sums.usage_estimated,
        cost_usd=decimal(sums.cost_usd),
        cost_unknown=sums.cost_unknown,
        latency_ms=_percentiles(row.latency),
        first_token_ms=_percentiles(row.first_token),
    )


def _percentiles(read: Percentiles) -> pb.Percentiles:
    return pb.Percentiles(p50=read.p50, p95=read.p95, p99=read.p99)
