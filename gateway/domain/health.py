"""What is known of models and callers at this moment: the live facts that rules decide by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum


class Window(StrEnum):
    """A sliding window that ends now."""

    TEN_SECONDS = "10s"
    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    HOUR = "1h"

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return _LENGTHS[self]


_LENGTHS = {
    Window.TEN_SECONDS: timedelta(seconds=10),
    Window.MINUTE: timedelta(minutes=1),
    Window.FIVE_MINUTES: timedelta(minutes=5),
    Window.HOUR: timedelta(hours=1),
}


class Breaker(StrEnum):
    """A model's circuit breaker: open lets nothing through, half-open one probe from real traffic at a time."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Live:
    """One window of one model, over all replicas. Percentiles are milliseconds, None where nothing was measured.

    `errors` counts attempts that failed by the model's fault (not the caller's, not cancelled), by their code.
    `tokens_per_second` is the median speed of answers; `tokens` counts input and output.
    """

    requests: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    first_token_p50_ms: float | None = None
    first_token_p95_ms: float | None = None
    tokens_per_second: float | None = None
    tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    @property
    def failed(self) -> int:
        """How many attempts failed by the model's fault."""
        return sum(self.errors.values())

    @property
    def error_rate(self) -> float | None:
        """Their share of all attempts, 0 to 1; None when there were none."""
        return self.failed / self.requests if self.requests else None


@dataclass(frozen=True, slots=True)
class ModelHealth:
    """What is known of one model: its windows, what it is at over all replicas, and its breaker.

    A breaker is half-open only while it waits for a probe: once a request goes to the model, it is open for all others
    until that one has ended. `breaker_since` is when it opened, or closed again, and `breaker_reason` why it opened;
    `next_probe_at` is from when on an open one lets a request through. `probe_ok` is what the last active probe said,
    where probes are on.
    """

    windows: Mapping[Window, Live] = field(default_factory=dict)
    in_flight: int = 0
    breaker: Breaker = Breaker.CLOSED
    probe_ok: bool | None = None
    breaker_since: datetime | None = None
    breaker_reason: str = ""
    next_probe_at: datetime | None = None
    probe_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """One window of one caller, over all replicas."""

    requests: int = 0
    tokens: int = 0
    cost_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """The live facts of one moment. `as_of` is when all replicas' facts were last read; None before the first time.

    `models` by name and `callers` by id hold only those that anything is known of; `budget_used` is the share (1.0 is
    all) of their budget that callers have spent in its period, of callers that have one. `replicas` are the processes
    whose facts are in these. `serve_all_open` says by setting that when the breakers of all candidates are open, the
    request goes to the one that is tried again soonest, rather than to none.
    """

    as_of: datetime | None = None
    models: Mapping[str, ModelHealth] = field(default_factory=dict)
    callers: Mapping[str, Mapping[Window, Use]] = field(default_factory=dict)
    budget_used: Mapping[str, float] = field(default_factory=dict)
    replicas: tuple[str, ...] = ()
    serve_all_open: bool = False

    def age(self, now: datetime) -> timedelta | None:
        """How old they are."""
        return None if self.as_of is None else max(timedelta(0), now - self.as_of)
