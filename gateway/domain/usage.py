"""Usage: by what the ledger's requests are counted, and from which roll-ups a period is put together.

A request counts under the model that answered, or failed, last; an attempt under its own model. So attempts, tokens and
costs stand where they arose, and requests are counted once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from gateway.domain.inference import Usage
from gateway.domain.sketch import percentiles
from gateway.domain.tags import TagExpression

TAG = "tag:"
OTHER_VALUE = "(other)"
MOST_KEYS = 8
MOST_BUCKETS = 1000
MOST_BYTES = 128  # a tag's longer values are not told apart

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_EXACT = timedelta(days=31)  # periods up to this are cut to hours, longer ones to days
_INSTANT = timedelta(microseconds=1)


class Dimension(StrEnum):
    """What usage can be grouped by, request tags apart. `code` is why a request or an attempt failed."""

    MODEL = "model"
    PROVIDER = "provider"
    CALLER = "caller"
    KIND = "kind"
    STATUS = "status"
    CODE = "code"


class Bucket(StrEnum):
    """How long the pieces are that a period is cut into, and for how long roll-ups count."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Which usage is asked for; None leaves a dimension open."""

    callers: frozenset[str] | None = None
    models: frozenset[str] | None = None
    providers: frozenset[str] | None = None
    kinds: frozenset[str] | None = None
    statuses: frozenset[str] | None = None
    codes: frozenset[str] | None = None
    tags: TagExpression = field(default_factory=TagExpression)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time that is read from the roll-ups of one grain."""

    grain: Bucket
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Period:
    """The time that is counted: what was asked for, cut to whole hours, days or months, and where it is read from."""

    since: datetime
    until: datetime
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the roll-ups. `keys` are dimensions by their names, and request tags as `tag:NAME`.

    `starts` are the beginnings of the buckets that the period is cut into, in their order; without any it is not cut.
    """

    period: Period
    keys: tuple[str, ...] = ()
    starts: tuple[datetime, ...] = ()
    wanted: UsageFilter = field(default_factory=UsageFilter)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the values of its last row's keys, and the beginning of its bucket."""

    label: tuple[str, ...]
    start: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    """What was counted. `known_cost_usd` and `usage` sum what is known; the other words count attempts.

    `codes` counts attempts that failed, and requests that ended badly before any, by their codes. The sketches hold
    milliseconds.
    """

    requests: int = 0
    errors: int = 0
    attempts: int = 0
    usage: Usage = field(default_factory=Usage)
    usage_unknown: int = 0
    usage_estimated: int = 0
    known_cost_usd: Decimal = Decimal(0)
    cost_unknown: int = 0
    codes: Mapping[str, int] = field(default_factory=dict)
    latency: Mapping[int, int] = field(default_factory=dict)
    first_token: Mapping[int, int] = field(default_factory=dict)

    @property
    def cost_usd(self) -> Decimal | None:
        """What is known of the cost; None when nothing is, although something was called."""
        return None if self.attempts and self.attempts == self.cost_unknown else self.known_cost_usd


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The usage of one group, in one bucket of time if the period was cut into some."""

    label: tuple[str, ...]
    start: datetime | None
    sums: Sums


@dataclass(frozen=True, slots=True)
class UsagePage:
    """Rows in the order of their labels and times, and where the next ones begin; None when there are no more."""

    rows: tuple[UsageRow, ...]
    next_after: Place | None = None


@dataclass(frozen=True, slots=True)
class Percentiles:
    """The p50, p95 and p99 of a sketch; None where nothing was measured."""

    p50: float | None
    p95: float | None
    p99: float | None

    @staticmethod
    def of(counts: Mapping[int, int]) -> Percentiles:
        """Read them."""
        return Percentiles(*percentiles(counts, (0.5, 0.95, 0.99)))


@dataclass(frozen=True, slots=True)
class Kept:
    """From when on usage is kept by hours and by days; by months it is kept for ever."""

    hours_since: datetime
    days_since: datetime


class TooManyBuckets(Exception):
    """The period has more than `MOST_BUCKETS` buckets."""


class UnevenZone(Exception):
    """Usage is counted by whole hours of UTC, and the zone's days begin between two of them."""


class NotKept(Exception):
    """The period begins before what would be needed was kept: `grain` from `since` on."""

    def __init__(self, grain: Bucket, since: datetime) -> None:
        """Both for the caller's error."""
        super().__init__(grain, since)
        self.grain = grain
        self.since = since


# The roll-ups that there are, the ones with fewer rows first: which dimensions each tells apart, besides kind, status
# and code, which all of them do.
CUTS: Mapping[str, frozenset[str]] = {
    "total": frozenset(),
    "model": frozenset({Dimension.MODEL, Dimension.PROVIDER}),
    "caller": frozenset({Dimension.CALLER}),
    "tags": frozenset({"tags"}),
    "model_tags": frozenset({Dimension.MODEL, Dimension.PROVIDER, "tags"}),
    "all": frozenset({Dimension.MODEL, Dimension.PROVIDER, Dimension.CALLER, "tags"}),
}


