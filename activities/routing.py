"""Looking at the world before a decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from temporalio import activity

from gateway.domain.inference import Kind
from gateway.domain.registry import Registry


@dataclass(frozen=True, slots=True)
class Look:
    """What a decision is to be made about: the candidates that were admitted when the request was accepted."""

    asked: str
    kind: Kind
    candidates: tuple[str, ...]
    rules_version: str = ""

    @property
    def told(self) -> str:
        """The same in a line."""
        return f"{self.asked} admits {', '.join(self.candidates) or 'nothing'}"


@dataclass(frozen=True, slots=True)
class Route:
    """The candidates that can be called now, in order, and what was found in one line each."""

    candidates: tuple[str, ...]
    rules_version: str
    lines: tuple[str, ...]


class RoutingActivities:
    """Observes the registry (and later the live facts) for the workflow's decisions."""

    def __init__(self, registry: Callable[[], Registry]) -> None:
        """`registry` gives the state in force."""
        self._registry = registry

    @activity.defn(name="route")
    async def route(self, look: Look) -> Route:
        """Which of the admitted candidates are there, enabled and of the right kind."""
        registry = self._registry()
        left: list[str] = []
        lines = [look.told]
        for name in look.candidates:
            model = registry.models.get(name)
            if model is not None and model.enabled and model.kind is look.kind:
                left.append(name)
            else:
                lines.append(f"{name} can no longer be called")
        return Route(tuple(left), look.rules_version or registry.version, tuple(lines))
