"""The rules as they are kept: versions that never change, and which of them is in force."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.storage.ports.page import Page


@dataclass(frozen=True, slots=True)
class RuleVersion:
    """One version of the rules: the text as it was written, and what it says by a digest. It never changes.

    `in_force` tells whether it decides now, `since` when it last began to (None if it never did).
    """

    number: int
    text: str
    digest: str
    author: str
    note: str
    created_at: datetime
    in_force: bool = False
    since: datetime | None = None


class Rules(Protocol):
    """The versions of the rules. Putting one in force is audited and grows the revision `rules`, in one transaction.

    Nothing here looks at whether a text makes sense: `api.service.rules` reads it before it comes here.
    """

    async def current(self) -> RuleVersion | None:
        """The version in force; None if there never was one."""
        ...

    async def get(self, number: int) -> RuleVersion | None:
        """One version."""
        ...

    async def find(self, *, limit: int, after: str | None = None) -> Page[RuleVersion]:
        """Versions newest first; `after` is the last number of the page before, as text. Raises InvalidRequest."""
        ...

    async def publish(
        self, text: str, digest: str, *, actor: str, note: str = "", expected: int | None = None
    ) -> RuleVersion:
        """Keep a text as the next version and put it in force; the text in force already stays the version it is.

        `expected` is the number of the version in force that the text was made from, 0 for none; None if it does not
        matter. Raises VersionConflict, which has the `current` one.
        """
        ...

    async def restore(
        self, number: int, *, actor: str, note: str = "", expected: int | None = None
    ) -> RuleVersion | None:
        """Put an earlier version in force again; None if there is no such version. Raises VersionConflict."""
        ...

    async def plant(self, text: str, digest: str, *, actor: str = "seed") -> bool:
        """Publish if there never was a version, whichever replica is first; returns whether it was this one."""
        ...
