"""NATS as operators secure it: encrypted, with certificates of one's own, NKeys and credentials by files."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import nkeys
import pytest

from gateway import telemetry
from gateway.delivery.bus import Bus
from gateway.delivery.jetstream import JetStream
from gateway.delivery.ports import Notice
from gateway.domain.delivery import Destination
from gateway.domain.errors import BusUnavailable
from gateway.settings import Nats as NatsSettings
from infra.local.component import Component, Launch, free_port
from infra.local.nats import Nats
from infra.local.process import Child
from infra.local.supervisor import answered
from tests.contracts.receivers import a_certificate
from tests.contracts.test_channels import NOW, a_bus, an_event, settings
from tests.servers import binary


@asynccontextmanager
async def a_server(folder: Path, port: int, config: str = "") -> AsyncGenerator[Child]:
    """A server of one's own, for as long as the block; with a config it is ready when it listens."""
    component = Nats(folder / "store", port).component()
    if config:
        path = folder / "nats.conf"
        path.write_text(f'jetstream {{ store_dir: "{folder}/store" }}\n{config}')
        argv = (binary("nats-server"), "-a", "127.0.0.1", "-p", str(port), "-c", str(path))
        component = Component(name="nats", launch=Launch(argv), ready=lambda: _listens(port))
    child = Child.start(replace(component), folder / "nats.log")
    try:
        async with asyncio.timeout(60):
            await answered(component)
        yield child
    finally:
        await child.stop(component.stop_signal, component.stop_within)


async def _listens(port: int) -> bool:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    return True


async def tell(bus: Bus) -> None:
    await JetStream(settings(), bus).deliver(
        Notice(an_event(), Destination("agents.agent-1.x"), "agent-1", NOW)
    )


def an_nkey(folder: Path) -> tuple[str, Path]:
    """A user's public key, and the file with its seed."""
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    path = folder / "user.nk"
    path.write_bytes(seed)
    return cast("bytes", nkeys.from_seed(bytearray(seed)).public_key).decode(), path


async def test_an_nkey_opens_an_encrypted_server(tmp_path):
    _, certificate = a_certificate(tmp_path)
    user, seed = an_nkey(tmp_path)
    config = f"""
        tls {{ cert_file: "{certificate}", key_file: "{tmp_path}/key.pem" }}
        authorization {{ users: [ {{ nkey: {user} }} ] }}
    """
    port = free_port()
    async with (
        a_server(tmp_path, port, config),
        a_bus(f"tls://127.0.0.1:{port}", tls=True, tls_ca=str(certificate), nkey_file=str(seed)) as bus,
    ):
        await tell(bus)


async def test_without_its_key_a_server_stays_away(tmp_path):
    user, _ = an_nkey(tmp_path)
    port = free_port()
    async with a_server(tmp_path, port, f"authorization {{ users: [ {{ nkey: {user} }} ] }}"):
        bus = Bus(NatsSettings(url=f"nats://127.0.0.1:{port}"), "test")
        bus.start()
        await asyncio.sleep(0.5)
        with pytest.raises(BusUnavailable):
            await tell(bus)
        await bus.close()


async def test_a_server_that_nobody_vouches_for_stays_away(tmp_path):
    a_certificate(tmp_path)
    config = f'tls {{ cert_file: "{tmp_path}/certificate.pem", key_file: "{tmp_path}/key.pem" }}'
    port = free_port()
    async with a_server(tmp_path, port, config):
        bus = Bus(NatsSettings(url=f"tls://127.0.0.1:{port}", tls=True), "test")
        bus.start()
        await asyncio.sleep(0.5)
        with pytest.raises(BusUnavailable):
            await tell(bus)
        await bus.close()


async def test_a_server_that_comes_late_and_goes_is_found_again(tmp_path):
    port = free_port()
    bus = Bus(NatsSettings(url=f"nats://127.0.0.1:{port}"), "test")
    bus.start()
    for _ in range(2):
        with pytest.raises(BusUnavailable):
            await tell(bus)
        async with a_server(tmp_path, port):
            async with asyncio.timeout(60):
                while not bus.up:  # noqa: ASYNC110  it connects in the background
                    await asyncio.sleep(0.05)
            await tell(bus)
            assert telemetry.METRICS.get_sample_value("gateway_nats_up") == 1
        async with asyncio.timeout(60):
            while bus.up or telemetry.METRICS.get_sample_value("gateway_nats_up"):  # noqa: ASYNC110  the same
                await asyncio.sleep(0.05)
    await bus.close()
