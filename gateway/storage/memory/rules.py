"""The versions of the rules in memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from gateway.domain.errors import VersionConflict
from gateway.storage.memory.changes import MemoryChanges
from gateway.storage.memory.registry import MemoryAudit
from gateway.storage.paging import line_after, page_of
from gateway.storage.ports import Page, RuleVersion

NOUN = "rules"


class MemoryRules:
    """The port `Rules`."""

    def __init__(self, changes: MemoryChanges, audit: MemoryAudit) -> None:
        """There are none yet."""
        self._changes = changes
        self._audit = audit
        self._versions: dict[int, RuleVersion] = {}
        self._current = 0

    async def current(self) -> RuleVersion | None:
        """The version in force."""
        return await self.get(self._current)

    async def get(self, number: int) -> RuleVersion | None:
        """One version."""
        version = self._versions.get(number)
        return None if version is None else replace(version, in_force=number == self._current)

    async def find(self, *, limit: int, after: str | None = None) -> Page[RuleVersion]:
        """Versions newest first."""
        last = line_after(after)
        found = [
            replace(version, in_force=number == self._current)
            for number, version in sorted(self._versions.items(), reverse=True)
            if last is None or number < last
        ]
        return page_of(found, limit, lambda version: str(version.number))

    async def publish(
        self, text: str, digest: str, *, actor: str, note: str = "", expected: int | None = None
    ) -> RuleVersion:
        """Keep a text as the next version and put it in force."""
        before = self._before(expected)
        if before is not None and before.text == text:
            return replace(before, in_force=True)
        number = len(self._versions) + 1
        self._versions[number] = RuleVersion(number, text, digest, actor, note, datetime.now(UTC))
        return self._put_in_force(number, actor, note, "publish")

    async def restore(
        self, number: int, *, actor: str, note: str = "", expected: int | None = None
    ) -> RuleVersion | None:
        """Put an earlier version in force again."""
        self._before(expected)
        if number not in self._versions or number == self._current:
            return await self.get(number)
        return self._put_in_force(number, actor, note, "rollback")

    async def plant(self, text: str, digest: str, *, actor: str = "seed") -> bool:
        """Publish if there never was a version."""
        if self._versions:
            return False
        await self.publish(text, digest, actor=actor, note="the rules of a fresh install")
        return True

    def _before(self, expected: int | None) -> RuleVersion | None:
        if expected is not None and expected != self._current:
            raise VersionConflict(current=self._current)
        return self._versions.get(self._current)

    def _put_in_force(self, number: int, actor: str, note: str, action: str) -> RuleVersion:
        before = self._versions.get(self._current)
        after = self._versions[number] = replace(self._versions[number], since=datetime.now(UTC))
        self._current = number
        self._changes.bump(NOUN)
        self._audit.add(
            actor,
            NOUN,
            str(number),
            action,
            None if before is None else {"version": before.number, "digest": before.digest},
            {"version": number, "digest": after.digest, "note": note},
        )
        return replace(after, in_force=True)
