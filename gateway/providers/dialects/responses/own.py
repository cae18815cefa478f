"""What the gateway says of a response beside its caller's fields: in `gateway` of a body that the door has read.

The door takes the caller's own field of that name out, and puts this in its place.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.ids import moment_in, parse_id
from gateway.providers.ports import Body

FIELD: Final = "gateway"
PREFIX: Final = "resp_"


class Own(msgspec.Struct, omit_defaults=True):
    """What a response is told of itself. `told` events of its stream were told before its attempt begins."""

    created_at: int = 0
    previous_response_id: str | None = None
    conversation: str | None = None
    background: bool = False
    store: bool = True
    told: int = 0


_own = msgspec.json.Decoder(Own)


def own_of(body: Body, request_id: str) -> Own:
    """What the door said; without it, when the response was made by its id, or now."""
    raw = body.get(FIELD)
    own = Own() if raw is None else _own.decode(raw)
    if not own.created_at:
        uuid = parse_id(request_id)
        moment = None if uuid is None else moment_in(uuid)
        own.created_at = int(time.time() if moment is None else moment.timestamp())
    return own


def with_own(body: Body, own: Own) -> Mapping[str, msgspec.Raw]:
    """The body with this said in it."""
    return {**body, FIELD: msgspec.Raw(msgspec.json.encode(own))}


def response_id(request_id: str) -> str:
    """The id of the response to a request."""
    return PREFIX + request_id


def request_id_of(response: str) -> str | None:
    """The id of the request that a response answers; None for what is none of ours."""
    if not response.startswith(PREFIX):
        return None
    uuid = parse_id(response.removeprefix(PREFIX))
    return None if uuid is None else str(uuid)


def item_id(kind: str, request_id: str, index: int) -> str:
    """The id of an output item: the same for the same place of the same response, whoever makes it."""
    return f"{kind}_{request_id.replace('-', '')}{index:04x}"
