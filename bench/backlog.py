"""What a gateway still has to do after it has answered: ledger rows to write, workflows to close."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import psycopg
from temporalio.client import Client

from bench.wire import Caller

_LOOK_AFTER = 0.05
_LOOK_AT_MOST_EVERY = 1.0
_UNSETTLED = re.compile(rb"^gateway_unsettled ([0-9.e+]+)$", re.MULTILINE)
_EAGER = re.compile(rb'^gateway_eager_starts_total\{outcome="(\w+)"\} ([0-9.e+]+)$', re.MULTILINE)
_DEGRADED = re.compile(rb"^gateway_degraded_total\{[^}]*\} ([0-9.e+]+)$", re.MULTILINE)
_REQUESTS = re.compile(rb"^gateway_requests_total\{[^}]*\} ([0-9.e+]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Drained:
    """How long it took, in seconds, until every ledger row was written and until every workflow was closed too."""

    written: float
    closed: float
    missing: int
    """Requests that were answered and are not in the ledger."""
    open: int
    """Workflows that did not close in time."""


@dataclass(frozen=True, slots=True)
class Starts:
    """How workflows were started: in the process that answers, by way of a queue, or not at all."""

    here: int = 0
    queued: int = 0
    degraded: int = 0

    def since(self, before: Starts) -> Starts:
        """Those that came after."""
        return Starts(self.here - before.here, self.queued - before.queued, self.degraded - before.degraded)

    def plus(self, other: Starts) -> Starts:
        """Those of two turns."""
        return Starts(self.here + other.here, self.queued + other.queued, self.degraded + other.degraded)


class Backlog:
    """Looks into a gateway's metrics and, where they are given, into its database and its Temporal."""

    def __init__(
        self, host: str, port: int, postgres: str | None = None, temporal: str | None = None
    ) -> None:
        """Connects when it is first asked."""
        self._caller = Caller(host, port)
        self._metrics = f"GET /metrics HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode()
        self.postgres = postgres
        self._temporal = temporal
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._client: Client | None = None

    async def rows(self) -> int:
        """How many requests the ledger holds; without a database to look into, how many the process has counted."""
        if self.postgres is None:
            answer = await self._caller.ask(self._metrics)
            return int(sum(float(count) for count in _REQUESTS.findall(answer.body)))
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(self.postgres, autocommit=True)
        cursor = await self._connection.execute("SELECT count(*) FROM requests")
        row = await cursor.fetchone()
        return int(row[0]) if row is not None else 0

    async def unsettled(self) -> int:
        """How many requests are answered, or being answered, without their ledger row."""
        answer = await self._caller.ask(self._metrics)
        found = _UNSETTLED.search(answer.body)
        return int(float(found[1])) if found is not None else 0

    async def starts(self) -> Starts:
        """How the workflows of all requests so far were started."""
        body = (await self._caller.ask(self._metrics)).body
        eager = {outcome: int(float(count)) for outcome, count in _EAGER.findall(body)}
        degraded = sum(int(float(count)) for count in _DEGRADED.findall(body))
        return Starts(eager.get(b"here", 0), eager.get(b"queued", 0), degraded)

    async def open_workflows(self) -> int:
        """How many workflows are not closed; 0 where there is no Temporal to ask."""
        if self._temporal is None:
            return 0
        if self._client is None:
            self._client = await Client.connect(self._temporal)
        return (await self._client.count_workflows("ExecutionStatus = 'Running'")).count

    async def empty(self, expected: int = 0, *, within: float = 120.0) -> Drained:
        """Wait until nothing is unsettled, the ledger holds `expected` rows and no workflow is open."""
        begun = perf_counter()
        await until_none(self.unsettled, begun + within)

        async def not_written() -> int:
            return max(expected - await self.rows(), 0)

        missing = await until_none(not_written, begun + within)
        written = perf_counter() - begun
        left = await until_none(self.open_workflows, begun + within)
        return Drained(written, perf_counter() - begun, missing, left)

    async def close(self) -> None:
        """Hang up."""
        self._caller.close()
        if self._connection is not None:
            await self._connection.close()
            self._connection = None


async def until_none(count: Callable[[], Awaitable[int]], until: float) -> int:
    """Look until there is nothing left, or it is later than `until` by perf_counter; returns what is left.

    The longer it takes the more rarely it looks, a tenth of the time passed: each look costs the gateway CPU.
    """
    begun = perf_counter()
    left = await count()
    while left and perf_counter() < until:  # nobody tells us: other processes' work can only be looked at
        await asyncio.sleep(min(max(_LOOK_AFTER, (perf_counter() - begun) / 10), _LOOK_AT_MOST_EVERY))
        left = await count()
    return left
