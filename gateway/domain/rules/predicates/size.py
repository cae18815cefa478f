"""`size = [small, medium]`: the candidate's size, a word of the registry."""

from __future__ import annotations

from gateway.domain.rules.matching import read_names
from gateway.domain.rules.predicates.predicate import Described
from gateway.domain.rules.reading import Reader

KIND = "size"


def read(reader: Reader) -> Described:
    """One size or a list of them."""
    wanted = read_names(reader, KIND)
    return Described(
        wanted, lambda scene: scene.tag("size"), "size", lambda size: f"is {size}", "says no size"
    )
