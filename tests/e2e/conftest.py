"""One stack for all tests here, with its callers; what one test does to it must not matter to the next."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from openai import OpenAI

from gateway.domain.identity import AGENT_RIGHTS, Caller, CallerKind, Right
from gateway.domain.secret import Secret
from gateway.identity import new_key
from gateway.ids import new_id
from gateway.settings import Postgres, Settings
from gateway.storage.catalogue import open_store
from infra.local.component import free_port
from tests.e2e.person import Person, Upstream
from tests.e2e.seed import UPSTREAM_KEY, write_seed
from tests.e2e.stack import Stack
from tests.servers import Servers

BODY_LIMIT = 12 * 1024 * 1024
BODY_TIMEOUT = 1.0
ATTEMPTS = 2


@pytest.fixture(scope="session")
def stack(servers: Servers) -> Generator[Stack]:
    """The running stack; at its end nothing of it may live on."""
    started = Stack(
        {
            "UPSTREAM_API_KEY": UPSTREAM_KEY,
            "GATEWAY__API__BODY_LIMIT": f"{BODY_LIMIT}B",
            "GATEWAY__API__BODY_TIMEOUT": f"{BODY_TIMEOUT:g}s",
            "GATEWAY__API__ALLOWED_HOSTS": "127.0.0.1,localhost",
            "GATEWAY__API__KEEPALIVE": "400ms",
            "GATEWAY__JOBS__HEARTBEAT_TIMEOUT": "4s",
            "GATEWAY__INFERENCE__FALLBACK__ATTEMPTS": str(ATTEMPTS),
            "GATEWAY__INFERENCE__FALLBACK__BACKOFF_INITIAL": "20ms",
            "GATEWAY__DELIVERY__FIRST_PAUSE": "300ms",
            "GATEWAY__DELIVERY__LONGEST_PAUSE": "2s",
            "GATEWAY__TELEMETRY__LOG_LEVEL": "debug",
            # Models here fail all the time, and are to be called all the same.
            "GATEWAY__HEALTH__BREAKER__ENABLED": "false",
        }
    )
    seed = write_seed(
        started.home / "models.conf", servers.scripted_upstream, f"http://127.0.0.1:{free_port()}/v1"
    )
    started.env["GATEWAY__REGISTRY__SEED"] = str(seed)
    with started.running():
        yield started


@pytest.fixture(scope="session")
def upstream(servers: Servers) -> Upstream:
    """The scripted upstream's own view."""
    return Upstream(servers.scripted_upstream)


@pytest.fixture(scope="session")
def admin(stack: Stack) -> Person:
    """Who may do everything."""
    return Person(stack.rest, stack.admin_key)


@dataclass(frozen=True)
class MadeKey:
    """A key as its maker is shown it, once."""

    id: str
    secret: str


@pytest.fixture(scope="session")
def keys(stack: Stack) -> dict[str, MadeKey]:
    """The keys of two agents, a reader without prompts, one for `ok` alone, one to be revoked; the first by command."""
    done = stack.run("api", "keys", "create", "--caller", "agent", "--right", "infer")
    found = re.search(r"key (\S+) of agent agent; rights: infer;", done.stderr)
    assert found is not None, done.stderr
    others = {
        "neighbour": (AGENT_RIGHTS, None),
        "reader": (frozenset({Right.REQUESTS_READ, Right.JOBS_ALL}), None),
        "narrow": (AGENT_RIGHTS, frozenset({"ok"})),
        "brief": (AGENT_RIGHTS, None),
    }
    return {"agent": MadeKey(found[1], done.stdout.strip()), **asyncio.run(_made(stack, others))}


async def _made(
    stack: Stack, wanted: Mapping[str, tuple[frozenset[Right], frozenset[str] | None]]
) -> dict[str, MadeKey]:
    """Make keys as the command line does, without its second of imports for each."""
    url = Secret(stack.environment()["GATEWAY__POSTGRES__URL"])
    store = await open_store(Settings(postgres=Postgres(url=url)))
    made: dict[str, MadeKey] = {}
    try:
        for name, (rights, models) in wanted.items():
            caller = await store.keys.add_caller(Caller(new_id(), name, CallerKind.AGENT, rights, models))
            secret, key = new_key(caller.id, datetime.now(UTC))
            await store.keys.add_key(key)
            made[name] = MadeKey(key.id, secret.reveal())
    finally:
        await store.close()
    return made


@pytest.fixture(scope="session")
def agent(stack: Stack, keys: dict[str, MadeKey]) -> Person:
    """An agent that may infer, and no more."""
    return Person(stack.rest, keys["agent"].secret)


@pytest.fixture(scope="session")
def neighbour(stack: Stack, keys: dict[str, MadeKey]) -> Person:
    """Another one."""
    return Person(stack.rest, keys["neighbour"].secret)


@pytest.fixture(scope="session")
def reader(stack: Stack, keys: dict[str, MadeKey]) -> Person:
    """Who may read everybody's metadata, and nobody's text."""
    return Person(stack.rest, keys["reader"].secret)


@pytest.fixture(scope="session")
def openai(stack: Stack) -> OpenAI:
    """The SDK as it comes: only its address and its key are ours."""
    return OpenAI(base_url=f"{stack.rest}/v1", api_key=stack.admin_key)
