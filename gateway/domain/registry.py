"""The models the gateway knows, and which of them a name stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from gateway.domain.identity import Caller
from gateway.domain.inference import Kind
from gateway.domain.prices import Price


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a model's upstream may take; None leaves it to the gateway's defaults."""

    connect: timedelta | None = None
    first_byte: timedelta | None = None
    total: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be called. `credential` is a reference (`env:NAME`, `file:/path`), never a secret itself."""

    name: str
    provider: str
    base_url: str
    upstream_model: str
    kind: Kind = Kind.CHAT
    credential: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    price: Price | None = None
    context_window: int | None = None
    max_output: int | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    headers: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Registry:
    """One immutable state of all models and aliases; `version` names it in headers and ledger rows."""

    models: Mapping[str, Model]
    aliases: Mapping[str, tuple[str, ...]]
    version: str

    def candidates(self, asked: str, kind: Kind, caller: Caller) -> tuple[Model, ...]:
        """The enabled models of this kind that the name or alias stands for, in order; empty if the caller may not."""
        if not caller.may_use(asked):
            return ()
        names = (asked,) if asked in self.models else self.aliases.get(asked, ())
        found = (self.models[name] for name in names if name in self.models)
        return tuple(model for model in found if model.enabled and model.kind is kind)

    def names_for(self, caller: Caller) -> tuple[str, ...]:
        """Every name and alias this caller may ask for, sorted."""
        known = {name for name, model in self.models.items() if model.enabled} | set(self.aliases)
        return tuple(sorted(name for name in known if caller.may_use(name)))
