"""`/api/v1/models/{name}/live`: what is known of a model at this moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from api.auth import authenticate
from api.service.live import LiveModel, LiveService
from gateway.domain.health import Live
from gateway.identity import Identify


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WindowShape(_Shape):
    """What happened in one window; times in milliseconds, null where nothing was measured."""

    requests: int
    errors: Mapping[str, int]
    error_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    first_token_p50_ms: float | None
    first_token_p95_ms: float | None
    tokens_per_second: float | None
    tokens: int
    cost_usd: Decimal


class BreakerShape(_Shape):
    """The circuit breaker. Open: nothing is sent to the model; half_open: the next request is let through to see."""

    state: Literal["closed", "open", "half_open"]
    since: datetime | None
    reason: str
    next_probe_at: datetime | None


class ProbeShape(_Shape):
    """What the last active probe said."""

    ok: bool
    at: datetime | None


class LiveShape(_Shape):
    """The live facts of a model over all replicas, and how old they are."""

    object: Literal["live"] = "live"
    model: str
    as_of: datetime | None
    age_s: float | None
    replicas: list[str]
    in_flight: int
    breaker: BreakerShape
    probe: ProbeShape | None
    windows: Mapping[str, WindowShape]


def router(identity: Identify, service: LiveService) -> APIRouter:
    """The route of live facts. It must stand before one that takes a model's name to the end of the path."""
    routes = APIRouter(prefix="/api/v1/models", tags=["models"])

    @routes.get("/{name:path}/live")
    async def get(request: Request, name: str) -> LiveShape:
        """What is known of a model at this moment, its windows and its circuit breaker; needs `models.read`."""
        caller = await authenticate(identity, request.scope["gateway"]["headers"])
        return _shape(service.get(caller, name))

    return routes


def _shape(live: LiveModel) -> LiveShape:
    health = live.health
    return LiveShape(
        model=live.model,
        as_of=live.as_of,
        age_s=None if live.age is None else round(live.age.total_seconds(), 3),
        replicas=list(live.replicas),
        in_flight=health.in_flight,
        breaker=BreakerShape(
            state=health.breaker.value,
            since=health.breaker_since,
            reason=health.breaker_reason,
            next_probe_at=health.next_probe_at,
        ),
        probe=None if health.probe_ok is None else ProbeShape(ok=health.probe_ok, at=health.probe_at),
        windows={window.value: _window(each) for window, each in health.windows.items()},
    )


def _window(live: Live) -> WindowShape:
    return WindowShape(
        requests=live.requests,
        errors=live.errors,
        error_rate=live.error_rate,
        p50_ms=live.p50_ms,
        p95_ms=live.p95_ms,
        p99_ms=live.p99_ms,
        first_token_p50_ms=live.first_token_p50_ms,
        first_token_p95_ms=live.first_token_p95_ms,
        tokens_per_second=live.tokens_per_second,
        tokens=live.tokens,
        cost_usd=live.cost_usd,
    )
