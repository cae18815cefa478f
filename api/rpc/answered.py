"""The JSON of OpenAI's dialect → ChatResponse and ChatChunk.

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
from gateway.v1 import inference_pb2 as pb

Object = dict[str, Any]
Special = Callable[[Any], tuple[str, Any] | None]
"""Gives the field of the message and its value; None for what belongs to the extras."""
Kind = type[str] | type[int] | Mapping[str, Any] | list[Mapping[str, Any]] | Special
Shape = Mapping[str, Kind]
"""The fields of a message and their kinds: str, int, an object of a shape, a list of such, or a special case."""

_INT64 = range(-(2**63), 2**63)
_BYTE = range(256)
_decode = msgspec.json.Decoder(Object).decode


def chat_response(raw: bytes, served: Served | None = None) -> pb.ChatResponse:
    """A whole answer. Raises UpstreamMalformed if it is no JSON object."""
    answer = pb.ChatResponse(**_fields(_read(raw), _ANSWER))
    if served is not None:
        answer.served.CopyFrom(served_message(served))
    return answer


def chat_chunk(raw: bytes) -> pb.ChatChunk:
    """One event of a stream. Raises UpstreamMalformed if it is no JSON object."""
    return pb.ChatChunk(**_fields(_read(raw), _CHUNK))


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


# ---- reading with tolerance --------------------------------------------------------------------------------------
def _read(raw: bytes) -> Object:
    try:
        said = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise UpstreamMalformed(detail="an answer that is no JSON object") from e
    said.pop("object", None)  # the message's own type says it
    return said


def _fields(said: Object, shape: Shape) -> Object:
    """The fields of a message, and in `extras` whatever else was said."""
    told: Object = {}
    rest: Object = {}
    for name, value in said.items():
        kind = shape.get(name)
        if value is None:
            continue
        if (kind is str and isinstance(value, str)) or (kind is int and _is_int64(value)):
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
            if isinstance(value, float) and value.is_integer() and _is_int64(int(value))
            else None
        )
    if isinstance(kind, dict):
        return (name, _fields(value, kind)) if isinstance(value, dict) else None
    if isinstance(kind, list):
        return (name, [_fields(item, kind[0]) for item in value]) if _are_objects(value) else None
    return cast("Special", kind)(value)


def _is_int64(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in _INT64


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in cast("list[object]", value))


# ---- special cases -----------------------------------------------------------------------------------------------
def _content(value: Any) -> tuple[str, Any] | None:
    if isinstance(value, str):
        return "content", value
    return ("parts", [_part(part) for part in value]) if _are_objects(value) else None


def _part(said: Object) -> Object:
    kind = said.get("type")
    if kind in ("text", "refusal") and isinstance(said.get(kind), str):
        return _fields({name: value for name, value in said.items() if name != "type"}, {kind: str})
    return _fields(said, {})


def _arguments(value: Any) -> tuple[str, Any]:
    # Some servers parse what the dialect wants as text.
    return "arguments", value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _logprobs(value: Any) -> tuple[str, Any] | None:
    if not isinstance(value, dict):
        return None
    said = cast("Object", value)
    return "logprobs", {
        name: [{**_token(token), "top_logprobs": _tokens(token.get("top_logprobs"))} for token in said[name]]
        for name in ("content", "refusal")
        if _are_objects(said.get(name))
    }


def _tokens(value: Any) -> list[Object]:
    return [_token(token) for token in value] if _are_objects(value) else []


def _token(said: Object) -> Object:
    token, logprob, raw = said.get("token"), said.get("logprob"), said.get("bytes")
    return {
        "token": token if isinstance(token, str) else None,
        "logprob": logprob if isinstance(logprob, float) or _is_int64(logprob) else None,
        "raw": bytes(raw) if isinstance(raw, list) and _are_bytes(cast("list[object]", raw)) else None,
    }


def _are_bytes(values: list[object]) -> bool:
    return all(isinstance(value, int) and value in _BYTE for value in values)


# ---- the shapes --------------------------------------------------------------------------------------------------
_FUNCTION_CALL: Shape = {"name": str, "arguments": _arguments}
_CUSTOM_CALL: Shape = {"name": str, "input": str}
_TOOL_CALL: Shape = {"id": str, "type": str, "index": int, "function": _FUNCTION_CALL, "custom": _CUSTOM_CALL}
_SAID: Shape = {
    "role": str,
    "refusal": str,
    "reasoning_content": str,
    "tool_calls": [_TOOL_CALL],
}
_MESSAGE: Shape = {**_SAID, "content": _content, "name": str, "tool_call_id": str}
_DELTA: Shape = {**_SAID, "content": str}
_CHOICE: Shape = {"index": int, "finish_reason": str, "logprobs": _logprobs}
_USAGE: Shape = {
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
_BOTH: Shape = {
    "id": str,
    "created": int,
    "model": str,
    "system_fingerprint": str,
    "service_tier": str,
    "usage": _USAGE,
}
_ANSWER: Shape = {**_BOTH, "choices": [{**_CHOICE, "message": _MESSAGE}]}
_CHUNK: Shape = {**_BOTH, "choices": [{**_CHOICE, "delta": _DELTA}]}
