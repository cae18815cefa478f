"""`all`, `any` and `not` of conditions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from gateway.domain.rules.conditions.condition import Condition, Words
from gateway.domain.rules.facts import Facts
from gateway.domain.rules.scene import Answer, Scene


@dataclass(frozen=True, slots=True)
class All:
    """Holds where every part does."""

    parts: tuple[Condition, ...]

    @property
    def live(self) -> bool:
        """Whether any of it changes with time."""
        return any(part.live for part in self.parts)

    @property
    def words(self) -> Words | None:
        """Those of all parts."""
        return _words(self.parts)

    def holds(self, scene: Scene) -> Answer:
        """No as soon as one part does not hold, unknown where it hangs on what is unknown."""
        found: Answer = True
        for part in self.parts:
            answer = part.holds(scene)
            if answer is False:
                return False
            if answer is None:
                found = None
        return found

    def why(self, scene: Scene) -> str:
        """The part that does not hold, the one that is unknown, or all."""
        return _why(self.parts, scene, decisive=False)


@dataclass(frozen=True, slots=True)
class Any:
    """Holds where some part does."""

    parts: tuple[Condition, ...]

    @property
    def live(self) -> bool:
        """Whether any of it changes with time."""
        return any(part.live for part in self.parts)

    @property
    def words(self) -> Words | None:
        """Those of all parts."""
        return _words(self.parts)

    def holds(self, scene: Scene) -> Answer:
        """Yes as soon as one part holds, unknown where it hangs on what is unknown."""
        found: Answer = False
        for part in self.parts:
            answer = part.holds(scene)
            if answer:
                return True
            if answer is None:
                found = None
        return found

    def why(self, scene: Scene) -> str:
        """The part that holds, the one that is unknown, or all."""
        return _why(self.parts, scene, decisive=True)


@dataclass(frozen=True, slots=True)
class Not:
    """Holds where its part does not."""

    part: Condition

    @property
    def live(self) -> bool:
        """Whether it changes with time."""
        return self.part.live

    @property
    def words(self) -> Words | None:
        """Those of its part."""
        return self.part.words

    def holds(self, scene: Scene) -> Answer:
        """The part's answer, turned round."""
        answer = self.part.holds(scene)
        return None if answer is None else not answer

    def why(self, scene: Scene) -> str:
        """The fact is the same; what it means for the rule is turned round."""
        return self.part.why(scene)


def _words(parts: Sequence[Condition]) -> Words | None:
    found: dict[str, Callable[[Facts], Hashable]] = {}
    for part in parts:
        words = part.words
        if words is None:
            return None
        found.update(words)
    return found


def _why(parts: Sequence[Condition], scene: Scene, *, decisive: bool) -> str:
    answers = [part.holds(scene) for part in parts]
    for wanted in (decisive, None):
        if wanted in answers:
            return parts[answers.index(wanted)].why(scene)
    return " and ".join(part.why(scene) for part in parts)
