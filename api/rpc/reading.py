"""Reading a provider's JSON as a typed message, with tolerance.

Providers say more, less and other things than the dialect: a field of another kind than ours goes into `extras` beside
those that we do not know, a null is taken for a field that is not there, and nothing is a reason to refuse an answer.

The fields are gathered in plain dicts, from which protobuf makes all messages at one go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from api.rpc.common import DURABILITY
from api.rpc.values import decimal, struct_of
from api.service.served import Served
from gateway.domain.errors import UpstreamMalformed
from gateway.domain.inference import Durability
from gateway.v1 import common_pb2 as pb

Object = dict[str, Any]
Special = Callable[[Any], tuple[str, Any] | None]
"""Gives the field of the message and its value; None for what belongs to the extras."""
Kind = (
    type[str]
    | type[int]
    | type[float]
    | type[bool]
    | Mapping[str, Any]
    | list[type[str]]
    | list[Mapping[str, Any]]
    | Special
)
Shape = Mapping[str, Kind]
"""The fields of a message and their kinds: a text, a number, an object of a shape, a list of such, a special case."""

_INT64 = range(-(2**63), 2**63)
_decode = msgspec.json.Decoder(Object).decode


def read(raw: bytes) -> Object:
    """The answer as an object. Raises UpstreamMalformed if it is none."""
    try:
        said = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise UpstreamMalformed(detail="an answer that is no JSON object") from e
    said.pop("object", None)  # the message's own type says it
    return said


def fields(said: Object, shape: Shape) -> Object:
    """The fields of a message, and in `extras` whatever else was said."""
    told: Object = {}
    rest: Object = {}
    for name, value in said.items():
        kind = shape.get(name)
        if value is None:
            continue
        if (kind is str and isinstance(value, str)) or (kind is int and is_int64(value)):
            told[name] = value
        elif field := _field(name, value, kind):
            told[field[0]] = field[1]
        else:
            rest[name] = value
    if rest:
        told["extras"] = struct_of(rest)
    return told


def _field(name: str, value: Any, kind: Kind | None) -> tuple[str, Any] | None:
    """A field that is not simply a text or a whole number; None for what belongs to the extras."""
    if kind is None or kind is str:
        return None
    if kind is int:
        # Some servers write a whole number as `1.0`.
        return (
            (name, int(value))
            if isinstance(value, float) and value.is_integer() and is_int64(int(value))
            else None
        )
    if kind is float:
        return (name, float(value)) if is_number(value) else None
    if kind is bool:
        return (name, value) if isinstance(value, bool) else None
    if isinstance(kind, dict):
        return (name, fields(value, kind)) if isinstance(value, dict) else None
    if isinstance(kind, list):
        if kind[0] is str:
            return (name, value) if is_list_of(str, value) else None
        shape = cast("Shape", kind[0])
        return (name, [fields(item, shape) for item in value]) if is_list_of(dict, value) else None
    return cast("Special", kind)(value)


def is_int64(value: object) -> bool:
    """Whether it is a whole number that fits."""
    return isinstance(value, int) and not isinstance(value, bool) and value in _INT64


def is_number(value: object) -> bool:
    """Whether it is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_list_of(kind: type, value: object) -> bool:
    """Whether it is a list of nothing else."""
    return isinstance(value, list) and all(isinstance(item, kind) for item in cast("list[object]", value))


def served_message(served: Served) -> pb.Served:
    """What the gateway has to say of a request."""
    return pb.Served(
        request_id=served.request_id,
        model=served.model,
        provider=served.provider,
        attempts=served.attempts,
        rule=served.rule,
        rules_version=served.rules_version,
        registry_version=served.registry_version,
        cost_usd=decimal(served.cost_usd),
        overhead_ms=served.overhead_ms,
        durability=DURABILITY[Durability(served.durability)] if served.durability else None,
        workflow_id=served.workflow_id,
        trace_id=served.trace_id,
    )


USAGE: Shape = {
    "prompt_tokens": int,
    "completion_tokens": int,
    "total_tokens": int,
    "prompt_tokens_details": {"cached_tokens": int, "audio_tokens": int},
    "completion_tokens_details": {
        "reasoning_tokens": int,
        "audio_tokens": int,
        "accepted_prediction_tokens": int,
        "rejected_prediction_tokens": int,
    },
}
"""What the provider counted."""
