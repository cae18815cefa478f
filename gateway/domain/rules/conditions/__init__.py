"""Conditions (`when`): claims about the request, its caller, the clock and the gateway, on which a rule hangs.

To add one, write its file (a `KIND`, a `read`) and name it in `_KINDS`.
"""

from __future__ import annotations

from types import MappingProxyType

from gateway.domain.rules.conditions import caller, expr, gateway, request, schedule
from gateway.domain.rules.conditions.composed import All, Any, Not
from gateway.domain.rules.conditions.condition import Condition
from gateway.domain.rules.reading import Reader

_KINDS = (caller, expr, gateway, request, schedule)
CONDITIONS = MappingProxyType({each.KIND: each.read for each in _KINDS})
"""How each kind of condition is read, by its word."""
_COMPOSED = ("all", "any", "not")


def read_condition(reader: Reader) -> Condition:
    """Read an object of conditions: all that stand side by side must hold."""
    parts: list[Condition] = []
    for word in reader.names():
        if word in CONDITIONS:
            parts.extend(CONDITIONS[word](reader))
        elif word == "not":
            parts.append(Not(read_condition(reader.child(word))))
        elif word in _COMPOSED:
            some = tuple(read_condition(each) for each in reader.children(word, "conditions"))
            parts.append(All(some) if word == "all" else Any(some))
    reader.finish(*CONDITIONS, *_COMPOSED)
    reader.nonempty("request.tags { data = confidential }")
    return parts[0] if len(parts) == 1 else All(tuple(parts))


__all__ = ["CONDITIONS", "Condition", "read_condition"]
