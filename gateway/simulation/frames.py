"""What a simulation and the processes that work for it tell each other: frames of a length and MessagePack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from gateway.domain.simulation import Logged
from gateway.simulation.replay import Setting
from gateway.simulation.tally import Tally

HEAD: Final = 4
"""Bytes of a frame's length."""
END: Final = (0).to_bytes(HEAD, "big")
"""Told in place of a page, it asks for the tally."""

encode: Final = msgspec.msgpack.Encoder().encode
setting_in: Final = msgspec.msgpack.Decoder(Setting).decode
tally_in: Final = msgspec.msgpack.Decoder(Tally).decode
page_in: Final = msgspec.msgpack.Decoder(tuple[bool, list[Logged]]).decode
"""Whether the requests are to be decided, and the requests."""


def framed(data: bytes) -> bytes:
    """The frame of some data."""
    return len(data).to_bytes(HEAD, "big") + data


def read(take: Callable[[int], bytes]) -> bytes:
    """The data of the next frame of a file that blocks; empty at an `END`. Raises EOFError where the file ends."""
    length = int.from_bytes(_exactly(take, HEAD), "big")
    return _exactly(take, length)


def _exactly(take: Callable[[int], bytes], count: int) -> bytes:
    data = take(count)
    if len(data) < count:
        raise EOFError
    return data
