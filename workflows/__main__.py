"""`python -m workflows`: a worker for jobs, and for the requests of processes that died.

`python -m workflows current` lets new jobs begin with this version (temporal.deployment).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from functools import partial
from pathlib import Path

import uvloop
from prometheus_client import start_http_server
from temporalio.contrib.opentelemetry import TracingInterceptor
from temporalio.service import RPCError

from gateway import telemetry
from gateway.filing import Filing, keep_files
from gateway.settings import Settings, SettingsError, load
from gateway.storage.upkeep import keep_up, keep_usage
from gateway.temporal.client import connect
from gateway.temporal.deployment import claim_first, make_current
from gateway.temporal.engine import Engine
from gateway.wiring import open_world
from workflows.hands import hands_of
from workflows.worker import job_workers


async def work(settings: Settings, ready_file: Path | None) -> None:
    """Serve the job queue until a signal says stop; calls under way may end within their grace.

    `ready_file` is touched once the queue is served: a process without a port has no other way to say so.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_world(settings) as world:
        workers = partial(job_workers, settings=settings, hands=hands_of(world))
        world.engine.watch(workers, [TracingInterceptor()] if telemetry.tracing() else [])
        if settings.worker.metrics_port:
            start_http_server(settings.worker.metrics_port, settings.api.host, telemetry.METRICS)
        await _first(world.engine.workers_ready.wait(), stop.wait())
        if ready_file is not None and not stop.is_set():
            ready_file.touch()  # noqa: ASYNC240  once, at start
        filing = Filing(world.store.files, world.store.contents, world.seal)
        tending = [
            asyncio.create_task(keep_up(world.store, settings.jobs.retention), name="upkeep"),
            asyncio.create_task(keep_files(filing), name="file upkeep"),
            asyncio.create_task(keep_usage(world.store.rollups, settings.usage), name="usage"),
        ]
        tending.append(asyncio.create_task(_claim_first(world.engine, settings), name="deployment"))
        telemetry.log.info("worker_ready", origin=world.origin, queue=settings.temporal.jobs_queue)
        await stop.wait()
        telemetry.log.info("worker_stopping")
        for task in tending:
            task.cancel()


async def _claim_first(engine: Engine, settings: Settings) -> None:
    """Let the first version that ever works be the current one; later ones are made so by command."""
    if await claim_first(engine.client, settings.temporal):
        telemetry.log.info("deployment_current", build=settings.temporal.deployment.build)


async def _make_current(settings: Settings) -> None:
    client = await connect(settings.temporal, None)
    await make_current(client, settings.temporal)


async def _first(*waits: Coroutine[object, object, object]) -> None:
    tasks = [asyncio.create_task(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


def _command(settings: Settings, words: list[str]) -> None:
    """`current`: let new jobs begin with this build. Exits with what is wrong."""
    if words != ["current"]:
        sys.exit(f"there is no command {' '.join(words)}; there is `current`, and none at all to work")
    build = settings.temporal.deployment.build
    if not build:
        sys.exit("temporal.deployment.build: expected this version's name, got nothing")
    try:
        asyncio.run(_make_current(settings))
    except (TimeoutError, RPCError, OSError) as e:
        sys.exit(f"{build} did not become the current version: {e or 'none of its workers came'}")
    print(f"new jobs begin with {build}")


def main() -> None:
    """Load the settings and work."""
    try:
        settings = load()
    except SettingsError as e:
        sys.exit(str(e))
    if sys.argv[1:]:
        _command(settings, sys.argv[1:])
        return
    ready = os.environ.get("GATEWAY_READY_FILE")
    telemetry.set_up_logs(settings.telemetry)
    telemetry.set_up_traces(settings.telemetry)
    telemetry.set_up_metrics(settings.telemetry)
    try:
        uvloop.run(work(settings, Path(ready) if ready else None))
    except (SettingsError, ValueError) as e:
        sys.exit(str(e))
    finally:
        telemetry.close_traces()


if __name__ == "__main__":
    main()
