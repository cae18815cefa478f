"""`name = "gpt-4.1*"`: the candidate's name."""

from __future__ import annotations

from gateway.domain.rules.matching import read_names
from gateway.domain.rules.predicates.predicate import Described
from gateway.domain.rules.reading import Reader
from gateway.domain.rules.scene import Scene

KIND = "name"


def read(reader: Reader) -> Described:
    """One name or a list of them, with * for any text."""
    return Described(read_names(reader, KIND), _names, "name", lambda name: f"is {name}")


def _names(scene: Scene) -> list[str]:
    return [model.name for model in scene.models]
