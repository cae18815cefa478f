"""The gRPC server: on the process's own event loop, with health and reflection, begun and ended in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, cast

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.reflection import SERVICE_NAME as REFLECTION
from grpc_reflection.v1alpha.reflection import aio as reflection
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from api.rpc.door import Door
from api.rpc.health import SERVICE_NAME as HEALTH
from api.rpc.health import Health
from api.rpc.inference import InferenceServicer
from api.rpc.jobs import JobsServicer
from api.rpc.live import LiveServicer
from api.rpc.models import ModelsServicer
from api.rpc.prices import PricesServicer
from api.rpc.registry import RegistryServicer
from api.rpc.requests import RequestsServicer
from api.rpc.rules import RulesServicer
from api.rpc.usage import UsageServicer
from api.rpc.webhooks import WebhooksServicer
from api.service.services import Services
from gateway.identity import Identify
from gateway.settings import Api, Settings
from gateway.v1 import (
    inference_pb2,
    jobs_pb2,
    live_pb2,
    models_pb2,
    prices_pb2,
    registry_pb2,
    requests_pb2,
    rules_pb2,
    usage_pb2,
    webhooks_pb2,
)

# Its messages are v1alpha's under another name, so that one servicer speaks for both.
_REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"


class PortTaken(ValueError):
    """The gRPC port cannot be listened on; says which setting changes it."""


def build_server(
    settings: Settings,
    *,
    identity: Identify,
    services: Services,
    ready: Callable[[], bool],
) -> RpcServer:
    """The server over the services, not yet listening. `ready` is asked at each health check."""
    door = Door(identity, settings.inference.max_deadline)
    temporal = settings.temporal

    def link(workflow_id: str) -> str | None:
        base = temporal.ui_url.rstrip("/")
        return f"{base}/namespaces/{temporal.namespace}/workflows/{workflow_id}" if base else None

    servicers = {
        inference_pb2.DESCRIPTOR.services_by_name["InferenceService"]: InferenceServicer(
            services.inference, settings.api.upload_limit
        ),
        jobs_pb2.DESCRIPTOR.services_by_name["JobsService"]: JobsServicer(services.jobs, services.deliveries),
        live_pb2.DESCRIPTOR.services_by_name["LiveService"]: LiveServicer(services.live),
        models_pb2.DESCRIPTOR.services_by_name["ModelsService"]: ModelsServicer(services.models),
        prices_pb2.DESCRIPTOR.services_by_name["PricesService"]: PricesServicer(services.prices),
        registry_pb2.DESCRIPTOR.services_by_name["RegistryService"]: RegistryServicer(services.registry),
        requests_pb2.DESCRIPTOR.services_by_name["RequestsService"]: RequestsServicer(
            services.requests, link
        ),
        rules_pb2.DESCRIPTOR.services_by_name["RulesService"]: RulesServicer(
            services.rules, services.simulations
        ),
        usage_pb2.DESCRIPTOR.services_by_name["UsageService"]: UsageServicer(services.usage),
        webhooks_pb2.DESCRIPTOR.services_by_name["WebhooksService"]: WebhooksServicer(services.webhooks),
    }
    names = frozenset(service.full_name for service in servicers)
    health = Health(names, ready)
    handlers = [door.handlers(service, servicer) for service, servicer in servicers.items()]
    handlers.append(health.handlers())
    if settings.api.docs:
        handlers.extend(_reflection((*sorted(names), HEALTH, REFLECTION)))
    return RpcServer(settings, door, health, handlers)


class RpcServer:
    """The server of one process: `start` in the loop that it is to share, `stop` once."""

    def __init__(
        self, settings: Settings, door: Door, health: Health, handlers: Sequence[grpc.GenericRpcHandler]
    ) -> None:
        """`handlers` are all that it serves; `door` and `health` are told when it ends."""
        self._settings = settings
        self._door = door
        self._health = health
        self._handlers = handlers
        self._server: grpc.aio.Server | None = None

    async def start(self) -> int:
        """Listen, and return the port. Raises PortTaken."""
        api = self._settings.api
        server = grpc.aio.server(
            options=_options(api),
            # The inference service refuses by itself, with an error that says more; this bounds all the rest.
            maximum_concurrent_rpcs=2 * api.max_in_flight + 100,
        )
        server.add_generic_rpc_handlers(self._handlers)
        host = f"[{api.host}]" if ":" in api.host else api.host
        try:
            port = server.add_insecure_port(f"{host}:{api.grpc_port}")
        except RuntimeError as e:
            raise PortTaken(f"api.grpc_port: {api.host}:{api.grpc_port} cannot be listened on") from e
        await server.start()
        self._server = server
        return port

    async def stop(self, grace: timedelta) -> None:
        """Take no more rpcs; let running ones end within `grace`, then cancel them; end at once what only watches."""
        self._health.close()
        self._door.close()
        if self._server is not None:
            await self._server.stop(grace.total_seconds())


def _options(api: Api) -> Sequence[tuple[str, int]]:
    every = int(api.keepalive.total_seconds() * 1000)
    return (
        ("grpc.max_receive_message_length", api.body_limit),
        ("grpc.max_send_message_length", -1),  # how long an answer may be is the providers' setting
        ("grpc.so_reuseport", 0),  # two processes on one port share it in silence otherwise
        # A caller whose machine has gone says nothing: pings find out, so that its upstream can be closed.
        ("grpc.keepalive_time_ms", every),
        ("grpc.keepalive_timeout_ms", every),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    )


class _Symbols:
    """The pool of this process's descriptors, which finds the file of a method as well as that of its service.

    Clients ask for methods too: `grpcurl describe gateway.v1.InferenceService.Chat`.
    """

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def __getattr__(self, name: str) -> object:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 (as the pool calls it)
        service, _, method = symbol.rpartition(".")
        try:
            of_service = self._pool.FindServiceByName(service)
        except KeyError:
            return self._pool.FindFileContainingSymbol(symbol)
        if method not in of_service.methods_by_name:
            raise KeyError(symbol)
        return of_service.file


def _reflection(names: Sequence[str]) -> Iterator[grpc.GenericRpcHandler]:
    servicer = reflection.ReflectionServicer(names, cast("DescriptorPool", _Symbols()))
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            ServerReflectionRequest.FromString,
            ServerReflectionResponse.SerializeToString,
        )
    }
    for name in (REFLECTION, _REFLECTION_V1):
        yield grpc.method_handlers_generic_handler(name, methods)
