"""The facts of one decision as columns: a fact about all candidates is taken once, however many rules ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import compress
from typing import Any, NamedTuple, Protocol

from gateway.domain.health import Live, ModelHealth, Window
from gateway.domain.prices import Price
from gateway.domain.rules.facts import Facts

Answer = bool | None
"""Yes, no, or unknown."""
Value = Any
"""A measured value: a number, a Decimal, a word, or None where it is not known."""

_NOTHING_HAPPENS = ModelHealth()
_QUIET = Live()


class Verdicts(NamedTuple):
    """The answers of a predicate about all candidates: numbers whose byte `i` is 1 for yes (or for unknown) about `i`.

    So the answers of a hundred candidates are put together, or taken out, in one step.
    """

    yes: int
    unknown: int = 0

    def about(self, at: int) -> Answer:
        """The answer about one candidate."""
        byte = 1 << (8 * at)
        return None if self.unknown & byte else bool(self.yes & byte)

    def both(self, other: Verdicts) -> Verdicts:
        """Whether both hold: no as soon as one does not, unknown where it hangs on what is unknown."""
        yes = self.yes & other.yes
        return Verdicts(yes, (self.yes | self.unknown) & (other.yes | other.unknown) ^ yes)

    def either(self, other: Verdicts) -> Verdicts:
        """Whether one of two holds: yes as soon as one does, unknown where it hangs on what is unknown."""
        yes = self.yes | other.yes
        return Verdicts(yes, (yes | self.unknown | other.unknown) ^ yes)


class Expression(Protocol):
    """An expression in a language of its own, compiled; the rules know only that it answers."""

    @property
    def live(self) -> bool:
        """Whether its answer may change with what happens."""
        ...

    def ask(self, scene: Scene, at: int | None) -> tuple[Answer, str]:
        """Its answer about a candidate (about the request, with None), and what was wrong where it is unknown."""
        ...


class Judge(Protocol):
    """Who answers about all candidates."""

    def judge(self, scene: Scene) -> Verdicts:
        """The answers."""
        ...


class Scene:
    """What one decision sees. Candidates are numbered in the order of the name; a column has an entry for each.

    `left` are those that no check and no rule has taken out so far: what is dear to find out is asked of them alone.
    """

    __slots__ = ("_columns", "_judged", "_spans", "every", "facts", "left", "models", "none", "stale", "yes")

    def __init__(self, facts: Facts, max_age: timedelta) -> None:
        """Live facts older than `max_age` count as unknown."""
        self.facts = facts
        self.models = facts.candidates
        self.left = list(range(len(self.models)))
        # Verdicts are numbers with a byte for each candidate: these have a 1 in all of them.
        self.every = int.from_bytes(b"\1" * len(self.models), "little")
        self.yes = Verdicts(self.every)
        self.none = Verdicts(0)
        self._columns: dict[str, Any] = {}
        self._judged: dict[int, Verdicts] = {}
        self._spans: dict[str, tuple[Value, Value] | None] = {}
        age = facts.live.age(facts.observed_at)
        self.stale: str | None = None
        if age is None:
            self.stale = "no live facts are there yet"
        elif age > max_age:
            self.stale = f"the live facts are {age.total_seconds():.0f}s old"

    def column(self, key: str, take: Callable[[Scene], Sequence[Value]]) -> Sequence[Value]:
        """The column of this key; `take` makes it when it is asked for first."""
        found = self._columns.get(key)
        if found is None:
            found = self._columns[key] = take(self)
        return found

    def verdicts(self, answers: Sequence[Answer]) -> Verdicts:
        """The answers about all candidates, in their order, as one value."""
        try:
            return Verdicts(int.from_bytes(bytes(answers), "little"))  # type: ignore[arg-type]
        except TypeError:  # None is no number
            yes = bytes([answer is True for answer in answers])
            unknown = bytes([answer is None for answer in answers])
            return Verdicts(int.from_bytes(yes, "little"), int.from_bytes(unknown, "little"))

    def opposite(self, verdicts: Verdicts) -> Verdicts:
        """Whether it does not hold; what is unknown stays so."""
        return Verdicts(self.every ^ verdicts.yes ^ verdicts.unknown, verdicts.unknown)

    def judged(self, predicate: Judge) -> Verdicts:
        """The answers of a predicate, asked once in a decision: a reason may need them again."""
        found = self._judged.get(id(predicate))
        if found is None:
            found = self._judged[id(predicate)] = predicate.judge(self)
        return found

    def numbers(self, of: int) -> list[int]:
        """The candidates for which a number of verdicts has a 1."""
        count = len(self.models)
        return list(compress(range(count), of.to_bytes(count, "little")))

    def span(self, key: str) -> tuple[Value, Value] | None:
        """The least and the greatest value of a column; None where any is not known, or there are none.

        Most bounds lie outside of it: what holds for both ends holds for all, without a look at each.
        """
        if key in self._spans:
            return self._spans[key]
        values = self._columns[key]
        found = None if not values or None in values else (min(values), max(values))
        self._spans[key] = found
        return found

    def words(self, key: str) -> frozenset[Value]:
        """The different values of a column."""
        return self.keep(f"words {key}", lambda _scene: frozenset(self._columns[key]))

    def keep(self, key: str, make: Callable[[Scene], Any]) -> Any:
        """Anything that is made once in a decision."""
        found = self._columns.get(key)
        if found is None:
            found = self._columns[key] = make(self)
        return found

    @property
    def tags(self) -> Sequence[Mapping[str, str]]:
        """Each candidate's tags, its size among them."""
        return self.column("tags", lambda scene: [model.all_tags for model in scene.models])

    def tag(self, name: str) -> Sequence[str | None]:
        """Each candidate's value of one tag."""
        return self.column(f"tag {name}", lambda scene: _tag(scene, name))

    @property
    def prices(self) -> Sequence[Price | None]:
        """Each candidate's price in force."""
        return self.column("prices", _prices)

    @property
    def health(self) -> Sequence[ModelHealth | None]:
        """What each candidate is at; None for all while live facts are missing or stale."""
        return self.column("health", _health)

    def live(self, window: Window) -> Sequence[Live | None]:
        """What each candidate did in a window; None for all while live facts are missing or stale."""
        return self.column(window, lambda scene: _live(scene, window))


def _tag(scene: Scene, name: str) -> list[str | None]:
    if name == "size":
        return [model.tags.get(name, model.size) for model in scene.models]
    return [model.tags.get(name) for model in scene.models]


def _prices(scene: Scene) -> list[Price | None]:
    prices = scene.facts.prices
    return [prices.get(model.name) for model in scene.models]


def _health(scene: Scene) -> list[ModelHealth | None]:
    if scene.stale is not None:
        return [None] * len(scene.models)
    # A model of which nothing is known is one to which nothing happened: that is a fact too.
    known = scene.facts.live.models
    return [known.get(model.name, _NOTHING_HAPPENS) for model in scene.models]


def _live(scene: Scene, window: Window) -> list[Live | None]:
    return [None if each is None else each.windows.get(window, _QUIET) for each in scene.health]
