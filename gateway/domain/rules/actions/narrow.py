"""`keep { … }` and `drop { … }`: which candidates go on."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.domain.rules.course import Course, Outcome
from gateway.domain.rules.decision import Step
from gateway.domain.rules.known import Basis
from gateway.domain.rules.predicates import Predicate, read_predicate
from gateway.domain.rules.reading import Reader

UNKNOWN = "on_unknown"


@dataclass(frozen=True, slots=True)
class Narrow:
    """Takes out the candidates for which a predicate does not hold (or, with `drop`, does hold).

    One for which it is unknown stays, unless the rule says `on_unknown = drop`.
    """

    predicate: Predicate
    drop: bool
    unknown_goes: bool
    basis: Basis = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Ask the predicate once what it rests on."""
        object.__setattr__(self, "basis", self.predicate.basis)

    @property
    def live(self) -> bool:
        """Whether it depends on what happens."""
        return self.predicate.live

    def act(self, course: Course, rule: str) -> None:
        """Take them out, each with its reason."""
        course.take(rule, self.basis, self._outcome, live=self.live)

    def _outcome(self, course: Course, rule: str) -> Outcome:
        predicate, scene, before = self.predicate, course.scene, len(course.left)
        verdicts, among = predicate.judge(scene), course.mask
        goes = verdicts.yes if self.drop else scene.every ^ verdicts.yes ^ verdicts.unknown
        if self.unknown_goes:
            goes |= verdicts.unknown
        goes &= among
        unknown = course.unknown(verdicts, predicate.why) if verdicts.unknown & among else ""
        left, mask, removed = course.without({i: predicate.why(scene, i) for i in scene.numbers(goes)})
        gone = len(removed)
        count = gone if self.drop else before - gone
        verb = "drops" if self.drop else "keeps"
        said = (
            f"none of {before}"
            if not count
            else f"all {before}"
            if count == before
            else f"{count} of {before}"
        )
        stay = course.reasons(left, predicate.why) if course.full else {}
        step = Step(rule, f"{verb} {said}{unknown}", removed, stay)
        return Outcome(step, left, mask, headed=bool(left) and left[0] != course.left[0])


def read_keep(reader: Reader, *, unknown_goes: bool) -> Narrow:
    """`keep { … }`."""
    return Narrow(read_predicate(reader.child("keep")), drop=False, unknown_goes=unknown_goes)


def read_drop(reader: Reader, *, unknown_goes: bool) -> Narrow:
    """`drop { … }`."""
    return Narrow(read_predicate(reader.child("drop")), drop=True, unknown_goes=unknown_goes)
