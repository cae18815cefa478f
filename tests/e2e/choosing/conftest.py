"""A stack whose models can be told to turn slow, sick or well, with the real local model among them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

from infra.local.component import free_port
from tests.e2e.person import Person, Upstream
from tests.e2e.seed import write_seed
from tests.e2e.stack import Stack, until
from tests.servers import Servers

LOCAL = "smollm2-135m-instruct"
MODELS = ("swift", "steady", "spare")
WELL: dict[str, dict[str, Any]] = {name: {"text": f"from {name}", "latency_ms": 20} for name in MODELS}


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
            "UPSTREAM_KEY": "",
            # What leaves a model here is to be the rule of the test.
            "GATEWAY__HEALTH__BREAKER__ENABLED": "false",
            "GATEWAY__INFERENCE__FALLBACK__BACKOFF_INITIAL": "20ms",
        }
    )
    scripts = {name: f"scripted-{name}" for name in MODELS}
    seed = write_seed(
        started.home / "models.conf",
        servers.scripted_upstream,
        f"http://127.0.0.1:{free_port()}/v1",
        scripts,
        more_aliases={"pair": ["swift", "steady"], "mixed": [LOCAL, "steady"]},
    )
    started.env["GATEWAY__REGISTRY__SEED"] = str(seed)
    try:
        started.up()
        yield started
        assert started.stop() == []
    finally:
        started.stop()
        started.remove()


@pytest.fixture
def upstream(servers: Servers) -> Generator[Upstream]:
    """The models' upstream, at which all are well before and after a test."""
    upstream = Upstream(servers.scripted_upstream)
    upstream.play(**WELL)
    yield upstream
    upstream.play(**WELL)


@pytest.fixture
def stack(running: Stack, upstream: Upstream) -> Stack:
    """The stack, ready, its models well."""
    running.wait_ready()
    return running


@pytest.fixture
def admin(stack: Stack) -> Generator[Person]:
    """Who may do everything."""
    person = Person(stack.rest, stack.admin_key)
    yield person
    person.http.close()


Publish = Callable[[str], str]


@pytest.fixture
def publish(admin: Person) -> Generator[Publish]:
    """Put rules in force; returns their version once a request was decided by them. After the test there are none."""

    def publish(text: str) -> str:
        version = published(admin, text)
        until(lambda: admin.ask("steady").headers["x-gateway-rules-version"] == version, 5)
        return version

    yield publish
    publish("rules = []")


def published(person: Person, text: str) -> str:
    """Publish rules and return their version at once, wherever it is in force by then."""
    answer = person.http.post("/api/v1/rules/publish", json={"text": text, "note": "a test"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["version"])
