"""The models as callers see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.domain.errors import ModelNotFound
from gateway.domain.identity import Caller
from gateway.domain.registry import Registry
from gateway.router import Router

_SINCE = datetime(2026, 1, 1, tzinfo=UTC)  # the dialect wants a date for each model; a seed file tells none


@dataclass(frozen=True, slots=True)
class Offer:
    """A name that a caller may ask for: a model's own, an alias, or `auto`."""

    id: str
    owned_by: str
    created: datetime = _SINCE
    context_window: int | None = None
    max_output: int | None = None


class ModelsService:
    """Tells a caller what it may use, and nothing of anything else."""

    def __init__(self, registry: Callable[[], Registry], router: Router) -> None:
        """`registry` gives the state in force; `router` knows what can be asked for in it."""
        self._registry = registry
        self._router = router

    def find(self, caller: Caller) -> tuple[Offer, ...]:
        """All names and aliases that this caller may use, and `auto`."""
        registry = self._registry()
        return tuple(_offer(registry, name) for name in self._router.names_for(caller))

    def get(self, caller: Caller, name: str) -> Offer:
        """One of them. Raises ModelNotFound, alike for what is unknown and what is not allowed."""
        registry = self._registry()
        if name not in self._router.names_for(caller):
            raise ModelNotFound(
                f"The model `{name}` does not exist or you do not have access to it.", param="model"
            )
        return _offer(registry, name)


def _offer(registry: Registry, name: str) -> Offer:
    model = registry.models.get(name)
    if model is None:
        return Offer(name, "llm-gateway")
    return Offer(name, model.provider, context_window=model.context_window, max_output=model.max_output)
