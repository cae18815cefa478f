"""Taking a rule text's values apart: every mistake says its key, what would be right, and the nearest known word.

A `Reader` goes through one object of the text. It notes mistakes instead of raising them, so that a person sees all of
them at once, and it notes in `said` the same object as it would be written in the one canonical way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Generic, TypeVar

from gateway.domain import units
from gateway.domain.rules.scene import Expression

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
Key = tuple[str, ...]
Compile = Callable[[str, bool], Expression]
"""Compiles an expression, about a model or (False) about the request alone. Raises Unfit saying what is wrong."""
_LONGEST_SHOWN = 60
_LONGEST_TEXT = 10_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class Unfit(ValueError):
    """A value that is not fit for its place, with the nearest one that would be."""

    def __init__(self, text: str, near: str | None = None) -> None:
        super().__init__(text)
        self.near = near


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong: at which key of the text, in which rule, what would be right, the nearest known word."""

    key: Key
    text: str
    rule: str = ""
    nearest: str | None = None


class RulesMistaken(Exception):
    """A rule text that cannot be used, with all that is wrong with it."""

    def __init__(self, mistakes: Collection[Mistake]) -> None:
        self.mistakes = tuple(dict.fromkeys(mistakes))
        super().__init__("; ".join(each.text for each in self.mistakes))


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of values: what one looks like, how it is read (ValueError if it is none), and how it is written."""

    needs: str
    read: Callable[[Any], T]
    show: Callable[[T], Any]
    words: tuple[str, ...] = ()


def shown(value: object) -> str:
    """A value of a text as it stands in a message."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return units.format_duration(value)
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    text = str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def nearest(word: str, known: Collection[str]) -> str | None:
    """The known word most like this one."""
    return next(iter(get_close_matches(word, known, 1, 0.6)), None)


class Reader:
    """Reads one object of a rule text. What it cannot read it notes, and answers with something of the right type."""

    __slots__ = ("_asked", "_empty", "_shared", "entry", "key", "said")

    def __init__(self, entry: object, key: Key, shared: Shared) -> None:
        """`entry` must be an object; anything else is noted as a mistake and read as an empty one."""
        self.key = key
        self._shared = shared
        self._asked: dict[str, None] = {}
        self.said: dict[str, Any] = {}
        self.entry: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {}
        self._empty = isinstance(entry, Mapping) and not entry
        if not isinstance(entry, Mapping):
            self._shared.note(key, "", f"needs an object {{ … }}; got {shown(entry)}")

    def __contains__(self, name: str) -> bool:
        """Whether the text says anything under this name."""
        return name in self.entry

    @property
    def compile(self) -> Compile:
        """The compiler of expressions."""
        return self._shared.compile

    def raw(self, name: str) -> Any:
        """What stands under a name, as it is; it counts as read."""
        self._asked[name] = None
        return self.entry.get(name)

    def wrong(self, name: str, text: str, near: str | None = None) -> None:
        """Note a mistake at a name of this object (at the object itself, with an empty one)."""
        self._shared.note((*self.key, name) if name else self.key, name, text, near)

    def value(self, name: str, kind: Kind[T], otherwise: T) -> T:
        """The value of a name, or `otherwise` where the text has none or a wrong one."""
        raw = self.raw(name)
        if raw is None and name not in self.entry:
            return otherwise
        try:
            found = kind.read(raw)
        except (ValueError, ArithmeticError):
            near = nearest(raw, kind.words) if isinstance(raw, str) and kind.words else None
            self.wrong(name, f"needs {kind.needs}; got {shown(raw)}", near)
            return otherwise
        self.said[name] = kind.show(found)
        return found

    def optional(self, name: str, kind: Kind[T]) -> T | None:
        """The value of a name, None where there is none."""
        return self.value(name, kind, None) if name in self.entry else self._none(name)  # type: ignore[arg-type]

    def required(self, name: str, kind: Kind[T], otherwise: T) -> T:
        """The value of a name that must be there; `otherwise` only where a mistake was noted."""
        if name not in self.entry:
            self._asked[name] = None
            self.wrong(name, f"is missing: it needs {kind.needs}")
        return self.value(name, kind, otherwise)

    def several(self, name: str, kind: Kind[T]) -> tuple[T, ...]:
        """One value or a list of them; empty where there are none."""
        raw = self.raw(name)
        if name not in self.entry:
            return ()
        listed: list[Any] = raw if isinstance(raw, list) else [raw]
        found: list[T] = []
        for each in listed:
            try:
                found.append(kind.read(each))
            except (ValueError, ArithmeticError):
                near = nearest(each, kind.words) if isinstance(each, str) and kind.words else None
                self.wrong(name, f"needs {kind.needs}, or a list of such; got {shown(each)}", near)
        if not listed:
            self.wrong(name, f"needs {kind.needs}, or a list of such; got an empty list")
        written = [kind.show(each) for each in found]
        self.said[name] = written[0] if len(written) == 1 else written
        return tuple(found)

    def child(self, name: str) -> Reader:
        """The object under a name."""
        made = Reader(self.raw(name), (*self.key, name), self._shared)
        self.said[name] = made.said
        return made

    def children(self, name: str, what: str) -> list[Reader]:
        """The objects listed under a name; an object of several keys counts as a list of each of them."""
        raw = self.raw(name)
        where = (*self.key, name)
        if isinstance(raw, Mapping):
            made = [Reader({key: each}, where, self._shared) for key, each in raw.items()]
        elif isinstance(raw, list):
            made = [Reader(each, (*where, str(number)), self._shared) for number, each in enumerate(raw)]
        else:
            self.wrong(name, f"needs a list of {what}; got {shown(raw)}")
            made = []
        if not made and isinstance(raw, list | Mapping):
            self.wrong(name, f"needs a list of {what}; got an empty one")
        self.said[name] = [each.said for each in made]
        return made

    def names(self) -> tuple[str, ...]:
        """All names of the object, in the order of the text."""
        return tuple(self.entry)

    @property
    def strangers(self) -> tuple[str, ...]:
        """The names that nobody has asked for so far."""
        return tuple(name for name in self.entry if name not in self._asked)

    def finish(self, *also: str) -> None:
        """Refuse every name that nobody asked for, with the nearest of those that are known."""
        known = tuple(dict.fromkeys((*self._asked, *also)))
        for name in self.strangers:
            text = f"is not known here; known are {', '.join(sorted(known))}"
            self.wrong(name, text, nearest(name, known))

    def nonempty(self, example: str) -> None:
        """Refuse an object that says nothing."""
        if self._empty:
            self.wrong("", f"needs something such as {example}; got an empty object")

    def _none(self, name: str) -> None:
        self._asked[name] = None


