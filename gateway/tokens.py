"""Estimates of token counts, for what no provider has counted: cancelled streams, broken answers, silent upstreams.

An estimate only: whatever is billed by it is marked as estimated. The vocabulary takes half a second and 140 MB, so
it is loaded by the first estimate, in a thread of its own; until it is there, four characters count as a token.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import msgspec

_COUNTED = 100_000  # characters that are really tokenised (5 ms): more would hold up the event loop
_PER_TOKEN = 4
_PER_MESSAGE = 3  # tokens that a chat template adds round each message


class _Vocabulary:
    """OpenAI's o200k vocabulary, once it is loaded."""

    def __init__(self) -> None:
        self._encoding: Any = None
        self._lock = threading.Lock()
        self._begun = False

    def count(self, text: str) -> int:
        if self._encoding is None:
            self._begin()
            return -(-len(text) // _PER_TOKEN)
        return len(self._encoding.encode_ordinary(text))

    def _begin(self) -> None:
        with self._lock:
            if not self._begun:
                self._begun = True
                threading.Thread(target=self._load, name="vocabulary", daemon=True).start()

    def _load(self) -> None:
        import bpe_openai  # noqa: PLC0415  half a second: not at import

        self._encoding = bpe_openai.get_encoding("o200k_base")


_vocabulary = _Vocabulary()


def count(text: str) -> int:
    """About how many tokens the text has."""
    if not text:
        return 0
    return _vocabulary.count(text[:_COUNTED]) + max(0, len(text) - _COUNTED) // _PER_TOKEN


def count_prompt(body: Mapping[str, msgspec.Raw]) -> int:
    """About how many tokens a request has, in whichever dialect; images, audio and files count nothing here."""
    texts: list[str] = []
    tokens = 0
    for name in _ASKED:
        if name not in body:
            continue
        try:
            value = msgspec.json.decode(body[name])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        tokens += _gather(value, texts)
    left = _COUNTED
    for text in texts:
        tokens += count(text) if left > 0 else -(-len(text) // _PER_TOKEN)
        left -= len(text)
    return tokens


def characters(body: Mapping[str, msgspec.Raw]) -> int:
    """How many characters the text has that is to be spoken: what such models are priced by."""
    try:
        return len(msgspec.json.decode(body["input"], type=str))
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        return 0


_ASKED = ("system", "instructions", "messages", "input", "prompt", "suffix", "query", "documents")
_SPOKEN = ("refusal", "thinking", "arguments", "output", "input", "text", "content")
_VISITED = (
    50_000  # values of one field that are looked at: a list of more of them is no prompt that anybody wrote
)


def _gather(value: Any, texts: list[str]) -> int:
    """Add the texts of a field in their order; returns the tokens that come beside them, or as numbers."""
    tokens, left, visited = 0, [value], 0
    while left and visited < _VISITED:
        visited += 1
        item = left.pop()
        if isinstance(item, str):
            if not item.startswith("data:"):
                texts.append(item)
        elif isinstance(item, list):
            if item and isinstance(item[0], int):
                tokens += len(item)
            else:
                left.extend(reversed(item[:_VISITED]))
        elif isinstance(item, dict):
            tokens += _PER_MESSAGE if "role" in item else 0
            left.extend(item[name] for name in _SPOKEN if name in item)
    return tokens
