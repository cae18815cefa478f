"""What the scripted upstream has seen, and which answer it plans for a call."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache

import msgspec

from gateway.providers.scripted import kinds
from gateway.providers.scripted.dialect import JSON, OPENAI, Dialect, Unreadable
from gateway.providers.scripted.messages import MESSAGES
from gateway.providers.scripted.plan import Plan, plan_of
from gateway.providers.scripted.responses import RESPONSES
from gateway.providers.scripted.script import Script, UnknownScript, script_named

REMEMBERED_IDS = 200_000


_decode_scripts = msgspec.json.Decoder(dict[str, Script | None]).decode


@dataclass(slots=True)
class Upstream:
    """What one server knows and has seen. `key`, if given, is the only credential it takes.

    What `models` says of a model holds from its next call on, so that a test can let one turn slow, or sick, or well.
    """

    models: dict[str, Script] = field(default_factory=dict[str, Script])
    key: str | None = None
    dialect: Dialect = OPENAI
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

    def serves(self, url: bytes) -> bool:
        """Whether a model is called at this target."""
        of_openais = self.dialect is OPENAI and (
            kinds.known(url) or MESSAGES.serves(url) or RESPONSES.serves(url)
        )
        return of_openais or self.dialect.serves(url)

    def plan(
        self, headers: Mapping[bytes, bytes], body: bytes, known: Script | None = None, url: bytes = b""
    ) -> Plan:
        """Count a call and say how it is answered; `known` is the script where the body does not bring its own."""
        dialect = self.speaking(url)
        try:
            asked, own = dialect.read(url, headers, body)
        except Unreadable as error:
            return self.refused(400, str(error), "invalid_request_error", None, dialect)
        request_id = headers.get(b"x-request-id")
        self.last = ({k.decode("latin-1"): v.decode("latin-1") for k, v in headers.items()}, body)
        if request_id is not None:
            if len(self.ids) > REMEMBERED_IDS:
                self.ids.clear()
            self.ids[request_id.decode("latin-1")] += 1
        self.calls[asked.model] += 1
        self.numbered += 1
        if self.key is not None and asked.credential != self.key:
            code = "invalid_api_key"
            return self.refused(401, "Incorrect API key provided.", "invalid_request_error", code, dialect)
        script = own or known or self.models.get(asked.model)
        if script is None:
            try:
                script = _named(asked.model)
            except UnknownScript:
                message = f"The model `{asked.model}` does not exist or you do not have access to it."
                return self.refused(404, message, "invalid_request_error", "model_not_found", dialect)
        if script.fail_first and self.calls[asked.model] > script.fail_first:
            script = msgspec.structs.replace(script, failure=None, fail_first=0)
        if isinstance(dialect, kinds.OfKind):
            try:
                plan = plan_of(script, asked, dialect)
            except Unreadable as error:
                return self.refused(400, str(error), "invalid_request_error", None, dialect)
            # Which of many an answer is, is known only when it is made; complaints are JSON all the same.
            told = plan.kind == JSON and plan.status == 200 and script.failure != "error-reply"
            return replace(plan, kind=dialect.kind) if told else plan
        # Scripts that carry mappings cannot be hashed: those are planned anew for each call.
        if script.usage is None and script.error is None:
            return _planned(script, asked, dialect)
        return plan_of(script, asked, dialect)

    def speaking(self, url: bytes) -> Dialect:
        """The dialect at this target: the server's own, and beside chat OpenAI's others and Anthropic's."""
        if self.dialect is not OPENAI:
            return self.dialect
        for beside in (MESSAGES, RESPONSES):
            if beside.serves(url):
                return beside
        return kinds.OfKind(url) if kinds.known(url) else self.dialect

    def refused(
        self, status: int, message: str, kind: str, code: str | None, dialect: Dialect | None = None
    ) -> Plan:
        """An error in the dialect's shape."""
        body = (dialect or self.dialect).error(message, status, kind, code)
        return Plan(status, (body,), len(body))


_named = lru_cache(1024)(script_named)
_planned = lru_cache(1024)(plan_of)
