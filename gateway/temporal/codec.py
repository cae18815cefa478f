"""Payloads of Temporal: compressed, then encrypted with AES-256-GCM under a ring of keys; large ones by reference.

The key's id stands in the payload's metadata, so that keys can be rotated: new payloads use the active key, old ones
stay readable as long as their key is in the ring. The metadata is authenticated with the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Protocol

import zstandard
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec
from typing_extensions import override

from gateway.ring import KeyRing, Unreadable

ENCODING = b"binary/gateway-aes256gcm"
CLAIM = b"binary/gateway-claim"
_COMPRESS_FROM = 2048  # bytes; setting up a compressor costs more than it saves on less
_LARGEST = 256 * 1024 * 1024  # bounds what a forged frame may claim to expand to


class CodecError(Exception):
    """A payload cannot be read: its key is not in the ring, or it was changed."""


class GatewayCodec(PayloadCodec):
    """Compresses and encrypts every payload."""

    def __init__(self, ring: KeyRing, *, compress: bool = True) -> None:
        """`compress` off saves a little time where payloads are small."""
        self._ring = ring
        self._zip = zstandard.ZstdCompressor(level=1, write_content_size=True) if compress else None
        self._unzip = zstandard.ZstdDecompressor()

    @override
    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._encode(p) for p in payloads]

    @override
    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._decode(p) for p in payloads]

    def _encode(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") in (ENCODING, CLAIM):
            return payload
        plain = payload.SerializeToString()
        packed = self._zip is not None and len(plain) >= _COMPRESS_FROM
        if packed and self._zip is not None:
            plain = self._zip.compress(plain)
        form = b"zstd" if packed else b"plain"
        key_id = self._ring.active.encode()
        return Payload(
            metadata={"encoding": ENCODING, "key": key_id, "form": form},
            data=self._ring.encrypt(plain, bound=form),
        )

    def _decode(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        form = payload.metadata.get("form", b"plain")
        try:
            plain = self._ring.decrypt(payload.metadata.get("key", b"").decode(), payload.data, bound=form)
        except Unreadable as error:
            raise CodecError(f"the payload cannot be read: {error}") from error
        if form == b"zstd":
            plain = self._unzip.decompress(plain, max_output_size=_LARGEST)
        return Payload.FromString(plain)


class BlobStore(Protocol):
    """Where large payloads are kept (the port `storage.ports.Blobs`)."""

    async def put(self, key: str, data: bytes) -> None:
        """Keep the data."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Read it back."""
        ...


class ClaimCheck(PayloadCodec):
    """Keeps payloads over the threshold in our own store; Temporal carries only their SHA-256.

    Not the SDK's `ExternalStorage`: with it the SDK makes a new converter for every task, and looks for references in
    every payload three times, whether there are any or not.
    """

    def __init__(self, inner: PayloadCodec | None, blobs: BlobStore, over: int) -> None:
        """What is longer than `over` bytes after `inner` has sealed it is kept as it is then."""
        self._inner = inner
        self._blobs = blobs
        self._over = over

    @override
    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        sealed = list(payloads) if self._inner is None else await self._inner.encode(payloads)
        return [p if len(p.data) <= self._over else await self._keep(p) for p in sealed]

    @override
    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        sealed = [p if p.metadata.get("encoding") != CLAIM else await self._fetch(p) for p in payloads]
        return sealed if self._inner is None else await self._inner.decode(sealed)

    async def _keep(self, payload: Payload) -> Payload:
        data = payload.SerializeToString()
        key = sha256(data).hexdigest()
        await self._blobs.put(key, data)
        return Payload(metadata={"encoding": CLAIM}, data=key.encode())

    async def _fetch(self, claim: Payload) -> Payload:
        data = await self._blobs.get(claim.data.decode("ascii", "replace"))
        if data is None:
            raise CodecError("a large payload is no longer kept: its retention has passed")
        return Payload.FromString(data)
