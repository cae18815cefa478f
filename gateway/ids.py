"""The ids of requests and jobs: one string that is the workflow's id, the ledger's key and the name in every log line.

A new id is a UUIDv7 (RFC 9562): it sorts by time and says, to the millisecond, when it was made. An id derived from an
Idempotency-Key is a UUIDv8: the same key gives the same id for ever, so it cannot say when.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import uuid_utils

_TIMED = 7
_DERIVED = 8


def new_id() -> str:
    """Return a new UUIDv7."""
    return str(uuid_utils.uuid7())


def derive_id(*parts: str) -> str:
    """Return the UUIDv8 that these parts, in this order, always stand for."""
    # Each part goes in with its length, so that ("ab", "c") and ("a", "bc") are two ids.
    digest = sha256(b"".join(b"%d:%s" % (len(raw), raw) for raw in (part.encode() for part in parts)))
    number = int.from_bytes(digest.digest()[:16], "big")
    number = number & ~(0xF << 76) | _DERIVED << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=number))


def parse_id(text: str) -> UUID | None:
    """Return the id as a UUID; None for any text that is not one in its usual form."""
    try:
        parsed = UUID(text)
    except ValueError:
        return None
    # UUID() also takes braces, `urn:uuid:` and no dashes: then one request would have several names.
    return parsed if str(parsed) == text.lower() else None


def moment_in(uuid: UUID) -> datetime | None:
    """Return when an id was made, in UTC and to the millisecond; None for a derived one."""
    if uuid.version != _TIMED:
        return None
    seconds, milliseconds = divmod(uuid.int >> 80, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=milliseconds * 1000)


def moment_of(id_: str) -> datetime:
    """Return when a UUIDv7 was made, in UTC and to the millisecond. Raises `ValueError` for any other text."""
    uuid = parse_id(id_)
    moment = None if uuid is None else moment_in(uuid)
    if moment is None:
        raise ValueError("only a UUIDv7 says when it was made")
    return moment
