"""`error_rate { over = 25%, window = 1m, min_requests = 20 }`: how often the candidate fails."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.health import Live, Window
from gateway.domain.rules.bounds import Measure, Measured, read_bounds
from gateway.domain.rules.known import Basis
from gateway.domain.rules.reading import SHARE, SOME, TEXT, Reader
from gateway.domain.rules.scene import Scene
from gateway.domain.rules.windows import read_window, unmeasured
from gateway.domain.units import format_share

KIND = "error_rate"
LEAST = 20
"""Fewer requests than this in the window, and the rate says nothing."""


def error_rate(window: Window, least: int = LEAST, codes: tuple[str, ...] = ()) -> Measure:
    """The share of a window's attempts that failed by the model's fault, with any code or with one of some."""

    def rate(live: Live) -> float:
        failed = live.failed if not codes else sum(live.errors.get(code, 0) for code in codes)
        return failed / live.requests

    def take(scene: Scene) -> Sequence[float | None]:
        return [None if each is None or each.requests < least else rate(each) for each in scene.live(window)]

    how = f" with {' or '.join(codes)}" if codes else ""
    return Measure(
        f"error_rate.{window}.{least}.{','.join(codes)}",
        take,
        lambda share: f"fails {format_share(round(share, 3))} of calls in {window}{how}",
        lambda scene, at: unmeasured(scene, at, window, least),
        live=True,
        basis=Basis.WINDOWS,
    )


def read(reader: Reader) -> Measured:
    """Over or under a share of all calls."""
    mine = reader.child(KIND)
    window = read_window(mine, Window.MINUTE)
    least = mine.value("min_requests", SOME, LEAST)
    codes = mine.several("code", TEXT)
    found = read_bounds(mine, {"": (error_rate(window, least, codes), SHARE)})
    mine.finish()
    return found
