"""Tag expressions, by which models are chosen: `location=on-prem,size=small|medium,!preview`.

Terms are separated by commas and must all hold. A term is a tag that must be there (`gpu`), must be there with one of
some values (`size=small|medium`), must not be there (`!preview`), or must not have one of some values (`!vendor=acme`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,63}")
_VALUE = re.compile(r"[A-Za-z0-9_.:/@+ -]{0,128}")
_MOST_TERMS = 32


@dataclass(frozen=True, slots=True)
class Term:
    """One tag that must be there; with `values` it must have one of them; `absent` turns it round."""

    name: str
    values: tuple[str, ...] = ()
    absent: bool = False

    def holds(self, tags: Mapping[str, str]) -> bool:
        """Whether tags fulfil the term."""
        there = self.name in tags and (not self.values or tags[self.name] in self.values)
        return there is not self.absent

    def __str__(self) -> str:
        """The term as it is written."""
        values = f"={'|'.join(self.values)}" if self.values else ""
        return f"{'!' if self.absent else ''}{self.name}{values}"


@dataclass(frozen=True, slots=True)
class TagExpression:
    """Terms that must all hold; without any, everything fulfils it."""

    terms: tuple[Term, ...] = ()

    def holds(self, tags: Mapping[str, str]) -> bool:
        """Whether tags fulfil every term."""
        return all(term.holds(tags) for term in self.terms)

    def failing(self, tags: Mapping[str, str]) -> Term | None:
        """The first term that tags do not fulfil."""
        return next((term for term in self.terms if not term.holds(tags)), None)

    def __str__(self) -> str:
        """The expression as it is written."""
        return ",".join(str(term) for term in self.terms)


def parse_tags(text: str) -> TagExpression:
    """Read an expression. Raises ValueError saying which term is wrong and what would be right."""
    parts = [part.strip() for part in text.split(",")]
    if not text.strip():
        return TagExpression()
    if len(parts) > _MOST_TERMS:
        raise ValueError(f"at most {_MOST_TERMS} terms, got {len(parts)}")
    return TagExpression(tuple(_term(part) for part in parts))


def is_tag(name: str, value: str) -> bool:
    """Whether a tag can be asked for, by its name and by its value."""
    return bool(_NAME.fullmatch(name) and _VALUE.fullmatch(value) and value == value.strip())


def _term(part: str) -> Term:
    absent = part.startswith("!")
    name, equals, rest = part.removeprefix("!").partition("=")
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise ValueError(f"expected a tag such as `location=on-prem`, `gpu` or `!preview`, got `{part}`")
    if not equals:
        return Term(name, (), absent)
    values = tuple(value.strip() for value in rest.split("|"))
    if not all(value and _VALUE.fullmatch(value) for value in values):
        raise ValueError(f"expected values such as `{name}=a` or `{name}=a|b`, got `{part}`")
    return Term(name, values, absent)
