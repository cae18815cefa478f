"""Who is measured: the upstream itself, the gateway in each of its modes, other gateways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import msgspec

from bench.backlog import Backlog

MODELS: Mapping[str, Mapping[str, float]] = {
    "bench": {"tokens": 20},
    "bench-first": {"tokens": 5, "chunk_interval_ms": 1},
    "bench-stream": {"tokens": 50, "chunk_interval_ms": 20},
}
"""The models of the upstream, by the scripts that play them: whole answers, first bytes, long streams."""

MESSAGES = (
    {"role": "system", "content": "You are a careful assistant. Answer in one short sentence."},
    {
        "role": "user",
        "content": "A customer writes that the parcel with order number 48213 was left at the wrong door, and "
        "asks what happens next. What do we tell them, and who looks after it?",
    },
)


@dataclass(frozen=True, slots=True)
class Site:
    """What can be seen of a server from this machine: its processes by name, and what it still has to do."""

    pids: Mapping[str, int] = field(default_factory=dict[str, int])
    backlog: Backlog | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """One server that speaks OpenAI's API, and how to ask it."""

    name: str
    url: str
    key: str = "none"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    model: str | None = None
    """Asked for instead of the upstream's names, where a server knows others."""
    site: Site | None = None

    @property
    def host(self) -> str:
        """The host to connect to."""
        return urlsplit(self.url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """The port to connect to."""
        return urlsplit(self.url).port or 80

    def chat(self, model: str = "bench", *, stream: bool = False) -> bytes:
        """A whole chat request, as bytes."""
        body: dict[str, object] = {"model": self.model or model, "messages": MESSAGES}
        if stream:
            body["stream"] = True
        return self.post("/v1/chat/completions", body)

    def post(self, path: str, body: Mapping[str, object]) -> bytes:
        """A whole POST request, as bytes."""
        data = msgspec.json.encode(body)
        length = f"content-type: application/json\r\ncontent-length: {len(data)}\r\n"
        return self._head("POST", path, length) + data

    def get(self, path: str) -> bytes:
        """A whole GET request, as bytes."""
        return self._head("GET", path, "")

    def _head(self, method: str, path: str, more: str) -> bytes:
        own = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        prefix = urlsplit(self.url).path.rstrip("/").removesuffix("/v1")
        return (
            f"{method} {prefix}{path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n"
            f"authorization: Bearer {self.key}\r\n{own}{more}\r\n"
        ).encode()
