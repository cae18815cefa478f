"""A batch's workflow on a real engine: it goes turn by turn, begins its history anew, and replays what was recorded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Replayer, Worker

from gateway.ids import new_id
from tests.servers import Servers
from tests.workflows.harness import CONVERTER
from tests.workflows.record import HISTORIES, connected, keep, kept
from workflows.batch import BatchWorkflow, RunBatch
from workflows.worker import runner

RECORDED = HISTORIES / "batch"


@pytest.fixture
async def client(temporal_address: str) -> Client:
    return await Client.connect(temporal_address, data_converter=CONVERTER)


@dataclass
class Played:
    """The work at a batch that takes so many turns, of which some fail first."""

    turns: int
    fine: bool = True
    failures: int = 0
    done: list[str] = field(default_factory=list[str])

    @activity.defn(name="check_batch")
    async def check(self, batch_id: str) -> bool:
        """Whether the input is one."""
        self.done.append("check")
        assert batch_id
        return self.fine

    @activity.defn(name="run_batch")
    async def run(self, batch_id: str) -> bool:
        """One turn."""
        assert batch_id
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the process died")
        self.done.append("run")
        return self.done.count("run") >= self.turns

    @activity.defn(name="file_batch")
    async def file(self, batch_id: str) -> None:
        """The end."""
        assert batch_id
        self.done.append("file")


async def told(client: Client, played: Played) -> WorkflowHandle[Any, str]:
    """A batch that was worked at to its end."""
    queue, work = f"batch-{new_id()}", f"work-{new_id()}"
    stories = Worker(
        client, task_queue=queue, workflows=[BatchWorkflow], workflow_runner=runner(sandbox=True)
    )
    hands = Worker(client, task_queue=work, activities=[played.check, played.run, played.file])
    async with stories, hands:
        handle = await client.start_workflow(
            BatchWorkflow.run, RunBatch(new_id(), work), id=f"batch-{new_id()}", task_queue=queue
        )
        await handle.result()
    return handle


async def test_a_batch_is_checked_run_turn_by_turn_and_filed_once(client: Client):
    played = Played(turns=3)
    handle = await told(client, played)
    assert await handle.result() == "completed"
    assert played.done == ["check", "run", "run", "run", "file"]


async def test_an_input_that_is_none_is_not_run(client: Client):
    played = Played(turns=1, fine=False)
    assert await (await told(client, played)).result() == "failed"
    assert played.done == ["check"]


async def test_a_turn_that_fails_is_taken_again(client: Client):
    played = Played(turns=2, failures=2)
    await told(client, played)
    assert played.done == ["check", "run", "run", "file"]


@pytest.mark.slow
async def test_a_long_batch_begins_its_history_anew_and_is_not_checked_again(client: Client):
    played = Played(turns=120)
    handle = await told(client, played)
    assert played.done.count("check") == played.done.count("file") == 1
    first = await client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id).fetch_history()
    assert len(first.events) < 350


@pytest.mark.parametrize("sandbox", [True, False], ids=["sandboxed", "plain"])
@pytest.mark.parametrize("name", ["completed", "refused"])
async def test_the_workflow_of_today_tells_every_recorded_story_again(name: str, sandbox: bool):
    replayer = Replayer(
        workflows=[BatchWorkflow], data_converter=CONVERTER, workflow_runner=runner(sandbox=sandbox)
    )
    assert (await replayer.replay_workflow(kept(name, RECORDED))).replay_failure is None


async def record(address: str) -> None:
    """Keep histories of today for later versions to replay: `python -m tests.workflows.test_batch`."""
    client = await connected(address)
    await keep(await told(client, Played(turns=3)), RECORDED / "completed.json")
    await keep(await told(client, Played(turns=1, fine=False)), RECORDED / "refused.json")


if __name__ == "__main__":
    servers = Servers()
    try:
        asyncio.run(record(servers.temporal.address))
    finally:
        servers.close()
