"""Temporal's two databases: made where they are missing, and brought up to date by its own tool."""

import os
import subprocess
from typing import Final

import psycopg
from psycopg.sql import SQL, Identifier

from infra.local.component import StackError
from infra.temporal.build import SQL_TOOL, program

MAIN: Final = "temporal"
VISIBILITY: Final = "temporal_visibility"
_SCHEMAS: Final = {MAIN: "postgresql/v12/temporal", VISIBILITY: "postgresql/v12/visibility"}


def bring_up_to_date(host: str, port: int, user: str, password: str) -> None:
    """Do what is left to do, which may be nothing. Raises `StackError` with what PostgreSQL or the tool said."""
    tool = program(SQL_TOOL)
    env = {"SQL_PLUGIN": "postgres12_pgx", "SQL_HOST": host, "SQL_PORT": str(port)}
    env |= {"SQL_USER": user, "SQL_PASSWORD": password}
    for database, schema in _SCHEMAS.items():
        try:
            new = _make(host, port, user, password, database)
        except psycopg.Error as error:
            raise StackError(f"Temporal's database {database} on {host}:{port}: {error}") from error
        if new:
            _run(tool, env, "--db", database, "setup-schema", "-v", "0.0")
        _run(tool, env, "--db", database, "update-schema", "--schema-name", schema)


def _make(host: str, port: int, user: str, password: str, database: str) -> bool:
    """Make the database if it is missing; says whether there is no schema in it yet."""

    def connected(name: str) -> psycopg.Connection:
        return psycopg.connect(
            host=host,
            port=port,
            user=user,
            password=password,
            dbname=name,
            autocommit=True,
            connect_timeout=10,
        )

    with connected("postgres") as connection:
        there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone()
        if there is None:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(database)))
    with connected(database) as connection:
        (versions,) = connection.execute("SELECT to_regclass('schema_version')").fetchone() or (None,)
    return versions is None


def _run(tool: str, env: dict[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [tool, *arguments], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise StackError(f"{SQL_TOOL} {' '.join(arguments)} failed:\n{(done.stdout + done.stderr)[-2000:]}")
