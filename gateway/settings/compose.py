"""A HOCON file and all it includes, put together into one text that pyhocon reads without its silences.

pyhocon 0.3.63 ignores a missing include, forgets a default that two optional substitutions in a row might have
changed, reads only the process's own environment, hangs on some names of themselves, and names no file in its errors.
So includes are inlined here, variables of the environment and what a key was before are filled in, and comments are
dropped (half of pyhocon's time); each line remembers where it came from.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from operator import itemgetter
from pathlib import Path
from typing import Final

from gateway.settings import scan
from gateway.settings.problems import Place, Problem, SettingsError

_INCLUDED: Final = re.compile("\0(\\d+)\0")
# Stands for a line's end in text that is put into the middle of a line.
_BREAK: Final = "\1"
_ESCAPES: Final = (
    *(("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")),
    *(("\0", ""), (_BREAK, "")),
)
_LONGEST_BEFORE: Final = 100_000
Edit = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Line:
    """A line for pyhocon, and where it was written."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """A substitution that stands for another key's value."""

    key: scan.Path
    name: scan.Path
    place: Place


@dataclass(frozen=True, slots=True)
class Composed:
    """The text, where each key was said last, and the names that are left for pyhocon to resolve."""

    lines: Sequence[Line]
    places: Mapping[scan.Path, Place]
    named: Sequence[Named]


def compose(path: Path, environ: Mapping[str, str]) -> Composed:
    """Return a file with its includes as one text. Raises `SettingsError`."""
    return _composed(_Composer(environ), path)


def compose_text(text: str, path: Path) -> Composed:
    """Return a text that stands alone: no file, no variable of the environment is looked at. `path` names it.

    Raises `SettingsError`, for an include and for a name that the text itself does not define too.
    """
    return _composed(_Composer({}, text), path)


def _composed(composer: "_Composer", path: Path) -> Composed:
    root = composer.open(path, (), ())
    # A name is looked for among the keys of all files before the environment is asked: all are read first.
    composer.collect_keys(root)
    composer.walk(root)
    problems = composer.problems or _circles(composer.named) or _tangles(composer.named)
    if problems:
        raise SettingsError(problems)
    return Composed(list(_lines(root)), composer.places, composer.named)


@dataclass(slots=True)
class _File:
    path: Path
    outline: scan.Outline
    prefix: scan.Path
    included: dict[int, "_File"] = field(default_factory=dict[int, "_File"])
    edits: list[Edit] = field(default_factory=list[Edit])


