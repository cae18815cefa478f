"""`capability = [tools, vision]`: what the candidate can do beside answering."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.registry import Capability
from gateway.domain.rules.known import Basis
from gateway.domain.rules.reading import Reader, one_of
from gateway.domain.rules.scene import Scene, Verdicts

KIND = "capability"


@dataclass(frozen=True, slots=True)
class Able:
    """Holds for a candidate that can do all of these; unknown for one of which nobody has said what it can."""

    wanted: tuple[Capability, ...]

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
        wanted = frozenset(self.wanted)
        return scene.verdicts(
            [None if (able := model.capabilities) is None else wanted <= able for model in scene.models]
        )

    def why(self, scene: Scene, at: int) -> str:
        """What it cannot do, or that it can do all."""
        able = scene.models[at].capabilities
        if able is None:
            return "says nothing of its capabilities"
        missing = [each.value for each in self.wanted if each not in able]
        return f"cannot do {missing[0]}" if missing else f"can do {' and '.join(self.wanted)}"


def read(reader: Reader) -> Able:
    """One capability or a list of them, all of which must be there."""
    return Able(reader.several(KIND, one_of(Capability)))
