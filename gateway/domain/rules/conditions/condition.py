"""What a condition is: a claim about the request, its caller, the clock or the gateway, on which a rule hangs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.domain.rules.bounds import Bound
from gateway.domain.rules.facts import Facts
from gateway.domain.rules.scene import Answer, Scene
from gateway.domain.tags import TagExpression

Words = Mapping[str, Callable[[Facts], Hashable]]
"""Facts about a request and its caller that many requests have in common, each under a name of its own."""


class Condition(Protocol):
    """A claim that holds, does not hold, or is unknown. A frozen value, like a predicate."""

    @property
    def live(self) -> bool:
        """Whether its answer may change with time, so that a request refused by it may succeed later."""
        ...

    @property
    def words(self) -> Words | None:
        """All that its answer rests on, where many requests share that; None where it rests on more."""
        ...

    def holds(self, scene: Scene) -> Answer:
        """The answer."""
        ...

    def why(self, scene: Scene) -> str:
        """The fact behind the answer, as a short sentence."""
        ...


@dataclass(frozen=True, slots=True)
class Among:
    """Holds where a word of the facts is among those that a rule names."""

    what: str
    take: Callable[[Facts], str] = field(compare=False)
    wanted: Any

    @property
    def live(self) -> bool:
        """A request stays as it is."""
        return False

    @property
    def words(self) -> Words:
        """The word."""
        return {self.what: self.take}

    def holds(self, scene: Scene) -> Answer:
        """Whether it is one of them."""
        return self.take(scene.facts) in self.wanted

    def why(self, scene: Scene) -> str:
        """What it is, beside what was wanted where it is not."""
        value = self.take(scene.facts)
        said = f"{self.what} is {value or 'not said'}"
        return said if value in self.wanted else f"{said}, not {self.wanted}"


@dataclass(frozen=True, slots=True)
class Tags:
    """Holds where some tags of the facts fulfil a tag expression."""

    what: str
    take: Callable[[Facts], Mapping[str, str]] = field(compare=False)
    wanted: TagExpression

    @property
    def live(self) -> bool:
        """A request stays as it is."""
        return False

    @property
    def words(self) -> Words:
        """The tags, in the order in which they were given."""
        take = self.take
        return {self.what: lambda facts: tuple(take(facts).items())}

    def holds(self, scene: Scene) -> Answer:
        """Whether all terms are fulfilled."""
        return self.wanted.holds(self.take(scene.facts))

    def why(self, scene: Scene) -> str:
        """The first term that is not fulfilled, or all."""
        failing = self.wanted.failing(self.take(scene.facts))
        return f"{self.what} have {self.wanted}" if failing is None else f"{self.what} lack {failing}"


@dataclass(frozen=True, slots=True)
class Amount:
    """Holds where a number of the facts is beyond all of its bounds; unknown where `take` finds none.

    `missing` says why there is none.
    """

    what: str
    take: Callable[[Scene], Any] = field(compare=False)
    bounds: tuple[Bound, ...]
    tell: Callable[[Any], str] = field(compare=False)
    missing: Callable[[Scene], str] = field(compare=False, default=lambda _scene: "is not known")
    live: bool = field(compare=False, default=False)

    @property
    def words(self) -> None:
        """Numbers are many."""
        return

    def holds(self, scene: Scene) -> Answer:
        """Whether it is beyond every bound."""
        value = self.take(scene)
        return None if value is None else all(bound.holds(value) for bound in self.bounds)

    def why(self, scene: Scene) -> str:
        """The number, and the bound that it does not pass, or all."""
        value = self.take(scene)
        if value is None:
            return f"{self.what} {self.missing(scene)}"
        said = f"{self.what} is {self.tell(value)}"
        for bound in self.bounds:
            if not bound.holds(value):
                return f"{said}, {bound.told(holds=False)}"
        return f"{said}, {' and '.join(bound.told(holds=True) for bound in self.bounds)}"
