"""`gateway { load { over = 80% } }`: how much this process of the gateway is answering."""

from __future__ import annotations

from gateway.domain.rules.conditions.condition import Amount, Condition
from gateway.domain.rules.conditions.request import read_bounds
from gateway.domain.rules.reading import COUNT, SHARE, Reader
from gateway.domain.rules.scene import Scene
from gateway.domain.units import format_share

KIND = "gateway"


def read(reader: Reader) -> list[Condition]:
    """Its load as a share of what it takes, or as a number of requests."""
    mine = reader.child(KIND)
    found: list[Condition] = []
    if "load" in mine:
        found.append(
            Amount(
                "the gateway's load",
                _load,
                read_bounds(mine, "load", SHARE),
                lambda share: format_share(round(share, 3)),
                live=True,
            )
        )
    if "in_flight" in mine:
        found.append(
            Amount(
                "the number of requests in flight",
                lambda scene: scene.facts.gateway.in_flight,
                read_bounds(mine, "in_flight", COUNT),
                str,
                live=True,
            )
        )
    mine.finish("load", "in_flight")
    mine.nonempty("load { over = 80% }")
    return found


def _load(scene: Scene) -> float | None:
    at = scene.facts.gateway
    return at.in_flight / at.max_in_flight if at.max_in_flight else None
