"""The doubles of upstreams whose wire is not OpenAI's, by the provider that speaks it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from tests.contracts.bedrock import bedrock
from tests.contracts.gemini import gemini
from tests.contracts.messages import messages
from tests.contracts.upstreams import Inside

TRANSLATING: dict[str, Callable[[], AbstractAsyncContextManager[tuple[Inside, str]]]] = {
    "anthropic": messages,
    "bedrock": bedrock,
    "gemini": gemini,
}
"""Each serves on a free port while it is open, and says what it has seen and its base URL."""
