"""Where things stand in a HOCON text: its keys, includes, substitutions and comments, with line and span.

pyhocon gives values without their places, and passes over some mistakes in silence. This scanner knows the outline
of the language only, never a value's meaning: pyhocon stays the parser, and gets the text that `hocon.py` prepares
by these spans.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final, NoReturn

Path = tuple[str, ...]

_INCLUDE: Final = re.compile(
    r"include(?:\s+|(?=\"))(?:required\s*\(\s*)?(?:(?P<kind>\w+)\s*\(\s*)?\"(?P<target>(?:[^\"\\\n]|\\.)*)\"(?:\s*\)){0,2}",
    re.IGNORECASE,
)
_STRING: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_LONG_STRING: Final = re.compile(r'""".*?"{3,}', re.DOTALL)
_SUBSTITUTION: Final = re.compile(r"\$\{(?P<optional>\??)(?P<name>[^}\n]+)\}")
# pyhocon's own alphabet for a key without quotes.
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9\u00c0-\u00ff._\- /]+")
_BARE_VALUE: Final = re.compile(r"[^\s\"{}\[\],#=$\\^`+?!@*&]+")
_ESCAPED_CODE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u")
# pyhocon spends several Python frames on each level and would end in a RecursionError not far beyond.
_DEEPEST: Final = 12


@dataclass(frozen=True, slots=True)
class Definition:
    """A key with its value, or an element of a list (whose last part is its number); the value starts at `value`."""

    path: Path
    start: int
    value: int
    end: int
    line: int
    only: "Substitution | None" = None


@dataclass(frozen=True, slots=True)
class Substitution:
    """`${name}` or `${?name}`."""

    name: str
    optional: bool
    key: Path
    start: int
    end: int
    line: int


@dataclass(frozen=True, slots=True)
class Include:
    """`include "target"`, in the object `path`; `kind` is `file`, or the word before a bracket."""

    target: str
    kind: str
    path: Path
    start: int
    end: int
    line: int


@dataclass(slots=True)
class Outline:
    """All that was found in one text."""

    text: str
    definitions: list[Definition] = field(default_factory=list[Definition])
    substitutions: list[Substitution] = field(default_factory=list[Substitution])
    includes: list[Include] = field(default_factory=list[Include])
    comments: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    long_strings: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    braces: tuple[int, int] | None = None
    """Where the braces round the whole text stand, if it has them."""


class OutlineError(Exception):
    """The text breaks the language's rules on this line. The message never repeats it: it may hold a secret."""

    def __init__(self, line: int, key: Path, text: str) -> None:
        self.line, self.key, self.text = line, key, text
        super().__init__(f"line {line}: {text}")


