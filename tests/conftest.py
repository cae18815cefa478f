"""Fixtures for all tests: real servers, started once a run when the first test asks, and databases of one's own."""

from __future__ import annotations

import logging
from collections.abc import Generator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from gateway import telemetry
from tests.s3 import S3Server
from tests.servers import Servers

# A busy machine is no failure.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


@pytest.fixture(autouse=True)
def logs_go_where_they_went() -> Generator[None]:
    """A test that sets logs up leaves no handler of a closed stream behind, and no logger that is bound to it."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level
    if structlog.get_config()["processors"] is not before["processors"]:
        structlog.configure(**before)
        vars(telemetry.log).pop("bind", None)  # what it was bound to when it was first used


@pytest.fixture(scope="session")
def servers() -> Generator[Servers]:
    """The real servers of this run."""
    started = Servers()
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="session")
def postgres_url(servers: Servers) -> str:
    """A migrated PostgreSQL database that all tests share: look only at rows you wrote."""
    return servers.postgres_url


@pytest.fixture
def database_url(servers: Servers) -> Generator[str]:
    """A migrated PostgreSQL database for one test alone."""
    with servers.database(servers.template) as url:
        yield url


@pytest.fixture
def empty_database_url(servers: Servers) -> Generator[str]:
    """A PostgreSQL database with nothing in it, for one test alone."""
    with servers.database() as url:
        yield url


@pytest.fixture(scope="session")
def temporal_address(servers: Servers) -> str:
    """A Temporal server with our search attributes."""
    return servers.temporal.address


@pytest.fixture(scope="session")
def s3_server(servers: Servers) -> S3Server:
    """A real server that speaks S3; its tests are left out, and say so, where it could not be built."""
    try:
        return servers.s3
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def nats_url(servers: Servers) -> str:
    """A NATS server with JetStream."""
    return servers.nats.url


@pytest.fixture(scope="session")
def local_model_url(servers: Servers) -> str:
    """The base URL of the real local model, `smollm2-135m-instruct`."""
    return servers.local_model.url


@pytest.fixture(scope="session")
def scripted_upstream(servers: Servers) -> str:
    """The base URL of the scripted provider behind a real socket."""
    return servers.scripted_upstream
