"""Actions: what a rule does. One file each; a rule has one action.

To add one, write its file and name its reader in `ACTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from gateway.domain.rules.actions.narrow import UNKNOWN, read_drop, read_keep
from gateway.domain.rules.actions.prefer import read_prefer
from gateway.domain.rules.actions.rank import Rank, read_rank
from gateway.domain.rules.actions.refuse import read_refuse
from gateway.domain.rules.actions.split import read_split
from gateway.domain.rules.actions.terms import read_set
from gateway.domain.rules.actions.throttle import read_throttle
from gateway.domain.rules.course import Action
from gateway.domain.rules.reading import Reader, word_of

_NARROWING = MappingProxyType({"keep": read_keep, "drop": read_drop})
_OTHERS: MappingProxyType[str, Callable[[Reader], Action]] = MappingProxyType(
    {
        "prefer": read_prefer,
        "rank": read_rank,
        "refuse": read_refuse,
        "set": read_set,
        "split": read_split,
        "throttle": read_throttle,
    }
)
ACTIONS = (*_NARROWING, *_OTHERS)
"""The words of all actions."""


def read_action(reader: Reader) -> Action | None:
    """Read a rule's one action; None, and a mistake, where there is not exactly one."""
    words = [word for word in ACTIONS if word in reader]
    if len(words) != 1:
        # A misspelt action is told of as a word that is not known.
        if words or not {*reader.names()} - {"name", "when", "when_unknown", UNKNOWN}:
            got = " and ".join(words) if words else "none"
            reader.wrong("", f"needs one action of {', '.join(ACTIONS)}; got {got}")
        for word in words:
            reader.raw(word)
        return None
    word = words[0]
    if word in _NARROWING:
        goes = reader.value(UNKNOWN, word_of("keep", "drop"), "keep") == "drop"
        return _NARROWING[word](reader, unknown_goes=goes)
    if UNKNOWN in reader:
        reader.raw(UNKNOWN)
        reader.wrong(UNKNOWN, f"goes with keep and drop alone; {word} takes nobody out")
    return _OTHERS[word](reader)


__all__ = ["ACTIONS", "Rank", "read_action"]
