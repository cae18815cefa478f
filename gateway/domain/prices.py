"""What an attempt costs: exact decimals, dated prices; an unknown price stays unknown and is never taken for nothing.

How a usage is charged:

- Where any token price is known, every kind of token that was used needs its price, or the cost is unknown. Some prices
  are honestly another's: cached input costs like any input where no price of its own is known, reasoning like any
  output, and images in a prompt like its text. Audio, written caches and images that were made have no such price.
- Where no token price is known, the price is by request, image, GPU second, hour of audio, million characters or search
  unit, and tokens are in it.
- Images, seconds of audio, characters and search units that have no price of their own are in the tokens that stand for
  them, where tokens are charged; in the time of the GPU, or in a price by request alone.
- From a tier on, its prices hold for the whole request, as the providers that have tiers publish it.
- What is used and charged by nothing at all makes the cost unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from gateway.domain.inference import Attempt, Outcome, Usage

MILLION = Decimal(1_000_000)
_NOTHING: Final = Decimal(0)
_NO_USAGE: Final = Usage()
_ONE: Final = Decimal(1)
_HOUR: Final = Decimal(3600)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Tier:
    """What a million tokens cost in USD when a request's input is longer than `over` tokens; None: as below it."""

    over: int
    input_usd: Decimal | None = None
    output_usd: Decimal | None = None
    cached_input_usd: Decimal | None = None
    cache_write_usd: Decimal | None = None
    cache_write_1h_usd: Decimal | None = None
    reasoning_usd: Decimal | None = None
    audio_input_usd: Decimal | None = None
    audio_output_usd: Decimal | None = None
    image_input_usd: Decimal | None = None
    image_output_usd: Decimal | None = None

    def parts(self) -> dict[str, Decimal]:
        """What it says, by the names of its fields."""
        found = {part: getattr(self, part) for part in TOKEN_PARTS}
        return {part: usd for part, usd in found.items() if usd is not None}


