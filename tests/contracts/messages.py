"""The scripted upstream in Anthropic's dialect, in this process: what a provider sends it can be looked at."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from gateway.providers.scripted.messages import MESSAGES
from gateway.providers.scripted.server import serve
from gateway.providers.scripted.upstream import Upstream
from tests.contracts.upstreams import Inside


@asynccontextmanager
async def messages() -> AsyncGenerator[tuple[Inside, str]]:
    """Serve it: its own view, and the address of its API."""
    upstream = Upstream(dialect=MESSAGES)
    server = await serve(upstream)
    try:
        yield Inside(upstream), f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
