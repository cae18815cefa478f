"""`prefer { … }`: which candidates are called first."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.domain.rules.course import Course, Move, Outcome
from gateway.domain.rules.decision import Step
from gateway.domain.rules.known import Basis
from gateway.domain.rules.predicates import Predicate, read_predicate
from gateway.domain.rules.reading import Reader


@dataclass(frozen=True, slots=True)
class Prefer:
    """Puts the candidates for which a predicate holds in front of the others; each of the two keeps its order."""

    predicate: Predicate
    basis: Basis = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Ask the predicate once what it rests on."""
        object.__setattr__(self, "basis", self.predicate.basis)

    @property
    def live(self) -> bool:
        """It takes nobody out."""
        return False

    def act(self, course: Course, rule: str) -> None:
        """Put them in front."""
        course.take(rule, self.basis, self._outcome, live=False)

    def _outcome(self, course: Course, rule: str) -> Outcome:
        predicate, count = self.predicate, len(course.left)
        verdicts = predicate.judge(course.scene)
        chosen = verdicts.yes & course.mask
        number = chosen.bit_count()
        move = Move(rule, chosen) if 0 < number < count else None
        unknown = course.unknown(verdicts, predicate.why) if verdicts.unknown & course.mask else ""
        said = (
            f"none of {count}"
            if not number
            else f"all {count}"
            if number == count
            else f"{number} of {count}"
        )
        stay = course.reasons(course.left, predicate.why) if course.full else {}
        return Outcome(Step(rule, f"prefers {said}{unknown}", {}, stay), course.left, course.mask, move=move)


def read_prefer(reader: Reader) -> Prefer:
    """`prefer { … }`."""
    return Prefer(read_predicate(reader.child("prefer")))
