"""Versions of the workers' code: what has begun stays with its version, what begins takes the current one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Worker

from gateway.ids import new_id
from gateway.settings import Deployment, Temporal
from gateway.temporal.deployment import claim_first, current, make_current, versioning
from workflows.worker import runner

pytestmark = pytest.mark.slow


@workflow.defn(name="Story")
class OldStory:
    """As an older version tells it."""

    def __init__(self) -> None:
        self._go = False

    @workflow.run
    async def run(self) -> str:
        """Wait until it may go on."""
        await workflow.wait_condition(lambda: self._go)
        return "old"

    @workflow.signal
    def go(self) -> None:
        """Go on."""
        self._go = True


@workflow.defn(name="Story")
class NewStory:
    """As the next version tells it: by another step, which would not replay."""

    @workflow.run
    async def run(self) -> str:
        """Sleep first."""
        await workflow.sleep(0.01)
        return "new"

    @workflow.signal
    def go(self) -> None:
        """Nothing waits for it."""


@pytest.fixture
async def client(temporal_address: str) -> Client:
    return await Client.connect(temporal_address)


def settings_of(name: str, build: str) -> Temporal:
    return Temporal(deployment=Deployment(name=name, build=build))


def a_worker(client: Client, queue: str, settings: Temporal, story: type[Any]) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        workflows=[story],
        workflow_runner=runner(sandbox=True),
        deployment_config=versioning(settings),
    )


@pytest.mark.slow
async def test_what_has_begun_stays_with_its_version_and_what_begins_takes_the_new_one(client: Client):
    name, queue = f"gateway-{new_id()}", f"jobs-{new_id()}"
    old, new = settings_of(name, "1.0"), settings_of(name, "1.1")
    async with a_worker(client, queue, old, OldStory):
        assert await current(client, old) is None
        assert await claim_first(client, old)
        assert await current(client, old) == "1.0"
        begun = await client.start_workflow("Story", id=new_id(), task_queue=queue, result_type=str)
        async with a_worker(client, queue, new, NewStory):
            assert not await claim_first(client, new), (
                "another version has worked before: that takes a command"
            )
            await make_current(client, new, patience=30)
            assert await current(client, new) == "1.1"
            later = await client.start_workflow("Story", id=new_id(), task_queue=queue, result_type=str)
            assert await later.result() == "new"
            await begun.signal("go")
            async with asyncio.timeout(30):
                assert await begun.result() == "old"


def test_without_a_build_there_are_no_versions():
    assert versioning(Temporal()) is None


async def test_a_version_that_nobody_works_for_does_not_become_the_current_one(client: Client):
    nobody = settings_of(f"gateway-{new_id()}", "1.0")
    with pytest.raises(TimeoutError):
        await make_current(client, nobody, patience=1)
    assert await current(client, nobody) is None
