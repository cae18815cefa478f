"""`kind = chat`: what the candidate is for."""

from __future__ import annotations

from gateway.domain.inference import Kind
from gateway.domain.rules.matching import Names
from gateway.domain.rules.predicates.predicate import Described
from gateway.domain.rules.reading import Reader, one_of
from gateway.domain.rules.scene import Scene

KIND = "kind"


def read(reader: Reader) -> Described:
    """One kind or a list of them."""
    wanted = Names(tuple(each.value for each in reader.several(KIND, one_of(Kind))))
    return Described(wanted, _kinds, "kind", lambda kind: f"is a {kind} model")


def _kinds(scene: Scene) -> list[str]:
    return [model.kind.value for model in scene.models]
