"""`all`, `any` and `not` of predicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.domain.rules.known import Basis
from gateway.domain.rules.predicates.predicate import Predicate
from gateway.domain.rules.scene import Scene, Verdicts


@dataclass(frozen=True, slots=True)
class All:
    """Holds where every part does."""

    parts: tuple[Predicate, ...]

    @property
    def live(self) -> bool:
        """Whether any of it changes with what happens."""
        return any(part.live for part in self.parts)

    @property
    def basis(self) -> Basis:
        """What its parts rest on."""
        return max((part.basis for part in self.parts), default=Basis.REQUEST)

    def judge(self, scene: Scene) -> Verdicts:
        """The answers about all candidates."""
        verdicts = scene.judged(self.parts[0])
        for part in self.parts[1:]:
            verdicts = verdicts.both(scene.judged(part))
        return verdicts

    def why(self, scene: Scene, at: int) -> str:
        """The part that does not hold, the one that is unknown, or all."""
        return _why(self.parts, scene, at, decisive=False)


@dataclass(frozen=True, slots=True)
class Any:
    """Holds where some part does."""

    parts: tuple[Predicate, ...]

    @property
    def live(self) -> bool:
        """Whether any of it changes with what happens."""
        return any(part.live for part in self.parts)

    @property
    def basis(self) -> Basis:
        """What its parts rest on."""
        return max((part.basis for part in self.parts), default=Basis.REQUEST)

    def judge(self, scene: Scene) -> Verdicts:
        """The answers about all candidates."""
        verdicts = scene.judged(self.parts[0])
        for part in self.parts[1:]:
            verdicts = verdicts.either(scene.judged(part))
        return verdicts

    def why(self, scene: Scene, at: int) -> str:
        """The part that holds, the one that is unknown, or all."""
        return _why(self.parts, scene, at, decisive=True)


@dataclass(frozen=True, slots=True)
class Not:
    """Holds where its part does not."""

    part: Predicate

    @property
    def live(self) -> bool:
        """Whether it changes with what happens."""
        return self.part.live

    @property
    def basis(self) -> Basis:
        """What its part rests on."""
        return self.part.basis

    def judge(self, scene: Scene) -> Verdicts:
        """The answers about all candidates."""
        return scene.opposite(scene.judged(self.part))

    def why(self, scene: Scene, at: int) -> str:
        """The fact is the same; what it means for the rule is turned round."""
        return self.part.why(scene, at)


def _why(parts: Sequence[Predicate], scene: Scene, at: int, *, decisive: bool) -> str:
    answers = [scene.judged(part).about(at) for part in parts]
    for wanted in (decisive, None):
        if wanted in answers:
            return parts[answers.index(wanted)].why(scene, at)
    return " and ".join(part.why(scene, at) for part in parts)
