"""The rings of keys that the settings give, one for each purpose: what is sealed for one is closed to the others."""

from __future__ import annotations

from typing import Final

from gateway.ring import KeyRing
from gateway.settings import Settings

CREDENTIALS: Final = b"llm-gateway credentials"
ANSWERS: Final = b"llm-gateway kept answers"
DELIVERY: Final = b"llm-gateway delivery"
_SHARED: Final = "temporal/"
"""What the ids of keys begin with that are derived of those of temporal.encryption."""


def ring_of(settings: Settings, purpose: bytes) -> KeyRing | None:
    """The keys for a purpose: credentials' own, and what is derived of those for payloads, so that none are needed."""
    own, shared = settings.credentials.encryption, settings.temporal.encryption
    keys = {**own.keys, **{f"{_SHARED}{key_id}": key for key_id, key in shared.keys.items()}}
    active = own.active or (f"{_SHARED}{shared.active}" if shared.active else "")
    return KeyRing(active, keys, section="credentials.encryption", purpose=purpose) if active else None


def payload_ring_of(settings: Settings, purpose: bytes) -> KeyRing | None:
    """The keys for what is kept of callers' words: derived of those for payloads."""
    own = settings.temporal.encryption
    return KeyRing(own.active, own.keys, purpose=purpose) if own.active else None
