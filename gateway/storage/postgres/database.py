"""The connections to PostgreSQL: a pool that outlives the database's absence, and its errors in our words."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic
from typing import Any, Final, LiteralString

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from gateway.domain.errors import StorageUnavailable
from gateway.settings import Postgres

log = logging.getLogger(__name__)

# What says that the database is away or overtaxed, not that a statement is wrong. A statement refused as read-only
# comes from a server that was the primary a moment ago.
_AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction)
_LOST_A_RACE: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
_RETRY_AFTER: Final = timedelta(seconds=2)
_BREATH: Final = 100  # rows that are decoded at one go
_LOOK: Final = 0.25
"""Seconds between two looks at a database that is away, and the longest wait before a waiter sees that it is."""


class Database:
    """A pool of connections. Statements run in autocommit, and twice when a connection breaks: they must be safe to.

    While the database is away, calls fail at once, and a task looks for it until it is back.
    """

    def __init__(self, settings: Postgres) -> None:
        """Nothing is opened yet."""
        self._connect_timeout = settings.connect_timeout.total_seconds()
        self._patience = settings.statement_timeout.total_seconds() + 1
        self._conninfo = _conninfo(settings)
        self._pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
            self._conninfo,
            kwargs={"autocommit": True, "row_factory": dict_row},
            min_size=settings.pool_min,
            max_size=settings.pool_max,
            open=False,
            configure=self._configure,
            # The pool's own back-off doubles up to minutes; ours looks again after _LOOK for as long as it takes.
            reconnect_timeout=_LOOK / 2,
            reconnect_failed=self._lost,
            name="gateway",
        )
        self._away = False
        self._lookout: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start to connect, without waiting for it."""
        # Its warnings say at every attempt what `_lost` says once.
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections."""
        if self._lookout is not None:
            self._lookout.cancel()
        await self._pool.close()

    async def rows(
        self,
        query: LiteralString,
        params: Mapping[str, object] | None = None,
        *,
        prepare: bool = True,
        again: bool = True,
    ) -> list[DictRow]:
        """Run one statement and return its rows. Raises StorageUnavailable; errors in the statement itself go up.

        Prepared plans do not know the parameters: `prepare=False` has a query planned for those that it is given.
        `again=False` runs it once, for what must not be done twice.
        """
        tries = 2 if again else 1
        while True:
            tries -= 1
            connection = await self._connection()
            guard = _Guard(connection, self._patience)
            try:
                cursor = await connection.execute(query, params, prepare=prepare, binary=True)
                return await cursor.fetchall() if cursor.description is not None else []
            except _AWAY as error:
                lost = (connection.broken and not guard.fired) or isinstance(error, _LOST_A_RACE)
                if not (tries and lost):
                    raise _unavailable(error) from error
            finally:
                guard.cancel()
                await self._pool.putconn(connection)

    async def row(self, query: LiteralString, params: Mapping[str, object] | None = None) -> DictRow | None:
        """Run one statement and return its first row."""
        rows = await self.rows(query, params)
        return rows[0] if rows else None

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Transaction]:
        """Run several statements, all or nothing: an error in the block undoes them.

        Raises StorageUnavailable; it is not tried again, and if that comes at its very end it may have been committed.
        """
        connection = await self._connection()
        guard = _Guard(connection, self._patience)
        try:
            async with connection.transaction():
                yield Transaction(connection, guard)
        except _AWAY as error:
            raise _unavailable(error) from error
        finally:
            guard.cancel()
            await self._pool.putconn(connection)

    async def notifications(self, listen: LiteralString) -> AsyncGenerator[str]:
        """Listen by a connection of its own: yield `""` once it does, and then what it is told.

        Raises StorageUnavailable. A connection that dies without a word is noticed by TCP after half a minute.
        """
        try:
            connection = await AsyncConnection.connect(
                conninfo_with(self._conninfo, keepalives_idle=15, keepalives_interval=5, keepalives_count=3),
                autocommit=True,
            )
        except _AWAY as error:
            raise _unavailable(error) from error
        try:
            await connection.execute(listen)
            yield ""
            async for told in connection.notifies():
                yield told.payload
        except _AWAY as error:
            raise _unavailable(error) from error
        finally:
            await connection.close()

    async def _connection(self) -> AsyncConnection[DictRow]:
        deadline = monotonic() + self._connect_timeout
        while True:
            if self._away and not self._pool.get_stats()["pool_available"]:
                raise StorageUnavailable(detail="no connection to PostgreSQL", retry_after=_RETRY_AFTER)
            try:
                connection = await self._pool.getconn(timeout=min(_LOOK, self._connect_timeout))
            except PoolTimeout as error:
                if monotonic() >= deadline:
                    raise _unavailable(error) from error
                continue
            except PoolClosed as error:
                raise _unavailable(error) from error
            if _is_quiet(connection):
                return connection
            # The server ended it while it lay in the pool: after a restart so are all of them.
            await connection.close()
            await self._pool.putconn(connection)

    async def _configure(self, connection: AsyncConnection[DictRow]) -> None:
        set_json_loads(msgspec.json.decode, connection)
        if self._away:
            self._away = False
            log.warning("PostgreSQL is back")

    async def _lost(self, _: AsyncConnectionPool[Any]) -> None:
        if self._pool.get_stats()["pool_size"]:
            return  # other connections are there, or being tried: a server that takes no more of them is not away
        if not self._away:
            self._away = True
            log.error("PostgreSQL cannot be reached; looking for it every %s s", _LOOK)
        if self._lookout is None or self._lookout.done():
            self._lookout = asyncio.create_task(self._look(), name="look for postgres")

    async def _look(self) -> None:
        while self._away:
            await asyncio.sleep(_LOOK)
            await self._pool.check()  # makes the pool try one connection, if it has none


class Transaction:
    """A connection for as long as its transaction lasts."""

    def __init__(self, connection: AsyncConnection[DictRow], guard: _Guard) -> None:
        """`connection` is in a transaction; `guard` bounds each of its statements."""
        self._connection = connection
        self._guard = guard

    async def rows(self, query: LiteralString, params: Mapping[str, object] | None = None) -> list[DictRow]:
        """Run one statement and return its rows; many are decoded in parts, so that requests go on meanwhile."""
        self._guard.renew()
        cursor = await self._connection.execute(query, params, binary=True)
        self._guard.renew()
        if cursor.description is None:
            return []
        rows = await cursor.fetchmany(_BREATH)
        while cursor.rownumber is not None and cursor.rownumber < cursor.rowcount:
            await asyncio.sleep(0)
            rows += await cursor.fetchmany(_BREATH)
        return rows

    async def row(self, query: LiteralString, params: Mapping[str, object] | None = None) -> DictRow | None:
        """Run one statement and return its first row."""
        rows = await self.rows(query, params)
        return rows[0] if rows else None


class _Guard:
    """Cuts a connection whose server has gone silent: no time limit of the server's own would ever end such a wait."""

    def __init__(self, connection: AsyncConnection[Any], seconds: float) -> None:
        self.fired = False
        self._connection = connection
        self._seconds = seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._fire)

    def renew(self) -> None:
        """Begin to wait anew: the server has spoken."""
        self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._fire)

    def cancel(self) -> None:
        self._timer.cancel()

    def _fire(self) -> None:
        self.fired = True
        if not self._connection.closed:
            # Shut down by a copy of its handle, the socket tells psycopg of its end and stays psycopg's to close.
            with socket.socket(fileno=os.dup(self._connection.fileno())) as copy:
                copy.shutdown(socket.SHUT_RDWR)


def _is_quiet(connection: AsyncConnection[Any]) -> bool:
    """Whether nothing has come unasked: on an idle connection it would be the server's farewell. No round trip."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def _conninfo(settings: Postgres) -> str:
    timeout = round(settings.statement_timeout.total_seconds() * 1000)
    return conninfo_with(
        settings.url.reveal(),
        f"-c statement_timeout={timeout}",
        connect_timeout=max(2, round(settings.connect_timeout.total_seconds())),
    )


def conninfo_with(url: str, *options: str, **defaults: str | int) -> str:
    """Return a connection string with server options added to its own, and defaults for what it leaves open."""
    given = conninfo_to_dict(url)
    asked = " ".join(
        [*([str(given["options"])] if given.get("options") else []), *options, "-c timezone=UTC"]
    )
    return make_conninfo("", **{"application_name": "llm-gateway", **defaults, **given, "options": asked})


def _unavailable(error: Exception) -> StorageUnavailable:
    detail = f"{type(error).__name__}: {error}".strip()
    return StorageUnavailable(detail=detail, retry_after=_RETRY_AFTER)
