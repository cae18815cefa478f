"""`quality { over = 0.7 }`: the candidate's quality score."""

from __future__ import annotations

from gateway.domain.rules.bounds import Measure, Measured, read_bounds
from gateway.domain.rules.known import Basis
from gateway.domain.rules.reading import SCORE, Reader
from gateway.domain.units import format_number

KIND = "quality"
QUALITY = Measure(
    key="quality",
    take=lambda scene: [model.quality for model in scene.models],
    tell=lambda value: f"has quality {format_number(value)}",
    missing=lambda _scene, _at: "has no quality score",
    basis=Basis.MODELS,
)


def read(reader: Reader) -> Measured:
    """Over or under a score from 0 to 1."""
    mine = reader.child(KIND)
    found = read_bounds(mine, {"": (QUALITY, SCORE)})
    mine.finish()
    return found
