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
    """About how many tokens a chat request's messages have; images and audio count nothing here."""
    try:
        messages = msgspec.json.decode(body.get("messages", msgspec.Raw(b"[]")))
    except msgspec.DecodeError:
        return 0
    if not isinstance(messages, list):
        return 0
    return sum(_PER_MESSAGE + count(" ".join(_texts(m))) for m in messages)


def _texts(message: Any) -> list[str]:
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return [content]
    if isinstance(content, list):
        return [str(part["text"]) for part in content if isinstance(part, dict) and "text" in part]
    return []
