"""Deciding which model is called: pure and deterministic."""

from gateway.domain.rules.decide import decide
from gateway.domain.rules.decision import IDLE, Decision, Hedge, Refused, Shadow, Step, Terms
from gateway.domain.rules.facts import Asked, Asking, Facts, Failed, GatewayLoad
from gateway.domain.rules.known import Basis
from gateway.domain.rules.memory import Memory
from gateway.domain.rules.parse import Mistake, RulesMistaken, parse
from gateway.domain.rules.rule import Rule, RuleSet

__all__ = [
    "IDLE",
    "Asked",
    "Asking",
    "Basis",
    "Decision",
    "Facts",
    "Failed",
    "GatewayLoad",
    "Hedge",
    "Memory",
    "Mistake",
    "Refused",
    "Rule",
    "RuleSet",
    "RulesMistaken",
    "Shadow",
    "Step",
    "Terms",
    "decide",
    "parse",
]
