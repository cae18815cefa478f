"""Who asks, and what they may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from gateway.domain.errors import Forbidden


class CallerKind(StrEnum):
    """What kind of party a caller is."""

    AGENT = "agent"
    PERSON = "person"
    SERVICE = "service"


class Right(StrEnum):
    """One named permission. `prompts.read` stands apart from `requests.read`: text from metadata."""

    INFER = "infer"
    JOBS_ALL = "jobs.all"  # see and cancel other callers' jobs
    MODELS_READ = "models.read"  # operational details of models
    MODELS_WRITE = "models.write"
    RULES_READ = "rules.read"
    RULES_WRITE = "rules.write"
    PRICES_WRITE = "prices.write"
    USAGE_READ = "usage.read"  # every caller's usage; one's own needs no right
    REQUESTS_READ = "requests.read"  # every caller's requests, without their text
    PROMPTS_READ = "prompts.read"  # the text too
    ACCESS_WRITE = "access.write"  # callers and keys


ALL_RIGHTS = frozenset(Right)
AGENT_RIGHTS = frozenset({Right.INFER})


class Period(StrEnum):
    """What a budget is for: a calendar day or month in UTC."""

    DAY = "day"
    MONTH = "month"

    def start(self, moment: datetime) -> datetime:
        """When the period began that a moment (in UTC) lies in."""
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        return day if self is Period.DAY else day.replace(day=1)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a caller may spend in each period."""

    usd: Decimal
    period: Period = Period.MONTH

    def used(self, spent: Decimal) -> float:
        """The share that `spent` is of it, 1.0 being all; of a budget of nothing it is all from the start."""
        return float(spent / self.usd) if self.usd else 1.0


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. `models` holds the names and aliases it may use; None means every one.

    `subjects` are patterns of NATS subjects that its jobs may be published to, beside its own.
    """

    id: str
    name: str
    kind: CallerKind
    rights: frozenset[Right]
    models: frozenset[str] | None = None
    key_id: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    budget: Budget | None = None
    subjects: tuple[str, ...] = ()

    def may(self, right: Right) -> bool:
        """Whether the caller has the right."""
        return right in self.rights

    def require(self, right: Right) -> None:
        """Raise Forbidden, naming the right, unless the caller has it."""
        if right not in self.rights:
            raise Forbidden(f"Your key does not carry the right `{right.value}`.")

    def may_use(self, model: str) -> bool:
        """Whether the caller may ask for this model name or alias."""
        return self.models is None or model in self.models


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as it is kept: the SHA-256 of the secret (32 bytes) and its last four characters, never the secret."""

    id: str
    caller_id: str
    digest: bytes
    last_four: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    note: str = ""
