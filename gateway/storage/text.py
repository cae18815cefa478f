"""Text that every store can keep: what a database refuses is replaced by a mark, since a ledger row must not be lost.

Callers and upstreams may send U+0000 and lone surrogates, as JSON escapes above all; PostgreSQL stores neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

MARK: Final = "\N{REPLACEMENT CHARACTER}"


def storable(text: str) -> str:
    """Return the text with U+FFFD for every character that cannot be stored."""
    if "\0" in text:
        text = text.replace("\0", MARK)
    # ASCII is told from a flag of the string, without looking at its characters.
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def storable_all(value: object) -> object:
    """Return the same value with every text in it, keys included, made storable."""
    match value:
        case str():
            return storable(value)
        case Mapping():
            return {storable_all(key): storable_all(each) for key, each in value.items()}
        case list() | tuple():
            return [storable_all(each) for each in value]
        case _:
            return value


def storable_json(value: object) -> str:
    """Return a value as JSON text that can be stored."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(storable_all(msgspec.to_builtins(value))).decode()
    if b"\\u0000" in encoded:
        encoded = msgspec.json.encode(storable_all(msgspec.json.decode(encoded)))
    return encoded.decode()
