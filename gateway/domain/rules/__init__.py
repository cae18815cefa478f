"""Deciding which model is called: pure and deterministic, at the door and in the workflow alike."""

from gateway.domain.rules.decide import Decision, decide, next_choice
from gateway.domain.rules.facts import Facts, Failed

__all__ = ["Decision", "Facts", "Failed", "decide", "next_choice"]
