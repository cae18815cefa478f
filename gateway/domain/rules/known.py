"""What was found out about some candidates, and what that rests on: it holds until that changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from operator import is_
from typing import Any

from gateway.domain.prices import Price
from gateway.domain.registry import Model

_MOST_ENTRIES = 1_024


class Basis(IntEnum):
    """What an answer about a candidate rests on. Each one rests on those before it, too."""

    MODELS = 0
    """On what the registry says of the candidates."""
    PRICES = 1
    """On the prices in force."""
    WINDOWS = 2
    """On what candidates did in their sliding windows: that changes once a second."""
    REQUEST = 3
    """On the request, on its caller, or on what goes on at this moment: never the same twice."""


class Known:
    """What was found out about some candidates, by what it rests on."""

    __slots__ = ("_measured", "_priced", "_prices", "_windows", "candidates", "models")

    def __init__(self, candidates: tuple[Model, ...]) -> None:
        """Nothing is known yet."""
        self.candidates = candidates
        self.models: dict[Any, Any] = {}
        self._prices: Mapping[str, Price] | None = None
        self._priced: dict[Any, Any] = {}
        self._windows: Sequence[object] = ()
        self._measured: dict[Any, Any] = {}

    def priced_by(self, prices: Mapping[str, Price]) -> dict[Any, Any]:
        """What holds by these prices."""
        if self._prices is not prices:
            self._prices, self._priced, self._measured = prices, {}, {}
        return self._priced

    def measured_by(self, windows: Sequence[object]) -> dict[Any, Any]:
        """What holds by these windows of the candidates."""
        if len(self._windows) != len(windows) or not all(map(is_, self._windows, windows)):
            self._windows, self._measured = windows, {}
        return self._measured

    def prune(self) -> None:
        """Forget, where it has become too much: the kinds of requests are many."""
        for table in (self.models, self._priced, self._measured):
            if len(table) > _MOST_ENTRIES:
                table.clear()
