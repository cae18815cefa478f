"""Completions of plain prompts: the chunks of a stream joined, for the log. All else of them is as of chats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

_LISTS = ("tokens", "token_logprobs", "top_logprobs", "text_offset")


def assemble(events: Sequence[bytes]) -> bytes:
    """Join the chunks of a stream into the one completion they stand for; `{}` if there are none.

    What is not an object is left out: a log must not fail on what was already answered.
    """
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for data in events:
        try:
            chunk = msgspec.json.decode(data, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        whole.update(
            {name: value for name, value in chunk.items() if name != "choices" and value is not None}
        )
        said = chunk.get("choices")
        for choice in cast("list[object]", said) if isinstance(said, list) else ():
            if isinstance(choice, dict):
                _add(choices, cast("dict[str, Any]", choice))
    if not whole and not choices:
        return b"{}"
    whole["choices"] = [choices[index] for index in sorted(choices)]
    return msgspec.json.encode(whole)


def _add(choices: dict[int, dict[str, Any]], choice: dict[str, Any]) -> None:
    index = choice.get("index", 0)
    index = index if isinstance(index, int) else 0
    joined = choices.setdefault(index, {"index": index, "text": "", "finish_reason": None})
    for name, value in choice.items():
        if name == "text" and isinstance(value, str):
            joined["text"] += value
        elif name == "logprobs" and isinstance(value, dict):
            kept: dict[str, Any] = joined.setdefault("logprobs", {})
            for part, more in cast("dict[str, Any]", value).items():
                if part in _LISTS and isinstance(more, list):
                    kept.setdefault(part, []).extend(cast("list[object]", more))
        elif value is not None:
            joined[name] = value
