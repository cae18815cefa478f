"""What one state of the registry offers: the models that words stand for, and the prices in force, each found once.

Who asks for the same is given the same object: by that, decisions know again what they found out about it before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from typing_extensions import override

from gateway.domain.inference import Kind
from gateway.domain.prices import Price
from gateway.domain.registry import Model, Registry
from gateway.domain.tags import TagExpression

_KEPT: Final = 1_024  # callers make up names and selections: what they can fill is bounded


class Offered:
    """What one state of the registry offers, by kind, name, grant and selection."""

    def __init__(self, registry: Registry) -> None:
        """Nobody has asked yet."""
        self.registry = registry
        self._by_kind: dict[Kind, tuple[Model, ...]] = {}
        self._kept: dict[object, tuple[Model, ...]] = {}
        self._tagged: dict[tuple[int, TagExpression], tuple[tuple[Model, ...], tuple[Model, ...]]] = {}

    def of(self, kind: Kind) -> tuple[Model, ...]:
        """The enabled models of a kind, by name."""
        found = self._by_kind.get(kind)
        if found is None:
            named = sorted(self.registry.models.items())
            found = self._by_kind[kind] = tuple(m for _, m in named if m.enabled and m.serves(kind))
        return found

    def named(self, kind: Kind, name: str) -> tuple[Model, ...]:
        """Those that a name or an alias stands for, in its order."""
        found = self._kept.get((kind, name))
        if found is None:
            models = self.registry.models
            names = (name,) if name in models else self.registry.aliases.get(name, ())
            found = self._keep((kind, name), _of_kind((models.get(each) for each in names), kind))
        return found

    def granted(self, kind: Kind, names: frozenset[str]) -> tuple[Model, ...]:
        """Those of some names, by name."""
        found = self._kept.get((kind, names))
        if found is None:
            models = (self.registry.models.get(name) for name in sorted(names))
            found = self._keep((kind, names), _of_kind(models, kind))
        return found

    def tagged(self, models: tuple[Model, ...], wanted: TagExpression) -> tuple[Model, ...]:
        """Those of some models with some tags."""
        key = id(models), wanted
        kept = self._tagged.get(key)
        if kept is None:
            # The models are kept too, so that no others can come by their id.
            kept = models, tuple(model for model in models if wanted.holds(model.all_tags))
            if len(self._tagged) >= _KEPT:
                del self._tagged[next(iter(self._tagged))]
            self._tagged[key] = kept
        return kept[1]

    def _keep(self, key: object, models: tuple[Model, ...]) -> tuple[Model, ...]:
        if len(self._kept) >= _KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = models
        return models


def _of_kind(models: Iterable[Model | None], kind: Kind) -> tuple[Model, ...]:
    return tuple([m for m in models if m is not None and m.enabled and m.serves(kind)])


class PricesAt(Mapping[str, Price]):
    """The prices in force at a moment, looked up when a rule asks: most requests ask for few of many."""

    __slots__ = ("_at", "_known", "_registry", "_since", "_until")

    def __init__(self, registry: Registry, at: datetime) -> None:
        """They are these from the last change of any price until the next."""
        self._registry = registry
        self._at = at
        changes = [price.since for dated in registry.prices.prices.values() for price in dated if price.since]
        self._since = max((moment for moment in changes if moment <= at), default=None)
        self._until = min((moment for moment in changes if moment > at), default=None)
        self._known: dict[str, Price | None] = {}

    def hold(self, registry: Registry, at: datetime) -> bool:
        """Whether a state of the registry has the same prices at another moment."""
        return (
            self._registry is registry
            and (self._since is None or self._since <= at)
            and (self._until is None or at < self._until)
        )

    @override
    def __getitem__(self, name: str) -> Price:
        price = self.get(name)
        if price is None:
            raise KeyError(name)
        return price

    @override
    def get(self, key: str, default: Any = None) -> Any:
        if key in self._known:
            price = self._known[key]
        else:
            model = self._registry.models.get(key)
            if model is None:
                return default
            price = self._known[key] = self._registry.price(model, self._at)
        return default if price is None else price

    @override
    def __iter__(self) -> Iterator[str]:
        return (name for name in self._registry.models if name in self)

    @override
    def __len__(self) -> int:
        return sum(1 for _ in self)
