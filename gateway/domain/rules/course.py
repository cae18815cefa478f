"""What becomes of the candidates while the rules run: the one thing in a decision that changes, and never leaves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.limits import Throttle
from gateway.domain.rules.decision import Refused, Step, Terms
from gateway.domain.rules.known import Basis
from gateway.domain.rules.scene import Scene, Verdicts


class Action(Protocol):
    """What a rule does where its condition holds."""

    @property
    def live(self) -> bool:
        """Whether it does so because of what happens, so that a request may fare better later."""
        ...

    def act(self, course: Course, rule: str) -> None:
        """Change the course, and leave a step that says how."""
        ...


class Ranking(Protocol):
    """A way to sort what is left."""

    def scores(self, course: Course) -> tuple[list[float], str, list[str]]:
        """A score for each (higher is better), what was done in words, and for each why it has its score."""
        ...


@dataclass(frozen=True, slots=True)
class Move:
    """Some of the candidates, as in `Verdicts`, which a rule puts in front."""

    rule: str
    chosen: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule makes of the candidates that it finds: what it removes, what stays, what it puts in front."""

    step: Step
    left: list[int]
    mask: int
    headed: bool = False  # whether another one is first now
    move: Move | None = None


class Course:
    """The state of one decision. `mask` says as `Verdicts` do which candidates are left."""

    __slots__ = (
        "blame",
        "full",
        "head_rule",
        "hopeful",
        "mask",
        "moves",
        "passed_over",
        "ranking",
        "refused",
        "scene",
        "steps",
        "terms",
        "throttles",
    )

    def __init__(self, scene: Scene, terms: Terms, *, full: bool) -> None:
        """All candidates are left; `full` asks for the reasons about those that stay, too."""
        self.scene = scene
        self.full = full
        self.terms = terms
        self.mask = scene.every
        self.passed_over: dict[str, str] = {}
        self.steps: list[Step] = []
        self.moves: list[Move] = []
        self.ranking: tuple[str, Ranking, int] | None = None
        self.throttles: list[Callable[[str], Throttle]] = []
        self.refused: Refused | None = None
        self.blame = ""  # the rule or check that removed the last candidates
        self.hopeful = False  # whether something that may change later removed any of them
        self.head_rule = ""

    @property
    def left(self) -> list[int]:
        """The numbers of the candidates that are left, in the order of the name."""
        return self.scene.left

    def remove(self, rule: str, reasons: dict[int, str], *, live: bool) -> dict[str, str]:
        """Take candidates out; answers the reasons by name."""
        if not reasons:
            return {}
        head = self.left[0]
        self.scene.left, self.mask, removed = self.without(reasons)
        self.passed_over.update(removed)
        self.hopeful = self.hopeful or live
        if not self.left:
            self.blame = rule
        elif self.left[0] != head:
            self.head_rule = rule
        return removed

    def take(self, rule: str, basis: Basis, make: Callable[[Course, str], Outcome], *, live: bool) -> None:
        """Take a rule's outcome, made by `make` where it is not remembered.

        It hangs on nothing but what `basis` says and on which candidates are left.
        """
        if self.full:
            outcome = make(self, rule)
        else:
            table, key = self.scene.table(basis), (rule, self.mask)
            found = table.get(key)
            outcome = table[key] = make(self, rule) if found is None else found
        self.steps.append(outcome.step)
        if outcome.move is not None:
            self.moves.append(outcome.move)
        if outcome.mask != self.mask:
            self.scene.left, self.mask = outcome.left, outcome.mask
            self.passed_over.update(outcome.step.removed)
            self.hopeful = self.hopeful or live
            if not outcome.left:
                self.blame = rule
            elif outcome.headed:
                self.head_rule = rule

    def without(self, reasons: Mapping[int, str]) -> tuple[list[int], int, dict[str, str]]:
        """Who is left without some, in numbers and as a mask, and the reasons by name."""
        if not reasons:
            return self.left, self.mask, {}
        names, gone = self.scene.names, bytearray(len(self.scene.models))
        for i in reasons:
            gone[i] = 1
        left = [i for i in self.left if not gone[i]]
        mask = self.mask ^ int.from_bytes(gone, "little")
        return left, mask, {names[i]: why for i, why in reasons.items()}

    def unknown(self, verdicts: Verdicts, why: Callable[[Scene, int], str]) -> str:
        """A clause about the candidates left for which a predicate is unknown; there are some."""
        which = verdicts.unknown & self.mask
        first = self.scene.numbers(which)[0]
        return f", unknown for {which.bit_count()}: the first {why(self.scene, first)}"

    def reasons(self, stay: Sequence[int], why: Callable[[Scene, int], str]) -> dict[str, str]:
        """Why candidates stay, for who asked for all reasons."""
        names = self.scene.names
        return {names[i]: why(self.scene, i) for i in stay}
