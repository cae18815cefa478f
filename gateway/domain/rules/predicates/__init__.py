"""Predicates: claims about one candidate, by which `keep`, `drop` and `prefer` choose. One file each.

To add one, write its file (a `KIND`, a `read`) and name it in `_KINDS`.
"""

from __future__ import annotations

from types import MappingProxyType

from gateway.domain.rules.predicates import (
    availability,
    capability,
    context_window,
    error_rate,
    expr,
    kind,
    latency,
    load,
    name,
    price,
    provider,
    quality,
    size,
    spend,
    tagged,
    throughput,
)
from gateway.domain.rules.predicates.composed import All, Any, Not
from gateway.domain.rules.predicates.predicate import Predicate
from gateway.domain.rules.reading import Reader

_KINDS = (
    availability,
    capability,
    context_window,
    error_rate,
    expr,
    kind,
    latency,
    load,
    name,
    price,
    provider,
    quality,
    size,
    spend,
    tagged,
    throughput,
)
PREDICATES = MappingProxyType({each.KIND: each.read for each in _KINDS})
"""How each kind of predicate is read, by its word."""
_COMPOSED = ("all", "any", "not")


def read_predicate(reader: Reader) -> Predicate:
    """Read an object of predicates: all that stand side by side must hold."""
    parts: list[Predicate] = []
    for word in reader.names():
        if word in PREDICATES:
            parts.append(PREDICATES[word](reader))
        elif word == "not":
            parts.append(Not(read_predicate(reader.child(word))))
        elif word in _COMPOSED:
            some = tuple(read_predicate(each) for each in reader.children(word, "predicates"))
            parts.append(All(some) if word == "all" else Any(some))
    reader.finish(*PREDICATES, *_COMPOSED)
    reader.nonempty("tagged { location = on-prem }")
    return parts[0] if len(parts) == 1 else All(tuple(parts))


__all__ = ["PREDICATES", "Predicate", "read_predicate"]
