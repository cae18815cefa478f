"""`provider = openai`: who serves the candidate."""

from __future__ import annotations

from gateway.domain.rules.matching import read_names
from gateway.domain.rules.predicates.predicate import Described
from gateway.domain.rules.reading import Reader
from gateway.domain.rules.scene import Scene

KIND = "provider"


def read(reader: Reader) -> Described:
    """One provider or a list of them."""
    return Described(read_names(reader, KIND), _providers, "provider", lambda name: f"is served by {name}")


def _providers(scene: Scene) -> list[str]:
    return [model.provider for model in scene.models]
