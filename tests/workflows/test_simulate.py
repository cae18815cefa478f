"""A draft is tried to its end, whichever worker dies in the middle, and its progress never lies."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Replayer

from activities.simulations import SimulationActivities
from gateway.domain.inference import Settlement, Status
from gateway.domain.simulation import Logged, Simulation
from gateway.ids import new_id
from gateway.storage.memory import MemoryStore
from gateway.storage.ports import Entry
from tests.builders import a_request, an_attempt
from tests.servers import Servers
from tests.workflows.harness import CONVERTER, TEMPORAL, Process, a_process, registry, serving, simulating
from tests.workflows.record import HISTORIES, connected, keep, kept
from workflows.simulate import SimulateWorkflow
from workflows.worker import runner

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
TEXT = 'rules = [ { name = "a rule that no history may tell", prefer { name = good } } ]'
RECORDED = HISTORIES / "simulate"


@pytest.fixture
async def client(temporal_address: str) -> Client:
    return await Client.connect(temporal_address, data_converter=CONVERTER)


async def a_store(requests: int) -> MemoryStore:
    """A ledger of so many requests, all of them served by a model that a draft would not choose."""
    store = MemoryStore()
    for _ in range(requests):
        request = a_request(model="good")
        settlement = Settlement(request.id, Status.COMPLETED, request.accepted_at, (an_attempt(1, "down"),))
        await store.requests.settle(Entry(request, settlement))
    return store


async def begun(
    client: Client, store: MemoryStore, **changes: Any
) -> tuple[str, WorkflowHandle[Any, Status]]:
    """A simulation whose workflow has started."""
    usual = Simulation(new_id(), TEXT, None, "digest", NOW - DAY, NOW + DAY, 100_000, "ann", NOW)
    asked = await store.simulations.begin(replace(usual, **changes))
    handle = await client.start_workflow(
        SimulateWorkflow.run, asked.id, id=asked.id, task_queue=TEMPORAL.jobs_queue
    )
    return asked.id, handle


class Halting:
    """Simulations whose log stands still after some pages, as if its database did not answer."""

    def __init__(self, store: MemoryStore, pages: int) -> None:
        self._simulations = store.simulations
        self.left = pages
        self.halted = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._simulations, name)

    async def logged(self, *period: datetime, **more: Any) -> tuple[Logged, ...]:
        """The next page, for some time."""
        if self.left == 0:
            self.halted.set()
            await asyncio.Event().wait()
        self.left -= 1
        return await self._simulations.logged(*period, **more)


def halting(client: Client, store: MemoryStore, pages: int) -> tuple[Process, Halting]:
    process = a_process(client, store=store)
    slow = Halting(store, pages)
    hands: SimulationActivities = simulating(store, registry())
    hands._simulations = slow  # type: ignore[assignment]  # the double is at the port
    return replace(process, hands=replace(process.hands, simulations=hands)), slow


async def test_a_draft_is_tried_to_its_end(client: Client):
    store = await a_store(1_100)
    async with serving(a_process(client, store=store), jobs=True, callers=False):
        simulation_id, handle = await begun(client, store)
        assert await handle.result() is Status.COMPLETED
    ended = await store.simulations.get(simulation_id)
    assert ended is not None
    assert ended.report is not None
    assert (ended.done, ended.total, ended.report.moved) == (1_100, 1_100, 1_100)


async def test_another_worker_begins_anew_where_one_died_and_counts_nothing_twice(client: Client):
    store = await a_store(1_100)
    dying, slow = halting(client, store, pages=3)
    async with serving(dying, jobs=True, callers=False):
        simulation_id, handle = await begun(client, store)
        await slow.halted.wait()
        stood = await store.simulations.get(simulation_id)
        assert stood is not None
        assert (stood.status, stood.total) == (Status.IN_PROGRESS, 1_100)
        assert stood.done <= 750
    async with serving(a_process(client, store=store), jobs=True, callers=False):
        assert await handle.result() is Status.COMPLETED
    ended = await store.simulations.get(simulation_id)
    assert ended is not None
    assert ended.report is not None
    assert (ended.done, ended.report.requests, ended.report.moved) == (1_100, 1_100, 1_100)


async def test_only_the_newest_are_tried_and_the_ones_before_count_for_the_facts(client: Client):
    store = await a_store(600)
    async with serving(a_process(client, store=store), jobs=True, callers=False):
        simulation_id, handle = await begun(client, store, most=70)
        await handle.result()
    ended = await store.simulations.get(simulation_id)
    assert ended is not None
    assert ended.report is not None
    assert (ended.total, ended.done, ended.report.requests) == (70, 70, 70)


async def test_rules_that_this_worker_cannot_read_end_it_and_say_so(client: Client):
    store = await a_store(1)
    async with serving(a_process(client, store=store), jobs=True, callers=False):
        simulation_id, handle = await begun(client, store, text="rules = [ { unheard_of {} } ]")
        assert await handle.result() is Status.FAILED
    ended = await store.simulations.get(simulation_id)
    assert ended is not None
    assert "cannot be read" in (ended.error or "")


async def test_one_that_is_cancelled_says_so(client: Client):
    store = await a_store(600)
    process, slow = halting(client, store, pages=1)
    async with serving(process, jobs=True, callers=False):
        simulation_id, handle = await begun(client, store)
        await slow.halted.wait()
        await handle.cancel()
        assert await handle.result() is Status.FAILED
    ended = await store.simulations.get(simulation_id)
    assert ended is not None
    assert (ended.status, ended.error) == (Status.FAILED, "It was cancelled.")


async def test_one_that_never_was_or_has_ended_is_nothing_to_do(client: Client):
    store = await a_store(1)
    async with serving(a_process(client, store=store), jobs=True, callers=False):
        handle = await client.start_workflow(
            SimulateWorkflow.run, new_id(), id=new_id(), task_queue=TEMPORAL.jobs_queue
        )
        assert await handle.result() is Status.FAILED


async def test_its_history_holds_an_id_and_no_rules(client: Client):
    store = await a_store(3)
    async with serving(a_process(client, store=store), jobs=True, callers=False):
        _, handle = await begun(client, store)
        await handle.result()
    history = await handle.fetch_history()
    payloads = [
        payload
        for event in history.events
        for kind in (
            "workflow_execution_started_event_attributes",
            "activity_task_scheduled_event_attributes",
        )
        for payload in getattr(event, kind).input.payloads
    ]
    clear = await CONVERTER.payload_codec.decode(payloads) if CONVERTER.payload_codec else payloads
    assert clear
    assert not any(b"history may tell" in payload.data for payload in clear)


@pytest.mark.parametrize("sandbox", [True, False], ids=["sandboxed", "plain"])
@pytest.mark.parametrize("name", ["tried", "taken_over", "cancelled"])
async def test_the_workflow_of_today_tells_every_recorded_story_again(name: str, sandbox: bool):
    replayer = Replayer(
        workflows=[SimulateWorkflow], data_converter=CONVERTER, workflow_runner=runner(sandbox=sandbox)
    )
    assert (await replayer.replay_workflow(kept(name, RECORDED))).replay_failure is None


async def _tried(client: Client) -> WorkflowHandle[Any, Status]:
    store = await a_store(20)
    async with serving(a_process(client, store=store), jobs=True, callers=False):
        _, handle = await begun(client, store)
        await handle.result()
    return handle


async def _taken_over(client: Client) -> WorkflowHandle[Any, Status]:
    store = await a_store(300)
    process, slow = halting(client, store, pages=1)
    async with serving(process, jobs=True, callers=False):
        _, handle = await begun(client, store)
        await slow.halted.wait()
    async with serving(a_process(client, store=store), jobs=True, callers=False):
        await handle.result()
    return handle


async def _cancelled(client: Client) -> WorkflowHandle[Any, Status]:
    store = await a_store(300)
    process, slow = halting(client, store, pages=1)
    async with serving(process, jobs=True, callers=False):
        _, handle = await begun(client, store)
        await slow.halted.wait()
        await handle.cancel()
        await handle.result()
    return handle


SCENARIOS: Mapping[str, Any] = {"tried": _tried, "taken_over": _taken_over, "cancelled": _cancelled}


async def record(address: str) -> None:
    """Keep histories of today for later versions to replay: `python -m tests.workflows.test_simulate`."""
    client = await connected(address)
    for name, play in SCENARIOS.items():
        await keep(await play(client), RECORDED / f"{name}.json")


if __name__ == "__main__":
    servers = Servers()
    try:
        asyncio.run(record(servers.temporal.address))
    finally:
        servers.close()
