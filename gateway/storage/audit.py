"""What the audit says of a thing: all that was set, and no secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from gateway.domain.delivery import SigningSecret
from gateway.domain.prices import DatedPrice
from gateway.domain.secret import MASK
from gateway.storage.ports import Registered

# People put keys into headers and options too, where they do not belong: what looks like one by its name is masked.
_TELLING: Final = re.compile(
    r"auth|cookie|credential|passw|secret|signature|token|(^|[-_.])(api)?key($|[-_.])|apikey", re.IGNORECASE
)


def shown(registered: Registered) -> dict[str, Any]:
    """A model as the audit has it. A stored credential is its last four characters."""
    model = cast("dict[str, Any]", msgspec.to_builtins(registered.model))
    del model["operations"]  # found out by each process, and not set by anybody
    model["headers"] = masked(model["headers"])
    model["options"] = masked(model["options"])
    model["aliases"] = list(registered.aliases)
    if registered.last_four is not None:
        model["credential_last_four"] = registered.last_four
    return model


def shown_price(kept: DatedPrice) -> dict[str, Any]:
    """A price as the audit has it: what is known of it, and whence."""
    price = kept.price
    said: dict[str, Any] = {"id": kept.id, "source": kept.source, "since": price.since, **price.parts()}
    if price.tiers:
        said["tiers"] = price.tiers
    return cast("dict[str, Any]", msgspec.to_builtins(said))


def shown_secret(secret: SigningSecret) -> dict[str, Any]:
    """A caller's secret for webhooks as the audit has it: its last four characters, and when it ends."""
    said = {"id": secret.id, "last_four": secret.last_four, "ends_at": secret.ends_at}
    return cast("dict[str, Any]", msgspec.to_builtins(said))


def masked(value: object) -> object:
    """The same value with a mask for every text whose name says that it is a secret."""
    match value:
        case Mapping():
            return {
                name: MASK if isinstance(each, str) and each and _TELLING.search(str(name)) else masked(each)
                for name, each in value.items()
            }
        case list() | tuple():
            return [masked(each) for each in value]
        case _:
            return value
