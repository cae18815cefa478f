"""`load { over = 80% }`: how much of the candidate's concurrency limit is in use, over all replicas."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.rules.bounds import Measure, Measured, read_bounds
from gateway.domain.rules.known import Basis
from gateway.domain.rules.reading import COUNT, SHARE, Reader
from gateway.domain.rules.scene import Scene
from gateway.domain.units import format_share

KIND = "load"


def _load(scene: Scene) -> Sequence[float | None]:
    limits: list[int | None] = scene.keep("concurrency", _limits, Basis.MODELS)
    return [
        None if health is None or not limit else health.in_flight / limit
        for health, limit in zip(scene.health, limits, strict=True)
    ]


def _limits(scene: Scene) -> list[int | None]:
    return [model.limits.concurrency for model in scene.models]


def _in_flight(scene: Scene) -> Sequence[int | None]:
    return [None if health is None else health.in_flight for health in scene.health]


def _unknown(scene: Scene, _at: int) -> str:
    return f"is not known: {scene.stale}" if scene.stale else "has no concurrency limit"


LOAD = Measure("load", _load, lambda share: f"is loaded {format_share(round(share, 3))}", _unknown, live=True)
IN_FLIGHT = Measure("in_flight", _in_flight, lambda count: f"answers {count} requests", _unknown, live=True)


def read(reader: Reader) -> Measured:
    """Over or under a share of its limit, or a number of requests in flight."""
    mine = reader.child(KIND)
    found = read_bounds(mine, {"": (LOAD, SHARE), "in_flight": (IN_FLIGHT, COUNT)})
    mine.finish()
    return found
