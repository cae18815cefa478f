"""`size = [small, medium]`: the candidate's size, a word of the registry."""

from __future__ import annotations

from gateway.domain.rules.matching import read_names
from gateway.domain.rules.predicates.predicate import Described
from gateway.domain.rules.reading import Reader
from gateway.domain.rules.scene import Scene

KIND = "size"


def read(reader: Reader) -> Described:
    """One size or a list of them."""
    wanted = read_names(reader, KIND)
    return Described(wanted, _sizes, "size", lambda size: f"is {size}", "says no size")


def _sizes(scene: Scene) -> list[str | None]:
    return [tags.get("size") for tags in scene.tags]
