"""What a predicate is: a claim about one candidate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.domain.rules.known import Basis
from gateway.domain.rules.matching import Names
from gateway.domain.rules.scene import Scene, Verdicts


class Predicate(Protocol):
    """A claim about each candidate, that holds, does not hold, or is unknown.

    A predicate is a frozen value: two that were read from the same text are equal.
    """

    @property
    def live(self) -> bool:
        """Whether its answer may change with what happens, so that a request refused by it may succeed later."""
        ...

    @property
    def basis(self) -> Basis:
        """What its answers, and their reasons, rest on: they are remembered until that changes."""
        ...

    def judge(self, scene: Scene) -> Verdicts:
        """The answers about all candidates: `scene.verdicts([True, None, …])`."""
        ...

    def why(self, scene: Scene, at: int) -> str:
        """The fact behind the answer for one candidate, in words that go on from its name: `is not tagged gpu`."""
        ...


@dataclass(frozen=True, slots=True)
class Described:
    """Holds for candidates one of whose properties is among those that a rule names; unknown where it has none.

    `has` says in words that a candidate has a value, `hidden` that it has none.
    """

    wanted: Names
    take: Callable[[Scene], Sequence[str | None]] = field(compare=False)
    key: str
    has: Callable[[Any], str] = field(compare=False)
    hidden: str = ""

    @property
    def live(self) -> bool:
        """It does not change by itself."""
        return False

    @property
    def basis(self) -> Basis:
        """The registry says it."""
        return Basis.MODELS

    def judge(self, scene: Scene) -> Verdicts:
        """The answers about all candidates."""
        values = scene.column(self.key, self.take, Basis.MODELS)
        words = scene.words(self.key)
        wanted = self.wanted.among(words)
        if wanted.isdisjoint(words) and None not in words:
            return scene.none
        if words <= wanted:
            return scene.yes
        return scene.verdicts([None if value is None else value in wanted for value in values])

    def why(self, scene: Scene, at: int) -> str:
        """What it is, beside what was wanted where it is not."""
        value = scene.column(self.key, self.take, Basis.MODELS)[at]
        if value is None:
            return self.hidden
        return self.has(value) if value in self.wanted else f"{self.has(value)}, not {self.wanted}"
