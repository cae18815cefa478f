"""HOCON files by pyhocon, as plain values, with the place of every key and errors that say where."""

import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pyhocon import ConfigFactory, ConfigParser, ConfigTree
from pyhocon.config_tree import ConfigValues, NoneValue
from pyhocon.exceptions import ConfigException
from pyparsing import ParseBaseException, ParserElement

from gateway.settings import scan
from gateway.settings.compose import Composed, compose, compose_text
from gateway.settings.problems import Place, Problem, SettingsError

_LINE: Final = re.compile(r"line: ?(\d+)")
_CYCLE: Final = re.compile(r"\$\{(?P<name>[^}]*)\}: \(line: (?P<line>\d+)")
# pyhocon changes a setting of pyparsing's for the whole process while it parses.
_parsing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Document:
    """A HOCON file with all it includes, as plain values, and where each of its keys was written."""

    path: Path
    tree: dict[str, Any]
    places: Mapping[scan.Path, Place]

    def place(self, key: Sequence[str]) -> Place:
        """Return where `key` was written, or else the section that should have held it."""
        for length in range(len(key), 0, -1):
            if place := self.places.get(tuple(key[:length])):
                return place
        return Place(self.path)


def read_hocon(path: Path, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a HOCON file as plain dicts, lists and scalars, durations as timedeltas. Raises `SettingsError`."""
    return read_document(path, environ).tree


def read_document(path: Path, environ: Mapping[str, str] | None = None) -> Document:
    """Return a HOCON file with the place of each key; `${NAME}` reads `environ`, or the process's own."""
    text = compose(path, os.environ if environ is None else environ)
    return Document(path, _parse(text, path), text.places)


def read_text(text: str, name: str) -> Document:
    """Return a text that stands alone, such as one that came through an API; `name` stands for a file in its places.

    Nothing outside of it is looked at: an include, and a `${NAME}` that it does not define, are refused. What it costs
    to read is not bounded here. Raises `SettingsError`.
    """
    path = Path(name)
    composed = compose_text(text, path)
    return Document(path, _parse(composed, path), composed.places)


def place_of(path: Path, key: str | Sequence[str]) -> Place | None:
    """Return where a key of a HOCON file stands: `models.0.price`, or its parts where one has a dot of its own.

    For a key that is not there it is the place of the nearest one above it, for none of them None.
    """
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return None
    places = _places(path, changed)
    parts = key.split(".") if isinstance(key, str) else list(key)
    for length in range(len(parts), 0, -1):
        if place := places.get(".".join(parts[:length])):
            return place
    return None


def line_of(path: Path, dotted_key: str | Sequence[str]) -> int | None:
    """Return the line of a key (see `place_of`), if it stands in this very file and not in an included one."""
    place = place_of(path, dotted_key)
    return place.line if place is not None and place.file == path else None


@lru_cache(maxsize=16)
def _places(path: Path, changed: int) -> Mapping[str, Place]:
    del changed  # It only tells the cache that a file was written again.
    return {".".join(key): place for key, place in compose(path, os.environ).places.items()}


def _parse(composed: Composed, path: Path) -> dict[str, Any]:
    lines = composed.lines
    text = "\n".join(line.text for line in lines)

    def place(number: int) -> Place:
        return lines[min(number, len(lines)) - 1].place if lines else Place(path)

    blank = ParserElement.DEFAULT_WHITE_CHARS
    try:
        with _parsing:
            try:
                tree = ConfigFactory.parse_string(text, resolve=False)
                if isinstance(tree, ConfigTree):
                    ConfigParser.resolve_substitutions(tree)
            finally:
                ParserElement.set_default_whitespace_chars(blank)
    except ParseBaseException as error:
        # The parser's own words quote the text, which may hold a secret.
        problem = Problem(
            place(error.lineno), "", f"expected HOCON, cannot read on from column {error.column}"
        )
        raise SettingsError([problem]) from None
    except ConfigException as error:
        raise SettingsError(_problems(str(error), Place(path), place)) from None
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError):
        # pyhocon's own stumbles over odd but well-formed input, such as a section put where a list was, or a duration
        # beyond all bounds.
        raise _lost(composed, path) from None
    if not isinstance(tree, ConfigTree):
        raise SettingsError([Problem(Place(path), "", "expected keys with values, got a list")])
    try:
        plain: dict[str, Any] = _plain(tree, path)
    except ArithmeticError:
        raise _lost(composed, path) from None  # the same duration, where dateutil is installed
    return plain


def _lost(composed: Composed, path: Path) -> SettingsError:
    text = "expected a simpler way to say this, pyhocon loses itself in it"
    problems = [Problem(each.place, ".".join(each.key), text) for each in composed.named]
    return SettingsError(problems or [Problem(Place(path), "", text)])


def _problems(said: str, whole: Place, place: Callable[[int], Place]) -> list[Problem]:
    """Return what pyhocon found wrong while it put values in for their names, without the values it quotes."""
    if "Check for cycles" in said:
        named = [(match["name"], place(int(match["line"]))) for match in _CYCLE.finditer(said)]
        text = "expected ${{{}}} to lead to a value, got a circle of substitutions"
        return [Problem(at, "", text.format(name)) for name, at in named] or [
            Problem(whole, "", "expected substitutions that lead to a value, got a circle")
        ]
    line = _LINE.search(said)
    at = place(int(line[1])) if line else whole
    return [Problem(at, "", "expected values of one kind side by side, got text beside a section or a list")]


def _plain(value: Any, path: Path) -> Any:
    """Return pyhocon's trees, lists and nulls as Python's own."""
    if isinstance(value, ConfigTree):
        # The tree's own items() would look every key up as a path.
        return {key.strip('"'): _plain(each, path) for key, each in dict.items(value)}
    if isinstance(value, list):
        return [_plain(each, path) for each in value]
    if isinstance(value, NoneValue):
        return None
    if isinstance(value, ConfigValues):
        raise SettingsError(
            [Problem(Place(path), "", "expected substitutions that lead to a value, got a circle")]
        )
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, int | float | timedelta):
        return value
    # pyhocon uses dateutil's relativedelta for durations where that library happens to be installed.
    return timedelta(
        days=value.days,
        hours=value.hours,
        minutes=value.minutes,
        seconds=value.seconds,
        microseconds=value.microseconds,
    )
