"""Named queries: SQL is a file per noun, and each query says what it is for.

    -- name: spent_since
    -- What a caller has spent since a moment: the budget predicate asks this once per request.
    SELECT …;

`Q = load(folder)` reads every `<noun>.sql` of a folder; `Q.<noun>.<name>` is a query's text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final, LiteralString, cast

_NAME: Final = re.compile(r"^--\s*name:\s*(\S+)\s*$")
_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]*")


class QueryError(Exception):
    """A query file is not written as it should be, or there is no such query."""


class Noun:
    """The queries of one file."""

    def __init__(self, file: str, queries: Mapping[str, str], purposes: Mapping[str, str]) -> None:
        """`purposes` holds each query's comment."""
        self._file = file
        self._queries = dict(queries)
        self.purposes = dict(purposes)

    def __getattr__(self, name: str) -> LiteralString:
        """The text of a query. Raises QueryError, naming the file, when there is none of this name."""
        if name.startswith("__"):  # asked by copy, pickle and inspect, never for a query
            raise AttributeError(name)
        try:
            # It comes from a file of ours, not from a stranger: literal in the sense that matters to the driver.
            return cast("LiteralString", self._queries[name])
        except KeyError:
            raise QueryError(f"{self._file} has no query {name}{_nearest(name, self._queries)}") from None

    def __iter__(self) -> Iterator[str]:
        """The names of the queries."""
        return iter(self._queries)


class Queries:
    """The queries of one folder, by noun."""

    def __init__(self, folder: Path, nouns: Mapping[str, Noun]) -> None:
        """`folder` is named in errors."""
        self._folder = folder
        self._nouns = dict(nouns)

    def __getattr__(self, noun: str) -> Noun:
        """The queries of one noun. Raises QueryError, naming the folder, when there is no such file."""
        if noun.startswith("__"):
            raise AttributeError(noun)
        try:
            return self._nouns[noun]
        except KeyError:
            raise QueryError(f"{self._folder.name} has no {noun}.sql{_nearest(noun, self._nouns)}") from None

    def __iter__(self) -> Iterator[str]:
        """The nouns."""
        return iter(self._nouns)


def load(folder: Path) -> Queries:
    """Read every `*.sql` of a folder. Raises QueryError, by file and line, for a file that is not as it should be."""
    files = sorted(folder.glob("*.sql"))
    if not files:
        raise QueryError(f"there are no queries in {folder}")
    return Queries(folder, {file.stem: parse(file.name, file.read_text(encoding="utf-8")) for file in files})


def parse(file: str, text: str) -> Noun:
    """Read one file's text; `file` is its name for errors."""
    queries: dict[str, str] = {}
    purposes: dict[str, str] = {}
    name = ""
    for number, line in enumerate(text.splitlines(), 1):
        if match := _NAME.match(line):
            name = match[1]
            if not _IDENTIFIER.fullmatch(name):
                raise QueryError(
                    f"{file}:{number}: {name} is no name for a query: small letters, digits and _ only"
                )
            if name in queries:
                raise QueryError(f"{file}:{number}: the query {name} stands twice")
            queries[name] = purposes[name] = ""
        elif not name:
            if line.strip() and not line.startswith("--"):
                raise QueryError(f"{file}:{number}: a query begins with `-- name: …`")
        elif line.startswith("--") and not queries[name]:
            purposes[name] = f"{purposes[name]} {line.removeprefix('--').strip()}".strip()
        elif line.strip():
            queries[name] += line.strip() + "\n"
    for name, query in queries.items():
        if not purposes[name]:
            raise QueryError(
                f"{file}: the query {name} does not say what it is for: write a comment below its name"
            )
        if not query:
            raise QueryError(f"{file}: the query {name} is empty")
        queries[name] = query.strip().removesuffix(";")
    return Noun(file, queries, purposes)


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(known))}"
