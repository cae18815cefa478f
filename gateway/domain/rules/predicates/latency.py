"""`latency { p95_over = 8s, window = 5m }`: how long the candidate takes."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from gateway.domain.health import Window
from gateway.domain.rules.bounds import Measure, Measured, read_bounds
from gateway.domain.rules.known import Basis
from gateway.domain.rules.reading import DURATION, SOME, Reader
from gateway.domain.rules.scene import Scene
from gateway.domain.rules.windows import read_window, unmeasured

KIND = "latency"
LEAST = 5
"""Fewer requests than this in the window, and its percentiles say nothing."""
PERCENTILES = {
    "p50": "p50_ms",
    "p95": "p95_ms",
    "p99": "p99_ms",
    "first_token_p50": "first_token_p50_ms",
    "first_token_p95": "first_token_p95_ms",
}


def latency(name: str, window: Window, least: int = LEAST) -> Measure:
    """A percentile in a window, in milliseconds."""
    get = attrgetter(PERCENTILES[name])

    def take(scene: Scene) -> Sequence[float | None]:
        return [None if each is None or each.requests < least else get(each) for each in scene.live(window)]

    said = name.replace("_", " ")
    return Measure(
        f"latency.{name}.{window}.{least}",
        take,
        lambda ms: f"takes {ms:.0f}ms ({said} in {window})",
        lambda scene, at: unmeasured(scene, at, window, least),
        live=True,
        basis=Basis.WINDOWS,
    )


def read(reader: Reader) -> Measured:
    """Percentiles of the whole answer or of its first token, over or under a duration."""
    mine = reader.child(KIND)
    window = read_window(mine)
    least = mine.value("min_requests", SOME, LEAST)
    found = read_bounds(mine, {name: (latency(name, window, least), DURATION) for name in PERCENTILES})
    mine.finish()
    return found
