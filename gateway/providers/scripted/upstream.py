"""What the scripted upstream has seen, and which answer it plans for a call."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

from gateway.providers.scripted.plan import Asked, Plan, plan_of
from gateway.providers.scripted.script import Script, UnknownScript, script_named

REMEMBERED_IDS = 200_000


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    model: str
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    x_script: Script | None = None


_decode = msgspec.json.Decoder(_Body).decode
_decode_scripts = msgspec.json.Decoder(dict[str, Script | None]).decode


@dataclass(slots=True)
class Upstream:
    """What one server knows and has seen. `key`, if given, is the only credential it takes.

    What `models` says of a model holds from its next call on, so that a test can let one turn slow, or sick, or well.
    """

    models: dict[str, Script] = field(default_factory=dict[str, Script])
    key: str | None = None
    calls: Counter[str] = field(default_factory=Counter[str])
    ids: Counter[str] = field(default_factory=Counter[str])
    numbered: int = 0
    in_flight: int = 0
    cancelled: int = 0
    completed: int = 0
    connections: int = 0
    accepted: int = 0
    last: tuple[dict[str, str], bytes] = field(default_factory=lambda: ({}, b""))

    def play(self, scripts: bytes) -> None:
        """Let models play other scripts: `{"NAME": SCRIPT}`, or null for its own again. Raises DecodeError."""
        for name, script in _decode_scripts(scripts).items():
            if script is None:
                self.models.pop(name, None)
            else:
                self.models[name] = script

    def reset(self) -> None:
        """Forget all calls; open connections stay counted."""
        self.calls.clear()
        self.ids.clear()
        self.cancelled = self.completed = self.accepted = 0
        self.last = ({}, b"")

    @contextmanager
    def flight(self) -> Generator[None]:
        """Count a call as in flight meanwhile, and as cancelled if its client leaves."""
        self.in_flight += 1
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1

    def stats(self) -> dict[str, object]:
        """What `GET /stats` says."""
        return {
            "calls": self.calls.total(),
            "models": dict(self.calls),
            "in_flight": self.in_flight,
            "completed": self.completed,
            "cancelled": self.cancelled,
            "open_connections": self.connections,
            "accepted_connections": self.accepted,
        }

    def plan(self, headers: Mapping[bytes, bytes], body: bytes, known: Script | None = None) -> Plan:
        """Count a call and say how it is answered; `known` is the script where the body does not bring its own."""
        try:
            asked = _decode(body)
        except msgspec.DecodeError as error:
            return refused(400, f"Could not read the request: {error}", "invalid_request_error", None)
        credential = headers.get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
        request_id = headers.get(b"x-request-id")
        self.last = ({k.decode("latin-1"): v.decode("latin-1") for k, v in headers.items()}, body)
        if request_id is not None:
            if len(self.ids) > REMEMBERED_IDS:
                self.ids.clear()
            self.ids[request_id.decode("latin-1")] += 1
        self.calls[asked.model] += 1
        self.numbered += 1
        if self.key is not None and credential != self.key:
            return refused(401, "Incorrect API key provided.", "invalid_request_error", "invalid_api_key")
        script = asked.x_script or known or self.models.get(asked.model)
        if script is None:
            try:
                script = _named(asked.model)
            except UnknownScript:
                message = f"The model `{asked.model}` does not exist or you do not have access to it."
                return refused(404, message, "invalid_request_error", "model_not_found")
        if script.fail_first and self.calls[asked.model] > script.fail_first:
            script = msgspec.structs.replace(script, failure=None, fail_first=0)
        options = asked.stream_options
        include_usage = options is not None and options.include_usage is True
        wanted = Asked(asked.model, asked.stream is True, include_usage, credential)
        # Scripts that carry mappings cannot be hashed: those are planned anew for each call.
        if script.usage is None and script.error is None:
            return _planned(script, wanted)
        return plan_of(script, wanted)


_named = lru_cache(1024)(script_named)
_planned = lru_cache(1024)(plan_of)


def refused(status: int, message: str, kind: str, code: str | None) -> Plan:
    """An error in OpenAI's shape."""
    body = msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})
    return Plan(status, (body,), len(body))