TOKEN_PARTS: Final = tuple(f.name for f in fields(Tier) if f.name != "over")
"""The parts of a price that are USD for a million tokens."""
OTHER_PARTS: Final = (
    "image_usd",
    "request_usd",
    "gpu_second_usd",
    "audio_hour_usd",
    "million_characters_usd",
    "search_unit_usd",
)
"""The parts of a price with units of their own."""
PARTS: Final = TOKEN_PARTS + OTHER_PARTS


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs from `since` on (None: always). None stands for a price that is not known.

    The first ten are USD for a million tokens; then USD for one image made, one request, one second that the call took
    (of our own GPUs), one hour of audio, a million characters to be spoken, one search unit of a reranker.
    `cache_write_usd` is for a cache of five minutes or of no said time. A price that knows nothing is how the prices of
    a model end.
    """

    input_usd: Decimal | None = None
    output_usd: Decimal | None = None
    cached_input_usd: Decimal | None = None
    since: datetime | None = None
    cache_write_usd: Decimal | None = None
    cache_write_1h_usd: Decimal | None = None
    reasoning_usd: Decimal | None = None
    audio_input_usd: Decimal | None = None
    audio_output_usd: Decimal | None = None
    image_input_usd: Decimal | None = None
    image_output_usd: Decimal | None = None
    image_usd: Decimal | None = None
    request_usd: Decimal | None = None
    gpu_second_usd: Decimal | None = None
    audio_hour_usd: Decimal | None = None
    million_characters_usd: Decimal | None = None
    search_unit_usd: Decimal | None = None
    tiers: tuple[Tier, ...] = ()

    @property
    def known(self) -> bool:
        """Whether it says anything at all."""
        return any(getattr(self, part) is not None for part in PARTS) or bool(self.tiers)

    def parts(self) -> dict[str, Decimal]:
        """The prices that are known, by the names of their fields, without tiers."""
        found = {part: getattr(self, part) for part in PARTS}
        return {part: usd for part, usd in found.items() if usd is not None}

    def at_input(self, tokens: int) -> Price:
        """The price of a request with so many tokens of input: this one, or with what its highest tier says instead."""
        reached = [tier for tier in self.tiers if tokens > tier.over]
        if not reached:
            return self
        tier = max(reached, key=lambda tier: tier.over)
        said: dict[str, Any] = tier.parts()
        return replace(self, tiers=(), **said)

    def cost(self, usage: Usage, took: timedelta | None = None) -> Decimal | None:
        """The exact cost in USD, unrounded; None when a part of it is not known."""
        return self.bill(usage, took).usd

    def bill(self, usage: Usage, took: timedelta | None = None) -> Bill:
        """Charge each part of a usage, as the module says. `took` is how long the call was, for GPU seconds."""
        price = self.at_input(usage.input) if self.tiers else self
        by_token = (
            price.input_usd is not None
            or price.output_usd is not None
            or any(getattr(price, part) is not None for part in TOKEN_PARTS)
        )
        charges: list[Charge] = []
        if by_token:
            _charge_input(charges, price, usage)
            _charge_output(charges, price, usage)
        if price.gpu_second_usd is not None:
            seconds = None if took is None else Decimal(took // _MICROSECOND) / MILLION
            charges.append(Charge("gpu_second_usd", seconds, _ONE, price.gpu_second_usd))
        if price.request_usd is not None:
            charges.append(Charge("request_usd", 1, _ONE, price.request_usd))
        if usage.images or usage.seconds or usage.characters or usage.search_units:
            _charge_media(charges, price, usage, by_token=by_token)
        if not charges and (usage.input or usage.output):
            part, amount = ("input_usd", usage.input) if usage.input else ("output_usd", usage.output)
            charges.append(Charge(part, amount, MILLION, None))
        return Bill(tuple(charges))


class Charge(NamedTuple):
    """One line of a bill: an amount of a part, at `price_usd` for every `per` of it; None where either is not known."""

    part: str
    amount: int | Decimal | None
    per: Decimal
    price_usd: Decimal | None

    @property
    def usd(self) -> Decimal | None:
        """What it comes to."""
        return (
            None if self.amount is None or self.price_usd is None else self.amount * self.price_usd / self.per
        )


@dataclass(frozen=True, slots=True)
class Bill:
    """What one usage costs, part by part."""

    charges: tuple[Charge, ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        """The parts whose cost is not known; empty when everything is."""
        return tuple(charge.part for charge in self.charges if charge.usd is None)

    @property
    def usd(self) -> Decimal | None:
        """The sum; None as soon as one part is not known."""
        tokens = others = _NOTHING
        for _, amount, per, price in self.charges:
            if amount is None or price is None:
                return None
            if per is MILLION:
                tokens += amount * price
            else:
                others += amount * price / per
        return tokens / MILLION + others if tokens else others


def _charge_input(charges: list[Charge], price: Price, usage: Usage) -> None:
    left = usage.input
    if usage.cached:
        cached = min(usage.cached, left)
        left -= cached
        usd = price.input_usd if price.cached_input_usd is None else price.cached_input_usd
        charges.append(Charge("cached_input_usd", cached, MILLION, usd))
    if usage.cache_write:
        written = min(usage.cache_write, left)
        left -= written
        long = min(usage.cache_write_1h, written)
        if long:
            charges.append(Charge("cache_write_1h_usd", long, MILLION, price.cache_write_1h_usd))
        if written > long:
            charges.append(Charge("cache_write_usd", written - long, MILLION, price.cache_write_usd))
    if usage.audio_input:
        heard = min(usage.audio_input, left)
        left -= heard
        charges.append(Charge("audio_input_usd", heard, MILLION, price.audio_input_usd))
    if usage.image_input:
        seen = min(usage.image_input, left)
        left -= seen
        usd = price.input_usd if price.image_input_usd is None else price.image_input_usd
        charges.append(Charge("image_input_usd", seen, MILLION, usd))
    if left > 0:
        charges.append(Charge("input_usd", left, MILLION, price.input_usd))


def _charge_output(charges: list[Charge], price: Price, usage: Usage) -> None:
    left = usage.output
    if usage.audio_output:
        spoken = min(usage.audio_output, left)
        left -= spoken
        charges.append(Charge("audio_output_usd", spoken, MILLION, price.audio_output_usd))
    if usage.image_output:
        drawn = min(usage.image_output, left)
        left -= drawn
        charges.append(Charge("image_output_usd", drawn, MILLION, price.image_output_usd))
    if usage.reasoning and price.reasoning_usd is not None:
        thought = min(usage.reasoning, left)
        left -= thought
        charges.append(Charge("reasoning_usd", thought, MILLION, price.reasoning_usd))
    if left > 0:
        charges.append(Charge("output_usd", left, MILLION, price.output_usd))


def _charge_media(charges: list[Charge], price: Price, usage: Usage, *, by_token: bool) -> None:
    by_call = price.gpu_second_usd is not None or (price.request_usd is not None and not by_token)
    in_tokens = by_token and usage.output > 0
    if usage.images and (price.image_usd is not None or not (by_call or in_tokens)):
        charges.append(Charge("image_usd", usage.images, _ONE, price.image_usd))
    in_tokens = by_token and (usage.input > 0 or usage.output > 0)
    if usage.seconds and (price.audio_hour_usd is not None or not (by_call or in_tokens)):
        charges.append(Charge("audio_hour_usd", Decimal(repr(usage.seconds)), _HOUR, price.audio_hour_usd))
    if usage.characters and (price.million_characters_usd is not None or not (by_call or in_tokens)):
        charges.append(
            Charge("million_characters_usd", usage.characters, MILLION, price.million_characters_usd)
        )
    if usage.search_units and (price.search_unit_usd is not None or not (by_call or in_tokens)):
        charges.append(Charge("search_unit_usd", usage.search_units, _ONE, price.search_unit_usd))


def cost_of(price: Price | None, usage: Usage | None, took: timedelta | None = None) -> Decimal | None:
    """The cost in USD, or None when the price or the usage is not known, or a part of either."""
    return None if price is None or usage is None else price.cost(usage, took)


def cost_of_attempt(price: Price | None, attempt: Attempt) -> Decimal | None:
    """What an attempt costs at a price, from what the ledger holds of it."""
    if attempt.outcome is not Outcome.SUCCEEDED and attempt.usage == _NO_USAGE:
        return _NOTHING  # refused before any work was done
    return cost_of(price, attempt.usage, timedelta(milliseconds=attempt.total_ms))


@dataclass(frozen=True, slots=True)
class DatedPrice:
    """One immutable row of the table of prices: what somebody (`actor`) said a model costs, and whence they knew.

    Of two rows of one model with one `since`, the later one holds. `created_at` is when it was said. `upstream` is what
    a published price was looked up for; a price that somebody said holds for whatever the model is.
    """

    id: str
    model: str
    price: Price
    source: str
    actor: str
    created_at: datetime
    upstream: str | None = None


@dataclass(frozen=True, slots=True)
class PriceBook:
    """The dated prices of models by name, each list oldest first; a price without `since` has always been."""

    prices: Mapping[str, tuple[Price, ...]] = field(default_factory=dict)

    @staticmethod
    def of(rows: Iterable[DatedPrice]) -> PriceBook:
        """The book that these rows make, whatever their order."""
        said: dict[str, dict[datetime | None, DatedPrice]] = {}
        for row in rows:
            of_model = said.setdefault(row.model, {})
            other = of_model.get(row.price.since)
            if other is None or (other.created_at, other.id) < (row.created_at, row.id):
                of_model[row.price.since] = row
        return PriceBook(
            {
                model: tuple(row.price for _, row in sorted(dated.items(), key=lambda item: _order(item[0])))
                for model, dated in said.items()
            }
        )

    def says(self, model: str, moment: datetime) -> Price | None:
        """What the book says of a model at a moment, even that its price is not known; None where it says nothing."""
        found = None
        for price in self.prices.get(model, ()):
            if price.since is not None and price.since > moment:
                break
            found = price
        return found

    def at(self, model: str, moment: datetime) -> Price | None:
        """The price of a model in force at a moment; None where nobody knows."""
        found = self.says(model, moment)
        return found if found is not None and found.known else None


def _order(since: datetime | None) -> tuple[bool, float]:
    return (since is not None, 0.0 if since is None else since.timestamp())
