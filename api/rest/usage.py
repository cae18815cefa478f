"""`/api/v1/usage`: the ledger, counted by whatever keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from api.auth import authenticate
from api.rest.wire import UsageShape, usage_shape
from api.service.usage import LIMIT, Answer, Asked, Row, UsageService
from gateway.domain.usage import Percentiles
from gateway.identity import Identify


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class UsageQuery(_Shape):
    """What is asked. Filters may be given several times, for several values."""

    group_by: str = Field("", description="Some of model,provider,caller,kind,status,code,tag:NAME.")
    bucket: str | None = Field(None, description="hour, day or month; without it the period is not cut.")
    zone: str | None = Field(
        None, description="Whose days and months these are, such as Europe/Bratislava; or UTC."
    )
    since: datetime | None = None
    until: datetime | None = None
    caller: list[str] = Field([], description="Others than oneself with the right `usage.read`.")
    model: list[str] = []
    provider: list[str] = []
    kind: list[str] = []
    status: list[str] = []
    code: list[str] = []
    tags: str | None = Field(None, description="An expression such as team=search|ads,!preview.")
    limit: int = Field(LIMIT, description="Rows a page, at most 500.")
    after: str | None = Field(None, description="`next_after` of the page before.")


class PercentilesShape(_Shape):
    """Percentiles of all measurements together, off by at most 2 %; null where nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None


class UsageRowShape(_Shape):
    """The usage of one group, in one bucket of time if there are some.

    A request counts under the model that answered or failed last, an attempt (and its tokens and cost) under its own.
    `errors` counts requests that failed or expired, `error_codes` attempts that failed and requests that ended badly
    before any. `cost_usd` sums the costs that are known, and is null where none is: while `cost_unknown` counts
    attempts of which it is not, more was spent.
    """

    keys: Mapping[str, str | None]
    start: datetime | None
    requests: int
    errors: int
    attempts: int
    error_codes: Mapping[str, int]
    usage: UsageShape | None
    usage_unknown: int
    usage_estimated: int
    cost_usd: str | None
    cost_unknown: int
    latency_ms: PercentilesShape
    first_token_ms: PercentilesShape


class UsagePage(_Shape):
    """Rows in the order of their keys and times; ask again with `after=next_after` while it is there.

    `since` and `until` are the period that is counted: what was asked for, widened to whole hours, days or months.
    The ledger is counted up to `as_of`.
    """

    object: Literal["list"] = "list"
    data: list[UsageRowShape]
    next_after: str | None
    group_by: list[str]
    bucket: str | None
    zone: str
    since: datetime
    until: datetime
    as_of: datetime


def router(identity: Identify, service: UsageService) -> APIRouter:
    """The route of usage."""
    routes = APIRouter(prefix="/api/v1/usage", tags=["usage"])

    @routes.get("")
    async def query(request: Request, wanted: Annotated[UsageQuery, Query()]) -> UsagePage:
        """Requests, errors, tokens, cost and percentiles, by any keys; of the last day unless said otherwise.

        Without the right `usage.read` one sees one's own usage.
        """
        asking = await authenticate(identity, request.scope["gateway"]["headers"])
        asked = Asked(
            group_by=[key.strip() for key in wanted.group_by.split(",") if key.strip()],
            bucket=wanted.bucket,
            zone=wanted.zone,
            since=wanted.since,
            until=wanted.until,
            callers=wanted.caller,
            models=wanted.model,
            providers=wanted.provider,
            kinds=wanted.kind,
            statuses=wanted.status,
            codes=wanted.code,
            tags=wanted.tags,
            limit=wanted.limit,
            after=wanted.after,
        )
        return page_shape(await service.ask(asking, asked))

    return routes


def page_shape(answer: Answer) -> UsagePage:
    """An answer as we show it."""
    return UsagePage(
        data=[_row_shape(answer.keys, row) for row in answer.rows],
        next_after=answer.next_after,
        group_by=list(answer.keys),
        bucket=answer.bucket,
        zone=answer.zone,
        since=answer.period.since,
        until=answer.period.until,
        as_of=answer.as_of,
    )


def _row_shape(keys: tuple[str, ...], row: Row) -> UsageRowShape:
    sums = row.sums
    return UsageRowShape(
        keys={key: value or None for key, value in zip(keys, row.values, strict=True)},
        start=row.start,
        requests=sums.requests,
        errors=sums.errors,
        attempts=sums.attempts,
        error_codes=sums.codes,
        usage=usage_shape(sums.usage),
        usage_unknown=sums.usage_unknown,
        usage_estimated=sums.usage_estimated,
        cost_usd=None if sums.cost_usd is None else f"{sums.cost_usd:f}",
        cost_unknown=sums.cost_unknown,
        latency_ms=_percentiles_shape(row.latency),
        first_token_ms=_percentiles_shape(row.first_token),
    )


def _percentiles_shape(read: Percentiles) -> PercentilesShape:
    return PercentilesShape(p50=_rounded(read.p50), p95=_rounded(read.p95), p99=_rounded(read.p99))


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 3)
