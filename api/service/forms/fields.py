"""What several forms have in their bodies."""

from __future__ import annotations

import msgspec

from gateway.domain.errors import InvalidRequest


class Described(msgspec.Struct):
    """What stands in a body for a file that came along."""

    filename: str
    bytes: int


def truth(value: object, name: str) -> bool:
    """A truth value, which fields of forms have as words. Raises InvalidRequest."""
    if isinstance(value, str):
        if value.lower() not in ("true", "false"):
            raise InvalidRequest(f"`{name}` must be true or false.", param=name)
        return value.lower() == "true"
    return bool(value)
