"""The JSON of OpenAI's chat → ChatResponse and ChatChunk."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from api.rpc.reading import USAGE, Object, Shape, fields, is_int64, is_list_of, read, served_message
from api.service.served import Served
from gateway.v1 import inference_pb2 as pb

_BYTE = range(256)


def chat_response(raw: bytes, served: Served | None = None) -> pb.ChatResponse:
    """A whole answer. Raises UpstreamMalformed if it is no JSON object."""
    answer = pb.ChatResponse(**fields(read(raw), _ANSWER))
    if served is not None:
        answer.served.CopyFrom(served_message(served))
    return answer


def chat_chunk(raw: bytes) -> pb.ChatChunk:
    """One event of a stream. Raises UpstreamMalformed if it is no JSON object."""
    return pb.ChatChunk(**fields(read(raw), _CHUNK))


# ---- special cases -----------------------------------------------------------------------------------------------
def _content(value: Any) -> tuple[str, Any] | None:
    if isinstance(value, str):
        return "content", value
    return ("parts", [_part(part) for part in value]) if is_list_of(dict, value) else None


def _part(said: Object) -> Object:
    kind = said.get("type")
    if kind in ("text", "refusal") and isinstance(said.get(kind), str):
        return fields({name: value for name, value in said.items() if name != "type"}, {kind: str})
    return fields(said, {})


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
        if is_list_of(dict, said.get(name))
    }


def _tokens(value: Any) -> list[Object]:
    return [_token(token) for token in value] if is_list_of(dict, value) else []


def _token(said: Object) -> Object:
    token, logprob, raw = said.get("token"), said.get("logprob"), said.get("bytes")
    return {
        "token": token if isinstance(token, str) else None,
        "logprob": logprob if isinstance(logprob, float) or is_int64(logprob) else None,
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
_BOTH: Shape = {
    "id": str,
    "created": int,
    "model": str,
    "system_fingerprint": str,
    "service_tier": str,
    "usage": USAGE,
}
_ANSWER: Shape = {**_BOTH, "choices": [{**_CHOICE, "message": _MESSAGE}]}
_CHUNK: Shape = {**_BOTH, "choices": [{**_CHOICE, "delta": _DELTA}]}
