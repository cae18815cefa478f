"""A set of rules, as it is in force: one immutable version."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RuleSet:
    """One version of the rules. Without any, models are called in the order of the name that was asked for."""

    version: str = "none"
