"""`rank { cost = 0.4, latency = 0.3, … }`: in which order the candidates that are left are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

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
from gateway.domain.rules.scene import Scene
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

    def scores(self, scene: Scene, left: Sequence[int]) -> tuple[list[float], str, list[str]]:
        """A score from 0 to 1 for each, what was done in words, and the parts of the first scores."""
        total = sum(weight.share for weight in self.weights)
        sums = [0.0] * len(left)
        parts: list[list[str]] = [[] for _ in left[:_TOLD]]
        unknown: list[str] = []
        for weight in self.weights:
            goods, missing = _normalised(weight, scene, left)
            share = weight.share / total
            sums = [so_far + good * share for so_far, good in zip(sums, goods, strict=True)]
            if missing:
                unknown.append(f"{weight.name} of {missing}")
            values = weight.measure.of(scene)
            for said, good, i in zip(parts, goods, left, strict=False):
                said.append(f"{weight.name} {'unknown, ' if values[i] is None else ''}{good:.2f}")
        said = ", ".join(f"{weight.name} {format_number(weight.share)}" for weight in self.weights)
        effect = f"ranks {len(left)} by {said}"
        if unknown:
            effect += f"; unknown and so in the middle: {', '.join(unknown)}"
        return [round(each, 6) for each in sums], effect, [" · ".join(each) for each in parts]


def _normalised(weight: Weight, scene: Scene, left: Sequence[int]) -> tuple[list[float], int]:
    """A measure of each candidate from 0 (worst) to 1 (best), and for how many it is unknown."""
    values = weight.measure.of(scene)
    column = [None if (value := values[i]) is None else float(value) for i in left]
    known = [value for value in column if value is not None]
    if not known:
        return [_MIDDLE] * len(left), len(left)
    low, high = min(known), max(known)
    if low == high:
        # All alike: none is better than another, nor than one that is unknown.
        return [_MIDDLE] * len(left), len(left) - len(known)
    span = high - low
    if weight.name in _HIGHER_IS_BETTER:
        goods = [_MIDDLE if value is None else (value - low) / span for value in column]
    else:
        goods = [_MIDDLE if value is None else (high - value) / span for value in column]
    return goods, len(left) - len(known)


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
