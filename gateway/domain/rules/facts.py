"""Everything a decision may know, frozen when it is made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Failed:
    """A model that was tried for this request and failed."""

    model: str
    code: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when a model is chosen. `candidates` are admitted for the name, in order, and allowed the caller.

    `roll` in [0, 1) is the decision's only dice and `observed_at` its only clock.
    """

    asked: str
    candidates: tuple[str, ...]
    observed_at: datetime
    failed: tuple[Failed, ...] = ()
    rules_version: str = "seed"
    roll: float = 0.0