def scan(text: str) -> Outline:
    """Return the outline of a text. Raises `OutlineError`."""
    return _Scanner(text).run()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.found = Outline(text)
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def run(self) -> Outline:
        self.skip(blank=" \t\r\n")
        if self.peek() == "[":
            self.fail("expected keys with values, got a list", ())
        if self.peek() == "{":
            opened = self.at
            self.mapping(())
            self.found.braces = (opened, self.at - 1)
            self.skip(blank=" \t\r\n,")
            if self.at < len(self.text):
                self.fail("expected the end of the file after the closing }", ())
        else:
            self.members((), closing=False)
        return self.found

    def line(self, at: int | None = None) -> int:
        return bisect_right(self.starts, self.at if at is None else at)

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def fail(self, text: str, key: Path, at: int | None = None) -> NoReturn:
        raise OutlineError(self.line(at), key, text)

    def skip(self, blank: str) -> None:
        """Pass over the characters of `blank` and over comments."""
        while self.at < len(self.text):
            if self.text[self.at] in blank:
                self.at += 1
            elif self.text[self.at] == "#" or self.text.startswith("//", self.at):
                end = self.text.find("\n", self.at)
                end = len(self.text) if end < 0 else end
                self.found.comments.append((self.at, end))
                self.at = end
            else:
                return

    def mapping(self, path: Path) -> None:
        opened = self.at
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(f"expected at most {_DEEPEST} levels of {{ and [", path)
        self.at += 1
        self.members(path, closing=True)
        if self.peek() != "}":
            self.fail("expected a } that closes this {, got the end of the file", path, opened)
        self.at += 1
        self.depth -= 1

    def members(self, path: Path, *, closing: bool) -> None:
        while True:
            self.skip(blank=" \t\r\n,")
            if not (char := self.peek()):
                return
            if char == "}":
                if not closing:
                    self.fail("expected a key, got a } that closes nothing", path)
                return
            if match := _INCLUDE.match(self.text, self.at):
                kind = (match["kind"] or "file").lower()
                self.found.includes.append(
                    Include(match["target"], kind, path, self.at, match.end(), self.line())
                )
                self.at = match.end()
            else:
                self.member(path)

    def member(self, path: Path) -> None:
        start, line = self.at, self.line()
        key = path + self.key(path)
        self.skip(blank=" \t\r\n")
        if self.text.startswith("+=", self.at):
            # pyhocon overwrites a list here where the language says that it grows.
            self.fail("expected `key = ${key} [ … ]` to add to a list, got +=", key)
        if self.peek() not in ("=", ":", "{"):
            self.fail("expected = or { after this key", key, start)
        if self.peek() != "{":
            self.at += 1
        # In the list before its children, so that a parent's place comes first.
        place = len(self.found.definitions)
        self.found.definitions.append(Definition(key, start, start, start, line))
        self.skip(blank=" \t\r\n")
        value = self.at
        only = self.value(key)
        self.found.definitions[place] = Definition(key, start, value, self.at, line, only)

    def key(self, path: Path) -> Path:
        if match := _LONG_STRING.match(self.text, self.at) or _STRING.match(self.text, self.at):
            self.at = match.end()
            if self.peek() == ".":
                # pyhocon takes no quoted part inside a path.
                self.fail('expected "quoted key" { key = … } in place of "quoted key".key', path)
            return (match[0].strip('"'),)
        match = _BARE_KEY.match(self.text, self.at)
        if match is None:
            self.fail("expected a key of letters, digits, - and _, or one in quotes", path)
        bare = match[0].split("//", 1)[0]
        self.at += len(bare)
        if self.peek() == '"':
            self.fail('expected key { "quoted key" = … } in place of key."quoted key"', path)
        parts = tuple(part.strip() for part in bare.strip().split("."))
        if not all(parts):
            self.fail("expected a key between the dots", path)
        return parts

    def value(self, path: Path) -> Substitution | None:
        """Pass over a value; return its substitution, if it is nothing else."""
        parts = 0
        last: Substitution | None = None
        while (char := self.peek()) and char not in "\n,}]":
            if char in " \t\r" or char == "#" or self.text.startswith("//", self.at):
                self.skip(blank=" \t\r")
                continue
            parts += 1
            if _INCLUDE.match(self.text, self.at):
                self.fail("expected include as the first word of its line, or text in quotes", path)
            if char == "{":
                self.mapping(path)
            elif char == "[":
                self.sequence(path)
            elif char == '"':
                self.string(path)
            elif char == "$":
                last = self.substitution(path)
            elif char == "\\":
                self.at += 2
            elif match := _BARE_VALUE.match(self.text, self.at):
                self.at = match.end()
            else:
                self.fail(f"expected text with {char} in it to stand in quotes", path)
        if not parts:
            self.fail("expected a value, got none", path)
        return last if parts == 1 else None

    def sequence(self, path: Path) -> None:
        opened = self.at
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(f"expected at most {_DEEPEST} levels of {{ and [", path)
        self.at += 1
        number = 0
        while True:
            self.skip(blank=" \t\r\n,")
            if not (char := self.peek()):
                self.fail("expected a ] that closes this [, got the end of the file", path, opened)
            if char == "]":
                break
            if char == "}":
                self.fail("expected a ] that closes the list, got }", path)
            element, start, line = (*path, str(number)), self.at, self.line()
            place = len(self.found.definitions)
            self.found.definitions.append(Definition(element, start, start, start, line))
            only = self.value(element)
            self.found.definitions[place] = Definition(element, start, start, self.at, line, only)
            number += 1
        self.at += 1
        self.depth -= 1

    def string(self, path: Path) -> None:
        if self.text.startswith('"""', self.at):
            match = _LONG_STRING.match(self.text, self.at)
            if match is None:
                self.fail('expected a """ that closes this text, got the end of the file', path)
            self.found.long_strings.append(match.span())
        else:
            match = _STRING.match(self.text, self.at)
            if match is None:
                self.fail('expected a " that closes this text, got the end of the line', path)
            if _ESCAPED_CODE.search(match[0]):
                # pyhocon would leave the six characters as they are.
                self.fail("expected the character itself in place of its \\u code", path)
        self.at = match.end()

    def substitution(self, path: Path) -> Substitution:
        match = _SUBSTITUTION.match(self.text, self.at)
        if match is None:
            self.fail("expected ${name} or ${?name}, or quotes round text with $ in it", path)
        found = Substitution(
            match["name"].strip(), bool(match["optional"]), path, self.at, match.end(), self.line()
        )
        self.found.substitutions.append(found)
        self.at = match.end()
        return found
