"""Usage in memory: counted anew from the records at each question."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

from gateway.domain.inference import Attempt, Status, Usage, telling
from gateway.domain.sketch import bucket_of
from gateway.domain.usage import (
    MOST_BYTES,
    OTHER_VALUE,
    TAG,
    Bucket,
    Dimension,
    Place,
    Question,
    Sums,
    UsageFilter,
    UsagePage,
    UsageRow,
    floor,
)
from gateway.storage.ports import Record

_BAD = frozenset({Status.FAILED, Status.EXPIRED})


class Ledger(Protocol):
    """What is rolled up."""

    def records(self) -> Mapping[str, Record]:
        """All records by their ids, in the order in which they were entered; a corrected one is another object."""
        ...


@dataclass(frozen=True, slots=True)
class _Fact:
    """A request, or one of its attempts, with the values of its dimensions."""

    at: datetime
    values: Mapping[str, str]
    tags: Mapping[str, str]
    attempt: Attempt | None = None
    cost_usd: Decimal | None = None
    untried: bool = False
    total_ms: float = 0.0


class MemoryRollups:
    """The port `Rollups`."""

    def __init__(self, ledger: Ledger) -> None:
        """Nothing has been rolled up yet."""
        self._ledger = ledger
        self._rolled: dict[str, Record] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._values: dict[tuple[datetime, str], set[str]] = defaultdict(set)
        self._as_of = datetime.now(UTC)

    async def roll(self, tags: Sequence[str], *, values: int, most: int) -> int:
        """Take in the records that are new, or were corrected."""
        waiting = [
            record for key, record in self._ledger.records().items() if self._rolled.get(key) is not record
        ][:most]
        said = {
            (floor(record.request.accepted_at, Bucket.DAY), name, value)
            for record in waiting
            for name, value in record.request.tags.items()
            if name in tags and len(value.encode()) <= MOST_BYTES
        }
        for day, name, value in sorted(said):
            if len(self._values[day, name]) < values:
                self._values[day, name].add(value)
        for record in waiting:
            day = floor(record.request.accepted_at, Bucket.DAY)
            self._rolled[record.request.id] = record
            self._tags[record.request.id] = {
                name: value if value in self._values[day, name] else OTHER_VALUE
                for name, value in record.request.tags.items()
                if name in tags
            }
        return len(waiting)

    async def as_of(self) -> datetime:
        """Now if nothing waits, else the last time that nothing did."""
        if all(self._rolled.get(key) is record for key, record in self._ledger.records().items()):
            self._as_of = datetime.now(UTC)
        return self._as_of

    async def find(self, question: Question, *, limit: int, after: Place | None = None) -> UsagePage:
        """Count, and cut out a page."""
        counted: dict[tuple[tuple[str, ...], datetime | None], _Counter] = defaultdict(_Counter)
        for fact in self._facts():
            if not _is_wanted(fact, question):
                continue
            label = tuple(
                fact.tags.get(key.removeprefix(TAG), "") if key.startswith(TAG) else fact.values[key]
                for key in question.keys
            )
            counted[label, _start(fact.at, question)].add(fact)
        places = sorted(counted, key=lambda place: (place[0], place[1] or datetime.min.replace(tzinfo=UTC)))
        if after is not None:
            places = [place for place in places if _is_after(place, after)]
        rows = tuple(UsageRow(*place, counted[place].sums()) for place in places[:limit])
        more = len(places) > limit
        return UsagePage(rows, Place(rows[-1].label, rows[-1].start) if more else None)

    async def expire(self, hours_before: datetime, days_before: datetime) -> int:
        """Memory keeps no roll-ups."""
        return 0

    def _facts(self) -> Iterator[_Fact]:
        for key, record in self._rolled.items():
            request, settlement = record.request, record.settlement
            last = telling(settlement.attempts)
            common: dict[str, str] = {
                Dimension.CALLER: request.caller,
                Dimension.KIND: request.kind.value,
                Dimension.STATUS: settlement.status.value,
            }

            def told(
                model: str, provider: str, code: str | None, common: Mapping[str, str] = common
            ) -> Mapping[str, str]:
                own: dict[str, str] = {
                    Dimension.MODEL: model,
                    Dimension.PROVIDER: provider,
                    Dimension.CODE: code or "",
                }
                return {**common, **own}

            failure = settlement.failure
            yield _Fact(
                request.accepted_at,
                told(
                    last.model if last else "",
                    last.provider if last else "",
                    failure.code if failure else None,
                ),
                self._tags[key],
                untried=not settlement.attempts,
                total_ms=(settlement.finished_at - request.accepted_at).total_seconds() * 1000,
            )
            for attempt in settlement.attempts:
                failed = attempt.failure.code if attempt.failure else None
                yield _Fact(
                    request.accepted_at,
                    told(attempt.model, attempt.provider, failed),
                    self._tags[key],
                    attempt=attempt,
                    cost_usd=record.corrected_usd.get(attempt.number, attempt.cost_usd),
                )


@dataclass(slots=True)
class _Counter:
    """The sums of one row, while they grow."""

    requests: int = 0
    errors: int = 0
    attempts: int = 0
    usage: Usage = field(default_factory=Usage)
    usage_unknown: int = 0
    usage_estimated: int = 0
    cost_usd: Decimal = Decimal(0)
    cost_unknown: int = 0
    codes: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    latency: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    first_token: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, fact: _Fact) -> None:
        """Count one more."""
        code = fact.values[Dimension.CODE]
        if code and (fact.attempt is not None or fact.untried):
            self.codes[code] += 1
        if fact.attempt is None:
            self.requests += 1
            self.errors += fact.values[Dimension.STATUS] in _BAD
            self.latency[bucket_of(fact.total_ms)] += 1
            return
        self.attempts += 1
        self.cost_usd += fact.cost_usd or 0
        self.cost_unknown += fact.cost_usd is None
        if fact.attempt.usage is None:
            self.usage_unknown += 1
        else:
            self.usage = self.usage.plus(fact.attempt.usage)
            self.usage_estimated += fact.attempt.usage.estimated
        if fact.attempt.first_token_ms is not None:
            self.first_token[bucket_of(fact.attempt.first_token_ms)] += 1

    def sums(self) -> Sums:
        """Them as they are now."""
        return Sums(
            self.requests,
            self.errors,
            self.attempts,
            replace(self.usage, estimated=self.usage_estimated > 0),
            self.usage_unknown,
            self.usage_estimated,
            self.cost_usd,
            self.cost_unknown,
            dict(sorted(self.codes.items())),
            dict(self.latency),
            dict(self.first_token),
        )


def _is_wanted(fact: _Fact, question: Question) -> bool:
    wanted: UsageFilter = question.wanted
    open_or_in = (
        (wanted.callers, Dimension.CALLER),
        (wanted.models, Dimension.MODEL),
        (wanted.providers, Dimension.PROVIDER),
        (wanted.kinds, Dimension.KIND),
        (wanted.statuses, Dimension.STATUS),
        (wanted.codes, Dimension.CODE),
    )
    return (
        any(span.since <= floor(fact.at, span.grain) < span.until for span in question.period.spans)
        and all(values is None or fact.values[dimension] in values for values, dimension in open_or_in)
        and wanted.tags.holds(fact.tags)
    )


def _start(at: datetime, question: Question) -> datetime | None:
    return question.starts[bisect_right(question.starts, at) - 1] if question.starts else None


def _is_after(place: tuple[tuple[str, ...], datetime | None], after: Place) -> bool:
    label, start = place
    if label != after.label:
        return label > after.label
    return after.start is not None and start is not None and start > after.start