class Shared:
    """What the readers of one text share: the mistakes so far, the rule being read, the compiler of expressions."""

    def __init__(self, compile_: Compile) -> None:
        """With no mistakes yet."""
        self.compile = compile_
        self.mistakes: list[Mistake] = []
        self.rule = ""
        self.above = 0  # how many parts of a key stand above what a message shows

    def note(self, key: Key, name: str, text: str, near: str | None = None) -> None:
        """Note a mistake; the message begins with the key as the rule says it."""
        told = ".".join(_told(key[self.above :])) or name
        self.mistakes.append(Mistake(key, f"{told} {text}" if told else text, self.rule, near))


def _told(key: Key) -> Key:
    """A key as a rule's reader knows it: `drop.latency.p95_over` is `latency.p95_over`."""
    return key[1:] if len(key) > 1 and key[0] in ("keep", "drop", "prefer") else key


# ---- kinds of values ---------------------------------------------------------------------------------------------
def _texts_only(parse: Callable[[str], T]) -> Callable[[Any], T]:
    """A reader of texts alone: a bare number has no unit."""

    def read(raw: Any) -> T:
        if not isinstance(raw, str):
            raise ValueError("not a text")  # noqa: TRY004  one kind of error for what is not of a kind
        return parse(raw)

    return read


def _duration(raw: Any) -> timedelta:
    return raw if isinstance(raw, timedelta) else _texts_only(units.parse_duration)(raw)


def _some_duration(raw: Any) -> timedelta:
    found = _duration(raw)
    if found <= timedelta(0):
        raise ValueError("not above zero")
    return found


def _usd(raw: Any) -> Decimal:
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError("not an amount")  # noqa: TRY004  one kind of error for what is not of a kind
    # The shortest text of a float is what was typed: 1.10 comes as 1.1, not as 1.100000000000000088.
    found = units.parse_usd(raw if isinstance(raw, str) else repr(raw))
    if found < 0:
        raise ValueError("negative")
    return found


def _whole(raw: Any) -> int:
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError("not a number")  # noqa: TRY004  one kind of error for what is not of a kind
    return units.parse_count(raw) if isinstance(raw, str) else units.parse_count(units.format_number(raw))


def _at_least_one(raw: Any) -> int:
    found = _whole(raw)
    if found < 1:
        raise ValueError("not above zero")
    return found


def _number(raw: Any) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not abs(raw) < 1e15:
        raise ValueError("not a number")
    return float(raw)


def _not_negative(raw: Any) -> float:
    found = _number(raw)
    if found < 0:
        raise ValueError("negative")
    return found


def _score(raw: Any) -> float:
    found = units.parse_share(raw) if isinstance(raw, str) else _number(raw)
    if not 0 <= found <= 1:
        raise ValueError("not from 0 to 1")
    return found


def _truth(raw: Any) -> bool:
    if not isinstance(raw, bool):
        raise ValueError("neither true nor false")  # noqa: TRY004  one kind of error for what is not of a kind
    return raw


def _text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw.strip() or _CONTROL.search(raw) or len(raw) > _LONGEST_TEXT:
        raise ValueError("not a text")
    return raw.strip()


def _size(raw: Any) -> int:
    return raw if type(raw) is int and raw == 0 else _texts_only(units.parse_size)(raw)


def _plain_number(value: float) -> float | int:
    return int(value) if value == int(value) else value


DURATION = Kind("a duration such as 8s", _some_duration, units.format_duration)
SHARE = Kind("a share such as 25%", _texts_only(units.parse_share), units.format_share)
SCORE = Kind("a score from 0 to 1 such as 0.7", _score, _plain_number)
USD = Kind("US dollars such as 1.00", _usd, units.format_usd)
TOKENS = Kind("a number of tokens such as 32k or 500", _whole, int)
COUNT = Kind("a whole number such as 20", _whole, int)
SOME = Kind("a whole number above zero such as 3", _at_least_one, int)
NUMBER = Kind("a number such as 0.4", _not_negative, _plain_number)
BYTES = Kind("a size such as 512B, 64KiB or 1MiB", _size, units.format_size)
RATE = Kind("a rate such as 10/s or 600/m", _texts_only(units.parse_rate), str)
TRUTH = Kind("true or false", _truth, bool)
TEXT = Kind("a text in quotes", _text, str)


def one_of(kind: type[E]) -> Kind[E]:
    """One of an enumeration's words."""
    words = tuple(each.value for each in kind)
    return Kind(_choice(words), _texts_only(kind), lambda value: value.value, words)


def word_of(*words: str) -> Kind[str]:
    """One of some words."""

    def read(raw: str) -> str:
        if raw not in words:
            raise ValueError("not one of them")
        return raw

    return Kind(_choice(words), _texts_only(read), str, words)


def _choice(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
