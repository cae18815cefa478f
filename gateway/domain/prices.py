"""What tokens cost: exact decimals, dated; an unknown price stays unknown and is never taken for nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from gateway.domain.inference import Usage

MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost in USD; cached input costs like any input where no other price is known."""

    input_usd: Decimal
    output_usd: Decimal
    cached_input_usd: Decimal | None = None
    since: datetime | None = None

    def cost(self, usage: Usage) -> Decimal:
        """The exact cost of `usage` in USD, unrounded."""
        cached = min(usage.cached, usage.input)
        cached_usd = self.input_usd if self.cached_input_usd is None else self.cached_input_usd
        return (
            (usage.input - cached) * self.input_usd + cached * cached_usd + usage.output * self.output_usd
        ) / MILLION


def cost_of(price: Price | None, usage: Usage | None) -> Decimal | None:
    """The cost in USD, or None when the price or the usage is not known."""
    return None if price is None or usage is None else price.cost(usage)


@dataclass(frozen=True, slots=True)
class PriceBook:
    """The dated prices of models by name, each list oldest first; a price without `since` has always been."""

    prices: Mapping[str, tuple[Price, ...]] = field(default_factory=dict)

    def at(self, model: str, moment: datetime) -> Price | None:
        """The price of a model in force at a moment."""
        found = None
        for price in self.prices.get(model, ()):
            if price.since is not None and price.since > moment:
                break
            found = price
        return found
