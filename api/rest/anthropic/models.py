"""Models in Anthropic's shape: https://platform.claude.com/docs/en/api/models/list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from api.service.models import Offer
from gateway.domain.errors import InvalidRequest

_USUAL: Final = 20
_MOST: Final = 1000


def is_asked(headers: Mapping[str, str]) -> bool:
    """Whether the caller speaks Anthropic's dialect: its SDKs say a version with each request, and nobody else does."""
    return "anthropic-version" in headers


def page(offers: Sequence[Offer], query: Mapping[str, str]) -> dict[str, Any]:
    """The page that `limit` and `after_id` or `before_id` ask for. Raises InvalidRequest."""
    names = [offer.id for offer in offers]
    first, last = 0, len(offers)
    limit = _limit(query.get("limit"))
    if (after := query.get("after_id")) is not None:
        first = _place(names, after, "after_id") + 1
    if (before := query.get("before_id")) is not None:
        last = _place(names, before, "before_id")
        first = max(first, last - limit)
    shown = offers[first : min(last, first + limit)]
    more = first > 0 if before is not None else first + limit < last
    return {
        "data": [shape(offer) for offer in shown],
        "has_more": more,
        "first_id": shown[0].id if shown else None,
        "last_id": shown[-1].id if shown else None,
    }


def shape(offer: Offer) -> dict[str, Any]:
    """One of them."""
    return {
        "type": "model",
        "id": offer.id,
        "display_name": offer.id,
        "created_at": offer.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": offer.context_window,
        "max_tokens": offer.max_output,
    }


def _limit(said: str | None) -> int:
    if said is None:
        return _USUAL
    if not said.isascii() or not said.isdigit() or not 1 <= int(said) <= _MOST:
        raise InvalidRequest(f"`limit` must be a number from 1 to {_MOST}.", param="limit")
    return int(said)


def _place(names: Sequence[str], name: str, where: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise InvalidRequest(f"`{where}` names no model of this list.", param=where) from None
