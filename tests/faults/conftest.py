"""A stack whose processes are killed; before each test it is whole again."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.local.component import free_port
from tests.e2e.person import Person, Upstream
from tests.e2e.seed import write_seed
from tests.e2e.stack import STAYING, Stack, until
from tests.servers import Servers

SCRIPTS = {
    "three-seconds": "scripted-ok?latency_ms=3000",
    "one-second": "scripted-ok?latency_ms=1000",
    "quick": "scripted-ok?latency_ms=200",
    "four-second-stream": "scripted-ok?tokens=40&chunk_interval_ms=100",
}


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
    started = Stack(
        {
            "GATEWAY__LOCAL__MODEL_ENABLED": "false",
            "GATEWAY__TEMPORAL__TASK_TIMEOUT": "5s",
            "GATEWAY__JOBS__HEARTBEAT_TIMEOUT": "3s",
            "GATEWAY__JOBS__BACKOFF_MAX": "2s",
            "GATEWAY__API__SHUTDOWN_GRACE": "8s",
            "GATEWAY__POSTGRES__CONNECT_TIMEOUT": "2s",
            "GATEWAY__HEALTH__BREAKER__ENABLED": "false",
        }
    )
    upstream, closed = servers.scripted_upstream, f"http://127.0.0.1:{free_port()}/v1"
    seed = write_seed(started.home / "models.conf", upstream, closed, SCRIPTS, local=False)
    started.env["GATEWAY__REGISTRY__SEED"] = str(seed)
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
