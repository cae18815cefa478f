"""The REST application, made of services that were made of a World."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

from api.rest import (
    codec,
    deliveries,
    jobs,
    live,
    operators,
    prices,
    registry,
    requests,
    rules,
    simulations,
    usage,
    webhooks,
)
from api.rest.door import Door
from api.rest.endpoints import ENDPOINTS
from api.rest.endpoints import routes as inference_routes
from api.rest.inference import Means
from api.rest.openai import batches, conversations, models, responses
from api.service.admission import Admission
from api.service.batches import BatchesService, FilesService
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
from gateway import VERSION
from gateway.domain.operations import Operation
from gateway.filing import Filing
from gateway.hedge import Hedges
from gateway.ring import KeyRing
from gateway.temporal.client import data_converter
from gateway.wiring import World
from workflows.batch import RunBatch
from workflows.policies import batches_queue

_PURPOSE = "One durable gateway between every agent and every language model."


def build_services(world: World) -> Services:
    """The services over a world."""
    settings = world.settings
    ledger = RequestsService(world.store.requests, world.registry)
    shadows = Shadows(
        router=world.router,
        attempts=world.attempts,
        exchanges=world.exchanges,
        recorder=world.recorder,
        engine=world.engine,
        most=settings.inference.max_shadows,
    )
    once = Once(world.store.idempotency, world.store.requests, world.seal, settings.idempotency)
    admission = Admission(world.limiter, world.attempts, Hedges(world.live), shadows, once)
    rules_service = RulesService(world.store.rules, world.texts, world.router, ledger, world.live)
    inference = InferenceService(
        router=world.router,
        admission=admission,
        exchanges=world.exchanges,
        recorder=world.recorder,
        engine=world.engine,
        storage_up=lambda: world.storage.up,
        settings=settings.inference,
        max_in_flight=settings.api.max_in_flight,
    )
    jobs_service = JobsService(
        router=world.router,
        admission=admission,
        engine=world.engine,
        kept=JobsKept(world.store.jobs, world.store.claims, world.store.streams),
        settings=settings,
        storage_up=lambda: world.storage.up,
        destinations=Destinations(
            frozenset(world.dispatch.channels),
            world.dispatch.seals,
            world.store.webhook_secrets,
            settings.delivery.webhook,
        ),
    )
    responses_service = responses_over(world, inference, jobs_service)
    filing = Filing(world.store.files, world.store.contents, world.seal)
    files_service = FilesService(world.store.files, filing, settings.batches)
    return Services(
        inference=inference,
        jobs=jobs_service,
        responses=responses_service,
        conversations=ConversationsService(world.store.conversations, world.responses),
        files=files_service,
        batches=BatchesService(
            files=files_service,
            batches=world.store.batches,
            engine=world.engine,
            seal=world.seal,
            settings=settings.batches,
            workflow=lambda batch_id: RunBatch(batch_id, batches_queue(settings.temporal.sync_queue)),
        ),
        requests=ledger,
        usage=UsageService(world.store.rollups, settings.usage),
        models=ModelsService(world.registry, world.router),
        registry=RegistryService(
            models=world.store.models,
            audit=world.store.audit,
            desk=world.desk,
            registry=world.registry,
            attempts=world.attempts,
            recorder=world.recorder,
            texts=world.texts,
        ),
        live=LiveService(world.registry, world.live),
        prices=PricesService(
            registry=world.registry,
            table=world.prices,
            prices=world.store.prices,
            repricings=world.store.repricings,
            engine=world.engine,
            catch_up=lambda: world.feed.catch_up("prices"),
        ),
        rules=rules_service,
        simulations=SimulationsService(world.store.simulations, rules_service, world.engine),
        deliveries=DeliveriesService(jobs_service, world.store.deliveries, world.engine),
        webhooks=WebhooksService(world.store.webhook_secrets, world.dispatch.seals),
    )


def responses_over(world: World, inference: InferenceService, jobs_service: JobsService) -> ResponsesService:
    """The service of responses, which jobs for them go through too."""
    store, settings = world.store, world.settings
    state = ResponseState(
        store.responses, store.conversations, world.responses, most_bytes=settings.responses.max_history
    )
    service = ResponsesService(
        inference,
        jobs_service,
        Kept(store.responses, store.streams, world.responses, state),
        settings.responses,
        origin=world.origin,
        deadline=settings.inference.max_deadline,
    )
    jobs_service.prepares[Operation.RESPONSES] = service.enqueue
    return service


def build_app(world: World, services: Services, checks: Callable[[], Mapping[str, bool]]) -> ASGIApp:
    """The application behind its door. `checks` says by name what must hold for readiness."""
    settings = world.settings
    about: dict[str, Any] = {"title": "LLM Gateway", "version": VERSION, "description": _PURPOSE}
    # FastAPI's own spans would stand between the door's and the calls', in a trace of their own.
    about["telemetry"] = {"tracing": False, "metrics": False, "logs": False}
    if settings.api.docs:
        # The page brings its own scripts: many a gateway stands where no browser reaches the internet.
        app = FastAPIOffline(docs_url="/docs", redoc_url=None, static_url="/docs/static", **about)
    else:
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, **about)
    # The door answers for every error; Starlette's own layers would answer before it, in no dialect and without an id.
    app.middleware_stack = AsyncExitStackMiddleware(app.router)
    means = Means(world.identity, services.inference, services.jobs, services.responses, settings.api)
    app.router.routes.extend(inference_routes(means))
    app.include_router(models.router(world.identity, services.models))
    app.include_router(responses.router(world.identity, services.responses, settings.api))
    app.include_router(conversations.router(world.identity, services.conversations, settings.api))
    app.include_router(live.router(world.identity, services.live))
    app.include_router(registry.router(world.identity, services.registry, settings.api))
    app.include_router(rules.router(world.identity, services.rules, settings.api))
    app.include_router(simulations.router(world.identity, services.simulations, settings.api))
    app.include_router(jobs.router(world.identity, services.jobs, services.deliveries, settings.api))
    app.include_router(batches.files_router(world.identity, services.files, settings.api))
    app.include_router(batches.batches_router(world.identity, services.batches, settings.api))
    app.include_router(deliveries.router(world.identity, services.deliveries, settings.api))
    app.include_router(webhooks.router(world.identity, services.webhooks, settings.api))
    app.include_router(prices.router(world.identity, services.prices, settings.api))
    temporal = settings.temporal
    app.include_router(
        requests.router(world.identity, services.requests, temporal.ui_url, temporal.namespace)
    )
    app.include_router(usage.router(world.identity, services.usage))

    def about_it() -> Mapping[str, str]:
        return {
            "origin": world.origin,
            "registry_version": world.registry.version,
            "rules_version": world.rulebook.version,
        }

    def details() -> Mapping[str, object]:
        age = world.beat.age
        return {
            "live_age_s": None if age is None else round(age.total_seconds(), 1),
            "nats": world.dispatch.bus.state,
        }

    app.include_router(operators.router(checks, about_it, details))
    if temporal.encryption.active:
        ring = KeyRing(temporal.encryption.active, temporal.encryption.keys)
        sealing = data_converter(temporal, world.store.blobs).payload_codec
        if sealing is not None:
            app.include_router(
                codec.router(world.identity, sealing, ring, settings.api, _origin_of(temporal.ui_url))
            )
    _describe(app)
    return Door(app, settings.api.allowed_hosts)


def _origin_of(url: str) -> str:
    return "/".join(url.split("/")[:3])


def _describe(app: FastAPI) -> None:
    """Add what is served outside FastAPI's own routes to the OpenAPI document, and how callers identify themselves."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            for operation in (op for path in schema["paths"].values() for op in path.values()):
                # The function's name says what it is to us; its docstring's first line says it to callers.
                operation["summary"] = operation.get("description", operation["summary"]).split("\n")[0]
            schema["paths"] |= {entry.at: {"post": entry.openapi} for entry in ENDPOINTS}
            schema.setdefault("components", {})["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            }
            schema["security"] = [{"bearer": []}, {"key": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
