"""Facts that are measured, and the bounds that rules set them, such as `latency { p95_over = 8s }`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from gateway.domain.rules.known import Basis
from gateway.domain.rules.reading import Kind, Reader
from gateway.domain.rules.scene import Answer, Scene, Value, Verdicts
from gateway.domain.units import Rate


@dataclass(frozen=True, slots=True)
class Measure:
    """A fact about each candidate, or None where it is not known.

    Two of the same `key` measure the same: it is taken once in a decision. `tell` says a value in words, `missing` why
    there is none.
    """

    key: str
    take: Callable[[Scene], Sequence[Value]] = field(compare=False)
    tell: Callable[[Any], str] = field(compare=False)
    missing: Callable[[Scene, int], str] = field(compare=False)
    live: bool = field(default=False, compare=False)
    basis: Basis = field(default=Basis.REQUEST, compare=False)

    def of(self, scene: Scene) -> Sequence[Value]:
        """The column of its values."""
        return scene.column(self.key, self.take, self.basis)


@dataclass(frozen=True, slots=True)
class Bound:
    """A value is over a limit, or (`under`) below it."""

    limit: Any
    under: bool
    shown: str

    def holds(self, value: Value) -> Answer:
        """Whether a value is beyond the limit; unknown where the value is."""
        if value is None:
            return None
        return bool(value < self.limit if self.under else value > self.limit)

    def all(self, scene: Scene, measure: Measure) -> Verdicts:
        """The same for all candidates."""
        values, limit = measure.of(scene), self.limit
        ends = scene.span(measure.key, measure.basis)
        if ends is not None:
            low, high = ends
            if (high < limit) if self.under else (low > limit):
                return scene.yes
            if (low >= limit) if self.under else (high <= limit):
                return scene.none
        if self.under:
            return scene.verdicts([None if value is None else value < limit for value in values])
        return scene.verdicts([None if value is None else value > limit for value in values])

    def told(self, holds: bool) -> str:  # noqa: FBT001  it is a claim
        """The bound in words, as it is kept or not."""
        return f"{'' if holds else 'not '}{'under' if self.under else 'over'} {self.shown}"


@dataclass(frozen=True, slots=True)
class Measured:
    """Holds for candidates whose measures are all beyond their bounds."""

    parts: tuple[tuple[Measure, Bound], ...]

    @property
    def live(self) -> bool:
        """Whether any of it changes with what happens."""
        return any(measure.live for measure, _ in self.parts)

    @property
    def basis(self) -> Basis:
        """What its answers rest on."""
        return max((measure.basis for measure, _ in self.parts), default=Basis.REQUEST)

    def judge(self, scene: Scene) -> Verdicts:
        """Yes, no or unknown for each candidate."""
        measure, bound = self.parts[0]
        verdicts = bound.all(scene, measure)
        for measure, bound in self.parts[1:]:
            verdicts = verdicts.both(bound.all(scene, measure))
        return verdicts

    def why(self, scene: Scene, at: int) -> str:
        """The measures against their bounds: the one that does not hold, the one that is unknown, or all."""
        told: list[str] = []
        unknown: str | None = None
        for measure, bound in self.parts:
            value = measure.of(scene)[at]
            holds = bound.holds(value)
            if holds is None:
                unknown = unknown or measure.missing(scene, at)
                continue
            told.append(f"{measure.tell(value)}, {bound.told(holds)}")
            if not holds:
                return told[-1]
        return unknown or " and ".join(told)


def read_bounds(reader: Reader, measures: Mapping[str, tuple[Measure, Kind[Any]]]) -> Measured:
    """The bounds of an object, `NAME_over` and `NAME_under` for each measure (`over` and `under` for the name "")."""
    parts: list[tuple[Measure, Bound]] = []
    for name, (measure, kind) in measures.items():
        for side in ("over", "under"):
            word = f"{name}_{side}" if name else side
            limit = reader.optional(word, kind)
            if limit is not None:
                parts.append((measure, Bound(_amount(limit), side == "under", str(reader.said[word]))))
    if not parts and not reader.strangers and not any(_is_bound(name, measures) for name in reader.names()):
        words = [f"{name}_over" if name else "over" for name in measures]
        reader.wrong("", f"needs a bound such as {words[0]}; got none")
    return Measured(tuple(parts))


def _amount(limit: Any) -> Any:
    """A limit as the measures are: durations in milliseconds, rates by the second."""
    if isinstance(limit, timedelta):
        return limit / timedelta(milliseconds=1)
    return limit.per_second if isinstance(limit, Rate) else limit


def _is_bound(name: str, measures: Mapping[str, object]) -> bool:
    side = name.rpartition("_")
    return side[2] in ("over", "under") and side[0] in measures
