"""Values that work, for tests to change one thing of."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from gateway.domain.errors import UpstreamUnavailable
from gateway.domain.health import LiveFacts
from gateway.domain.identity import ALL_RIGHTS, Caller, CallerKind, Right
from gateway.domain.inference import (
    Attempt,
    Durability,
    Failure,
    InferenceRequest,
    Kind,
    Limits,
    Mode,
    Outcome,
    Usage,
)
from gateway.domain.prices import Price
from gateway.domain.registry import Model, Registry
from gateway.domain.rules import GatewayLoad, RuleSet
from gateway.domain.secret import Secret
from gateway.ids import moment_of, new_id
from gateway.net.guard import Guard
from gateway.providers.catalogue import MANUALS, OpenProviders
from gateway.providers.credentials import Credentials
from gateway.providers.discovery import Discovery
from gateway.registry.checks import Checks, Key
from gateway.registry.desk import Desk
from gateway.registry.editor import Editor
from gateway.responses import ResponseKeeper
from gateway.ring import KeyRing
from gateway.router import Router
from gateway.rules.load import plain, rules_of
from gateway.seal import Seal
from gateway.settings import Place, Settings, read_text
from gateway.storage.memory import MemoryStore

BODY = '{"model":"assistant","messages":[{"role":"user","content":"Say hello."}]}'
QUICK = Limits(
    attempts=3,
    backoff_initial=timedelta(milliseconds=5),
    backoff_max=timedelta(milliseconds=20),
    heartbeat=timedelta(seconds=3),
)


def a_caller(**changes: Any) -> Caller:
    """An agent that may infer."""
    usual = Caller(id="agent-1", name="agent-1", kind=CallerKind.AGENT, rights=frozenset({Right.INFER}))
    return replace(usual, **changes)


def an_admin() -> Caller:
    """Somebody who may do everything."""
    return Caller(id="admin", name="admin", kind=CallerKind.PERSON, rights=ALL_RIGHTS)


def a_model(name: str = "good", **changes: Any) -> Model:
    """A scripted model that answers."""
    usual = Model(
        name=name,
        provider="scripted",
        base_url="",
        upstream_model="scripted-ok",
        price=Price(Decimal("1.00"), Decimal("2.00")),
    )
    return replace(usual, **changes)


def a_registry(*models: Model, **aliases: tuple[str, ...]) -> Registry:
    """A registry of these models."""
    return Registry({m.name: m for m in models}, aliases, "test")


def a_router(
    registry: Registry, rules: RuleSet | None = None, live: Callable[[], LiveFacts] = LiveFacts
) -> Router:
    """A router over a registry and rules that stay as they are."""
    in_force = rules or RuleSet(registry.version)
    return Router(lambda: registry, lambda: in_force, live, GatewayLoad)


def a_request(**changes: Any) -> InferenceRequest:
    """A synchronous request with a minute to live."""
    request_id = changes.pop("id", None) or new_id()
    at = changes.pop("accepted_at", None) or moment_of(request_id)
    usual = InferenceRequest(
        id=request_id,
        kind=Kind.CHAT,
        mode=Mode.SYNC,
        endpoint="/v1/chat/completions",
        door="rest",
        caller="agent-1",
        model="assistant",
        body=BODY,
        accepted_at=at,
        deadline=at + timedelta(seconds=60),
        durability=Durability.OVERLAPPED,
        origin="here",
        candidates=("good",),
        rules_version="test",
        limits=QUICK,
        trace_id="0" * 31 + "1",
    )
    return replace(usual, **changes)


def a_job(**changes: Any) -> InferenceRequest:
    """A job with a minute to live."""
    return a_request(**{"mode": Mode.JOB, "durability": Durability.START_FIRST, "origin": "", **changes})


def an_attempt(number: int = 1, model: str = "good", **changes: Any) -> Attempt:
    """An attempt that succeeded."""
    usual = Attempt(
        number=number,
        model=model,
        provider="scripted",
        upstream_model="scripted-ok",
        reason="first choice",
        outcome=Outcome.SUCCEEDED,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        total_ms=10.0,
        usage=Usage(10, 5),
        cost_usd=Decimal("0.00002"),
        finish_reason="stop",
    )
    return replace(usual, **changes)


def a_usage_of_all(**changes: Any) -> Usage:
    """A usage with every part there is, each of another amount."""
    usual = Usage(
        input=90,
        output=50,
        cached=3,
        reasoning=2,
        audio_input=5,
        audio_output=6,
        images=7,
        seconds=8.5,
        cache_write=4,
        cache_write_1h=1,
        image_input=9,
        image_output=10,
        characters=9,
        search_units=10,
    )
    return replace(usual, **changes)


def a_failed_attempt(number: int = 1, model: str = "good", **changes: Any) -> Attempt:
    """An attempt that failed and may be retried."""
    failed = an_attempt(
        number,
        model,
        outcome=Outcome.FAILED,
        failure=Failure.of(UpstreamUnavailable()),
        usage=Usage(),
        cost_usd=Decimal(0),
        finish_reason=None,
    )
    return replace(failed, **changes)


def minted_at(moment: datetime) -> str:
    """A UUIDv7 of that moment."""
    number = int(moment.timestamp() * 1000) << 80 | int(new_id().replace("-", ""), 16) & (1 << 80) - 1
    return str(UUID(int=number))


def raw(body: str = BODY) -> Mapping[str, msgspec.Raw]:
    """A body as its raw fields."""
    return msgspec.json.decode(body.encode(), type=dict[str, msgspec.Raw])


def a_keeper(store: MemoryStore, settings: Settings) -> ResponseKeeper:
    """Who keeps the responses of a store."""
    return ResponseKeeper(store.responses, store.streams, store.claims, Seal(None), settings.responses)


def a_desk(store: MemoryStore, settings: Settings) -> Desk:
    """What it takes to change the registry of a store; any reference is read, and there is a key for secrets."""
    ring = KeyRing("k1", {"k1": Secret(b64encode(bytes(32)).decode())}, purpose=b"test")
    credentials = Credentials(settings.credentials, ring)
    checks = Checks(MANUALS, credentials.why_not)
    guard = Guard(allow_private=True)

    async def in_force() -> None:
        """There is no copy of the registry that would have to follow."""

    editor = Editor(store.models, checks, credentials, guard, in_force)
    providers = OpenProviders(settings.providers, credentials)
    for name in ("compatible", "scripted"):
        assert providers[name], "opened, so that it can be asked what it speaks"
    return Desk(credentials, checks, guard, editor, Discovery(settings.providers), providers.operations)


class RuleReader:
    """Reads rule texts in this process: for tests whose texts harm nobody."""

    async def tree(self, text: str, name: str) -> tuple[Mapping[str, Any], Callable[[Key], Place]]:
        """The plain values of a text."""
        document = read_text(text, name)
        return plain(document.tree), document.place

    async def read(self, text: str, name: str, version: str | None = None) -> RuleSet:
        """The rules of a text."""
        document = read_text(text, name)
        return rules_of(document.tree, document.place, version)
