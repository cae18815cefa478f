"""Whether a price can be meant: most wrong ones are right ones in another unit, so wrong a thousandfold and more."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from gateway.domain.prices import PARTS, TOKEN_PARTS, Price

FAR: Final = 100
"""So many times what a part cost before, or costs elsewhere, it is doubted."""
DIGITS: Final = 12
"""No price has more digits behind the point: more stand for a mistake in arithmetic."""

_UNITS: Final = {
    **dict.fromkeys(TOKEN_PARTS, "per million tokens"),
    "image_usd": "per image",
    "request_usd": "per request",
    "gpu_second_usd": "per second",
    "audio_hour_usd": "per hour of audio",
    "million_characters_usd": "per million characters",
    "search_unit_usd": "per search unit",
}
_MOST: Final = {
    **dict.fromkeys(TOKEN_PARTS, Decimal(10_000)),
    "image_usd": Decimal(100),
    "request_usd": Decimal(100),
    "gpu_second_usd": Decimal(1),
    "audio_hour_usd": Decimal(1_000),
    "million_characters_usd": Decimal(10_000),
    "search_unit_usd": Decimal(1),
}
_LEAST: Final = {
    **dict.fromkeys(TOKEN_PARTS, Decimal("0.0005")),
    "image_usd": Decimal("0.00001"),
    "request_usd": Decimal("0.0000001"),
    "gpu_second_usd": Decimal("0.0000001"),
    "audio_hour_usd": Decimal("0.001"),
    "million_characters_usd": Decimal("0.01"),
    "search_unit_usd": Decimal("0.0000001"),
}
# The units that people have prices in beside ours, and how many of ours each is.
_OTHERS: Final = {
    **dict.fromkeys(
        TOKEN_PARTS, (("per token", 10**6), ("per thousand tokens", 10**3), ("in cents", Decimal("0.01")))
    ),
    "image_usd": (("in cents", Decimal("0.01")),),
    "request_usd": (("per thousand requests", Decimal("0.001")), ("in cents", Decimal("0.01"))),
    "gpu_second_usd": (("per hour", Decimal(1) / 3600),),
    "audio_hour_usd": (("per minute", 60), ("per second", 3600)),
    "million_characters_usd": (("per character", 10**6), ("per thousand characters", 10**3)),
    "search_unit_usd": (("per thousand searches", Decimal("0.001")), ("in cents", Decimal("0.01"))),
}


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a part of a price cannot be meant: `part` is the field's name, `why` says its unit and what may be right."""

    part: str
    why: str


def unit_of(part: str) -> str:
    """For what a part of a price is paid."""
    return _UNITS[part]


def doubts(price: Price, before: Price | None = None, elsewhere: Price | None = None) -> tuple[Doubt, ...]:
    """What of a price is doubted, given what the model cost before, and what it is known to cost elsewhere."""
    found: list[Doubt] = []
    for part in PARTS:
        usd: Decimal | None = getattr(price, part)
        if usd is None:
            continue
        references = [
            (getattr(other, part), words)
            for other, words in ((before, "before"), (elsewhere, "by the published price"))
            if other is not None
        ]
        # From nothing to something is no mistake of a unit, and has no factor.
        doubt = _doubt(part, usd, [(value, words) for value, words in references if value])
        if doubt is not None:
            found.append(Doubt(part, doubt))
    for number, tier in enumerate(price.tiers):
        base = price.parts()
        for part in TOKEN_PARTS:
            usd = getattr(tier, part)
            if usd is not None and (doubt := _doubt(part, usd, _reference(base.get(part)))) is not None:
                found.append(Doubt(f"tiers.{number}.{part}", doubt))
    cached, full = price.cached_input_usd, price.input_usd
    if cached is not None and full is not None and cached > full:
        why = f"cached input at {cached} USD per million tokens costs more than input at {full}: are they exchanged?"
        found.append(Doubt("cached_input_usd", why))
    return tuple(found)


def _reference(base: Decimal | None) -> list[tuple[Decimal, str]]:
    return [(base, "below the tier")] if base else []


def _doubt(part: str, usd: Decimal, references: list[tuple[Decimal, str]]) -> str | None:
    unit = _UNITS[part]
    said = f"{usd:f} USD {unit}"
    for reference, words in references:
        if reference != usd and not reference / FAR < usd < reference * FAR:
            return f"{said}, but {reference:f} {words}{_perhaps(part, usd, reference)}"
    if references:
        return None
    if usd > _MOST[part]:
        return f"{said} is more than anything costs (at most {_MOST[part]:f}){_perhaps(part, usd)}"
    if 0 < usd < _LEAST[part]:
        return f"{said} is less than anything costs (at least {_LEAST[part]:f}, or 0){_perhaps(part, usd)}"
    return None


def _perhaps(part: str, usd: Decimal, reference: Decimal | None = None) -> str:
    """What may have been meant: the same figure in another unit, if that comes near to what is known or possible."""
    for words, factor in _OTHERS[part]:
        meant = Decimal(f"{usd * factor:.4g}").normalize()
        near = (
            reference / 5 <= meant <= reference * 5
            if reference
            else _LEAST[part] * 20 <= meant <= _MOST[part] / 10
        )
        if usd and near:
            return f"; did you mean {meant:f}? ({usd:f} looks like USD {words})"
    return ""
