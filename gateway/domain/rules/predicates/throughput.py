"""`throughput { tokens_per_second_under = 20 }`: how fast the candidate answers, and how much passes through it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.domain.health import Window
from gateway.domain.rules.bounds import Measure, Measured, read_bounds
from gateway.domain.rules.known import Basis
from gateway.domain.rules.reading import NUMBER, RATE, SOME, Reader
from gateway.domain.rules.scene import Scene
from gateway.domain.rules.windows import read_window, unmeasured
from gateway.domain.units import format_number

KIND = "throughput"
LEAST = 5
"""Fewer requests than this in the window, and the speed of its answers says nothing."""


def speed(window: Window, least: int = LEAST) -> Measure:
    """The median speed of answers in a window, in tokens a second."""

    def take(scene: Scene) -> Sequence[float | None]:
        return [
            None if each is None or each.requests < least else each.tokens_per_second
            for each in scene.live(window)
        ]

    return Measure(
        f"speed.{window}.{least}",
        take,
        lambda value: f"answers {value:.1f} tokens/s in {window}",
        lambda scene, at: unmeasured(scene, at, window, least),
        live=True,
        basis=Basis.WINDOWS,
    )


def _flow(window: Window, what: str) -> Measure:
    seconds = window.length.total_seconds()

    def take(scene: Scene) -> Sequence[float | None]:
        live = scene.live(window)
        if what == "requests":
            return [None if each is None else each.requests / seconds for each in live]
        return [None if each is None else each.tokens / seconds for each in live]

    return Measure(
        f"flow.{what}.{window}",
        take,
        lambda rate: f"has {format_number(round(rate, 2))} {what}/s in {window}",
        lambda scene, at: unmeasured(scene, at, window, 0),
        live=True,
        basis=Basis.WINDOWS,
    )


def read(reader: Reader) -> Measured:
    """The speed of answers over or under a number, or requests or tokens over or under a rate."""
    mine = reader.child(KIND)
    window = read_window(mine, Window.MINUTE)
    least = mine.value("min_requests", SOME, LEAST)
    found = read_bounds(
        mine,
        {
            "tokens_per_second": (speed(window, least), NUMBER),
            "requests": (_flow(window, "requests"), RATE),
            "tokens": (_flow(window, "tokens"), RATE),
        },
    )
    mine.finish()
    return found
