"""The versions of the rules in PostgreSQL."""

from __future__ import annotations

from typing import Final

from gateway.domain.errors import VersionConflict
from gateway.storage.paging import line_after, page_of
from gateway.storage.ports import Page, RuleVersion
from gateway.storage.postgres.database import Database, Transaction
from gateway.storage.postgres.named import Q
from gateway.storage.postgres.registry import audited, bumped
from gateway.storage.postgres.rows import Row
from gateway.storage.text import storable

NOUN: Final = "rules"


class PostgresRules:
    """The port `Rules`."""

    def __init__(self, database: Database) -> None:
        """`database` is the store's."""
        self._database = database

    async def current(self) -> RuleVersion | None:
        """The version in force."""
        return _version(await self._database.row(Q.rules.current))

    async def get(self, number: int) -> RuleVersion | None:
        """One version."""
        return _version(await self._database.row(Q.rules.get, {"number": number}))

    async def find(self, *, limit: int, after: str | None = None) -> Page[RuleVersion]:
        """Versions newest first."""
        wanted = {"after": line_after(after), "limit": limit + 1}
        rows = await self._database.rows(Q.rules.find, wanted, prepare=False)
        return page_of([_known(row) for row in rows], limit, lambda version: str(version.number))

    async def publish(
        self, text: str, digest: str, *, actor: str, note: str = "", expected: int | None = None
    ) -> RuleVersion:
        """Keep a text as the next version and put it in force."""
        async with self._database.transaction() as work:
            before = await _before(work, expected)
            if before is not None and before.text == text:
                return before
            return await _publish(work, text, digest, actor, note, before)

    async def restore(
        self, number: int, *, actor: str, note: str = "", expected: int | None = None
    ) -> RuleVersion | None:
        """Put an earlier version in force again."""
        async with self._database.transaction() as work:
            before = await _before(work, expected)
            if before is not None and before.number == number:
                return before
            if await work.row(Q.rules.get, {"number": number}) is None:
                return None
            return await _put_in_force(work, number, actor, note, "rollback", before)

    async def plant(self, text: str, digest: str, *, actor: str = "seed") -> bool:
        """Publish if there never was a version."""
        async with self._database.transaction() as work:
            if await _before(work, None) is not None:
                return False
            await _publish(work, text, digest, actor, "the rules of a fresh install", None)
            return True


async def _before(work: Transaction, expected: int | None) -> RuleVersion | None:
    """What is in force, with the lock taken. Raises VersionConflict if that is not what was expected."""
    await work.rows(Q.rules.lock)
    before = _version(await work.row(Q.rules.current))
    current = 0 if before is None else before.number
    if expected is not None and expected != current:
        raise VersionConflict(current=current)
    return before


async def _publish(
    work: Transaction, text: str, digest: str, actor: str, note: str, before: RuleVersion | None
) -> RuleVersion:
    row = await work.row(
        Q.rules.add, {"text": storable(text), "digest": digest, "actor": actor, "note": storable(note)}
    )
    if row is None:
        raise AssertionError("an INSERT that returns has a row")
    return await _put_in_force(work, row["number"], actor, note, "publish", before)


async def _put_in_force(
    work: Transaction, number: int, actor: str, note: str, action: str, before: RuleVersion | None
) -> RuleVersion:
    await work.rows(Q.rules.put_in_force, {"number": number, "actor": actor, "note": storable(note)})
    await bumped(work, NOUN)
    after = _known(await work.row(Q.rules.get, {"number": number}))
    told = None if before is None else {"version": before.number, "digest": before.digest}
    await audited(
        work,
        actor,
        NOUN,
        str(number),
        action,
        told,
        {"version": number, "digest": after.digest, "note": note},
    )
    return after


def _known(row: Row | None) -> RuleVersion:
    version = _version(row)
    if version is None:
        raise AssertionError("what was written in a transaction is read in it")
    return version


def _version(row: Row | None) -> RuleVersion | None:
    if row is None:
        return None
    return RuleVersion(
        number=row["number"],
        text=row["text"],
        digest=row["digest"],
        author=row["author"],
        note=row["note"],
        created_at=row["created_at"],
        in_force=bool(row["in_force"]),
        since=row["since"],
    )
