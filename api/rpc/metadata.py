"""What stands beside the messages of an rpc: the same names and meanings as the headers of REST."""

from __future__ import annotations

from collections.abc import Iterable

from api import headers
from api.service.served import Served

Pairs = tuple[tuple[str, str | bytes], ...]


def headers_of(pairs: Iterable[tuple[str, str | bytes]] | None) -> dict[str, str]:
    """The caller's metadata, whose names are in lower case already; of several with one name, the last."""
    return {name: value for name, value in pairs or () if isinstance(value, str)}


def known_as(request_id: str, served: Served | None) -> str:
    """The id that is told: the rpc's own, or that of a request with an idempotency key."""
    return served.request_id if served is not None and served.keyed else request_id


def told_of(request_id: str, served: Served | None) -> Pairs:
    """What an answer says beside its message; what is not known yet is left out."""
    return (("x-request-id", request_id), *(headers.told_of(served).items() if served is not None else ()))
