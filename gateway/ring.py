"""A ring of keys: what is encrypted names its key, so that keys can be changed without losing what they encrypted."""

from __future__ import annotations

import os
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.domain.secret import Secret

_NONCE = 12
_NONCES = 256  # are drawn from the kernel at once: a call for each payload cost more than its encryption


class Unreadable(Exception):
    """What was encrypted cannot be read: its key is not in the ring, or it was changed."""


class KeyRing:
    """AES-256-GCM keys by id, one of them active for what is new."""

    def __init__(
        self,
        active: str,
        keys: Mapping[str, Secret],
        *,
        section: str = "temporal.encryption",
        purpose: bytes = b"",
    ) -> None:
        """`keys` holds base64 of 32 bytes each; `purpose` makes other keys of them, by HKDF, for one purpose alone.

        Raises ValueError naming the setting in `section` and the key id that is wrong, never its value.
        """
        self._ciphers: dict[str, AESGCM] = {}
        for key_id, secret in keys.items():
            try:
                raw = b64decode(secret.reveal(), validate=True)
            except (Base64Error, ValueError):
                raw = b""
            if len(raw) != 32:
                raise ValueError(f"{section}.keys.{key_id}: expected base64 of 32 bytes")
            self._ciphers[key_id] = AESGCM(_derived(raw, purpose) if purpose else raw)
        if active not in self._ciphers:
            known = ", ".join(sorted(self._ciphers)) or "none"
            raise ValueError(f"{section}.active: {active!r} is not among the keys ({known})")
        self.active = active
        self._nonces: list[bytes] = []

    def encrypt(self, data: bytes, bound: bytes = b"") -> bytes:
        """Encrypt with the active key; `bound` must be given again to decrypt."""
        try:
            nonce = self._nonces.pop()
        except IndexError:
            drawn = os.urandom(_NONCE * _NONCES)
            self._nonces = [drawn[at : at + _NONCE] for at in range(_NONCE, len(drawn), _NONCE)]
            nonce = drawn[:_NONCE]
        return nonce + self._ciphers[self.active].encrypt(nonce, data, bound)

    def decrypt(self, key_id: str, data: bytes, bound: bytes = b"") -> bytes:
        """Decrypt what `encrypt` made. Raises Unreadable."""
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise Unreadable(f"it was encrypted with key {key_id!r}, which is not in the ring")
        try:
            return cipher.decrypt(data[:_NONCE], data[_NONCE:], bound)
        except (InvalidTag, ValueError) as e:  # ValueError: too short to hold a nonce
            raise Unreadable("it was changed or encrypted with another key of the same id") from e


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=purpose).derive(key)
