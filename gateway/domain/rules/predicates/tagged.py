"""`tagged { location = on-prem }`: the candidate has these tags."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.rules.known import Basis
from gateway.domain.rules.matching import judge_term, read_tags
from gateway.domain.rules.reading import Reader
from gateway.domain.rules.scene import Scene, Verdicts
from gateway.domain.tags import TagExpression

KIND = "tagged"


@dataclass(frozen=True, slots=True)
class Tagged:
    """Holds for a candidate with these tags; a candidate's size is among them."""

    tags: TagExpression

    @property
    def live(self) -> bool:
        """Tags do not change by themselves."""
        return False

    @property
    def basis(self) -> Basis:
        """The registry says it."""
        return Basis.MODELS

    def judge(self, scene: Scene) -> Verdicts:
        """The answers about all candidates."""
        first, *others = self.tags.terms
        verdicts = judge_term(scene, first)
        for term in others:
            verdicts = verdicts.both(judge_term(scene, term))
        return verdicts

    def why(self, scene: Scene, at: int) -> str:
        """The first tag that is missing, or all that are there."""
        failing = self.tags.failing(scene.tags[at])
        if failing is None:
            return f"is tagged {self.tags}"
        return f"is tagged {str(failing).removeprefix('!')}" if failing.absent else f"is not tagged {failing}"


def read(reader: Reader) -> Tagged:
    """As an object or as a tag expression."""
    return Tagged(read_tags(reader, KIND))
