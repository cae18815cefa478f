"""One process's services over memory and scripted models, and its gRPC server: for the tests of the doors.

The engine is a double that tells each request's story in this process: what the workflow decides, without a workflow.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from temporalio.testing import ActivityEnvironment

from activities.batches import BatchActivities
from activities.inference import opened
from activities.prices import End, PriceActivities, Reprice, Step
from activities.simulations import Health, Simulate, SimulationActivities
from api.rpc.server import build_server
from api.service.admission import Admission
from api.service.batches import BatchesService, FilesService, work_of
from api.service.deliveries import DeliveriesService
from api.service.destinations import Destinations
from api.service.idempotency import Once
from api.service.inference import InferenceService
from api.service.jobs import JobsKept, JobsService
from api.service.live import LiveService
from api.service.models import ModelsService
from api.service.prices import PricesService
from api.service.registry import RegistryService
from api.service.requests import RequestsService
from api.service.responses.conversations import ConversationsService
from api.service.responses.service import Kept, ResponsesService
from api.service.responses.state import ResponseState
from api.service.rules import RulesService
from api.service.services import Services
from api.service.shadows import Shadows
from api.service.simulations import SimulationsService
from api.service.usage import UsageService
from api.service.webhooks import WebhooksService
from gateway.attempt import Attempts, Try
from gateway.delivery.seals import Seals
from gateway.domain.breaker import BreakerPolicy
from gateway.domain.errors import EngineUnavailable, StorageUnavailable, Unauthenticated
from gateway.domain.identity import Caller, Right
from gateway.domain.inference import Attempt, InferenceRequest, Kind, Mode, Status, settle
from gateway.domain.operations import Operation
from gateway.domain.prices import PriceBook
from gateway.domain.registry import Model, ModelLimits, ModelState, Registry
from gateway.domain.retries import Now, next_choice
from gateway.domain.rules import RuleSet
from gateway.domain.secret import Secret
from gateway.drive import drive
from gateway.exchange import Exchanges
from gateway.filing import Filing
from gateway.hedge import Hedges
from gateway.jobcalls import JobCalls
from gateway.limiter import Concurrency, Gate, Limiter
from gateway.live.breakers import policy_of
from gateway.live.vitals import Vitals
from gateway.prices import PriceTable
from gateway.providers.catalogue import open_provider
from gateway.providers.ports import JSON, CallTimeouts, Provider
from gateway.published import Unpublished
from gateway.recorder import Recorder
from gateway.responses import ResponseKeeper
from gateway.ring import KeyRing
from gateway.router import Router
from gateway.seal import Seal
from gateway.settings import Api, Inference, Settings
from gateway.storage.memory import MemoryStore
from tests.builders import RuleReader, a_caller, a_desk, a_keeper, a_model, a_registry, a_router, an_admin
from workflows.batch import RunBatch

KEY, OTHER, ADMIN, POWERLESS = "sk-agent", "sk-other", "sk-admin", "sk-powerless"
CALLERS = {
    KEY: a_caller(),
    OTHER: a_caller(id="agent-2", name="agent-2"),
    ADMIN: an_admin(),
    POWERLESS: a_caller(id="agent-3", name="agent-3", rights=frozenset[Right]()),
}
_QUICK = timedelta(seconds=5)
CHANNELS = ("webhook", "nats")


@dataclass(slots=True)
class KnownKeys:
    """Identifies callers by a table; `down` plays a database that is away."""

    callers: Mapping[str, Caller] = field(default_factory=lambda: CALLERS)
    down: bool = False

    async def identify(self, token: str) -> Caller:
        """The caller whose token this is."""
        if self.down:
            raise StorageUnavailable
        if token not in self.callers:
            raise Unauthenticated
        return self.callers[token]


class Engine:
    """Runs each request's story here and at once; `up` false plays an engine that is away."""

    def __init__(
        self,
        exchanges: Exchanges,
        attempts: Attempts,
        recorder: Recorder,
        store: MemoryStore,
        router: Router,
        keeper: ResponseKeeper,
    ) -> None:
        self.up = True
        self.crowded = False
        self.delivered: list[Any] = []  # what was to be told again by hand
        self.repricing = asyncio.Event()  # cleared, repricings stand still
        self.repricing.set()
        self.simulating = asyncio.Event()  # cleared, simulations stand still
        self.simulating.set()
        self.batches: BatchActivities | None = None
        self.batching = asyncio.Event()  # cleared, batches stand still
        self.batching.set()
        self._exchanges = exchanges
        self._attempts = attempts
        self._recorder = recorder
        self._store = store
        self._router = router
        self._keeper = keeper
        self._calls = JobCalls(attempts, store.streams, keeper)
        self._running: dict[str, asyncio.Task[Any]] = {}

    async def start(self, request: InferenceRequest) -> bool:
        """Begin the story."""
        if not self.up:
            raise EngineUnavailable
        if request.id in self._running:
            return False
        exchange = self._exchanges.get(request.id)
        story = self._job(request) if exchange is None else drive(exchange, self._recorder, self._router)
        self._running[request.id] = asyncio.create_task(story)
        return True

    async def run(self, workflow: str, argument: Any, *, id_: str, caller: str, anew: bool = False) -> bool:
        """Begin the story of a repricing, of a simulation, or of a delivery, which is only noted."""
        assert caller
        if not self.up:
            raise EngineUnavailable
        if anew:
            self.delivered.append(argument)
            return True
        story = {"Reprice": self._reprice, "Simulate": self._simulate, "Batch": self._batch}[workflow]
        if id_ in self._running:
            return False
        self._running[id_] = asyncio.create_task(story(argument))
        return True

    async def running(self, workflow_id: str) -> bool:
        """Whether a story has begun and not ended."""
        return workflow_id in self._running and not self._running[workflow_id].done()

    async def _reprice(self, reprice: Reprice) -> None:
        activities = PriceActivities(self._store.prices, self._store.repricings)
        status = Status.COMPLETED
        try:
            await activities.begin(reprice)
            await self.repricing.wait()
            while not await ActivityEnvironment().run(activities.step, Step(reprice.id)):
                pass
        except asyncio.CancelledError:
            status = Status.CANCELLED
        await activities.end(End(reprice.id, status))

    async def _simulate(self, simulation_id: str) -> None:
        await self.simulating.wait()
        health = Health(BreakerPolicy(), serve_all_open=False, most_models=100, most_callers=100)
        hands = SimulationActivities(
            self._store.simulations, RuleReader(), registry, health, timedelta(seconds=1), processes=1
        )
        await ActivityEnvironment().run(hands.simulate, Simulate(simulation_id))

    async def _batch(self, asked: RunBatch) -> None:
        assert self.batches is not None
        await self.batching.wait()
        if await ActivityEnvironment().run(self.batches.check, asked.id):
            while not await ActivityEnvironment().run(self.batches.run, asked.id):
                pass
            await ActivityEnvironment().run(self.batches.file, asked.id)

    async def cancel(self, workflow_id: str) -> bool:
        """Cancel a job, or a repricing."""
        return workflow_id in self._running and self._running[workflow_id].cancel()

    async def _job(self, request: InferenceRequest) -> None:
        assert request.mode is Mode.JOB
        await asyncio.sleep(0.02)
        await self._store.jobs.begin(request.id, datetime.now(UTC))
        attempts: tuple[Attempt, ...] = ()
        cancelled = False
        while True:
            now = Now(request.candidates, datetime.now(UTC))
            choice = next_choice(now, attempts, request.limits, request.deadline)
            if isinstance(choice, str) or cancelled:
                break
            number = len(attempts) + 1
            await self._store.claims.claim(request.id, number, "test")
            body, files = opened(request)
            wanted = Try(request, body, number, choice, files=files)
            made = await self._calls.make(wanted, f"test {number}")
            attempt, reply = made.attempt, made.reply
            cancelled = attempt.outcome == "cancelled"
            await self._store.claims.answer(
                request.id,
                attempt,
                None if reply is None else reply.body,
                JSON if reply is None else reply.media_type,
            )
            await self._calls.tell(wanted, made)
            made.leave()
            attempts = (*attempts, attempt)
        settlement = settle(request, attempts, datetime.now(UTC), cancelled=cancelled)
        await self._recorder.record(request, settlement)
        await self._keeper.settle(request, settlement)

    async def close(self) -> None:
        """Let the stories end."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)


def claudes(at: str) -> list[Model]:
    """Models of an upstream that speaks Anthropic's dialect."""
    scripts = {
        "claude": "scripted-ok",
        "claude-tools": "scripted-tool-calls?tool_once=true",
        "claude-thinks": "scripted-ok?thinking=Let+me+see.",
        "claude-down": "scripted-529",
        "claude-breaks": "scripted-close-mid-stream?after=4",
        "claude-fails": "scripted-error-event?after=4",
    }
    return [
        a_model(name, provider="anthropic", base_url=at, upstream_model=script)
        for name, script in scripts.items()
    ]


