"""Published prices, out of the package genai-prices: a snapshot in it, so nothing is fetched.

A model is looked up by where it is called and by its upstream's name for it, never by a name alone: the same weights
cost something else elsewhere, and on our own machines they have no published price at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from gateway.domain.prices import Price, Tier
from gateway.domain.registry import Model

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, Provider

PACKAGE: Final = "genai-prices"
_PROVIDERS: Final = {"openai": "openai", "anthropic": "anthropic", "gemini": "google", "bedrock": "aws"}
_TOKENS: Final = {
    "input_mtok": "input_usd",
    "output_mtok": "output_usd",
    "cache_read_mtok": "cached_input_usd",
    "cache_write_mtok": "cache_write_usd",
    "cache_write_5m_mtok": "cache_write_usd",
    "cache_write_1h_mtok": "cache_write_1h_usd",
    "output_reasoning_mtok": "reasoning_usd",
    "input_audio_mtok": "audio_input_usd",
    "output_audio_mtok": "audio_output_usd",
    "input_image_mtok": "image_input_usd",
    "output_image_mtok": "image_output_usd",
}
_OTHERS: Final = {
    "audio_hours": ("audio_hour_usd", Decimal(1)),
    "input_audio_hours": ("audio_hour_usd", Decimal(1)),
    "requests_kcount": ("request_usd", Decimal(1000)),
    "input_mchars": ("million_characters_usd", Decimal(1)),
    "rerank_searches_kcount": ("search_unit_usd", Decimal(1000)),
}
# What a model is paid for beside all that, which no answer of a model tells us: tools that the provider runs, and
# caches by what is in them.
_APART: Final = frozenset(
    {
        "web_searches_kcount",
        "social_searches_kcount",
        "storage_searches_kcount",
        "code_executions_kcount",
        "cache_audio_read_mtok",
        "cache_image_read_mtok",
        "output_citation_mtok",
        "input_video_mtok",
    }
)


@dataclass(frozen=True, slots=True)
class Published:
    """The published prices of a model, oldest first, those to come included, and where they stand."""

    prices: tuple[Price, ...]
    source: str

    def at(self, moment: datetime) -> Price | None:
        """The price in force at a moment."""
        found = [price for price in self.prices if price.since is None or price.since <= moment]
        return found[-1] if found else None


@dataclass(frozen=True, slots=True)
class Unpublished:
    """Why a model has no published price."""

    why: str


def published(model: Model) -> Published | Unpublished:
    """What the package knows of a model. The first call takes 0.2 s and 30 MB: call it off the event loop."""
    own = _PROVIDERS.get(model.provider)
    if own is None and not model.base_url:
        return Unpublished(f"{model.name} is called at no address that has prices")
    snapshot = _snapshot()
    try:
        provider, info = snapshot.find_provider_model(
            _plain(model.upstream_model), None, own if not model.base_url else None, model.base_url or None
        )
    except LookupError:
        return Unpublished(f"{PACKAGE} {_version()} has no price for {model.upstream_model} at this address")
    source = f"{PACKAGE} {_version()} ({_owner(provider, info, snapshot.providers)}/{info.id})"
    return _of(info, source)


def _plain(name: str) -> str:
    """A model's name without the resource that Google has it under: `models/…`, `publishers/google/models/…`."""
    return name.rpartition("models/")[2] if name.startswith(("models/", "publishers/")) else name


@cache
def _version() -> str:
    return version(PACKAGE)


def _snapshot() -> DataSnapshot:
    # Only who registers a model without a price needs the 30 MB.
    from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415

    return get_snapshot()


def _owner(provider: Provider, info: ModelInfo, providers: list[Provider]) -> str:
    if any(info is known for known in provider.models):
        return provider.id
    return next(
        (other.id for other in providers if any(info is known for known in other.models)), provider.id
    )


def _of(info: ModelInfo, source: str) -> Published | Unpublished:
    dates: list[datetime] = []
    if isinstance(info.prices, list):
        for conditional in info.prices:
            start = getattr(conditional.constraint, "start_date", None)
            if start is not None:
                dates.append(datetime.combine(start, time(), UTC))
            elif conditional.constraint is not None:
                return Unpublished(f"{source} depends on the time of day, which prices here do not")
    first = min(dates, default=datetime.now(UTC)) - timedelta(days=1)
    found: list[Price] = []
    for since in (None, *sorted(dates)):
        price = _price(info.get_prices(since or first))
        if price is None:
            return Unpublished(f"{source} is by something that is not counted here")
        if not found or replace(found[-1], since=since) != replace(price, since=since):
            found.append(replace(price, since=since))
    return Published(tuple(found), source)


def _price(said: ModelPrice) -> Price | None:
    """A price in our parts; None where it is by something that they have no place for, or says nothing."""
    parts: dict[str, Any] = {}
    tiers: dict[int, dict[str, Decimal]] = {}
    tiered: dict[str, list[tuple[int, Decimal]]] = {}
    for key, value in vars(said).items():
        if key.startswith("_") or value is None or key in _APART:
            continue
        if key in _TOKENS:
            part, per = _TOKENS[key], Decimal(1)
        elif key in _OTHERS:
            part, per = _OTHERS[key]
        else:
            return None
        if isinstance(value, Decimal):
            parts[part] = value / per
        elif key in _TOKENS:
            parts[part] = value.base
            tiered[part] = [(tier.start, tier.price) for tier in value.tiers]
        else:
            return None
    for start in {start for steps in tiered.values() for start, _ in steps}:
        # Only one tier of ours holds at a time, so each says all that has changed by then.
        tiers[start] = {
            part: reached[-1]
            for part, steps in tiered.items()
            if (reached := [usd for begins, usd in steps if begins <= start])
        }
    if not parts:
        return None
    return Price(**parts, tiers=tuple(Tier(start, **tiers[start]) for start in sorted(tiers)))
