"""`rank { cost = 0.4, latency = 0.3, … }`: in which order the candidates that are left are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import floor
from operator import add
from types import MappingProxyType
from typing import Any

from gateway.domain.health import Window
from gateway.domain.rules.bounds import Measure
from gateway.domain.rules.course import Course
from gateway.domain.rules.decision import Step
from gateway.domain.rules.predicates.error_rate import error_rate
from gateway.domain.rules.predicates.latency import latency
from gateway.domain.rules.predicates.load import LOAD
from gateway.domain.rules.predicates.price import REQUEST
from gateway.domain.rules.predicates.quality import QUALITY
from gateway.domain.rules.predicates.throughput import speed
from gateway.domain.rules.reading import NUMBER, Reader
from gateway.domain.rules.windows import read_window
from gateway.domain.units import format_number

MEASURES: dict[str, Callable[[Window], Measure]] = {
    "cost": lambda _window: REQUEST,
    "latency": lambda window: latency("p50", window, 1),
    "first_token": lambda window: latency("first_token_p50", window, 1),
    "speed": lambda window: speed(window, 1),
    "errors": lambda window: error_rate(window, 1),
    "quality": lambda _window: QUALITY,
    "load": lambda _window: LOAD,
}
_HIGHER_IS_BETTER = frozenset(["quality", "speed"])
_MIDDLE = 0.5
_PLACES = 1e6
_TOLD = 5
"""So many candidates have the parts of their score said in a decision."""


@dataclass(frozen=True, slots=True)
class Weight:
    """How much a measure counts."""

    name: str
    share: float
    measure: Measure


@dataclass(frozen=True, slots=True)
class Rank:
    """Sorts by a weighted sum: each measure goes from 0 (the worst candidate left) to 1 (the best); unknown is 0.5."""

    weights: tuple[Weight, ...]
    _total: float = field(init=False, compare=False, repr=False)
    _said: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """What is the same for all requests."""
        said = ", ".join(f"{weight.name} {format_number(weight.share)}" for weight in self.weights)
        object.__setattr__(self, "_total", sum(weight.share for weight in self.weights))
        object.__setattr__(self, "_said", said)

    @property
    def live(self) -> bool:
        """It takes nobody out."""
        return False

    def act(self, course: Course, rule: str) -> None:
        """Rank when all rules have run: the last that ranks has the say."""
        if course.ranking is not None:
            earlier, _, at = course.ranking
            course.steps[at] = Step(earlier, f"ranks nothing: {rule} comes later")
        course.ranking = (rule, self, len(course.steps))
        course.steps.append(Step(rule, "ranks"))

    def scores(self, course: Course) -> tuple[list[float], str, list[str]]:
        """A score from 0 to 1 for each, what was done in words, and the parts of the first scores."""
        left = course.left
        sums = [0.0] * len(left)
        parts: list[list[str]] = []
        unknown: list[str] = []
        for weight in self.weights:
            counted = _counted(weight, weight.share / self._total, course)
            sums = list(map(add, sums, counted.scores))
            parts.append(counted.parts)
            if counted.missing:
                unknown.append(f"{weight.name} of {counted.missing}")
        effect = f"ranks {len(left)} by {self._said}"
        if unknown:
            effect += f"; unknown and so in the middle: {', '.join(unknown)}"
        # To six places, so that what is as good as equal is equal.
        rounded = [floor(each * _PLACES + 0.5) / _PLACES for each in sums]
        return rounded, effect, [" · ".join(each) for each in zip(*parts, strict=True)]


@dataclass(frozen=True, slots=True)
class _Counted:
    """What one measure counts for each candidate left, the first in words, and for how many it is unknown."""

    scores: list[float]
    parts: list[str]
    missing: int


def _counted(weight: Weight, share: float, course: Course) -> _Counted:
    measure = weight.measure
    table, key = course.scene.table(measure.basis), (weight.name, measure.key, share, course.mask)
    found: _Counted | None = table.get(key)
    if found is None:
        values, left = measure.of(course.scene), course.left
        taken = values if len(left) == len(values) else [values[i] for i in left]
        found = table[key] = _weighed(weight.name, share, taken)
    return found


def _weighed(name: str, share: float, values: Sequence[Any]) -> _Counted:
    """Brings a measure from 0 (worst) to 1 (best), and weighs it."""
    try:
        known: list[float] = list(map(float, values))
    except TypeError:  # None is no number
        known = [float(value) for value in values if value is not None]
    missing = len(values) - len(known)
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    span, higher = high - low, name in _HIGHER_IS_BETTER

    def good(value: float | None) -> float:
        # Where all are alike, none is better than another, nor than one that is unknown.
        if value is None or not span:
            return _MIDDLE
        return (float(value) - low) / span if higher else (high - float(value)) / span

    parts = [f"{name} {'unknown, ' if value is None else ''}{good(value):.2f}" for value in values[:_TOLD]]
    if not span:
        scores = [_MIDDLE * share] * len(values)
    elif missing:
        scores = [good(value) * share for value in values]
    elif higher:
        scores = [(value - low) / span * share for value in known]
    else:
        scores = [(high - value) / span * share for value in known]
    return _Counted(scores, parts, missing)


WISHES = MappingProxyType(
    {
        name: Rank((Weight(name, 1.0, MEASURES[name](Window.FIVE_MINUTES)),))
        for name in ("cost", "latency", "quality")
    }
)
"""What a caller may prefer: a ranking by one measure alone."""


def read_rank(reader: Reader) -> Rank:
    """Weights of measures; `window` is the one of those that are live."""
    mine = reader.child("rank")
    window = read_window(mine)
    weights = [
        Weight(name, share, measure(window))
        for name, measure in MEASURES.items()
        if (share := mine.value(name, NUMBER, 0.0)) > 0
    ]
    mine.finish()
    if not weights and not any(name in mine for name in MEASURES):
        mine.wrong("", "needs a weight above zero such as cost = 0.4; got none")
    elif not weights:
        mine.wrong("", "needs a weight above zero; got zeros alone")
    return Rank(tuple(weights))