def cut_of(keys: Iterable[str], wanted: UsageFilter) -> str:
    """The roll-up with the fewest rows that can be asked this."""
    needed = {"tags" if key.startswith(TAG) else key for key in keys}
    given = {
        Dimension.CALLER: wanted.callers,
        Dimension.MODEL: wanted.models,
        Dimension.PROVIDER: wanted.providers,
        "tags": wanted.tags.terms or None,
    }
    needed |= {name for name, values in given.items() if values is not None}
    needed -= {Dimension.KIND, Dimension.STATUS, Dimension.CODE}
    return next(name for name, told in CUTS.items() if needed <= told)


def starts_of(since: datetime, until: datetime, bucket: Bucket, zone: ZoneInfo) -> tuple[datetime, ...]:
    """The beginnings of the buckets that a period is in, in the calendar of a zone.

    Raises TooManyBuckets, and UnevenZone where the zone's days do not begin at a whole hour of UTC.
    """
    longest = {Bucket.HOUR: _HOUR, Bucket.DAY: _DAY, Bucket.MONTH: timedelta(days=31)}[bucket]
    if (until - since) / longest > MOST_BUCKETS:
        raise TooManyBuckets
    first, last = since.astimezone(zone), until.astimezone(zone)
    starts: list[datetime] = []
    if bucket is Bucket.HOUR:
        start = floor(since, bucket)
        while start < until:
            starts.append(start)
            start += _HOUR
    else:
        day = first.date().replace(day=1) if bucket is Bucket.MONTH else first.date()
        while day <= last.date() and (start := datetime(day.year, day.month, day.day, tzinfo=zone)) < last:
            starts.append(start.astimezone(UTC))
            day += _DAY
            if bucket is Bucket.MONTH:
                day = (day + timedelta(days=30)).replace(day=1)
    if any(start.minute or start.second for start in starts):
        raise UnevenZone
    if len(starts) > MOST_BUCKETS:
        raise TooManyBuckets
    return tuple(starts)


def floor(moment: datetime, grain: Bucket) -> datetime:
    """The beginning of the hour, day or month that a moment is in, in UTC."""
    whole = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if grain is Bucket.HOUR:
        return whole
    return whole.replace(hour=0) if grain is Bucket.DAY else whole.replace(day=1, hour=0)


def ceiling(moment: datetime, grain: Bucket) -> datetime:
    """The end of the hour, day or month that a moment is in, unless it is the beginning of one."""
    whole = floor(moment, grain)
    if whole == moment:
        return whole
    longest = {Bucket.HOUR: _HOUR, Bucket.DAY: _DAY, Bucket.MONTH: timedelta(days=31)}
    return floor(whole + longest[grain], grain)


def period_of(
    since: datetime, until: datetime, now: datetime, kept: Kept, *, bucket: Bucket | None, local: bool
) -> Period:
    """The period that is counted, and from what: few long roll-ups in its middle, shorter ones at its ends.

    It is widened to whole hours; to whole days where it is longer than 31 days or begins before hours were kept; to
    whole months before days were. `local` says that buckets are cut in another zone than UTC: from hours only. Raises
    NotKept when the buckets asked for are shorter than what is kept.
    """
    edge = _edge(since, until, kept, bucket, local=local)
    first, last = floor(since, edge), ceiling(until, edge)
    longest = Bucket.HOUR if local else bucket or Bucket.MONTH
    # Nothing lies after now: what is rolled up of the current day or month is all that there is.
    end = ceiling(last, longest) if last >= now else last
    spans = _spans(first, end, edge, longest)
    return Period(first, last, tuple(span for span in spans if span.since < span.until))


def _edge(since: datetime, until: datetime, kept: Kept, bucket: Bucket | None, *, local: bool) -> Bucket:
    has_hours = floor(since, Bucket.HOUR) >= kept.hours_since
    if bucket is Bucket.HOUR or local:
        if not has_hours:
            raise NotKept(Bucket.HOUR, kept.hours_since)
        return Bucket.HOUR
    if has_hours and until - since <= _EXACT:
        return Bucket.HOUR
    if floor(since, Bucket.DAY) >= kept.days_since:
        return Bucket.DAY
    if bucket is Bucket.DAY:
        raise NotKept(Bucket.DAY, kept.days_since)
    return Bucket.MONTH


_GRAINS = (Bucket.HOUR, Bucket.DAY, Bucket.MONTH)


def _spans(first: datetime, last: datetime, edge: Bucket, longest: Bucket) -> tuple[Span, ...]:
    """Cut [first, last), which is whole in `edge`: the longest pieces in the middle, none longer than `longest`."""
    if edge is longest:
        return (Span(edge, first, last),)
    longer = _GRAINS[_GRAINS.index(edge) + 1]
    inner, outer = ceiling(first, longer), floor(last, longer)
    if inner >= outer:
        return (Span(edge, first, last),)
    return (Span(edge, first, inner), *_spans(inner, outer, longer, longest), Span(edge, outer, last))
