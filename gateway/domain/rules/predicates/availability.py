"""`availability { breaker = half_open }`: what the candidate's circuit breaker and its probe say."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.health import Breaker
from gateway.domain.rules.known import Basis
from gateway.domain.rules.reading import Reader, one_of, word_of
from gateway.domain.rules.scene import Scene, Verdicts

KIND = "availability"


@dataclass(frozen=True, slots=True)
class Availability:
    """Holds for a candidate whose breaker is in one of some states, and whose last probe ended as named.

    The breaker is the process's own and never stale; the probe is unknown where none was made.
    """

    breakers: tuple[Breaker, ...] = ()
    probe: str = ""

    @property
    def live(self) -> bool:
        """It changes with what happens."""
        return True

    @property
    def basis(self) -> Basis:
        """Breakers open and close at any time."""
        return Basis.REQUEST

    def judge(self, scene: Scene) -> Verdicts:
        """The answers about all candidates."""
        healths = scene.healths
        verdicts = scene.yes
        if self.breakers:
            verdicts = scene.verdicts([health.breaker in self.breakers for health in healths])
        if self.probe:
            ok = self.probe == "ok"
            probes = [None if health.probe_ok is None else health.probe_ok is ok for health in healths]
            verdicts = verdicts.both(scene.verdicts(probes))
        return verdicts

    def why(self, scene: Scene, at: int) -> str:
        """The state of the breaker, and what the probe said."""
        health = scene.healths[at]
        told = [f"has its breaker {health.breaker.replace('_', '-')}"] if self.breakers else []
        if self.probe:
            said = {None: "has not been probed", True: "answers its probe", False: "fails its probe"}
            told.append(said[health.probe_ok])
        return " and ".join(told)


def read(reader: Reader) -> Availability:
    """`breaker` (one state or several) and `probe`."""
    mine = reader.child(KIND)
    breakers = mine.several("breaker", one_of(Breaker))
    probe = mine.value("probe", word_of("ok", "failed"), "")
    mine.finish()
    mine.nonempty("breaker = half_open")
    return Availability(breakers, probe)
