"""Where workers are few: what goes first, who has which share, and what is still cancelled at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from gateway.domain.inference import InferenceRequest, Status
from gateway.settings import Settings
from gateway.settings import Worker as WorkerSettings
from gateway.temporal.engine import Engine
from tests.builders import a_job
from tests.workflows.harness import TEMPORAL, Process, a_process
from workflows.inference import InferenceWorkflow
from workflows.worker import job_workers

RUN = InferenceWorkflow.run


@asynccontextmanager
async def one_hand(address: str, queue: str) -> AsyncGenerator[tuple[Process, Engine, Settings]]:
    """An engine as the API has it, and the settings of a worker that makes one call at a time on a queue of its own."""
    temporal = TEMPORAL.model_copy(update={"address": address, "jobs_queue": queue, "sandbox": False})
    settings = Settings(temporal=temporal, worker=WorkerSettings(concurrency=1, shutdown_grace=timedelta(0)))
    engine = Engine(temporal, None, max_starts=64)
    engine.watch(lambda _: ())
    try:
        async with asyncio.timeout(60):
            while not engine.up:  # noqa: ASYNC110  it looks by itself, once a second
                await asyncio.sleep(0.05)
        yield a_process(engine.client), engine, settings
    finally:
        await engine.close()


@asynccontextmanager
async def working(process: Process, settings: Settings) -> AsyncGenerator[None]:
    async with AsyncExitStack() as stack:
        for worker in job_workers(process.client, settings, process.hands):
            await stack.enter_async_context(worker)
        yield


def a_call(**changes: Any) -> InferenceRequest:
    """A job whose call takes a moment."""
    return a_job(candidates=("moment",), model="moment", **changes)


async def order(process: Process, requests: list[InferenceRequest]) -> list[str]:
    """The ids of jobs, in the order in which their calls began."""
    async with asyncio.timeout(60):
        settled = [
            await process.client.get_workflow_handle_for(RUN, request.id).result() for request in requests
        ]
    assert {each.status for each in settled} == {Status.COMPLETED}
    return [each.request_id for each in sorted(settled, key=lambda each: each.attempts[0].started_at)]


@pytest.mark.slow
async def test_a_caller_who_floods_the_queue_does_not_starve_another(temporal_address: str):
    async with one_hand(temporal_address, "fairness-flood") as (process, engine, settings):
        flood = [a_call(caller="flooding") for _ in range(40)]
        few = [a_call(caller="modest") for _ in range(3)]
        for request in (*flood, *few):
            await engine.start(request)
        async with working(process, settings):
            began = await order(process, [*flood, *few])
    places = [began.index(request.id) for request in few]
    assert max(places) < 20, f"three calls that came after forty of another's were made as numbers {places}"


async def test_what_has_priority_goes_first(temporal_address: str):
    async with one_hand(temporal_address, "fairness-priority") as (process, engine, settings):
        usual = [a_call() for _ in range(25)]
        patient = [a_call(priority=5) for _ in range(3)]
        urgent = [a_call(priority=1) for _ in range(3)]
        for request in (*patient, *usual, *urgent):
            await engine.start(request)
        async with working(process, settings):
            began = await order(process, [*usual, *patient, *urgent])
    assert max(began.index(request.id) for request in urgent) < 10
    assert min(began.index(request.id) for request in patient) > 15


async def test_a_job_that_waits_for_a_worker_is_cancelled_at_once(temporal_address: str):
    async with one_hand(temporal_address, "fairness-cancel") as (process, engine, settings):
        slow = a_job(candidates=("hangs",), model="hangs")
        waiting = a_call()
        async with working(process, settings):
            await engine.start(slow)
            async with asyncio.timeout(60):
                while not process.provider.upstream.numbered:  # noqa: ASYNC110  the double has no event
                    await asyncio.sleep(0.02)
            await engine.start(waiting)
            await asyncio.sleep(0.3)
            assert await engine.cancel(waiting.id)
            async with asyncio.timeout(60):
                settlement = await process.client.get_workflow_handle_for(RUN, waiting.id).result()
            await engine.cancel(slow.id)
            await process.client.get_workflow_handle_for(RUN, slow.id).result()
    assert (settlement.status, settlement.attempts) == (Status.CANCELLED, ())
    assert process.provider.upstream.numbered == 1
