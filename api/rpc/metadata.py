"""What stands beside the messages of an rpc: the same names and meanings as the headers of REST."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from api.rpc.values import decimal
from api.service.ask import Hints, tags_of
from api.service.inference import Served
from gateway.domain.errors import InvalidRequest
from gateway.telemetry import DoorSpan

Pairs = tuple[tuple[str, str | bytes], ...]
_LONGEST = 256


def headers_of(pairs: Iterable[tuple[str, str | bytes]] | None) -> dict[str, str]:
    """The caller's metadata, whose names are in lower case already; of several with one name, the last."""
    return {name: value for name, value in pairs or () if isinstance(value, str)}


def hints_of(
    headers: Mapping[str, str], span: DoorSpan, request_id: str, deadline: timedelta | None
) -> Hints:
    """What the metadata say about a request. Raises InvalidRequest naming what is wrong."""
    return Hints(
        request_id=request_id,
        deadline=deadline,
        durability=headers.get("x-gateway-durability"),
        tags=tags_of(headers.get("x-gateway-tags", headers.get("x-litellm-tags", ""))),
        idempotency_key=_idempotency_key(headers.get("idempotency-key")),
        client_request_id=headers.get("x-client-request-id", "")[:_LONGEST] or None,
        traceparent=span.traceparent,
        trace_id=span.trace_id,
    )


def _idempotency_key(key: str | None) -> str | None:
    if key is None:
        return None
    bare = key.strip().removeprefix('"').removesuffix('"')
    if not 0 < len(bare) <= _LONGEST:
        raise InvalidRequest(
            f"`idempotency-key` must have 1 to {_LONGEST} characters.", param="idempotency-key"
        )
    return bare


def told_of(request_id: str, served: Served | None) -> Pairs:
    """What an answer says beside its message; what is not known yet is left out."""
    told: dict[str, str | None] = {"x-request-id": request_id}
    if served is not None:
        told |= {
            "x-gateway-model": served.model,
            "x-gateway-provider": served.provider,
            "x-gateway-attempts": str(served.attempts),
            "x-gateway-rule": served.rule,
            "x-gateway-rules-version": served.rules_version,
            "x-gateway-cost-usd": decimal(served.cost_usd),
            "x-gateway-overhead-ms": None if served.overhead_ms is None else f"{served.overhead_ms:.2f}",
            "x-gateway-durability": served.durability,
            "x-gateway-workflow-id": served.workflow_id,
        }
    # gRPC refuses a whole answer for one letter that is not ASCII.
    return tuple((name, value) for name, value in told.items() if value and value.isascii())
