"""Options of models whose provider knows a few: which there are, and what is wrong with those that were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from gateway.providers.ports import Misfit


@dataclass(frozen=True, slots=True)
class Option:
    """One option: of what kind it is, and how that is said."""

    kinds: tuple[type, ...]
    expected: str

    def fits(self, value: object) -> bool:
        """Whether a value is of the kind."""
        return isinstance(value, self.kinds) and (bool in self.kinds or not isinstance(value, bool))


def misfits(options: Mapping[str, object], known: Mapping[str, Option]) -> Sequence[Misfit]:
    """What is wrong with these options."""
    found: list[Misfit] = []
    for name, value in options.items():
        option = known.get(name)
        if option is None:
            nearest = next(iter(get_close_matches(name, known, 1)), None)
            found.append(Misfit(name, f"one of {', '.join(known)}", name, nearest))
        elif not option.fits(value):
            found.append(Misfit(name, option.expected, value))
    return found
