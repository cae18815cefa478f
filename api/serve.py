"""One API process: both doors and the workers of its own requests on one event loop; its orderly end."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import uvicorn
from starlette.types import ASGIApp
from temporalio.contrib.opentelemetry import TracingInterceptor
from typing_extensions import override

from api.app import build_app, build_services
from api.bus.door import BusDoor
from api.rest.protocol import BoundedHead
from api.rpc.server import build_server
from api.service.batches import work_of
from api.service.inference import InferenceService
from gateway import telemetry
from gateway.delivery.inbox import Inbox
from gateway.settings import Settings
from gateway.wiring import World, open_world
from workflows.hands import hands_of
from workflows.worker import caller_workers

_SWEEP_EVERY = 5.0
_LAST = timedelta(seconds=5)  # for responses that are still to be kept when all else has ended


class _Server(uvicorn.Server):
    """Uvicorn, with the signals left to us: readiness goes first, the listening socket last."""

    @override
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave them alone."""
        yield


async def serve(settings: Settings) -> None:
    """Answer until a signal says stop; then be unready, let running requests end, settle all, close."""
    stop = asyncio.Event()
    _when_told(stop.set)
    async with open_world(settings) as world:
        services = build_services(world)

        def stopping() -> None:
            # At once: whoever has heard that this process is not ready must find it refusing, too.
            stop.set()
            services.inference.refuse()

        _when_told(stopping)
        world.keeper.start()
        workers = partial(
            caller_workers,
            settings=settings,
            hands=hands_of(world),
            origin=world.origin,
            batches=work_of(world.store, services.jobs, world.seal, settings),
        )
        world.engine.watch(workers, [TracingInterceptor()] if telemetry.tracing() else [])

        def checks() -> Mapping[str, bool]:
            return {
                "storage": world.storage.up,
                "engine": _engine_fine(world),
                **world.feed.copies,
                "serving": not stop.is_set(),
            }

        server = _Server(_config(build_app(world, services, checks), settings))
        listening = _listen(settings)
        ready = partial(_all, checks)
        rpc = build_server(
            settings,
            identity=world.identity,
            services=services,
            ready=ready,
        )
        await rpc.start()
        inbox = Inbox(
            world.dispatch.bus,
            settings.nats.requests,
            BusDoor(world.identity, services.jobs, settings).take,
        )
        inbox.start()
        # What is loaded by now stays: full collections over it would stop the loop for tenths of a second.
        gc.collect()
        gc.freeze()
        serving = asyncio.create_task(server.serve([listening]), name="rest")
        sweeping = asyncio.create_task(_sweep(services.inference), name="sweep")
        telemetry.log.info(
            "listening", rest=settings.api.port, grpc=settings.api.grpc_port, origin=world.origin
        )
        await asyncio.wait([serving, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        telemetry.log.info("stopping", running=len(world.exchanges))
        # Side by side: letters are pulled no more while running requests end.
        left, _ = await asyncio.gather(services.inference.close(settings.api.shutdown_grace), inbox.close())
        await services.responses.close(_LAST)
        sweeping.cancel()
        await rpc.stop(timedelta(seconds=5))
        server.should_exit = True
        await serving
        telemetry.log.info("stopped", unsettled=left)


def _when_told(stop: Callable[[], None]) -> None:
    """Let a signal to end do this, and nothing that was said before."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)


def _engine_fine(world: World) -> bool:
    # With engine_down = serve, synchronous requests are answered without it: a replica of use is not taken away.
    return world.engine.up or world.settings.inference.engine_down == "serve"


def _all(checks: Callable[[], Mapping[str, bool]]) -> bool:
    return all(checks().values())


async def _sweep(inference: InferenceService) -> None:
    while True:
        await asyncio.sleep(_SWEEP_EVERY)
        await inference.sweep()


def _listen(settings: Settings) -> socket.socket:
    """Bind the REST port. Raises ValueError naming the setting when it cannot be had."""
    api = settings.api
    family = socket.AF_INET6 if ":" in api.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((api.host, api.port))
    except OSError as e:
        listening.close()
        raise ValueError(f"api.port: {api.host}:{api.port} cannot be bound: {e.strerror}") from e
    return listening


def _config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.api.host,
        port=settings.api.port,
        lifespan="off",
        loop="none",
        http=BoundedHead,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=None,
        proxy_headers=False,
    )
