"""Matching names and tags: a name may hold `*` for anything, tags are asked for as everywhere in the gateway."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.domain.rules.reading import Kind, Reader, shown
from gateway.domain.rules.scene import Scene, Verdicts
from gateway.domain.tags import TagExpression, Term, parse_tags

_LONGEST = 256
_TAGS = 'tags such as { location = on-prem, preview = false } or "location=on-prem,!preview"'


@dataclass(frozen=True, slots=True)
class Names:
    """Some names; `*` in one stands for any text."""

    names: tuple[str, ...]

    def __contains__(self, name: object) -> bool:
        """Whether a name is one of them."""
        return name in self.names or any("*" in each and _fits(str(name), each) for each in self.names)

    def among(self, names: frozenset[str | None]) -> frozenset[str | None]:
        """Those of some names that are among these: asked once for many."""
        wild = any("*" in each for each in self.names)
        return frozenset([each for each in names if each in self]) if wild else frozenset(self.names)

    def __str__(self) -> str:
        """The names as a person lists them."""
        return " or ".join(self.names)


def _fits(name: str, pattern: str) -> bool:
    # Piece by piece, since a regular expression of many stars can be made to take for ever.
    first, *middle, last = pattern.split("*")
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for piece in middle:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _name(raw: Any) -> str:
    if not isinstance(raw, str) or not raw.strip() or len(raw) > _LONGEST:
        raise ValueError("not a name")
    return raw.strip()


MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
"""The form of a model's name."""
NAME = Kind('a name such as "gpt-4.1-mini", where * stands for any text', _name, str)


def read_names(reader: Reader, name: str, kind: Kind[str] = NAME) -> Names:
    """One name or a list of them."""
    return Names(reader.several(name, kind))


def read_tags(reader: Reader, name: str) -> TagExpression:
    """Tags as an object (a value, a list of values, true for any, false for none) or as a tag expression."""
    raw = reader.raw(name)
    try:
        found = parse_tags(_expression(raw))
        if not found.terms:
            raise ValueError(f"needs {_TAGS}; got none")
    except ValueError as error:
        said = str(error)
        reader.wrong(name, said if said.startswith("needs") else f"needs {_TAGS}: {said}")
        return TagExpression()
    reader.said[name] = str(found)
    return found


def _expression(raw: Any) -> str:
    if isinstance(raw, str):
        return raw
    if not isinstance(raw, Mapping):
        raise ValueError(f"needs {_TAGS}; got {shown(raw)}")  # noqa: TRY004  one kind of error for all mistakes
    return ",".join(_term(str(tag), value) for tag, value in raw.items())


def _term(tag: str, value: Any) -> str:
    if {*tag} & {*",|=!"}:
        raise ValueError(f"needs names of tags without , | = and !; got {shown(tag)}")
    if isinstance(value, bool):
        return tag if value else f"!{tag}"
    values: list[Any] = value if isinstance(value, list) else [value]
    for each in values:
        if (
            isinstance(each, bool)
            or not isinstance(each, str | int)
            or (isinstance(each, str) and {*each} & {*",|"})
        ):
            raise ValueError(f"needs quotes round the value of {tag}; got {shown(each)}")
    if not values:
        raise ValueError(f"needs a value for {tag}; got an empty list")
    return f"{tag}={'|'.join(str(each) for each in values)}"


def judge_term(scene: Scene, term: Term) -> Verdicts:
    """Whether each candidate fulfils a term of a tag expression."""
    name, values, absent = term.name, term.values, term.absent
    found = scene.tag(name)
    words = scene.words(f"tag {name}")
    if words.isdisjoint(values or (None,)):
        there = scene.none if values else scene.yes
    elif len(words) == 1:
        there = scene.yes if values else scene.none
    elif not values:
        there = scene.verdicts([value is not None for value in found])
    elif len(values) == 1:
        value = values[0]
        there = scene.verdicts([each == value for each in found])
    else:
        there = scene.verdicts([each in values for each in found])
    return scene.opposite(there) if absent else there
