"""What the candidates did in a sliding window, for the predicates that ask about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from gateway.domain.health import Window
from gateway.domain.rules.reading import Kind, Reader
from gateway.domain.rules.scene import Scene

_BY_LENGTH = {window.length: window for window in Window}


def _window(raw: Any) -> Window:
    if isinstance(raw, timedelta) and raw in _BY_LENGTH:
        return _BY_LENGTH[raw]
    return Window(raw)


WINDOW = Kind(
    "one of the windows 10s, 1m, 5m or 1h",
    _window,
    lambda window: window.value,
    tuple(each.value for each in Window),
)


def read_window(reader: Reader, otherwise: Window = Window.FIVE_MINUTES) -> Window:
    """The window that an object names."""
    return reader.value("window", WINDOW, otherwise)


def unmeasured(scene: Scene, at: int, window: Window, least: int) -> str:
    """Why nothing can be said of a candidate in a window."""
    if scene.stale is not None:
        return f"is not known: {scene.stale}"
    live = scene.live(window)[at]
    count = 0 if live is None else live.requests
    if count < least:
        return f"has had {count} requests in {window}, too few to say"
    return f"has not been measured in {window}"
