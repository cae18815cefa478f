"""Usage: the ledger, counted by whatever keys, and cut into hours, days or months."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from gateway.domain.errors import InvalidRequest
from gateway.domain.identity import Caller, Right
from gateway.domain.inference import Kind, Status
from gateway.domain.tags import TagExpression, parse_tags
from gateway.domain.usage import (
    MOST_BUCKETS,
    MOST_KEYS,
    TAG,
    Bucket,
    Dimension,
    Kept,
    NotKept,
    Percentiles,
    Period,
    Place,
    Question,
    Sums,
    TooManyBuckets,
    UnevenZone,
    UsageFilter,
    ceiling,
    period_of,
    starts_of,
)
from gateway.settings import UsageSettings
from gateway.storage.ports import Rollups

E = TypeVar("E", bound=StrEnum)

LIMIT = 100
MOST_ROWS = 500
_USUAL = {
    None: timedelta(days=1),
    Bucket.HOUR: timedelta(days=1),
    Bucket.DAY: timedelta(days=30),
    Bucket.MONTH: timedelta(days=365),
}
_CALENDAR = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
_AT_ONCE = 50  # rows whose percentiles are read before other requests get their turn


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reader asks, as it came: what is left open is None or empty."""

    group_by: Sequence[str] = ()
    bucket: str | None = None
    zone: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    callers: Sequence[str] = ()
    models: Sequence[str] = ()
    providers: Sequence[str] = ()
    kinds: Sequence[str] = ()
    statuses: Sequence[str] = ()
    codes: Sequence[str] = ()
    tags: str | None = None
    limit: int = LIMIT
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an answer: the values of the keys in their order, empty where there is none."""

    values: tuple[str, ...]
    start: datetime | None
    sums: Sums
    latency: Percentiles
    first_token: Percentiles


@dataclass(frozen=True, slots=True)
class Answer:
    """Usage, and what exactly was counted: `as_of` is the moment up to which the ledger is in it."""

    keys: tuple[str, ...]
    bucket: Bucket | None
    zone: str
    period: Period
    as_of: datetime
    rows: tuple[Row, ...]
    next_after: str | None


class UsageService:
    """Answers from roll-ups: about everyone with `usage.read`, else about the caller alone."""

    def __init__(self, rollups: Rollups, settings: UsageSettings) -> None:
        """`settings` say which tags are rolled up, and for how long hours and days are kept."""
        self._rollups = rollups
        self._settings = settings

    async def ask(self, caller: Caller, asked: Asked) -> Answer:
        """Answer a question. Raises InvalidRequest naming what is wrong, Forbidden for other callers' usage."""
        keys = self._keys(asked.group_by)
        bucket = _word(Bucket, asked.bucket, "bucket") if asked.bucket else None
        zone = _zone(asked.zone)
        wanted = self._wanted(caller, asked)
        after = _place(asked.after, len(keys), bucket)
        if not 1 <= asked.limit <= MOST_ROWS:
            raise InvalidRequest(f"`limit` must be from 1 to {MOST_ROWS}.", param="limit")
        period, starts = self._period(asked, bucket, zone)
        as_of = await self._rollups.as_of()
        question = Question(period, keys, starts, wanted)
        page = await self._rollups.find(question, limit=asked.limit, after=after)
        rows: list[Row] = []
        for number, row in enumerate(page.rows, 1):
            latency, first_token = Percentiles.of(row.sums.latency), Percentiles.of(row.sums.first_token)
            rows.append(Row(row.label, row.start, row.sums, latency, first_token))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return Answer(keys, bucket, zone.key, period, as_of, tuple(rows), _cursor(page.next_after))

    def _keys(self, given: Sequence[str]) -> tuple[str, ...]:
        known = [*Dimension, *(f"{TAG}{name}" for name in self._settings.tags)]
        for number, key in enumerate(given):
            if key in given[:number]:
                raise InvalidRequest(f"`group_by` names `{key}` twice.", param="group_by")
            if key.startswith(TAG) and key not in known:
                raise InvalidRequest(f"`group_by`: {self._not_rolled_up(key[len(TAG) :])}", param="group_by")
            if key not in known:
                what = f"expected some of {', '.join(Dimension)} and tag:NAME, got `{key}`"
                raise InvalidRequest(f"`group_by`: {what}{_nearest(key, known)}.", param="group_by")
        if len(given) > MOST_KEYS:
            raise InvalidRequest(f"`group_by` takes at most {MOST_KEYS} keys.", param="group_by")
        return tuple(given)

    def _wanted(self, caller: Caller, asked: Asked) -> UsageFilter:
        callers = _some(asked.callers)
        if not caller.may(Right.USAGE_READ):
            if callers is not None and callers != {caller.id}:
                caller.require(Right.USAGE_READ)
            callers = frozenset({caller.id})
        return UsageFilter(
            callers=callers,
            models=_some(asked.models),
            providers=_some(asked.providers),
            kinds=_some([_word(Kind, kind, "kind") for kind in asked.kinds]),
            statuses=_some([_ended(status) for status in asked.statuses]),
            codes=_some(asked.codes),
            tags=self._tags(asked.tags),
        )

    def _tags(self, given: str | None) -> TagExpression:
        try:
            tags = parse_tags(given or "")
        except ValueError as e:
            raise InvalidRequest(f"`tags`: {e}.", param="tags") from None
        for term in tags.terms:
            if term.name not in self._settings.tags:
                raise InvalidRequest(f"`tags`: {self._not_rolled_up(term.name)}", param="tags")
        return tags

    def _not_rolled_up(self, name: str) -> str:
        known = ", ".join(self._settings.tags) or "none is"
        return f"usage is not counted by the tag `{name}`; the setting `usage.tags` names those that it is: {known}."

    def _period(
        self, asked: Asked, bucket: Bucket | None, zone: ZoneInfo
    ) -> tuple[Period, tuple[datetime, ...]]:
        now = datetime.now(UTC)
        until = _moment(asked.until, "until") or now
        since = _moment(asked.since, "since") or max(_CALENDAR[0], until - _USUAL[bucket])
        if since >= until:
            raise InvalidRequest("`since` must be before `until`.", param="since")
        kept = Kept(
            ceiling(now - self._settings.keep_hours, Bucket.DAY),
            ceiling(now - self._settings.keep_days, Bucket.DAY),
        )
        local = zone.key != "UTC" and bucket in (Bucket.DAY, Bucket.MONTH)
        try:
            period = period_of(since, until, now, kept, bucket=bucket, local=local)
            starts = () if bucket is None else starts_of(period.since, period.until, bucket, zone)
        except NotKept as e:
            why = f" (buckets in the zone {zone.key} are made from hours)" if local else ""
            longer = "in UTC" if local else "in longer buckets"
            raise InvalidRequest(
                f"Usage by the {e.grain} is kept from {e.since:%Y-%m-%d} on{why}. "
                f"Ask for a later `since`, or {longer}.",
                param="since",
            ) from None
        except TooManyBuckets:
            raise InvalidRequest(
                f"The period has more than {MOST_BUCKETS} buckets: ask for longer ones, or a shorter period.",
                param="bucket",
            ) from None
        except UnevenZone:
            raise InvalidRequest(
                f"Usage is counted by whole hours of UTC, and days in {zone.key} do not begin at one.",
                param="zone",
            ) from None
        return period, starts


