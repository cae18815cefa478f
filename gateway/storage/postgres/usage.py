"""Usage in PostgreSQL: the ledger rolled up by hours, days and months, and questions to it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import msgspec

from gateway.domain.inference import Usage
from gateway.domain.tags import TagExpression, Term
from gateway.domain.usage import (
    MOST_BYTES,
    MOST_KEYS,
    OTHER_VALUE,
    TAG,
    Place,
    Question,
    Sums,
    UsagePage,
    UsageRow,
    cut_of,
)
from gateway.storage.postgres.database import Database
from gateway.storage.postgres.named import Q
from gateway.storage.postgres.rows import Row, usage_of
from gateway.storage.text import storable

# A sketch is kept as one number, in which each bucket has twelve digits (`usage_sketch` in schema.sql): more than any
# count ever needs, and three of the digits to the base of 10,000 that PostgreSQL's numeric is made of.
_FIRST: Final = -172  # the bucket of sketch.LEAST, which has the last twelve digits
_DIGITS: Final = 3
_BASE: Final = 10_000


class PostgresRollups:
    """The port `Rollups`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def roll(self, tags: Sequence[str], *, values: int, most: int) -> int:
        """Roll up what has waited longest; returns how many requests that were."""
        row = await self._database.row(
            Q.usage.roll,
            {
                "tags": list(tags),
                "values": values,
                "bytes": MOST_BYTES,
                "other": OTHER_VALUE,
                "most": most,
            },
        )
        return 0 if row is None else row["rolled"]

    async def as_of(self) -> datetime:
        """Every request that had been entered into the ledger by this moment has been rolled up."""
        row = await self._database.row(Q.usage.as_of)
        if row is None:
            raise AssertionError("a query without FROM has a row")
        return row["as_of"]

    async def find(self, question: Question, *, limit: int, after: Place | None = None) -> UsagePage:
        """Rows in the order of their labels and times."""
        chosen, counted = _groups_params(question), _sums_params(question)
        rows: list[UsageRow] = []
        groups = limit // max(1, len(question.starts)) + 1
        place = after
        while True:
            found = await self._database.rows(
                Q.usage.groups,
                {
                    **chosen,
                    "groups": groups,
                    "after": None if place is None else _padded(place.label),
                    # The rest of a group that a page ended in the middle of.
                    "again": place is not None and place.start is not None,
                },
                prepare=False,
            )
            labels = [tuple(row["label"][: len(question.keys)]) for row in found]
            sums = await self._database.rows(
                Q.usage.sums,
                {
                    **counted,
                    "keys": [key for row in found for key in row["keys"]],
                    "numbers": [number for number, row in enumerate(found) for _ in row["keys"]],
                },
                prepare=False,
            )
            rows += [
                UsageRow(labels[row["number"]], row["start"], _sums_of(row))
                for row in sums
                if not _was_shown(labels[row["number"]], row["start"], place)
            ]
            if len(found) < groups:
                return _page(rows, limit, None)
            place = Place(labels[-1])
            if len(rows) >= limit // 2:
                return _page(rows, limit, place)
            # Few of these groups were used in the period: look at more of them at once.
            groups *= 4

    async def expire(self, hours_before: datetime, days_before: datetime) -> int:
        """Delete some of what is counted by hours and by days of longer ago; returns how much."""
        rows = await self._database.rows(
            Q.usage.expire, {"hours_before": hours_before, "days_before": days_before}
        )
        return len(rows)


def _page(rows: Sequence[UsageRow], limit: int, rest: Place | None) -> UsagePage:
    """At most `limit` rows; the next page begins after the last of them, or after `rest` if all are shown."""
    shown = tuple(rows[:limit])
    if len(rows) > limit:
        return UsagePage(shown, Place(shown[-1].label, shown[-1].start))
    return UsagePage(shown, rest)


def _was_shown(label: tuple[str, ...], start: datetime | None, place: Place | None) -> bool:
    if place is None or place.start is None or start is None or label != place.label:
        return False
    return start <= place.start


def _groups_params(question: Question) -> dict[str, object]:
    wanted = question.wanted
    return {
        **_numbered("by", ("tag" if key.startswith(TAG) else key for key in question.keys)),
        **_numbered("name", (key.removeprefix(TAG) for key in question.keys)),
        "cut": cut_of(question.keys, wanted),
        "callers": _values(wanted.callers),
        "models": _values(wanted.models),
        "providers": _values(wanted.providers),
        "kinds": _values(wanted.kinds),
        "statuses": _values(wanted.statuses),
        "codes": _values(wanted.codes),
        "tags": _jsonpath(wanted.tags) if wanted.tags.terms else None,
    }


def _sums_params(question: Question) -> dict[str, object]:
    spans = question.period.spans
    return {
        "cut": cut_of(question.keys, question.wanted),
        "starts": list(question.starts) or None,
        "grains": [span.grain.value for span in spans],
        "sinces": [span.since for span in spans],
        "untils": [span.until for span in spans],
    }


def _padded(values: Iterable[str]) -> list[str]:
    given = [storable(value) for value in values]
    return given + [""] * (MOST_KEYS - len(given))


def _numbered(name: str, values: Iterable[str]) -> dict[str, str]:
    return {f"{name}_{number}": value for number, value in enumerate(_padded(values), 1)}


def _values(values: frozenset[str] | None) -> list[str] | None:
    return None if values is None else sorted(storable(value) for value in values)


def _jsonpath(expression: TagExpression) -> str:
    """A tag expression as PostgreSQL's jsonpath predicate."""
    return " && ".join(_term(term) for term in expression.terms)


def _term(term: Term) -> str:
    # A string of JSON is one of jsonpath's too.
    member = f"$.{_quoted(term.name)}"
    there = " || ".join(f"{member} == {_quoted(value)}" for value in term.values) or f"exists({member})"
    return f"!({there})" if term.absent else f"({there})"


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _sums_of(row: Row) -> Sums:
    usage = usage_of(row) or Usage()
    estimated = row["usage_estimated"]
    return Sums(
        requests=row["requests"],
        errors=row["errors"],
        attempts=row["attempts"],
        usage=replace(usage, estimated=estimated > 0, seconds=float(row["audio_seconds"])),
        usage_unknown=row["usage_unknown"],
        usage_estimated=estimated,
        known_cost_usd=row["cost_usd"],
        cost_unknown=row["cost_unknown"],
        codes=_codes(row["codes"]),
        latency=sketch_of(row["latency"]),
        first_token=sketch_of(row["first_token"]),
    )


def _codes(found: Mapping[str, Any] | None) -> dict[str, int]:
    return {} if found is None else {code: int(found[code]) for code in sorted(found)}


def sketch_of(number: bytes | None) -> dict[int, int]:
    """The counts of a sketch that PostgreSQL sent as a number in its binary form; None is an empty one."""
    if number is None:
        return {}
    # Digits to the base of 10,000, the first of them worth 10,000 to the power of `weight`; zeros at the end left out.
    count, weight = struct.unpack_from(">hh", number)
    above = -(weight + 1) % _DIGITS
    digits = (0,) * above + struct.unpack_from(f">{count}H", number, 8) + (0, 0)
    bucket = _FIRST + (weight + above) // _DIGITS
    counts: dict[int, int] = {}
    for high, middle, low in zip(digits[0::3], digits[1::3], digits[2::3], strict=False):
        if low or middle or high:
            counts[bucket] = (high * _BASE + middle) * _BASE + low
        bucket -= 1
    return counts
