"""`spend { usd_over = 5.00, window = 1h }`: what the candidate has cost of late, for all callers together."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from gateway.domain.health import Window
from gateway.domain.rules.bounds import Measure, Measured, read_bounds
from gateway.domain.rules.known import Basis
from gateway.domain.rules.reading import USD, Reader
from gateway.domain.rules.scene import Scene
from gateway.domain.rules.windows import read_window, unmeasured

KIND = "spend"


def _spend(window: Window) -> Measure:
    def take(scene: Scene) -> Sequence[Decimal | None]:
        return [None if each is None else each.cost_usd for each in scene.live(window)]

    return Measure(
        f"spend.{window}",
        take,
        lambda usd: f"has cost ${usd:.2f} in {window}",
        lambda scene, at: unmeasured(scene, at, window, 0),
        live=True,
        basis=Basis.WINDOWS,
    )


def read(reader: Reader) -> Measured:
    """Over or under US dollars in a window."""
    mine = reader.child(KIND)
    window = read_window(mine, Window.HOUR)
    found = read_bounds(mine, {"usd": (_spend(window), USD)})
    mine.finish()
    return found