def _word(words: type[E], given: str, name: str) -> E:
    try:
        return words(given)
    except ValueError:
        raise InvalidRequest(_expected(name, [word.value for word in words], given), param=name) from None


def _ended(given: str) -> Status:
    ended = [status for status in Status if status.terminal]
    if given not in ended:
        raise InvalidRequest(_expected("status", [status.value for status in ended], given), param="status")
    return Status(given)


def _expected(name: str, words: Sequence[str], given: str) -> str:
    return (
        f"`{name}`: expected {', '.join(words[:-1])} or {words[-1]}, got `{given}`{_nearest(given, words)}."
    )


def _nearest(given: str, words: Sequence[str]) -> str:
    near = get_close_matches(given, words, n=1)
    return f" (did you mean `{near[0]}`?)" if near else ""


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequest(
            "`zone` must be the name of a time zone such as Europe/Bratislava, or UTC.", param="zone"
        ) from None


def _moment(given: datetime | None, name: str) -> datetime | None:
    if given is None:
        return None
    if given.tzinfo is None:
        raise InvalidRequest(f"`{name}` needs a zone, as in 2026-01-31T12:00:00Z.", param=name)
    if not _CALENDAR[0] <= given <= _CALENDAR[1]:
        raise InvalidRequest(f"`{name}` must be between the years 2000 and 2200.", param=name)
    return given.astimezone(UTC)


def _some(values: Iterable[str]) -> frozenset[str] | None:
    return frozenset(values) or None


def _cursor(place: Place | None) -> str | None:
    """Where a page ended, as a word that is handed back."""
    if place is None:
        return None
    return urlsafe_b64encode(msgspec.json.encode((place.label, place.start))).decode().rstrip("=")


def _place(cursor: str | None, keys: int, bucket: Bucket | None) -> Place | None:
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        label, start = msgspec.json.decode(
            urlsafe_b64decode(padded), type=tuple[tuple[str, ...], datetime | None]
        )
    except (ValueError, msgspec.MsgspecError):
        label, start = (), None
        keys = -1
    if len(label) != keys or (start is not None and (bucket is None or start.tzinfo is None)):
        raise InvalidRequest(
            "`after` must be the `next_after` of a page of the same question.", param="after"
        )
    return Place(label, start)
