"""What one replica tells the others once a second: only what has changed since it last told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.domain.breaker import BreakerState
from gateway.live.budgets import BudgetTold
from gateway.live.counts import CallerCounts, ModelCounts


class ProbeTold(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What the last active probe of a model said, and when (in seconds of the shared time)."""

    ok: bool
    at: float


class Delta(msgspec.Struct, array_like=True, gc=False):
    """What was counted in one second, by model and by caller id; what this replica is at now; what it changed or read.

    Fields are told apart by their order: new ones come last and with a default, so that two versions understand each
    other while one replaces the other.
    """

    models: dict[str, ModelCounts]
    callers: dict[str, CallerCounts]
    in_flight: dict[str, int]
    breakers: dict[str, BreakerState]
    leaving: bool = False
    budgets: dict[str, BudgetTold] = msgspec.field(default_factory=dict[str, BudgetTold])
    probes: dict[str, ProbeTold] = msgspec.field(default_factory=dict[str, ProbeTold])

    @property
    def empty(self) -> bool:
        """Whether it says nothing but that its replica is there."""
        return not any(
            (
                self.models,
                self.callers,
                self.in_flight,
                self.breakers,
                self.leaving,
                self.budgets,
                self.probes,
            )
        )

    def add(self, later: Delta) -> None:
        """Make one of this and the one that came after it."""
        self.add_counts(later)
        self.in_flight = later.in_flight
        self.breakers = {**self.breakers, **later.breakers}
        self.leaving = later.leaving
        self.budgets = {**self.budgets, **later.budgets}
        self.probes = {**self.probes, **later.probes}

    def add_counts(self, other: Delta) -> None:
        """Add what was counted, whenever it was."""
        for model, counts in other.models.items():
            self.models.setdefault(model, ModelCounts()).add(counts)
        for caller, spent in other.callers.items():
            self.callers.setdefault(caller, CallerCounts()).add(spent)


def no_delta() -> Delta:
    """What a replica tells when nothing happened."""
    return Delta({}, {}, {}, {})


@dataclass(frozen=True, slots=True)
class Report:
    """What another replica told of a moment, in seconds of the shared time."""

    replica: str
    at: float
    delta: Delta


encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(Delta)


def decode(told: bytes) -> Delta | None:
    """What was told; None if a replica of a later version tells it in a way that is not understood here."""
    try:
        return _decoder.decode(told)
    except msgspec.MsgspecError:
        return None
