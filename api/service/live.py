"""What is known of a model at this moment, for those who look after models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.domain.errors import ModelNotFound
from gateway.domain.health import LiveFacts, ModelHealth
from gateway.domain.identity import Caller, Right
from gateway.domain.registry import Registry


@dataclass(frozen=True, slots=True)
class LiveModel:
    """The live facts of one model, with how old they are and whose they are."""

    model: str
    health: ModelHealth
    as_of: datetime | None
    age: timedelta | None
    replicas: tuple[str, ...]


class LiveService:
    """Shows what decisions know."""

    def __init__(self, registry: Callable[[], Registry], live: Callable[[], LiveFacts]) -> None:
        """Both give the state in force, from memory."""
        self._registry = registry
        self._live = live

    def get(self, caller: Caller, model: str) -> LiveModel:
        """One model's facts. Raises Forbidden without `models.read`, ModelNotFound for what is no model's name."""
        caller.require(Right.MODELS_READ)
        if model not in self._registry().models:
            raise ModelNotFound(f"There is no model `{model}`.", param="model")
        facts = self._live()
        health = facts.models.get(model, ModelHealth())
        return LiveModel(model, health, facts.as_of, facts.age(datetime.now(UTC)), facts.replicas)
