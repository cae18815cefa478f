"""Between models and their rows."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import msgspec
from psycopg.types.json import Jsonb

from gateway.domain.credentials import Sealed
from gateway.domain.inference import Kind
from gateway.domain.prices import Price
from gateway.domain.registry import Capability, Model, ModelLimits, ModelState, Timeouts
from gateway.storage.ports import Change, Registered
from gateway.storage.postgres.rows import Row

log = logging.getLogger(__name__)

_KINDS = frozenset(kind.value for kind in Kind)
_CAPABILITIES = frozenset(each.value for each in Capability)


def model_row(model: Model, version: int, actor: str) -> dict[str, object]:
    """The row of a model."""
    return {
        "name": model.name,
        "provider": model.provider,
        "base_url": model.base_url,
        "upstream_model": model.upstream_model,
        "kind": model.kind.value,
        "credential": model.credential,
        "credential_for": model.credential_for,
        "capabilities": None if model.capabilities is None else sorted(model.capabilities),
        "tags": as_json(model.tags),
        "price": None if model.price is None else as_json(model.price),
        "context_window": model.context_window,
        "max_output": model.max_output,
        "size": model.size,
        "quality": model.quality,
        "limit_concurrency": model.limits.concurrency,
        "limit_requests_per_minute": model.limits.requests_per_minute,
        "limit_tokens_per_minute": model.limits.tokens_per_minute,
        "timeouts": as_json(model.timeouts),
        "headers": as_json(model.headers),
        "options": as_json(model.options),
        "state": model.state.value,
        "notes": model.notes,
        "version": version,
        "changed_by": actor,
    }


def model_of(row: Row) -> Model:
    """The model of a row. Capabilities that a newer version knows are left out: this one could not ask for them."""
    capabilities = row["capabilities"]
    return Model(
        name=row["name"],
        provider=row["provider"],
        base_url=row["base_url"],
        upstream_model=row["upstream_model"],
        kind=Kind(row["kind"]),
        credential=row["credential"],
        credential_for=row["credential_for"],
        capabilities=None
        if capabilities is None
        else frozenset(Capability(each) for each in capabilities if each in _CAPABILITIES),
        tags=row["tags"],
        price=None if row["price"] is None else msgspec.convert(row["price"], Price),
        context_window=row["context_window"],
        max_output=row["max_output"],
        size=row["size"],
        quality=row["quality"],
        limits=ModelLimits(
            row["limit_concurrency"], row["limit_requests_per_minute"], row["limit_tokens_per_minute"]
        ),
        timeouts=msgspec.convert(row["timeouts"], Timeouts),
        headers=row["headers"],
        options=row["options"],
        state=ModelState(row["state"]),
        notes=row["notes"],
        version=row["version"],
    )


def known(rows: Iterable[Row]) -> Iterable[Row]:
    """The rows of models of a kind that this version knows: while replicas are upgraded, newer ones may add others."""
    for row in rows:
        if row["kind"] in _KINDS:
            yield row
        else:
            log.warning(
                "the model %s is of the kind %s, which this version does not know", row["name"], row["kind"]
            )


def registered_of(row: Row) -> Registered:
    """The model of a row of `get` or `find`, with what stands beside it."""
    return Registered(
        model_of(row),
        aliases=tuple(row["aliases"]),
        last_four=row["last_four"],
        created_at=row["created_at"],
        changed_at=row["changed_at"],
        changed_by=row["changed_by"],
    )


def sealed_row(sealed: Sealed, model: str) -> dict[str, object]:
    """The row of a model's credential."""
    return {
        "id": sealed.id,
        "model": model,
        "secret": sealed.secret,
        "key_id": sealed.key_id,
        "last_four": sealed.last_four,
        "goes_to": sealed.goes_to,
    }


def sealed_of(row: Row) -> Sealed:
    """The credential of a row, still sealed."""
    return Sealed(row["id"], row["secret"], row["key_id"], row["last_four"], row["goes_to"])


def change_of(row: Row) -> Change:
    """The line of the audit in a row."""
    return Change(
        str(row["id"]),
        row["at"],
        row["actor"],
        row["noun"],
        row["name"],
        row["action"],
        row["before"],
        row["after"],
    )


def as_json(value: object) -> Jsonb:
    """A value for a column of jsonb."""
    return Jsonb(value, dumps=_dumps)


def _dumps(value: Any) -> bytes:
    return msgspec.json.encode(value)
