"""One stack for all tests here, with its callers; what one test does to it must not matter to the next."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass

import pytest
from openai import OpenAI

from infra.local.component import ROOT, free_port
from tests.e2e.person import Person, Upstream
from tests.e2e.seed import UPSTREAM_KEY, write_seed
from tests.e2e.stack import Stack
from tests.servers import Servers

BODY_LIMIT = 12 * 1024 * 1024
BODY_TIMEOUT = 2.0


@pytest.fixture(scope="session")
def stack(servers: Servers) -> Generator[Stack]:
    """The running stack; at its end nothing of it may live on."""
    started = Stack(
        {
            "UPSTREAM_KEY": UPSTREAM_KEY,
            "GATEWAY__API__BODY_LIMIT": f"{BODY_LIMIT}B",
            "GATEWAY__API__BODY_TIMEOUT": f"{BODY_TIMEOUT:g}s",
            "GATEWAY__API__ALLOWED_HOSTS": "127.0.0.1,localhost",
            "GATEWAY__API__KEEPALIVE": "1s",
            "GATEWAY__INFERENCE__FALLBACK__BACKOFF_INITIAL": "20ms",
            "GATEWAY__TELEMETRY__LOG_LEVEL": "debug",
        }
    )
    seed = write_seed(
        started.home / "models.conf", servers.scripted_upstream, f"http://127.0.0.1:{free_port()}/v1"
    )
    started.env["GATEWAY__REGISTRY__SEED"] = str(seed)
    try:
        started.up()
        yield started
        assert started.stop() == []
    finally:
        started.command("stop")
        started.remove()


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
    """A key as `keys create` gave it."""

    id: str
    secret: str


@pytest.fixture(scope="session")
def keys(stack: Stack) -> dict[str, MadeKey]:
    """Keys made by the command line: two agents', a reader's without prompts, one for `ok` alone, one to be revoked."""
    wanted = {
        "agent": ("--caller", "agent", "--right", "infer"),
        "neighbour": ("--caller", "neighbour", "--right", "infer"),
        "reader": ("--caller", "reader", "--right", "requests.read", "--right", "jobs.all"),
        "narrow": ("--caller", "narrow", "--right", "infer", "--model", "ok"),
        "brief": ("--caller", "brief", "--right", "infer"),
    }
    running = {
        name: subprocess.Popen(
            [sys.executable, "-m", "api", "keys", "create", *words],
            cwd=ROOT,
            env=stack.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, words in wanted.items()
    }
    made: dict[str, MadeKey] = {}
    for name, process in running.items():
        said, explained = process.communicate(timeout=60)
        assert process.returncode == 0, explained
        found = re.search(r"key (\S+) of", explained)
        assert found is not None, explained
        made[name] = MadeKey(found[1], said.strip())
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
