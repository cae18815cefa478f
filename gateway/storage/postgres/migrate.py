"""Brings a database to today's schema by the files in `migrations/`: `python -m gateway.storage.postgres.migrate`.

The files are plain `-- migrate:up` and `-- migrate:down` sections, and the table `schema_migrations` is dbmate's with
two columns more, so that dbmate can take over at any time. A change of the schema must leave the version before it
working: replicas of both run side by side during an upgrade.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, LiteralString, cast

import psycopg
from psycopg import AsyncConnection

from gateway import settings
from gateway.storage.postgres.database import conninfo_with
from gateway.storage.postgres.named import Q
from gateway.storage.postgres.store import MONTHS_AHEAD

FOLDER: Final = Path(__file__).parent / "migrations"

_UP: Final = "-- migrate:up"
_DOWN: Final = "-- migrate:down"


class MigrationError(Exception):
    """The migrations in the folder and those in the database do not go together."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: `version` is the number that its file's name begins with."""

    version: str
    name: str
    up: str
    down: str
    checksum: str


def read(folder: Path = FOLDER) -> list[Migration]:
    """Read all migrations in their order. Raises MigrationError for a file that is not one, or a version twice."""
    found: dict[str, Migration] = {}
    for file in sorted(folder.glob("*.sql")):
        version = file.name.partition("_")[0]
        text = file.read_text(encoding="utf-8")
        head, up, rest = text.partition(_UP)
        body, down, undo = rest.partition(_DOWN)
        if not version.isdigit() or head.strip() or not up or not down:
            raise MigrationError(
                f"{file.name}: a migration is NNNN_what.sql with `{_UP}` first and `{_DOWN}` after it"
            )
        if version in found:
            raise MigrationError(f"{file.name}: version {version} is {found[version].name} already")
        found[version] = Migration(version, file.name, body, undo, sha256(text.encode()).hexdigest())
    return list(found.values())


async def migrate(url: str, *, dry_run: bool = False, folder: Path = FOLDER) -> list[str]:
    """Apply what is missing, each step in a transaction, and return the names of what was applied (or would be).

    One process at a time: others wait. Raises MigrationError when an applied migration has been changed or is unknown
    here, and psycopg's errors for what the database refuses; steps before a refused one stay applied.
    """
    steps = read(folder)
    async with await AsyncConnection.connect(conninfo_with(url), autocommit=True) as connection:
        await connection.execute(Q.migrations.lock)
        if not dry_run:
            await connection.execute(Q.migrations.make_table)
        missing = _missing(steps, await _applied(connection))
        if not dry_run:
            for step in missing:
                await _apply(connection, step)
            await connection.execute(Q.migrations.ensure_partitions, {"months_ahead": MONTHS_AHEAD})
        return [step.name for step in missing]


def _missing(steps: Sequence[Migration], applied: dict[str, str | None]) -> list[Migration]:
    by_version = {step.version: step for step in steps}
    for version, checksum in applied.items():
        step = by_version.get(version)
        if step is None:
            # An older gateway on a newer database: that is an upgrade under way, or a rollback of the code.
            continue
        if checksum is not None and checksum != step.checksum:
            raise MigrationError(
                f"{step.name} was changed after it had been applied: write a new migration instead"
            )
    return [step for step in steps if step.version not in applied]


async def _applied(connection: AsyncConnection) -> dict[str, str | None]:
    cursor = await connection.execute(Q.migrations.has_table)
    found = await cursor.fetchone()
    if found is None or not found[0]:
        return {}
    return dict(await (await connection.execute(Q.migrations.applied)).fetchall())


async def _apply(connection: AsyncConnection, step: Migration) -> None:
    try:
        async with connection.transaction():
            # The text is a file of ours; without parameters psycopg sends it as it is, all statements in one message.
            await connection.execute(cast("LiteralString", step.up))
            await connection.execute(
                Q.migrations.record, {"version": step.version, "checksum": step.checksum}
            )
    except psycopg.Error as error:
        error.add_note(f"in the migration {step.name}")
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Migrate from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gateway.storage.postgres.migrate", description=__doc__)
    parser.add_argument("--url", help="postgresql://… (default: the setting postgres.url)")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be applied, and change nothing"
    )
    options = parser.parse_args(arguments)
    try:
        url = options.url or settings.load().postgres.url.reveal()
        if not url:
            return _give_up("No database is given: set postgres.url, or use --url.")
        names = asyncio.run(migrate(url, dry_run=options.dry_run))
    except (MigrationError, settings.SettingsError, psycopg.Error) as error:
        return _give_up("\n".join([str(error).strip(), *getattr(error, "__notes__", ())]))
    verb = "would apply" if options.dry_run else "applied"
    sys.stdout.write("".join(f"{verb} {name}\n" for name in names) or "nothing to apply\n")
    return 0


def _give_up(why: str) -> int:
    sys.stderr.write(f"{why}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
