"""A gateway process without doors: the real workflow and activities over memory and scripted models."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from activities.delivery import DeliveryActivities, Pauses
from activities.inference import CallerActivities, JobActivities
from activities.prices import PriceActivities
from activities.requests import RequestActivities
from activities.routing import RoutingActivities
from activities.simulations import Health, SimulationActivities
from gateway.attempt import Attempts
from gateway.delivery.catalogue import open_memory
from gateway.domain.breaker import BreakerPolicy
from gateway.domain.delivery import WEBHOOK
from gateway.domain.health import Breaker, LiveFacts, ModelHealth
from gateway.domain.inference import InferenceRequest, Mode, Settlement
from gateway.domain.registry import ModelLimits, Registry
from gateway.domain.rules import RuleSet, parse
from gateway.domain.secret import Secret
from gateway.exchange import Exchange, Exchanges
from gateway.hedge import Plan
from gateway.jobcalls import JobCalls
from gateway.limiter import Concurrency, Gate, Limiter
from gateway.providers.catalogue import open_provider
from gateway.providers.ports import CallTimeouts
from gateway.recorder import Recorder
from gateway.router import Router
from gateway.settings import Encryption, Settings, Temporal
from gateway.settings import Worker as WorkerSettings
from gateway.storage.memory import MemoryStore
from gateway.temporal.client import data_converter
from tests.builders import RuleReader, a_keeper, a_model, a_registry, a_router, raw
from workflows.inference import InferenceWorkflow
from workflows.worker import Hands, caller_workers, job_workers

KEY = base64.b64encode(bytes(range(32))).decode()
TEMPORAL = Temporal(sandbox=True, encryption=Encryption(active="test", keys={"test": Secret(KEY)}))
SETTINGS = Settings(temporal=TEMPORAL, worker=WorkerSettings(shutdown_grace=timedelta(0)))
CONVERTER = data_converter(TEMPORAL, None)
_QUICK = timedelta(seconds=5)
_AT_ONCE = timedelta(milliseconds=10)


GENTLE = parse({"rules": [{"name": "be gentle", "throttle": {"rate": "1/s", "burst": 1, "then": "queue"}}]})
"""Rules under which one request a second begins, and a job waits for its turn."""


def registry() -> Registry:
    """Models that behave and models that do not."""
    return a_registry(
        a_model("good"),
        a_model("down", upstream_model="scripted-503"),
        a_model("rejects", upstream_model="scripted-400"),
        a_model("locked", upstream_model="scripted-401"),
        a_model("hangs", upstream_model="scripted-hang"),
        a_model("recovers", upstream_model="scripted-503?fail_first=2"),
        a_model("moment", upstream_model="scripted-ok?latency_ms=40"),
        a_model("slow", upstream_model="scripted-ok?latency_ms=20000"),
        a_model("one-call", upstream_model="scripted-ok?latency_ms=700", limits=ModelLimits(concurrency=1)),
    )


@dataclass(slots=True)
class Process:
    """One process of ours, on a client."""

    client: Client
    store: MemoryStore
    exchanges: Exchanges
    attempts: Attempts
    recorder: Recorder
    router: Router
    hands: Hands
    provider: Any
    limiter: Limiter
    gate: Gate
    channel: Any

    def exchange(self, request: InferenceRequest, plan: Plan | None = None) -> Exchange:
        """A caller who waits in this process; with a plan others are asked beside the first model."""
        planner = None if plan is None else lambda number, *_: plan if number == 1 else None
        exchange = Exchange(request, raw(request.body), self.attempts, plan=planner)
        self.exchanges.open(exchange)
        return exchange

    async def start(self, request: InferenceRequest) -> WorkflowHandle[Any, Settlement]:
        """Start the request's workflow on its queue."""
        job = request.mode is Mode.JOB
        return await self.client.start_workflow(
            InferenceWorkflow.run,
            request,
            id=request.id,
            task_queue=TEMPORAL.jobs_queue if job else TEMPORAL.sync_queue,
            task_timeout=timedelta(seconds=10),
        )


def resting(model: str, looks: int) -> Callable[[], LiveFacts]:
    """Live facts by which a model rests for so many looks, and is well after them."""
    left = looks

    def look() -> LiveFacts:
        nonlocal left
        left -= 1
        breaker = Breaker.OPEN if left >= 0 else Breaker.CLOSED
        return LiveFacts(models={model: ModelHealth(breaker=breaker)})

    return look


def simulating(store: MemoryStore, models: Registry) -> SimulationActivities:
    """The hands that try rules, with one process to decide."""
    health = Health(BreakerPolicy(), serve_all_open=False, most_models=100, most_callers=100)
    beat = timedelta(milliseconds=200)
    return SimulationActivities(store.simulations, RuleReader(), lambda: models, health, beat, processes=1)


def a_process(
    client: Client,
    origin: str = "here",
    store: MemoryStore | None = None,
    live: Callable[[], LiveFacts] = LiveFacts,
    rules: RuleSet | None = None,
) -> Process:
    """A process whose connections are its own; give it a store to share one."""
    store = store or MemoryStore()
    models = registry()
    provider = open_provider("scripted", SETTINGS.providers)
    exchanges = Exchanges(origin)
    limiter = Limiter(store.buckets, SETTINGS.limits, lambda: 1)
    gate = Gate(limiter, Concurrency(store.slots, origin, SETTINGS.limits))
    attempts = Attempts(
        lambda: models, {"scripted": provider}, CallTimeouts(_QUICK, _QUICK, _QUICK), gate=gate
    )
    recorder = Recorder(store.requests, store.claims, exchanges, log_content=True, content_limit=100_000)
    router = a_router(models, rules, live=live)
    responses = a_keeper(store, SETTINGS)
    calls = JobCalls(attempts, store.streams, responses)
    channel = open_memory()
    hands = Hands(
        RoutingActivities(router, limiter),
        CallerActivities(exchanges, recorder),
        JobActivities(attempts, store.claims, lambda: models, origin, timedelta(milliseconds=200), calls),
        RequestActivities(recorder, store.jobs, exchanges, limiter, responses),
        DeliveryActivities(
            {WEBHOOK: channel}, store.jobs, store.claims, store.deliveries, Pauses(_AT_ONCE, _AT_ONCE)
        ),
        PriceActivities(store.prices, store.repricings),
        simulating(store, models),
    )
    return Process(
        client, store, exchanges, attempts, recorder, router, hands, provider, limiter, gate, channel
    )


@asynccontextmanager
async def serving(process: Process, *, jobs: bool = False, callers: bool = True) -> AsyncGenerator[Process]:
    """Run the process's workers."""
    workers: list[Worker] = []
    if callers:
        workers += caller_workers(process.client, SETTINGS, process.hands, process.exchanges.origin)
    if jobs:
        workers += job_workers(process.client, SETTINGS, process.hands)
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(worker)
        yield process
