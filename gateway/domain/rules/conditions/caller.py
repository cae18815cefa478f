"""`caller { … }`: who asks, and what they have used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from gateway.domain.health import Use, Window
from gateway.domain.identity import CallerKind
from gateway.domain.rules.bounds import Bound
from gateway.domain.rules.conditions.composed import All
from gateway.domain.rules.conditions.condition import Among, Amount, Condition, Tags
from gateway.domain.rules.conditions.request import read_bounds
from gateway.domain.rules.matching import Names, read_names, read_tags
from gateway.domain.rules.reading import COUNT, SHARE, TOKENS, USD, Kind, Reader, one_of
from gateway.domain.rules.scene import Scene
from gateway.domain.rules.windows import read_window
from gateway.domain.units import format_share

KIND = "caller"
_NO_USE = Use()


def read(reader: Reader) -> list[Condition]:
    """All that is said of the caller."""
    mine = reader.child(KIND)
    found = [read_part(mine, word) for word, read_part in PARTS.items() if word in mine]
    mine.finish(*PARTS)
    mine.nonempty("name = agent-1")
    return found


def _budget_used(scene: Scene) -> float | None:
    if scene.facts.live.as_of is None:
        return None
    # Who has no budget cannot have used any of it.
    return scene.facts.live.budget_used.get(scene.facts.caller.id, 0.0)


def _budget(reader: Reader, name: str) -> Condition:
    return Amount(
        "the caller's budget",
        _budget_used,
        read_bounds(reader, name, SHARE),
        lambda share: f"{format_share(round(share, 3))} spent",
        lambda _scene: "is not known: no live facts are there yet",
        live=True,
    )


_USED: Mapping[str, tuple[Kind[Any], Callable[[Use], int | Decimal]]] = {
    "requests": (COUNT, lambda use: use.requests),
    "tokens": (TOKENS, lambda use: use.tokens),
    "cost_usd": (USD, lambda use: use.cost_usd),
}


def _use(reader: Reader, name: str) -> Condition:
    """`use { window = 1m, requests_over = 100 }`."""
    mine = reader.child(name)
    window = read_window(mine, Window.MINUTE)
    found: list[Condition] = []
    for word, (kind, take) in _USED.items():
        bounds: list[Bound] = []
        for side in ("over", "under"):
            limit = mine.optional(f"{word}_{side}", kind)
            if limit is not None:
                bounds.append(Bound(limit, side == "under", str(mine.said[f"{word}_{side}"])))
        if bounds:
            found.append(_used(word, window, take, tuple(bounds)))
    mine.finish()
    if not found and not {*mine.names()} - {"window"}:
        mine.wrong("", "needs a bound such as requests_over; got none")
    return found[0] if len(found) == 1 else All(tuple(found))


def _used(
    word: str, window: Window, take: Callable[[Use], int | Decimal], bounds: tuple[Bound, ...]
) -> Condition:
    def used(scene: Scene) -> int | Decimal | None:
        if scene.stale is not None:
            return None
        return take(scene.facts.live.callers.get(scene.facts.caller.id, {}).get(window, _NO_USE))

    return Amount(
        f"the caller's use of {word.replace('_', ' ')} in {window}",
        used,
        bounds,
        str,
        lambda scene: f"is not known: {scene.stale}",
        live=True,
    )


PARTS: dict[str, Callable[[Reader, str], Condition]] = {
    "name": lambda reader, name: Among(
        "the caller", lambda facts: facts.caller.name, read_names(reader, name)
    ),
    "id": lambda reader, name: Among(
        "the caller's id", lambda facts: facts.caller.id, read_names(reader, name)
    ),
    "kind": lambda reader, name: Among(
        "the caller's kind",
        lambda facts: facts.caller.kind,
        Names(tuple(each.value for each in reader.several(name, one_of(CallerKind)))),
    ),
    "tags": lambda reader, name: Tags(
        "the caller's tags", lambda facts: facts.caller.tags, read_tags(reader, name)
    ),
    "budget_used": _budget,
    "use": _use,
}
