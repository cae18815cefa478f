"""`prefer { … }`: which candidates are called first."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress

from gateway.domain.rules.course import Course, Move
from gateway.domain.rules.decision import Step
from gateway.domain.rules.predicates import Predicate, read_predicate
from gateway.domain.rules.reading import Reader


@dataclass(frozen=True, slots=True)
class Prefer:
    """Puts the candidates for which a predicate holds in front of the others; each of the two keeps its order."""

    predicate: Predicate

    @property
    def live(self) -> bool:
        """It takes nobody out."""
        return False

    def act(self, course: Course, rule: str) -> None:
        """Put them in front."""
        predicate, left = self.predicate, course.left
        answers = predicate.judge(course.scene, left)
        chosen = tuple(compress(left, answers))
        if 0 < len(chosen) < len(left):
            course.moves.append(Move(rule, chosen))
        unknown = course.unknown(answers, predicate.why) if None in {*answers} else ""
        said = (
            f"none of {len(left)}"
            if not chosen
            else f"all {len(left)}"
            if len(chosen) == len(left)
            else f"{len(chosen)} of {len(left)}"
        )
        course.steps.append(Step(rule, f"prefers {said}{unknown}", {}, course.reasons(left, predicate.why)))


def read_prefer(reader: Reader) -> Prefer:
    """`prefer { … }`."""
    return Prefer(read_predicate(reader.child("prefer")))
