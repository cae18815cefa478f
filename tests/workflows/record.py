"""`python -m tests.workflows.record [NAME…]`: plays requests on a real server and keeps their histories for replays.

Run it when the workflow has changed on purpose, and look at what changed: a history that no longer replays is a request
that would break while it runs, should this version be deployed over the last one.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.worker import Worker

from gateway.domain.errors import StorageUnavailable
from gateway.domain.inference import Mode, Settlement
from gateway.hedge import Plan
from gateway.limiter import Entry
from gateway.storage.ports import Entry as Filed
from tests.builders import QUICK, a_job, a_request
from tests.servers import Servers
from tests.workflows.harness import (
    CONVERTER,
    GENTLE,
    SETTINGS,
    TEMPORAL,
    Process,
    a_process,
    registry,
    resting,
    serving,
)
from workflows.inference import InferenceWorkflow
from workflows.worker import runner

HISTORIES = Path(__file__).parent / "histories"
Handle = WorkflowHandle[Any, Settlement]
_PATIENCE = 60.0


def story(history: WorkflowHistory) -> list[str]:
    """What a history tells: its activities by name (local ones in parentheses), its timers, and a cancel."""
    told: list[str] = []
    for event in history.events:
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                told.append(event.activity_task_scheduled_event_attributes.activity_type.name)
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                data = event.marker_recorded_event_attributes.details["data"].payloads[0].data
                told.append(f"({json.loads(data)['activity_type']})")
            case EventType.EVENT_TYPE_TIMER_STARTED:
                told.append("timer")
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
                told.append("cancel")
            case _:
                continue
    return told


# ---- how each is played ------------------------------------------------------------------------------------------
async def _answered(client: Client, **changes: Any) -> Handle:
    """A caller who waits for its answer here."""
    async with serving(a_process(client)) as process:
        exchange = process.exchange(a_request(**changes))
        handle = await process.start(exchange.request)
        opened = await exchange.opened
        if changes.get("mode") is Mode.STREAM:
            await exchange.finish_unread()
        assert opened
        await handle.result()
    return handle


async def _happy(client: Client) -> Handle:
    return await _answered(client)


async def _stream(client: Client) -> Handle:
    return await _answered(client, mode=Mode.STREAM)


async def _fallback(client: Client) -> Handle:
    return await _answered(client, candidates=("down", "good"))


async def _retried(client: Client) -> Handle:
    return await _answered(client, candidates=("recovers",))


async def _hedged(client: Client) -> Handle:
    """A second model is asked beside the first, and answers before it."""
    async with serving(a_process(client)) as process:
        plan = Plan(timedelta(milliseconds=50), ("good",))
        exchange = process.exchange(a_request(candidates=("slow", "good")), plan)
        handle = await process.start(exchange.request)
        await handle.result()
    return handle


async def _cancelled(client: Client) -> Handle:
    async with serving(a_process(client)) as process:
        exchange = process.exchange(a_request(candidates=("hangs",)))
        handle = await process.start(exchange.request)
        await _called(process)
        await exchange.leave()
        await handle.result()
    return handle


async def _elsewhere(client: Client) -> Handle:
    """The workflow runs in another process than the one that holds the connection."""
    here = a_process(client, "here")
    other = a_process(await connected(client.service_client.config.target_host), "elsewhere", here.store)
    exchange = here.exchange(a_request())
    async with serving(other):
        handle = await here.start(exchange.request)
        await reached(handle, "attempt")
        async with serving(here):
            await exchange.opened
            await handle.result()
    return handle


async def _abandoned(client: Client) -> Handle:
    """The process that held the connection is dead: this takes as long as it is waited for."""
    async with serving(a_process(client, "elsewhere")) as process:
        handle = await process.start(a_request(origin="dead"))
        await handle.result()
    return handle


async def _job(client: Client) -> Handle:
    async with serving(a_process(client), jobs=True, callers=False) as process:
        handle = await process.start(a_job(candidates=("down", "good")))
        await handle.result()
    return handle


async def _waiting_job(client: Client) -> Handle:
    """No model can be called at first."""
    async with serving(a_process(client, live=resting("good", looks=2)), jobs=True, callers=False) as process:
        handle = await process.start(a_job())
        await handle.result()
    return handle


async def _cancelled_job(client: Client) -> Handle:
    async with serving(a_process(client), jobs=True, callers=False) as process:
        handle = await process.start(a_job(candidates=("hangs",)))
        await _called(process)
        await handle.cancel()
        await handle.result()
    return handle


async def _interrupted_job(client: Client) -> Handle:
    """A worker had claimed the call and died in the middle of it."""
    async with serving(a_process(client), jobs=True, callers=False) as process:
        request = a_job(limits=replace(QUICK, retry_interrupted=True))
        await process.store.claims.claim(request.id, 1, "a worker that died")
        handle = await process.start(request)
        await handle.result()
    return handle


async def _throttled_job(client: Client) -> Handle:
    """Another one has taken the token of this second: the job waits for its turn."""
    process = a_process(client, rules=GENTLE)
    request = a_job(rules_version=GENTLE.version)
    await process.limiter.take(process.router.route(request, (), request.accepted_at).throttles)
    async with serving(process, jobs=True, callers=False):
        handle = await process.start(request)
        await handle.result()
    return handle


async def _full_job(client: Client) -> Handle:
    """The model is at its limit when the job is to be called: it waits for its turn."""
    process = a_process(client)
    entry = await process.gate.enter(registry().models["one-call"], lambda: 0)
    assert isinstance(entry, Entry)
    async with serving(process, jobs=True, callers=False):
        handle = await process.start(a_job(candidates=("one-call",), model="one-call"))
        await reached(handle, "timer")
        entry.leave(None)
        await handle.result()
    return handle


async def _timed_job(client: Client) -> Handle:
    """A job that is not to begin at once."""
    async with serving(a_process(client), jobs=True, callers=False) as process:
        handle = await process.start(a_job(not_before=datetime.now(UTC) + timedelta(seconds=2)))
        await handle.result()
    return handle


async def _cancelled_timed_job(client: Client) -> Handle:
    """The same, cancelled before its time has come."""
    async with serving(a_process(client), jobs=True, callers=False) as process:
        handle = await process.start(a_job(not_before=datetime.now(UTC) + timedelta(hours=2)))
        await reached(handle, "timer")
        await handle.cancel()
        await handle.result()
    return handle


async def _late_ledger(client: Client) -> Handle:
    """The database is away when the job is to be recorded: the local activity is tried again."""
    process = a_process(client)
    settle, asked = process.store.requests.settle, 0

    async def away_once(entry: Filed) -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise StorageUnavailable
        return await settle(entry)

    process.store.requests.settle = away_once
    async with serving(process, jobs=True, callers=False):
        handle = await process.start(a_job())
        await handle.result()
    assert asked == 2
    return handle


async def _uncached_job(client: Client) -> Handle:
    """A worker that keeps no workflow in memory: each of its tasks replays what was before."""
    process = a_process(client)
    async with _uncached(process):
        handle = await process.start(a_job(candidates=("recovers",)))
        await handle.result()
    return handle


@asynccontextmanager
async def _uncached(process: Process) -> AsyncGenerator[None]:
    hands = process.hands
    worker = Worker(
        process.client,
        task_queue=TEMPORAL.jobs_queue,
        workflows=[InferenceWorkflow],
        activities=[*hands.local, hands.job.call_model],
        workflow_runner=runner(sandbox=SETTINGS.temporal.sandbox),
        max_cached_workflows=0,
        max_concurrent_workflow_task_polls=1,
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(worker)
        yield


SCENARIOS: MappingProxyType[str, Callable[[Client], Awaitable[Handle]]] = MappingProxyType(
    {
        "happy": _happy,
        "stream": _stream,
        "fallback": _fallback,
        "retried": _retried,
        "hedged": _hedged,
        "cancelled": _cancelled,
        "elsewhere": _elsewhere,
        "abandoned": _abandoned,
        "job": _job,
        "waiting_job": _waiting_job,
        "cancelled_job": _cancelled_job,
        "interrupted_job": _interrupted_job,
        "throttled_job": _throttled_job,
        "full_job": _full_job,
        "late_ledger": _late_ledger,
        "timed_job": _timed_job,
        "cancelled_timed_job": _cancelled_timed_job,
        "uncached_job": _uncached_job,
    }
)


# ---- keeping them ------------------------------------------------------------------------------------------------
async def connected(address: str) -> Client:
    """A client whose histories say nothing of this machine."""
    # Histories carry their clients' identity, which would be this machine's name.
    return await Client.connect(address, data_converter=CONVERTER, identity="recorder")


async def _called(process: Process) -> None:
    async with asyncio.timeout(_PATIENCE):
        while not process.provider.upstream.numbered:  # noqa: ASYNC110  the double has no event to wait for
            await asyncio.sleep(0.02)


async def reached(handle: Handle, step: str) -> None:
    """Wait until a history has come to a step."""
    async with asyncio.timeout(_PATIENCE):
        while step not in story(await handle.fetch_history()):  # noqa: ASYNC110  a history only grows
            await asyncio.sleep(0.05)


async def record(address: str, names: list[str]) -> None:
    """Play the scenarios, and write each history to its file."""
    HISTORIES.mkdir(exist_ok=True)
    client = await connected(address)
    for name in names:
        async with asyncio.timeout(_PATIENCE):
            handle = await SCENARIOS[name](client)
        await keep(handle, HISTORIES / f"{name}.json")


async def keep(handle: WorkflowHandle[Any, Any], path: Path) -> None:
    """Write a workflow's history to a file."""
    history = await handle.fetch_history()
    said = {"workflow_id": history.workflow_id, **json.loads(history.to_json())}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(said, indent=1, sort_keys=True) + "\n", "utf-8")  # noqa: ASYNC240  nobody waits
    sys.stdout.write(f"{path.stem}: {', '.join(story(history))}\n")


def kept(name: str, folder: Path = HISTORIES) -> WorkflowHistory:
    """A history as it was recorded."""
    said = json.loads((folder / f"{name}.json").read_text("utf-8"))
    return WorkflowHistory.from_json(said.pop("workflow_id"), said)


def main() -> None:
    """Record what is named, or all."""
    names = sys.argv[1:] or list(SCENARIOS)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        sys.exit(f"no scenario is called {', '.join(unknown)}; known: {', '.join(SCENARIOS)}")
    servers = Servers()
    try:
        asyncio.run(record(servers.temporal.address, names))
    finally:
        servers.close()


if __name__ == "__main__":
    main()
