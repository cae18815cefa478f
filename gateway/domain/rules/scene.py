"""The facts of one decision as columns: a fact about all candidates is taken once, however many rules ask for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import timedelta
from itertools import compress, repeat
from typing import Any, NamedTuple, Protocol

from gateway.domain.health import Live, ModelHealth, Window
from gateway.domain.prices import Price
from gateway.domain.rules.facts import Facts
from gateway.domain.rules.known import Basis, Known

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

    @property
    def basis(self) -> Basis:
        """What its answer about a candidate rests on."""
        ...

    def ask(self, scene: Scene, at: int | None) -> tuple[Answer, str]:
        """Its answer about a candidate (about the request, with None), and what was wrong where it is unknown."""
        ...


class Asks(Protocol):
    """Who answers about the request, its caller and the clock."""

    def holds(self, scene: Scene) -> Answer:
        """The answer."""
        ...

    def why(self, scene: Scene) -> str:
        """The fact behind it."""
        ...


class Judge(Protocol):
    """Who answers about all candidates."""

    def judge(self, scene: Scene) -> Verdicts:
        """The answers."""
        ...


class Scene:
    """What one decision sees. Candidates are numbered in the order of the name; a column has an entry for each.

    `left` are those that no check and no rule has taken out so far: what is dear to find out is asked of them alone.
    What rests on things that stay from one request to the next is looked up in what is `known` of the candidates.
    """

    __slots__ = (
        "_answers",
        "_judged",
        "_known",
        "_reasons",
        "_tables",
        "every",
        "facts",
        "left",
        "models",
        "none",
        "stale",
        "yes",
    )

    def __init__(self, facts: Facts, max_age: timedelta, known: Known | None = None) -> None:
        """Live facts older than `max_age` count as unknown. `known` is of these candidates; without it all is new."""
        self.facts = facts
        self.models = facts.candidates
        self._known = known or Known(facts.candidates)
        self.left = list(range(len(self.models)))
        # Verdicts are numbers with a byte for each candidate: these have a 1 in all of them.
        self.every = int.from_bytes(b"\1" * len(self.models), "little")
        self.yes = Verdicts(self.every)
        self.none = Verdicts(0)
        self._tables: list[dict[Any, Any] | None] = [
            self._known.models,
            self._known.priced_by(facts.prices),
            None,
            {},
        ]
        self._judged: dict[int, Verdicts] = {}
        self._answers: dict[int, Answer] = {}
        self._reasons: dict[int, str] = {}
        age = facts.live.age(facts.observed_at)
        self.stale: str | None = None
        if age is None:
            self.stale = "no live facts are there yet"
        elif age > max_age:
            self.stale = f"the live facts are {age.total_seconds():.0f}s old"

    def table(self, basis: Basis) -> dict[Any, Any]:
        """Where things are kept that rest on this, for as long as that stays as it is."""
        found = self._tables[basis]
        if found is None:
            found = self._tables[basis] = self._measured()
        return found

    def _measured(self) -> dict[Any, Any]:
        if self.stale is not None:
            return {}  # the reasons say for how long they have been stale
        return self._known.measured_by([health.windows for health in self.healths])

    def column(self, key: str, take: Callable[[Scene], Sequence[Value]], basis: Basis) -> Sequence[Value]:
        """The column of this key; `take` makes it when it is asked for first."""
        table = self.table(basis)
        found = table.get(key)
        if found is None:
            found = table[key] = take(self)
        return found

    def holds(self, condition: Asks) -> Answer:
        """Whether a condition holds, asked once in a decision: rules share theirs."""
        key = id(condition)
        if key not in self._answers:
            self._answers[key] = condition.holds(self)
        return self._answers[key]

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

    def why(self, condition: Asks) -> str:
        """Why a condition holds or does not, told once in a decision."""
        said = self._reasons.get(id(condition))
        if said is None:
            said = self._reasons[id(condition)] = condition.why(self)
        return said

    def numbers(self, of: int) -> list[int]:
        """The candidates for which a number of verdicts has a 1."""
        count = len(self.models)
        return list(compress(range(count), of.to_bytes(count, "little")))

    def span(self, key: str, basis: Basis) -> tuple[Value, Value] | None:
        """The least and the greatest value of a column; None where any is not known, or there are none.

        Most bounds lie outside of it: what holds for both ends holds for all, without a look at each.
        """
        table, name = self.table(basis), f"span {key}"
        if name not in table:
            values = table[key]
            table[name] = None if not values or None in values else (min(values), max(values))
        span: tuple[Value, Value] | None = table[name]
        return span

    def words(self, key: str) -> frozenset[Value]:
        """The different values of a column that rests on the models alone."""
        return self.keep(
            f"words {key}", lambda scene: frozenset(scene.table(Basis.MODELS)[key]), Basis.MODELS
        )

    def keep(self, key: Hashable, make: Callable[[Scene], Any], basis: Basis = Basis.REQUEST) -> Any:
        """Anything that is made once for as long as what it rests on stays as it is."""
        table = self.table(basis)
        found = table.get(key)
        if found is None:
            found = table[key] = make(self)
        return found

    @property
    def names(self) -> list[str]:
        """Each candidate's name."""
        names: list[str] = self.keep(
            "names", lambda scene: [model.name for model in scene.models], Basis.MODELS
        )
        return names

    @property
    def places(self) -> Mapping[str, int]:
        """Each candidate's number, by its name."""
        places: dict[str, int] = self.keep(
            "places", lambda scene: {name: i for i, name in enumerate(scene.names)}, Basis.MODELS
        )
        return places

    @property
    def tags(self) -> Sequence[Mapping[str, str]]:
        """Each candidate's tags, its size among them."""
        return self.column("tags", lambda scene: [model.all_tags for model in scene.models], Basis.MODELS)

    def tag(self, name: str) -> Sequence[str | None]:
        """Each candidate's value of one tag."""
        return self.column(f"tag {name}", lambda scene: _tag(scene, name), Basis.MODELS)

    @property
    def prices(self) -> Sequence[Price | None]:
        """Each candidate's price in force."""
        return self.column("prices", _prices, Basis.PRICES)

    @property
    def healths(self) -> Sequence[ModelHealth]:
        """What each candidate is at, as far as it is known, however old that is."""
        return self.column("healths", _healths, Basis.REQUEST)

    @property
    def health(self) -> Sequence[ModelHealth | None]:
        """What each candidate is at; None for all while live facts are missing or stale."""
        return self.column("health", _health, Basis.REQUEST)

    def live(self, window: Window) -> Sequence[Live | None]:
        """What each candidate did in a window; None for all while live facts are missing or stale."""
        return self.column(window, lambda scene: _live(scene, window), Basis.WINDOWS)


def _tag(scene: Scene, name: str) -> list[str | None]:
    if name == "size":
        return [model.tags.get(name, model.size) for model in scene.models]
    return [model.tags.get(name) for model in scene.models]


def _prices(scene: Scene) -> list[Price | None]:
    prices = scene.facts.prices
    return [prices.get(model.name) for model in scene.models]


def _healths(scene: Scene) -> list[ModelHealth]:
    # A model of which nothing is known is one to which nothing happened: that is a fact too.
    return list(map(scene.facts.live.models.get, scene.names, repeat(_NOTHING_HAPPENS)))


def _health(scene: Scene) -> Sequence[ModelHealth | None]:
    if scene.stale is not None:
        return [None] * len(scene.models)
    return scene.healths


def _live(scene: Scene, window: Window) -> list[Live | None]:
    return [None if each is None else each.windows.get(window, _QUIET) for each in scene.health]