class _Composer:
    def __init__(self, environ: Mapping[str, str], alone: str | None = None) -> None:
        self.environ = environ
        self.alone = alone
        self.keys: set[str] = set()
        self.places: dict[scan.Path, Place] = {}
        self.problems: list[Problem] = []
        self.named: list[Named] = []
        # For each key its last definition so far, and what was said of it before that.
        self.said: dict[scan.Path, tuple[_File, scan.Definition]] = {}
        self.before: dict[scan.Path, str | None] = {}

    def open(self, path: Path, prefix: scan.Path, above: tuple[Path, ...]) -> _File:
        """Read a file and all it includes."""
        file = _File(path, self._outline(path, prefix), prefix)
        for number, include in enumerate(file.outline.includes):
            target = path.parent / include.target
            if self.alone is not None:
                self._refuse(file, include, "expected all of it in this text, got an include")
            elif include.kind != "file":
                self._refuse(file, include, f'expected include "file.conf", got include {include.kind}(…)')
            elif target.resolve() in [each.resolve() for each in (*above, path)]:
                self._refuse(
                    file, include, f'expected files without a circle, got include "{include.target}"'
                )
            elif not target.is_file():
                names = [each.name for each in path.parent.glob("*.conf") if each != path]
                nearest = get_close_matches(include.target, names, 1, 0.75)
                text = f'expected a file to include, found none at "{include.target}"'
                self._refuse(file, include, text, f'include "{nearest[0]}"' if nearest else None)
            else:
                file.included[number] = self.open(target, prefix + include.path, (*above, path))
        return file

    def _outline(self, path: Path, prefix: scan.Path) -> scan.Outline:
        place = Place(path)
        try:
            text = path.read_text("utf-8") if self.alone is None else self.alone
            text = text.removeprefix("\ufeff").replace("\r\n", "\n")
            if re.search("[\0\1]", text):
                raise SettingsError([Problem(place, "", "expected text, got a file with control characters")])
            return scan.scan(text)
        except scan.OutlineError as error:
            problem = Problem(Place(path, error.line), ".".join(prefix + error.key), error.text)
        except FileNotFoundError:
            problem = Problem(place, "", "expected a HOCON file, found none of this name")
        except (OSError, UnicodeDecodeError) as error:
            problem = Problem(place, "", f"expected a readable UTF-8 file, got {type(error).__name__}")
        raise SettingsError([*self.problems, problem])

    def _refuse(self, file: _File, include: scan.Include, text: str, nearest: str | None = None) -> None:
        key = ".".join(file.prefix + include.path)
        self.problems.append(Problem(Place(file.path, include.line), key, text, nearest))

    def collect_keys(self, file: _File) -> None:
        """Note the keys of a file and of all it includes."""
        self.keys.update(".".join(file.prefix + each.path) for each in file.outline.definitions)
        for included in file.included.values():
            self.collect_keys(included)

    def walk(self, file: _File) -> None:
        """Go through a file in the order of its text: note where each key stands, and what to change for pyhocon."""
        outline = file.outline
        file.edits += [(start, end, "") for start, end in outline.comments]
        file.edits += [
            (each.start, each.end, f"\0{number}\0") for number, each in enumerate(outline.includes)
        ]
        file.edits += [(at, at + 1, "") for at in outline.braces or ()]
        found: list[tuple[int, scan.Definition | scan.Substitution | _File]] = [
            *((each.start, each) for each in outline.definitions),
            *((each.start, each) for each in outline.substitutions),
            *((outline.includes[number].start, included) for number, included in file.included.items()),
        ]
        gone: list[scan.Definition] = []
        for _, each in sorted(found, key=itemgetter(0)):
            if isinstance(each, _File):
                self.walk(each)
            elif isinstance(each, scan.Substitution):
                self._substitute(file, each)
            elif each.only and self._is_absent(file, each.only):
                gone.append(each)
            else:
                self._define(file, each)
        # What an absent variable would have set stays as it was before: its whole line is taken out.
        for each in gone:
            file.edits = [edit for edit in file.edits if not each.start <= edit[0] < each.end]
            file.edits.append((each.start, each.end, "\n" * outline.text.count("\n", each.start, each.end)))

    def _is_absent(self, file: _File, found: scan.Substitution) -> bool:
        """Say whether a substitution has nothing to stand for, or stands for what the key is anyway."""
        if found.name == ".".join(file.prefix + found.key):
            return True if found.optional else file.prefix + found.key in self.said
        if self.alone is not None:
            return False
        return found.optional and found.name not in self.keys and found.name not in self.environ

    def _define(self, file: _File, each: scan.Definition) -> None:
        key = file.prefix + each.path
        if key in self.said:
            self.before[key] = self._value(*self.said[key])
        else:
            self.before[key] = "{}" if key in self.places else None
        self.said[key] = (file, each)
        variable = each.only.name if each.only and each.only.name in self.environ else None
        self.places[key] = place = Place(file.path, each.line, variable)
        for length in range(1, len(key)):
            self.places.setdefault(key[:length], place)

    def _substitute(self, file: _File, found: scan.Substitution) -> None:
        key, place = file.prefix + found.key, Place(file.path, found.line)
        if found.name == ".".join(key):
            before = self.before.get(key)
            if before is None and not found.optional:
                text = f"expected ${{{found.name}}} to have a value before this line, found none"
                self.problems.append(Problem(place, found.name, text))
            elif before is not None and _INCLUDED.search(before):
                text = f"expected a list that includes no files before ${{{found.name}}}, got one that does"
                self.problems.append(Problem(place, found.name, text))
            elif before is not None and len(before) > _LONGEST_BEFORE:
                # Each `a = ${a} ${a}` doubles it.
                text = f"expected at most {_LONGEST_BEFORE} characters before ${{{found.name}}}, got more"
                self.problems.append(Problem(place, found.name, text))
                before = ""
            file.edits.append((found.start, found.end, before or ""))
        elif found.name in self.keys:
            self.named.append(Named(key, tuple(found.name.split(".")), place))
        elif (value := self.environ.get(found.name)) is not None:
            file.edits.append((found.start, found.end, _quoted(value)))
        elif found.optional and self.alone is None:
            file.edits.append((found.start, found.end, '""'))
        else:
            known = [*self.keys, *(name for name in self.environ if name.startswith("GATEWAY"))]
            nearest = get_close_matches(found.name, known, 1)
            where = "a key of these files or a variable, found neither"
            where = where if self.alone is None else "a key of this text, found none"
            text = f"expected ${{{found.name}}} to name {where}"
            hint = f"${{{nearest[0]}}}" if nearest else None
            self.problems.append(Problem(place, ".".join(key), text, hint))

    def _value(self, file: _File, said: scan.Definition) -> str:
        """Return a definition's value as it stands for its key's name in a later one."""
        text = file.outline.text[said.value : said.end]
        if text.startswith("{"):
            # Objects merge by themselves.
            return "{}"
        edits = [edit for edit in file.edits if said.value <= edit[0] < said.end]
        shifted = [(start - said.value, end - said.value, new) for start, end, new in edits]
        return _edited(text, shifted).strip().replace("\n", _BREAK)


