"""What stands beside a request and its answer, alike in HTTP headers and gRPC metadata: names, meanings, bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from math import ceil, floor

from api.service.ask import Hints, tags_of, usd_of
from api.service.served import Served
from gateway.domain.errors import InvalidRequest
from gateway.domain.limits import Standing
from gateway.telemetry import DoorSpan

_LONGEST = 256
_LONGEST_DIALECT = 2048
_DIALECT = ("anthropic-version", "anthropic-beta")


def hints_of(
    headers: Mapping[str, str], span: DoorSpan, request_id: str, deadline: timedelta | None = None
) -> Hints:
    """What the headers (names in lower case) say about a request. Raises InvalidRequest naming the header."""
    return Hints(
        request_id=request_id,
        deadline=deadline,
        durability=headers.get("x-gateway-durability"),
        tags=_tags(headers),
        select=headers.get("x-gateway-select"),
        prefer=headers.get("x-gateway-prefer"),
        exclude=_names(headers.get("x-gateway-exclude", "")),
        strict=_flag(headers.get("x-gateway-strict"), "x-gateway-strict"),
        dialect=_dialect(headers),
        max_cost_usd=usd_of(headers.get("x-gateway-max-cost-usd"), "x-gateway-max-cost-usd"),
        idempotency_key=idempotency_key_of(headers),
        client_request_id=headers.get("x-client-request-id", "")[:_LONGEST] or None,
        traceparent=span.traceparent,
        tracestate=span.tracestate,
        trace_id=span.trace_id,
    )


def _limits(standings: Iterable[Standing]) -> dict[str, str]:
    """How the caller stands, of each unit with the limit of which the smallest share is left."""
    told: dict[str, str] = {}
    for standing in sorted(standings, key=lambda each: each.remaining / each.limit, reverse=True):
        unit = standing.unit.value
        told[f"x-ratelimit-limit-{unit}"] = f"{standing.limit:.0f}"
        told[f"x-ratelimit-remaining-{unit}"] = f"{floor(standing.remaining):d}"
        told[f"x-ratelimit-reset-{unit}"] = duration_of(standing.reset)
    return told


def duration_of(time: timedelta) -> str:
    """A duration as callers' SDKs read it: `350ms`, `12s`, `6m0s`, `1h0m0s`."""
    if time < timedelta(seconds=1):
        return f"{ceil(time.total_seconds() * 1000)}ms"
    minutes, seconds = divmod(ceil(time.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _tags(headers: Mapping[str, str]) -> Mapping[str, str]:
    name = "x-gateway-tags" if "x-gateway-tags" in headers else "x-litellm-tags"
    return tags_of(headers.get(name, ""), name)


def _dialect(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Headers that mean something to an upstream of the caller's own dialect alone. Raises InvalidRequest."""
    said = {name: headers[name].strip() for name in _DIALECT if headers.get(name, "").strip()}
    for name, value in said.items():
        if len(value) > _LONGEST_DIALECT or not (value.isascii() and value.isprintable()):
            raise InvalidRequest(
                f"`{name}` must be at most {_LONGEST_DIALECT} printable characters.", param=name
            )
    return said


def _names(header: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in header.split(","))))


def _flag(header: str | None, where: str) -> bool:
    if header is None:
        return False
    word = header.strip().lower()
    if word not in ("true", "false"):
        raise InvalidRequest(f"`{where}` must be `true` or `false`.", param=where)
    return word == "true"


def idempotency_key_of(headers: Mapping[str, str]) -> str | None:
    """The Idempotency-Key, quoted or bare. Raises InvalidRequest when it is empty or too long."""
    key = headers.get("idempotency-key")
    if key is None:
        return None
    bare = key.strip().removeprefix('"').removesuffix('"')
    if not 0 < len(bare) <= _LONGEST:
        raise InvalidRequest(
            f"`Idempotency-Key` must have 1 to {_LONGEST} characters.", param="Idempotency-Key"
        )
    return bare


def told_of(served: Served) -> dict[str, str]:
    """What an answer tells of its request; what is not known yet is left out."""
    told = {
        "x-gateway-model": served.model,
        "x-gateway-provider": served.provider,
        "x-gateway-attempts": str(served.attempts),
        "x-gateway-rule": served.rule,
        "x-gateway-rules-version": served.rules_version,
        "x-gateway-registry-version": served.registry_version,
        "x-gateway-cost-usd": "" if served.cost_usd is None else f"{served.cost_usd:f}",
        "x-gateway-overhead-ms": "" if served.overhead_ms is None else f"{served.overhead_ms:.2f}",
        "x-gateway-durability": served.durability,
        "x-gateway-workflow-id": served.workflow_id,
        "x-gateway-dropped": ",".join(served.dropped),
        "x-gateway-replayed": "true" if served.replayed else "",
        "x-gateway-estimated": "true" if served.estimated else "",
        **_limits(served.standings),
    }
    # A header is Latin-1 and gRPC's metadata ASCII: neither is to refuse an answer for one letter of a name. Nor is a
    # name that a caller made up, with the end of a line in it, to become a header of its own.
    return {name: value for name, value in told.items() if value.isascii() and value.isprintable() and value}
