"""Sealing what is kept of callers' words: compressed, and encrypted where the installation has keys."""

from __future__ import annotations

from typing import Final

import zstandard

from gateway.ring import KeyRing, Unreadable

_LARGEST: Final = 1024 * 1024 * 1024  # bounds what a forged frame may claim to expand to
_FORM: Final = b"gateway seal 1"


class Seal:
    """Makes texts unreadable to whoever reads the database without the keys."""

    def __init__(self, ring: KeyRing | None) -> None:
        """Without a ring, what is sealed is compressed alone."""
        self._ring = ring
        self._zip = zstandard.ZstdCompressor(level=1, write_content_size=True)
        self._unzip = zstandard.ZstdDecompressor()

    def seal(self, data: bytes) -> bytes:
        """The data as it is kept: a byte with the length of its key's id, that id, and the rest."""
        packed = self._zip.compress(data)
        if self._ring is None:
            return b"\x00" + packed
        key_id = self._ring.active.encode()
        return bytes([len(key_id)]) + key_id + self._ring.encrypt(packed, bound=_FORM)

    def open(self, sealed: bytes) -> bytes:
        """The data as it was. Raises Unreadable where its key is no longer in the ring."""
        length = sealed[0]
        packed = sealed[1 + length :]
        if length:
            key_id = sealed[1 : 1 + length].decode()
            if self._ring is None:
                raise Unreadable(f"it was encrypted with key {key_id!r}, and there are no keys")
            packed = self._ring.decrypt(key_id, packed, bound=_FORM)
        try:
            return self._unzip.decompress(packed, max_output_size=_LARGEST)
        except zstandard.ZstdError as e:
            raise Unreadable("it was changed") from e
