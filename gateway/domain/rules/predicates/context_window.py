"""`context_window { over = 32k }`: how many tokens the candidate takes in and gives out together."""

from __future__ import annotations

from gateway.domain.rules.bounds import Measure, Measured, read_bounds
from gateway.domain.rules.known import Basis
from gateway.domain.rules.reading import TOKENS, Reader

KIND = "context_window"
WINDOW = Measure(
    key="context_window",
    take=lambda scene: [model.context_window for model in scene.models],
    tell=lambda value: f"has a context window of {value:,} tokens",
    missing=lambda _scene, _at: "says no context window",
    basis=Basis.MODELS,
)


def read(reader: Reader) -> Measured:
    """Over or under a number of tokens."""
    mine = reader.child(KIND)
    found = read_bounds(mine, {"": (WINDOW, TOKENS)})
    mine.finish()
    return found
