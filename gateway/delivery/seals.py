"""What others must not read is sealed before it is kept: whole URLs of webhooks, and what they are signed with.

Each is bound to what it belongs to: a seal that was moved to another job or another caller cannot be opened.
"""

from __future__ import annotations

import base64
import secrets
from binascii import Error as Base64Error
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import msgspec

from gateway.domain.credentials import last_four
from gateway.domain.delivery import Destination, SigningSecret
from gateway.domain.errors import DestinationSealed
from gateway.domain.secret import Secret
from gateway.ids import new_id
from gateway.ring import KeyRing, Unreadable

PREFIX: Final = "whsec_"
EXPECTED: Final = f"`{PREFIX}` and the base64 of 24 to 64 bytes, such as {PREFIX}$(openssl rand -base64 32)"
_LEAST, _MOST = 24, 64


@dataclass(frozen=True, slots=True)
class Opened:
    """What was sealed in a destination: the whole URL, and the secret that was given with it."""

    url: str
    secret: Secret | None


class _Inside(msgspec.Struct):
    url: str
    secret: str = ""


_inside = msgspec.json.Decoder(_Inside)


class Seals:
    """Closes and opens seals with the keys of a ring."""

    def __init__(self, ring: KeyRing | None) -> None:
        """Without a ring nothing can be sealed or opened."""
        self._ring = ring

    @property
    def can_seal(self) -> bool:
        """Whether there is a key."""
        return self._ring is not None

    def seal(self, shown: str, url: str, secret: Secret | None, job_id: str) -> Destination:
        """A webhook's destination of which only `shown` may be seen. Raises ValueError without a ring."""
        ring = self._keys()
        inside = _Inside(url, "" if secret is None else secret.reveal())
        closed = ring.encrypt(msgspec.json.encode(inside), _of_job(job_id))
        return Destination(
            shown,
            has_secret=secret is not None,
            sealed=base64.b64encode(closed).decode(),
            key_id=ring.active,
        )

    def open(self, destination: Destination, job_id: str) -> Opened:
        """What is sealed in a destination; its target where nothing is. Raises DestinationSealed."""
        if not destination.sealed:
            return Opened(destination.target, None)
        raw = self._decrypted(
            destination.key_id, base64.b64decode(destination.sealed.encode()), _of_job(job_id)
        )
        inside = _inside.decode(raw)
        return Opened(inside.url, Secret(inside.secret) if inside.secret else None)

    def seal_secret(self, secret: Secret, caller: str, now: datetime) -> SigningSecret:
        """A new secret of a caller, sealed. Raises ValueError without a ring."""
        closed, key_id = self._closed(secret, caller)
        return SigningSecret(new_id(), caller, closed, key_id, last_four(secret.reveal()), now)

    def open_secret(self, sealed: SigningSecret) -> Secret:
        """The text of a caller's secret. Raises DestinationSealed."""
        return Secret(self._decrypted(sealed.key_id, sealed.secret, _of_caller(sealed.caller)).decode())

    def renewed(self, sealed: SigningSecret) -> SigningSecret | None:
        """The same sealed with the active key; None if it is already. Raises DestinationSealed."""
        if self._ring is None or sealed.key_id == self._ring.active:
            return None
        closed, key_id = self._closed(self.open_secret(sealed), sealed.caller)
        return replace(sealed, secret=closed, key_id=key_id)

    def _closed(self, secret: Secret, caller: str) -> tuple[bytes, str]:
        ring = self._keys()
        return ring.encrypt(secret.reveal().encode(), _of_caller(caller)), ring.active

    def _keys(self) -> KeyRing:
        if self._ring is None:
            raise ValueError("there is no key to seal with")
        return self._ring

    def _decrypted(self, key_id: str, closed: bytes, bound: bytes) -> bytes:
        if self._ring is None:
            raise DestinationSealed(detail="this process has no keys")
        try:
            return self._ring.decrypt(key_id, closed, bound)
        except Unreadable as error:
            raise DestinationSealed(detail=str(error)) from error


def new_secret() -> Secret:
    """A new secret in Standard Webhooks' form, of 256 random bits."""
    return Secret(PREFIX + base64.b64encode(secrets.token_bytes(32)).decode())


def is_secret(text: str) -> bool:
    """Whether a text is a secret in that form."""
    if not text.startswith(PREFIX):
        return False
    try:
        raw = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (Base64Error, ValueError):
        return False
    return _LEAST <= len(raw) <= _MOST


def _of_job(job_id: str) -> bytes:
    return f"job\n{job_id}".encode()


def _of_caller(caller: str) -> bytes:
    return f"caller\n{caller}".encode()
