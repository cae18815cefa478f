from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from gateway.domain.errors import EngineUnavailable
from gateway.settings import Encryption, Temporal
from gateway.temporal.engine import Engine
from infra.temporal.namespace import make_namespace


async def test_an_engine_without_our_namespace_is_away_and_is_worked_on_once_it_has_it(temporal_address: str):
    name = f"later-{uuid4()}"
    settings = Temporal(address=temporal_address, namespace=name, encryption=Encryption(required=False))
    engine = Engine(settings, None, max_starts=1)
    engine.watch(lambda _: ())
    try:
        await asyncio.sleep(2.5)  # two looks
        assert not engine.up
        assert not engine.workers_ready.is_set()
        with pytest.raises(EngineUnavailable):
            _ = engine.client
        kept, patience = timedelta(days=1), timedelta(seconds=60)
        await asyncio.to_thread(make_namespace, temporal_address, name, kept, patience)
        async with asyncio.timeout(30):
            await engine.workers_ready.wait()
        assert engine.up
        assert engine.client.namespace == name
    finally:
        await engine.close()
