"""`refuse = "…"`: the request is answered with an error, and no model is called."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.errors import RefusedByRule
from gateway.domain.rules.course import Course
from gateway.domain.rules.decision import Refused, Step
from gateway.domain.rules.reading import TEXT, Reader


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuses the request, in the rule's own words."""

    message: str

    @property
    def live(self) -> bool:
        """It refuses whatever happens; its condition may say otherwise."""
        return False

    def act(self, course: Course, rule: str) -> None:
        """Refuse; no rule after this one is run."""
        course.refused = Refused(RefusedByRule.code, self.message, rule)
        course.steps.append(Step(rule, "refuses the request"))


def read_refuse(reader: Reader) -> Refuse:
    """A message, or `{ message = "…" }`."""
    if isinstance(reader.entry.get("refuse"), str):
        return Refuse(reader.required("refuse", TEXT, ""))
    mine = reader.child("refuse")
    message = mine.required("message", TEXT, "")
    mine.finish()
    # One way to write it.
    reader.said["refuse"] = message
    return Refuse(message)