def registry(*more: Model) -> Registry:
    """Models that behave and models that do not."""
    return a_registry(
        *more,
        a_model("good"),
        a_model("dear", price=None),
        a_model("tools", upstream_model="scripted-tool-calls"),
        a_model("tools-once", upstream_model="scripted-tool-calls?tool_once=true"),
        a_model("thinks", upstream_model="scripted-ok?thinking=Let+me+see."),
        a_model("slow", upstream_model="scripted-ok?latency_ms=30000"),
        a_model("dripping", upstream_model="scripted-ok?tokens=400&chunk_interval_ms=50"),
        a_model("endless", upstream_model="scripted-ok?tokens=20000"),
        a_model("down", upstream_model="scripted-503"),
        a_model("limited", upstream_model="scripted-429?retry_after=7"),
        a_model("rejects", upstream_model="scripted-400"),
        a_model("breaks", upstream_model="scripted-close-mid-stream"),
        a_model("off", state=ModelState.DISABLED),
        a_model("one-call", upstream_model="scripted-ok?latency_ms=300", limits=ModelLimits(concurrency=1)),
        a_model("vectors", kind=Kind.EMBEDDING),
        a_model("ranker", kind=Kind.RERANK),
        a_model("painter", kind=Kind.IMAGE),
        a_model("speaker", kind=Kind.SPEECH),
        a_model("listener", kind=Kind.TRANSCRIPTION),
        a_model("judge", kind=Kind.MODERATION),
        a_model("scarce", limits=ModelLimits(requests_per_minute=2)),
        assistant=("down", "good"),
        busy=("one-call", "good"),
        racing=("slow", "good"),
        mixed=("claude-down", "good"),
    )


