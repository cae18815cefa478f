"""A period is priced anew to its end, whichever worker dies in the middle, and each attempt is charged once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Replayer

from activities.prices import PriceActivities, Reprice
from gateway.domain.inference import Settlement, Status
from gateway.domain.prices import DatedPrice, Price
from gateway.domain.repricing import Correction, Place, Repricing, Stretch, Tally
from gateway.ids import new_id
from gateway.storage.memory import MemoryStore
from gateway.storage.memory.prices import MemoryRepricings
from gateway.storage.ports import Entry
from tests.builders import a_request, an_attempt
from tests.servers import Servers
from tests.workflows.harness import CONVERTER, TEMPORAL, Process, a_process, serving
from tests.workflows.record import HISTORIES, connected, keep, kept
from workflows.reprice import RepriceWorkflow
from workflows.worker import runner

D = Decimal
NOW = datetime.now(UTC)
PRICE = Price(D(3), D(3))


@pytest.fixture
async def client(temporal_address: str) -> Client:
    return await Client.connect(temporal_address, data_converter=CONVERTER)


async def a_store(attempts: int) -> MemoryStore:
    """A ledger of so many attempts, and a price that they were not charged by."""
    store = MemoryStore()
    for _ in range(attempts):
        request = a_request()
        settlement = Settlement(request.id, Status.COMPLETED, request.accepted_at, (an_attempt(),))
        await store.requests.settle(Entry(request, settlement))
    await store.prices.add(DatedPrice(new_id(), "good", PRICE, "a test", "ann", NOW))
    return store


def a_reprice(**changes: object) -> Reprice:
    usual = Reprice(
        new_id(),
        NOW - timedelta(days=1),
        NOW + timedelta(days=1),
        None,
        dry_run=False,
        reason="wrong",
        actor="ann",
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


async def started(client: Client, reprice: Reprice) -> WorkflowHandle[RepriceWorkflow, Status]:
    return await client.start_workflow(
        RepriceWorkflow.run, reprice, id=reprice.id, task_queue=TEMPORAL.jobs_queue
    )


RECORDED = HISTORIES / "reprice"


class Halting:
    """Repricings that stand still after some steps, as if their database were slow, until they are let go on."""

    def __init__(self, repricings: MemoryRepricings, after: int) -> None:
        self._repricings = repricings
        self.left = after
        self.halted = asyncio.Event()
        self.begin = repricings.begin
        self.get = repricings.get
        self.find = repricings.find
        self.end = repricings.end
        self.corrections = repricings.corrections

    async def stretch(self, repricing: Repricing, limit: int) -> Stretch:
        """A short one, so that there are many steps."""
        return await self._repricings.stretch(repricing, min(limit, 10))

    async def advance(
        self, repricing: Repricing, place: Place, corrections: Sequence[Correction], tally: Tally
    ) -> bool:
        """Take a step, and say so to nobody: whoever took it does not hear of it any more."""
        done = await self._repricings.advance(repricing, place, corrections, tally)
        self.left -= 1
        if self.left <= 0:
            self.halted.set()
            await asyncio.Event().wait()
        return done


def halting(client: Client, store: MemoryStore, after: int) -> tuple[Process, Halting]:
    process = a_process(client, store=store)
    slow = Halting(store.repricings, after)
    hands = replace(process.hands, prices=PriceActivities(store.prices, slow))  # type: ignore[arg-type]
    return replace(process, hands=hands), slow


async def test_a_period_is_priced_anew_to_its_end(client: Client):
    store = await a_store(1_203)
    reprice = a_reprice()
    async with serving(a_process(client, store=store), jobs=True, callers=False):
        handle = await started(client, reprice)
        assert await handle.result() is Status.COMPLETED
    ended = await store.repricings.get(reprice.id)
    assert ended is not None
    assert (ended.status, ended.tally.looked_at, ended.tally.changed) == (Status.COMPLETED, 1_203, 1_203)
    assert ended.tally.new_usd == 1_203 * D("0.000045")


async def test_another_worker_goes_on_where_a_dead_one_stood(client: Client):
    store = await a_store(100)
    reprice = a_reprice()
    dying, slow = halting(client, store, after=4)
    async with serving(dying, jobs=True, callers=False):
        handle = await started(client, reprice)
        await slow.halted.wait()
    # Its last step was taken, and it died before it heard of it.
    stood = await store.repricings.get(reprice.id)
    assert stood is not None
    assert stood.tally.looked_at == 40
    async with serving(a_process(client, store=store), jobs=True, callers=False):
        assert await handle.result() is Status.COMPLETED
    ended = await store.repricings.get(reprice.id)
    assert ended is not None
    assert (ended.tally.looked_at, ended.tally.changed) == (100, 100)
    assert ended.tally.new_usd == 100 * D("0.000045")
    assert len(await store.repricings.corrections(reprice.id, 1_000)) == 100


async def test_one_that_is_cancelled_ends_where_it_stands(client: Client):
    store = await a_store(100)
    reprice = a_reprice()
    process, slow = halting(client, store, after=3)
    async with serving(process, jobs=True, callers=False):
        handle = await started(client, reprice)
        await slow.halted.wait()
        await handle.cancel()
        assert await handle.result() is Status.CANCELLED
    ended = await store.repricings.get(reprice.id)
    assert ended is not None
    assert (ended.status, ended.tally.looked_at) == (Status.CANCELLED, 30)


@pytest.mark.parametrize("sandbox", [True, False], ids=["sandboxed", "plain"])
@pytest.mark.parametrize("name", ["priced", "cancelled"])
async def test_the_workflow_of_today_tells_every_recorded_story_again(name: str, sandbox: bool):
    replayer = Replayer(
        workflows=[RepriceWorkflow], data_converter=CONVERTER, workflow_runner=runner(sandbox=sandbox)
    )
    assert (await replayer.replay_workflow(kept(name, RECORDED))).replay_failure is None


async def test_one_beside_another_does_nothing(client: Client):
    store = await a_store(5)
    other = await store.repricings.begin(a_reprice().begun())
    reprice = a_reprice()
    async with serving(a_process(client, store=store), jobs=True, callers=False):
        handle = await started(client, reprice)
        assert await handle.result() is Status.FAILED
    assert await store.repricings.get(reprice.id) is None
    stands = await store.repricings.get(other.id)
    assert stands is not None
    assert stands.status is Status.IN_PROGRESS


async def record(address: str) -> None:
    """Keep histories of today for later versions to replay: `python -m tests.workflows.test_reprice`."""
    client = await connected(address)
    store = await a_store(20)
    async with serving(a_process(client, store=store), jobs=True, callers=False):
        handle = await started(client, a_reprice())
        await handle.result()
        await keep(handle, RECORDED / "priced.json")
    process, slow = halting(client, await a_store(20), after=1)
    async with serving(process, jobs=True, callers=False):
        handle = await started(client, a_reprice())
        await slow.halted.wait()
        await handle.cancel()
        await handle.result()
        await keep(handle, RECORDED / "cancelled.json")


if __name__ == "__main__":
    servers = Servers()
    try:
        asyncio.run(record(servers.temporal.address))
    finally:
        servers.close()
