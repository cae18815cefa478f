"""The ledger and the prompt log, as their readers may see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from api.service.veil import veiled
from gateway.domain.errors import InvalidRequest, RequestNotFound
from gateway.domain.identity import Caller, Right
from gateway.domain.inference import Status
from gateway.domain.registry import Registry
from gateway.ids import parse_id
from gateway.storage.ports import Page, Record, RequestFilter, Requests

_USUAL_PERIOD = timedelta(days=1)
_LONGEST_PERIOD = timedelta(days=92)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader asks for; a period that is left open is the last day."""

    caller: str | None = None
    model: str | None = None
    status: Status | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 50
    after: str | None = None


def may_group(reader: Caller, record: Record) -> bool:
    """Whether a reader may see which conversation a request belongs to: who guesses its words could test the guess."""
    return record.request.caller == reader.id or reader.may(Right.PROMPTS_READ)


class RequestsService:
    """Shows requests: one's own, or everyone's with `requests.read`; their text only with `prompts.read`.

    Models that a reader may not know are left out of what was decided.
    """

    def __init__(self, requests: Requests, registry: Callable[[], Registry]) -> None:
        """`requests` is the ledger; `registry` tells what models there are."""
        self._requests = requests
        self._registry = registry

    async def get(self, caller: Caller, request_id: str) -> Record:
        """One request with its attempts and decisions. Raises RequestNotFound, alike for what is not the caller's."""
        if parse_id(request_id) is None:
            raise RequestNotFound
        record = await self._requests.get(request_id, with_text=caller.may(Right.PROMPTS_READ))
        if record is None or (record.request.caller != caller.id and not caller.may(Right.REQUESTS_READ)):
            raise RequestNotFound
        return veiled(record, caller, self._registry().models)

    async def find(self, caller: Caller, wanted: Wanted) -> Page[Record]:
        """Requests newest first. Raises InvalidRequest naming what is wrong with the period or the page."""
        until = wanted.until or datetime.now(UTC) + timedelta(seconds=1)
        since = wanted.since or until - _USUAL_PERIOD
        if since.tzinfo is None or until.tzinfo is None:
            raise InvalidRequest("Times need a zone, as in 2026-01-31T12:00:00Z.", param="since")
        if not timedelta(0) < until - since <= _LONGEST_PERIOD:
            raise InvalidRequest("The period must be more than nothing and at most 92 days.", param="since")
        if wanted.after is not None and parse_id(wanted.after) is None:
            raise InvalidRequest("`after` must be the id of a request.", param="after")
        owner = wanted.caller if caller.may(Right.REQUESTS_READ) else caller.id
        filtered = RequestFilter(since, until, owner, wanted.model, wanted.status)
        page = await self._requests.find(filtered, limit=wanted.limit, after=wanted.after)
        models = self._registry().models
        return Page(tuple(veiled(record, caller, models) for record in page.rows), page.next_after)
