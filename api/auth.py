"""Who is at the door: the token from where each dialect puts it, the caller from whoever knows it."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.domain.errors import Unauthenticated
from gateway.domain.identity import Caller
from gateway.identity import Identify


def token_of(headers: Mapping[str, str]) -> str:
    """The token of `Authorization: Bearer` or `x-api-key` (names in lower case). Raises Unauthenticated."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if headers.get("x-api-key"):
        return headers["x-api-key"].strip()
    raise Unauthenticated


async def authenticate(identity: Identify, headers: Mapping[str, str]) -> Caller:
    """The caller. Raises Unauthenticated, or StorageUnavailable when nobody can tell for the moment."""
    return await identity.identify(token_of(headers))