def _lines(file: _File) -> Iterator[Line]:
    """Yield a file's lines as pyhocon is to read them, with its includes in their places."""
    text = file.outline.text
    kept = {
        line
        for start, end in file.outline.long_strings
        for line in range(text.count("\n", 0, start) + 1, text.count("\n", 0, end) + 2)
    }
    for number, line in enumerate(_edited(text, file.edits).split("\n"), 1):
        for index, part in enumerate(_INCLUDED.split(line)):
            if index % 2:
                yield from _lines(file.included[int(part)])
            elif part.strip() or number in kept:
                yield from (Line(each, Place(file.path, number)) for each in part.split(_BREAK))


def _circles(named: Sequence[Named]) -> list[Problem]:
    """Return the names that would need their own value first: pyhocon goes round in some of them for ever."""
    needs = {one: {other for other in named if _touches(other.key, one.name)} for one in named}
    while free := {
        each for each in needs if not needs[each] or not any(each in other for other in needs.values())
    }:
        needs = {each: others - free for each, others in needs.items() if each not in free}
    text = "expected ${{{}}} to lead to a value, got a circle of substitutions"
    return [Problem(each.place, ".".join(each.key), text.format(".".join(each.name))) for each in needs]


def _tangles(named: Sequence[Named]) -> list[Problem]:
    """Return the names that pyhocon follows for ever although they end: `b { c = ${a} }`, and later `b = ${d}`."""
    tangled = [
        later
        for at, later in enumerate(named)
        if any(
            each.key[: len(later.key)] == later.key
            and (len(each.key) > len(later.key) or each.name == later.name)
            for each in named[:at]
        )
    ]
    text = "expected ${{{}}} before names are used inside this key, not after"
    return [Problem(each.place, ".".join(each.key), text.format(".".join(each.name))) for each in tangled]


def _touches(key: scan.Path, name: scan.Path) -> bool:
    """Say whether the value at `name` is made of what is said at `key`: it is there, below, or above."""
    length = min(len(key), len(name))
    return key[:length] == name[:length]


def _quoted(value: str) -> str:
    r"""Return a string as pyhocon reads it back: it knows \\, \", \n, \r and \t."""
    for plain, escaped in _ESCAPES:
        value = value.replace(plain, escaped)
    return f'"{value}"'


def _edited(text: str, edits: Sequence[Edit]) -> str:
    parts: list[str] = []
    at = 0
    for start, end, new in sorted(edits):
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])
