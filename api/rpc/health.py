"""grpc.health.v1: SERVING while the process is ready, for the server (`""`) and each of its services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)

SERVICE_NAME = "grpc.health.v1.Health"
_LOOK_EVERY = 0.25
Context = grpc.aio.ServicerContext[HealthCheckRequest, HealthCheckResponse]


class Health:
    """Asks at each check whether the process is ready, so that the answer is never an old one.

    The library's own servicer would have to be told, and its Watch would hold up the server's end.
    """

    def __init__(self, services: frozenset[str], ready: Callable[[], bool]) -> None:
        """`services` by their full names."""
        self._services = services | {""}
        self._ready = ready
        self._closing = False

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a server is given."""
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Check": grpc.unary_unary_rpc_method_handler(
                self._check, HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
            ),
            "List": grpc.unary_unary_rpc_method_handler(
                self._list, HealthListRequest.FromString, HealthListResponse.SerializeToString
            ),
            "Watch": grpc.unary_stream_rpc_method_handler(
                self._watch, HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE_NAME, methods)

    def close(self) -> None:
        """Say NOT_SERVING from now on, and end those who watch."""
        self._closing = True

    async def _check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, "There is no such service.")
        return HealthCheckResponse(status=self._status(request.service))

    async def _list(self, request: HealthListRequest, context: Context) -> HealthListResponse:
        return HealthListResponse(
            statuses={name: HealthCheckResponse(status=self._status(name)) for name in sorted(self._services)}
        )

    async def _watch(
        self, request: HealthCheckRequest, context: Context
    ) -> AsyncGenerator[HealthCheckResponse, None]:
        said: HealthCheckResponse.ServingStatus | None = None
        while True:
            status = self._status(request.service)
            if status != said:
                yield HealthCheckResponse(status=status)
                said = status
            if self._closing:
                return
            await asyncio.sleep(_LOOK_EVERY)

    def _status(self, service: str) -> HealthCheckResponse.ServingStatus:
        if service not in self._services:
            return HealthCheckResponse.SERVICE_UNKNOWN
        ready = not self._closing and self._ready()
        return HealthCheckResponse.SERVING if ready else HealthCheckResponse.NOT_SERVING
