"""A stack whose processes are killed; before each test it is whole again."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.person import Person, Upstream
from tests.e2e.stack import STAYING, Stack, until
from tests.faults.stacks import a_stack
from tests.servers import Servers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of it takes long."""
    here = __name__.rpartition(".")[0].replace(".", "/")
    for item in items:
        if f"{here}/" in item.path.as_posix():
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def running(servers: Servers) -> Generator[Stack]:
    """The stack of all tests here; at its end nothing of it may live on."""
    started = a_stack(servers)
    with started.running():
        yield started


@pytest.fixture
def stack(running: Stack) -> Stack:
    """The stack, ready, and allowed to lose each of its processes once more."""
    running.wait_ready()
    if not running.may_kill(*STAYING, times=1):
        running.stop()
        running.up()
    person = Person(running.rest, running.admin_key)
    until(lambda: _is_whole(person), within=30)
    person.http.close()
    return running


def _is_whole(person: Person) -> bool:
    """Whether the API has found the database and the engine again."""
    answer = person.ask("ok", headers={"x-gateway-durability": "start-first"})
    assert answer.status_code in (200, 503), answer.text
    return answer.headers.get("x-gateway-durability") == "start-first" and answer.status_code == 200


@pytest.fixture
def admin(stack: Stack) -> Generator[Person]:
    """Who may do everything."""
    person = Person(stack.rest, stack.admin_key)
    yield person
    person.http.close()


@pytest.fixture(scope="session")
def upstream(servers: Servers) -> Upstream:
    """The scripted upstream's own view."""
    return Upstream(servers.scripted_upstream)


@pytest.fixture
def pool() -> Generator[ThreadPoolExecutor]:
    """Hands for requests that go on while things die."""
    with ThreadPoolExecutor(64) as hands:
        yield hands
