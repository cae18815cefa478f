"""Everything a decision may know, frozen when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from gateway.domain.health import LiveFacts
from gateway.domain.inference import Kind, Mode
from gateway.domain.prices import Price
from gateway.domain.registry import Capability, Model


@dataclass(frozen=True, slots=True)
class Failed:
    """A model that was tried for this request and failed."""

    model: str
    code: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """The request as rules see it: never its text. `input_tokens` is an estimate; `needs` what a model must be able to.

    `conversation` is the same for all requests of one conversation (for sticky splits); empty where nothing tells.
    `select` is a tag expression that models must fulfil, beside what `model` says.
    """

    model: str = ""
    kind: Kind = Kind.CHAT
    mode: Mode = Mode.SYNC
    door: str = "rest"
    endpoint: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    input_tokens: int = 0
    max_output: int | None = None
    body_bytes: int = 0
    needs: frozenset[Capability] = frozenset()
    images: int = 0
    conversation: str = ""
    prefer: str = ""  # "cost", "latency" or "quality": what the caller would rather have
    exclude: tuple[str, ...] = ()
    max_cost_usd: Decimal | None = None
    select: str = ""


@dataclass(frozen=True, slots=True)
class Asking:
    """The caller as rules see it."""

    id: str = ""
    name: str = ""
    kind: str = "agent"
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GatewayLoad:
    """The gateway as a whole: the requests this process is answering, and how many it takes at most."""

    in_flight: int = 0
    max_in_flight: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when a model is chosen. `candidates` are admitted for the name, in order, and allowed the caller.

    One that is draining is among them only for a request that was accepted for it. `prices` by model name are those in
    force; a model without one has an unknown price. `roll` in [0, 1) is the decision's only dice and `observed_at` its
    only clock. Live facts say how old they are.
    """

    asked: Asked
    candidates: tuple[Model, ...]
    observed_at: datetime
    caller: Asking = field(default_factory=Asking)
    failed: tuple[Failed, ...] = ()
    prices: Mapping[str, Price] = field(default_factory=dict)
    live: LiveFacts = field(default_factory=LiveFacts)
    gateway: GatewayLoad = field(default_factory=GatewayLoad)
    registry_version: str = ""
    roll: float = 0.0
