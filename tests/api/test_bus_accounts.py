"""NATS with accounts and credentials files, as a NATS that several teams share has them; with a real nats-server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import nats
import nats.js.errors
import pytest
from structlog.testing import capture_logs

from api.bus.door import BusDoor
from gateway.delivery.bus import Bus
from gateway.delivery.inbox import Inbox
from gateway.domain.errors import BusUnavailable
from gateway.settings import Nats, Settings
from gateway.storage.ports import JobFilter
from infra.local.component import free_port
from tests.api.world import ADMIN, CALLERS, KEY, World, a_world
from tests.contracts.accounts import Accounts, User
from tests.contracts.test_bus import a_server, tell
from tests.waits import until

pytestmark = pytest.mark.slow

JOB = {
    "endpoint": "/v1/chat/completions",
    "body": {"model": "good", "messages": [{"role": "user", "content": "Hi"}]},
}
NEEDED: dict[str, Any] = {
    "pub": {"allow": ["agents.>", "$JS.API.>", "$JS.ACK.>"]},
    "sub": {"allow": ["_INBOX.>"]},
}
"""What the gateway's user may do, as docs/operators.md says."""


class Shared:
    """A NATS with accounts, and a credentials file of the gateway's."""

    def __init__(self, folder: Path, port: int, accounts: Accounts) -> None:
        self.accounts = accounts
        self.url = f"nats://127.0.0.1:{port}"
        self.file = folder / "gateway.creds"

    @asynccontextmanager
    async def bus(self) -> AsyncGenerator[Bus]:
        """The connection of a process with that file."""
        bus = Bus(Nats(url=self.url, credentials_file=str(self.file)), "test")
        bus.start()
        try:
            yield bus
        finally:
            await bus.close()


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncGenerator[Shared]:
    port, accounts = free_port(), Accounts()
    async with a_server(tmp_path, port, accounts.config()):
        yield Shared(tmp_path, port, accounts)


async def comes_to(bus: Bus, state: str) -> None:
    await until(lambda: bus.state == state, within=20)


@asynccontextmanager
async def door(bus: Bus, world: World) -> AsyncGenerator[None]:
    inbox = Inbox(bus, world.settings.nats.requests, BusDoor(world.identity, world.jobs, world.settings).take)
    inbox.start()
    try:
        yield
    finally:
        await inbox.close()


async def count(world: World) -> int:
    return len((await world.jobs.find(CALLERS[ADMIN], JobFilter(), limit=50, after=None)).rows)


async def ask(client: Any, world: World, jobs: int) -> None:
    """Publish a request by NATS, and wait until the gateway has as many jobs."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with asyncio.timeout(20):
        while True:
            try:
                await client.jetstream().publish(
                    "gateway.requests.agent-1", json.dumps(JOB).encode(), headers=headers
                )
                break
            except nats.js.errors.NoStreamResponseError:  # the door makes it in the background
                await asyncio.sleep(0.05)
        while await count(world) < jobs:  # noqa: ASYNC110  whoever reads it tells nobody
            await asyncio.sleep(0.05)


def secrets_of(*users: User) -> list[str]:
    return [secret for user in users for secret in (user.seed, user.jwt)]


async def test_a_credentials_file_opens_an_account_for_deliveries_and_for_requests(
    shared: Shared, tmp_path: Path
):
    ours, agent = shared.accounts.user(**NEEDED), shared.accounts.user()
    ours.write(shared.file)
    client = await nats.connect(shared.url, user_credentials=str(agent.write(tmp_path / "agent.creds")))
    world = a_world(Settings(nats=Nats(url=shared.url)))
    with capture_logs() as logged:
        async with shared.bus() as bus:
            await comes_to(bus, "connected")
            heard = await client.subscribe("agents.agent-1.x")
            await client.flush()
            await tell(bus)
            assert json.loads((await heard.next_msg(timeout=10)).data)["type"] == "job.completed"
            async with door(bus, world):
                await ask(client, world, 1)
    await client.close()
    await world.engine.close()
    assert not [secret for secret in secrets_of(ours) if secret in str(logged)]


async def test_a_user_that_nobody_knows_is_refused_and_it_is_said_and_nothing_crashes(shared: Shared):
    user = shared.accounts.stranger()
    user.write(shared.file)
    with capture_logs() as logged:
        async with shared.bus() as bus:
            await comes_to(bus, "refused")
            with pytest.raises(BusUnavailable):
                await tell(bus)
            # What it may use is put in its place, and it needs no restart.
            shared.accounts.user().write(shared.file)
            await comes_to(bus, "connected")
            await tell(bus)
    (line,) = [line for line in logged if line["event"] == "nats_error"]
    assert (line["state"], line["detail"]) == ("refused", "nats: 'Authorization Violation'")
    assert not [secret for secret in secrets_of(user) if secret in str(logged)]


async def test_a_user_that_has_expired_is_told_apart(shared: Shared):
    user = shared.accounts.user(timedelta(minutes=-1))
    user.write(shared.file)
    with capture_logs() as logged:
        async with shared.bus() as bus:
            await comes_to(bus, "credentials_expired")
    (line,) = [line for line in logged if line["event"] == "nats_error"]
    assert line["state"] == "credentials_expired"
    assert not [secret for secret in secrets_of(user) if secret in str(logged)]


async def test_a_user_that_expires_while_it_is_connected_comes_back_with_its_next_credentials(
    shared: Shared, tmp_path: Path
):
    shared.accounts.user(timedelta(seconds=6)).write(shared.file)
    agent = shared.accounts.user().write(tmp_path / "agent.creds")
    client = await nats.connect(shared.url, user_credentials=str(agent))
    world = a_world(Settings(nats=Nats(url=shared.url)))
    with capture_logs() as logged:
        async with shared.bus() as bus:
            await comes_to(bus, "connected")
            async with door(bus, world):
                await comes_to(bus, "credentials_expired")
                shared.accounts.user().write(shared.file)
                await comes_to(bus, "connected")
                await tell(bus)
                await ask(client, world, 1)
    await client.close()
    await world.engine.close()
    assert "credentials_expired" in [line["state"] for line in logged if line["event"] == "nats_error"]


async def test_a_file_that_is_spoiled_later_is_said_and_its_repair_is_found(shared: Shared, tmp_path: Path):
    shared.accounts.user(timedelta(seconds=6)).write(shared.file)
    async with shared.bus() as bus:
        await comes_to(bus, "connected")
        shared.file.write_text("half a file")
        with capture_logs() as logged:
            await comes_to(bus, "credentials_unusable")
        said = [line["detail"] for line in logged if line["event"] == "nats_error"]
        assert any("holds no" in detail for detail in said)
        shared.accounts.user().write(shared.file)
        await comes_to(bus, "connected")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (None, "cannot be read"),
        ("", "holds no seed"),
        ("SUAOTHING", "holds no seed"),
        ("-----BEGIN USER NKEY SEED-----\nSECRETSEED\n------END USER NKEY SEED------\n", "none of NATS"),
    ],
    ids=["missing", "empty", "another file", "wrong seed"],
)
async def test_a_file_that_is_no_credentials_file_is_refused_by_its_setting_s_name(
    tmp_path: Path, text: str | None, wrong: str
):
    file = tmp_path / "x.creds"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match=rf"nats\.credentials_file: .*{wrong}") as raised:
        Bus(Nats(url="nats://127.0.0.1:1", credentials_file=str(file)), "test").start()
    assert "SECRETSEED" not in str(raised.value)
