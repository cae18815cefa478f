"""`/livez /readyz /metrics /info`: for those who run the gateway. None of them calls a model."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse

from gateway import VERSION, telemetry


def router(
    checks: Callable[[], Mapping[str, bool]],
    about: Callable[[], Mapping[str, str]],
    details: Callable[[], Mapping[str, object]],
) -> APIRouter:
    """The routes of operators. `checks` says by name what must hold for readiness; `about` is told by `/info`.

    `details` are told with the checks, and are no reason not to be ready.
    """
    routes = APIRouter(tags=["operators"])
    started = datetime.now(UTC)

    @routes.get("/livez")
    @routes.get("/health/liveliness", include_in_schema=False)
    async def livez() -> dict[str, str]:
        """The process runs."""
        return {"status": "alive"}

    @routes.get("/readyz")
    @routes.get("/health/readiness", include_in_schema=False)
    async def readyz() -> JSONResponse:
        """Whether requests should come here: 200, or 503 with what is missing; details say what does not decide it."""
        found = checks()
        ready = all(found.values())
        body = {
            "status": "ready" if ready else "not ready",
            "checks": dict(found),
            "details": dict(details()),
        }
        return JSONResponse(body, 200 if ready else 503, {} if ready else {"retry-after": "1"})

    @routes.get("/metrics")
    async def metrics() -> Response:
        """Prometheus' text format."""
        return Response(generate_latest(telemetry.METRICS), media_type=CONTENT_TYPE_LATEST)

    @routes.get("/info")
    async def info() -> dict[str, Any]:
        """What runs here."""
        return {
            "name": "llm-gateway",
            "version": VERSION,
            "python": platform.python_version(),
            "platform": sys.platform,
            "started_at": started.isoformat(),
            **about(),
        }

    return routes
