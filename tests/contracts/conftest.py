"""Stores of every kind, and a wire to the database that a test can cut."""

from urllib.parse import urlsplit, urlunsplit

import pytest

from gateway.domain.secret import Secret
from gateway.settings import Postgres
from gateway.storage.memory import MemoryStore
from gateway.storage.postgres.store import open_store
from tests.contracts.proxy import Wire


@pytest.fixture(params=["memory", "postgres"])
def url(request):
    """Where the store is; nowhere for memory. Not an async fixture: the server is started on a loop of its own."""
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def store(url):
    """A store of its own for the test, once of each kind."""
    opened = MemoryStore() if url is None else await open_store(Postgres(url=Secret(url)))
    yield opened
    await opened.close()


@pytest.fixture
async def wire(database_url):
    """The wire to the test's database."""
    address = urlsplit(database_url)
    made = Wire(address.hostname, address.port)
    await made.mend()
    yield made
    await made.close()


@pytest.fixture
def through(database_url, wire):
    """The database's address through the wire."""
    address = urlsplit(database_url)
    host = f"{address.username}:{address.password}@127.0.0.1:{wire.port}"
    return urlunsplit(address._replace(netloc=host))
