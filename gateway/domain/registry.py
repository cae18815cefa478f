"""The models the gateway knows, and which of them a name stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from gateway.domain.identity import Caller
from gateway.domain.inference import Kind
from gateway.domain.operations import Operation
from gateway.domain.prices import Price, PriceBook
from gateway.domain.tags import TagExpression


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a model's upstream may take; None leaves it to the gateway's defaults."""

    connect: timedelta | None = None
    first_byte: timedelta | None = None
    total: timedelta | None = None


class Capability(StrEnum):
    """What a model can do beside answering."""

    TOOLS = "tools"
    PARALLEL_TOOLS = "parallel_tools"
    VISION = "vision"
    AUDIO = "audio"
    STRUCTURED_OUTPUT = "structured_output"
    REASONING = "reasoning"
    STREAMING = "streaming"
    LOGPROBS = "logprobs"


class ModelState(StrEnum):
    """Whether a model takes requests: draining finishes what was accepted for it, disabled is called no more."""

    ENABLED = "enabled"
    DRAINING = "draining"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """How much a model may be asked over all replicas; None is no limit."""

    concurrency: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be called. `credential` is a reference (`env:NAME`, `file:/path`, `stored:ID`), never a secret.

    `credential_for` is the origin (`https://host:443`) that the credential was given for and goes to alone; empty where
    a model was made by hand. `capabilities` None means that nobody has said: the model is taken to be able to do
    anything. `quality` is a score from 0 to 1. `size` is a word such as small, medium or large; as a tag it is found
    under `size`. `operations` are those that its provider can be asked for, found out where the registry is put in
    force; None where nobody has.
    """

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
    capabilities: frozenset[Capability] | None = None
    size: str | None = None
    quality: float | None = None
    limits: ModelLimits = field(default_factory=ModelLimits)
    state: ModelState = ModelState.ENABLED
    notes: str = ""
    version: int = 0
    credential_for: str = ""
    operations: frozenset[Operation] | None = field(default=None, compare=False)

    @property
    def enabled(self) -> bool:
        """Whether it takes new requests."""
        return self.state is ModelState.ENABLED

    @property
    def callable(self) -> bool:
        """Whether it may still be called for requests that were accepted for it."""
        return self.state is not ModelState.DISABLED

    def serves(self, kind: Kind) -> bool:
        """Whether it can be asked for this: servers of a chat model mostly complete plain prompts with it, too."""
        return self.kind is kind or (kind is Kind.COMPLETION and self.kind is Kind.CHAT)

    def offers(self, endpoint: str, kind: Kind) -> bool:
        """Whether it can be asked for an operation of this kind, as far as anybody knows what its provider speaks."""
        if self.operations is None or not endpoint:
            return self.serves(kind)
        return endpoint in self.operations

    @property
    def all_tags(self) -> Mapping[str, str]:
        """Its tags, its size among them."""
        return self.tags if self.size is None or "size" in self.tags else {**self.tags, "size": self.size}


AUTO = "auto"
"""Asked for by this name, every model of the kind is a candidate."""
BY_TAGS = "tags:"
"""Asked for by this prefix and a tag expression, every model of the kind with those tags is a candidate."""


@dataclass(frozen=True, slots=True)
class Registry:
    """One immutable state of all models, aliases and prices; `version` names it in headers and ledger rows."""

    models: Mapping[str, Model]
    aliases: Mapping[str, tuple[str, ...]]
    version: str
    prices: PriceBook = field(default_factory=PriceBook)

    def candidates(self, asked: str, kind: Kind, caller: Caller) -> tuple[Model, ...]:
        """The enabled models of this kind that the name or alias stands for, in order; empty if the caller may not."""
        if not caller.may_use(asked):
            return ()
        names = (asked,) if asked in self.models else self.aliases.get(asked, ())
        found = (self.models[name] for name in names if name in self.models)
        return tuple(model for model in found if model.enabled and model.serves(kind))

    def tagged(self, wanted: TagExpression, kind: Kind, caller: Caller) -> tuple[Model, ...]:
        """The enabled models of this kind with these tags that the caller may use, by name."""
        return tuple(
            model
            for _, model in sorted(self.models.items())
            if model.enabled
            and model.serves(kind)
            and caller.may_use(model.name)
            and wanted.holds(model.all_tags)
        )

    def price(self, model: Model, at: datetime) -> Price | None:
        """What the model costs at a moment; None where nobody knows."""
        dated = self.prices.says(model.name, at)
        if dated is None:
            return model.price
        return dated if dated.known else None

    def names_for(self, caller: Caller) -> tuple[str, ...]:
        """Every name and alias this caller may ask for, sorted."""
        known = {name for name, model in self.models.items() if model.enabled} | set(self.aliases)
        return tuple(sorted(name for name in known if caller.may_use(name)))
