"""What is wrong with a configuration, said so that a person can mend it without reading code."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written: a line of a file, or a variable of the environment."""

    file: Path | None
    line: int | None = None
    variable: str | None = None

    def __str__(self) -> str:
        if self.file is None:
            return f"environment variable {self.variable}"
        return _shown(self.file) if self.line is None else f"{_shown(self.file)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where, and what was expected instead."""

    place: Place
    key: str
    text: str
    nearest: str | None = None

    def __str__(self) -> str:
        said = ": ".join(part for part in (str(self.place), self.key, self.text) if part)
        return f"{said}. Did you mean {self.nearest}?" if self.nearest else said


class SettingsError(Exception):
    """A configuration that cannot be used: one line for each problem, `FILE:LINE: key: expected X, got Y`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def _shown(file: Path) -> str:
    """Return the shorter of a file's two names: the one from the folder we stand in, if it is below it."""
    try:
        return str(file.relative_to(Path.cwd()))
    except (ValueError, FileNotFoundError):
        return str(file)