@dataclass(slots=True)
class World:
    """Everything that a door opens on, and the doubles behind it."""

    settings: Settings
    store: MemoryStore
    identity: KnownKeys
    engine: Engine
    exchanges: Exchanges
    upstream: Any
    services: Services
    vitals: Vitals
    ready: bool = True

    @property
    def inference(self) -> InferenceService:
        """The service of inference."""
        return self.services.inference

    @property
    def jobs(self) -> JobsService:
        """The service of jobs."""
        return self.services.jobs


def a_world(
    settings: Settings | None = None,
    rules: RuleSet | None = None,
    *,
    claudes_at: str | None = None,
    models: Registry | None = None,
    providers: Mapping[str, Provider] | None = None,
    bounds: CallTimeouts | None = None,
    store: MemoryStore | None = None,
) -> World:
    """A process of its own; with other models, more providers and other bounds of a call than it has by itself.

    With `claudes_at` an address there are models of Anthropic's dialect too.
    """
    settings = settings or Settings(inference=Inference(deadline=timedelta(seconds=20)), api=Api(grpc_port=0))
    models = models or registry(*([] if claudes_at is None else claudes(claudes_at)))
    in_force = [models]

    def charge(book: PriceBook) -> None:
        in_force[0] = replace(models, prices=book)

    provider: Any = open_provider("scripted", settings.providers)
    store, exchanges = store or MemoryStore(), Exchanges("here")
    seals = Seals(KeyRing("test", {"test": Secret(base64.b64encode(bytes(32)).decode())}))
    breaker = settings.health.breaker
    vitals = Vitals("here", policy_of(breaker), serve_all_open=breaker.all_open == "serve")
    limiter = Limiter(store.buckets, settings.limits, lambda: 1)
    attempts = Attempts(
        lambda: in_force[0],
        {
            "scripted": provider,
            **({} if claudes_at is None else {"anthropic": _anthropic(settings)}),
            **(providers or {}),
        },
        bounds or CallTimeouts(_QUICK, _QUICK * 10, _QUICK * 10),
        vitals,
        Gate(limiter, Concurrency(store.slots, "here", settings.limits)),
    )
    keeper = a_keeper(store, settings)
    recorder = Recorder(store.requests, store.claims, exchanges, log_content=True, content_limit=100_000)
    router = a_router(models, rules, live=vitals.facts)
    engine = Engine(exchanges, attempts, recorder, store, router, keeper)
    shadows = Shadows(
        router=router,
        attempts=attempts,
        exchanges=exchanges,
        recorder=recorder,
        engine=engine,
        most=settings.inference.max_shadows,
    )
    once = Once(store.idempotency, store.requests, Seal(None), settings.idempotency)
    admission = Admission(limiter, attempts, Hedges(vitals.facts), shadows, once)
    inference = InferenceService(
        router=router,
        admission=admission,
        exchanges=exchanges,
        recorder=recorder,
        engine=engine,
        storage_up=lambda: True,
        settings=settings.inference,
        max_in_flight=settings.api.max_in_flight,
    )
    jobs = JobsService(
        router=router,
        admission=admission,
        engine=engine,
        kept=JobsKept(store.jobs, store.claims, store.streams),
        settings=settings,
        storage_up=lambda: True,
        destinations=Destinations(
            frozenset(CHANNELS), seals, store.webhook_secrets, settings.delivery.webhook
        ),
    )
    state = ResponseState(
        store.responses, store.conversations, keeper, most_bytes=settings.responses.max_history
    )
    responses = ResponsesService(
        inference,
        jobs,
        Kept(store.responses, store.streams, keeper, state),
        settings.responses,
        origin="here",
        deadline=settings.inference.max_deadline,
    )
    jobs.prepares[Operation.RESPONSES] = responses.enqueue
    texts = RuleReader()
    desk = a_desk(store, settings)
    ledger = RequestsService(store.requests, lambda: models)
    table = PriceTable(store.prices, charge)
    prices = PricesService(
        registry=lambda: in_force[0],
        table=table,
        prices=store.prices,
        repricings=store.repricings,
        engine=engine,
        catch_up=table.reload,
        lookup=lambda model: Unpublished(f"nobody publishes a price of {model.name}"),
    )
    engine.batches = work_of(store, jobs, Seal(None), settings)
    files = FilesService(store.files, Filing(store.files, store.contents, Seal(None)), settings.batches)
    tried = RulesService(store.rules, texts, router, ledger, vitals.facts)
    return World(
        settings=settings,
        store=store,
        identity=KnownKeys(),
        engine=engine,
        exchanges=exchanges,
        upstream=provider.upstream,
        services=Services(
            inference=inference,
            jobs=jobs,
            responses=responses,
            conversations=ConversationsService(store.conversations, keeper),
            files=files,
            batches=BatchesService(
                files=files,
                batches=store.batches,
                engine=engine,
                seal=Seal(None),
                settings=settings.batches,
                workflow=lambda batch_id: RunBatch(batch_id, "nowhere"),
            ),
            requests=ledger,
            usage=UsageService(store.rollups, settings.usage),
            models=ModelsService(lambda: models, router),
            live=LiveService(lambda: models, vitals.facts),
            prices=prices,
            registry=RegistryService(
                models=store.models,
                audit=store.audit,
                desk=desk,
                registry=lambda: models,
                attempts=attempts,
                recorder=recorder,
                texts=texts,
            ),
            rules=tried,
            simulations=SimulationsService(store.simulations, tried, engine),
            deliveries=DeliveriesService(jobs, store.deliveries, engine),
            webhooks=WebhooksService(store.webhook_secrets, seals),
        ),
        vitals=vitals,
    )


def _anthropic(settings: Settings) -> Provider:
    return open_provider("anthropic", settings.providers)


@asynccontextmanager
async def rpc_channel(world: World, **options: int) -> AsyncGenerator[grpc.aio.Channel]:
    """A client's channel to the world's gRPC server."""
    server = build_server(
        world.settings,
        identity=world.identity,
        services=world.services,
        ready=lambda: world.ready,
    )
    port = await server.start()
    try:
        given = [(f"grpc.{name}", value) for name, value in options.items()]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=given) as channel:
            yield channel
    finally:
        await server.stop(timedelta(seconds=2))
        await world.engine.close()
