"""CompleteRequest → JSON, JSON → CompleteResponse."""

from __future__ import annotations

from math import nan
from typing import Any, cast

from api.rpc.asked import body_of
from api.rpc.kinds.embeddings import texts_or_tokens
from api.rpc.reading import (
    USAGE,
    Object,
    Shape,
    fields,
    is_int64,
    is_list_of,
    is_number,
    read,
    served_message,
)
from api.service.served import Served
from gateway.v1 import completions_pb2 as pb


def complete_body(request: pb.CompleteRequest, *, stream: bool = False) -> bytes:
    """The body that REST would have got."""
    return body_of(
        request, stream=stream, shape=lambda asked: texts_or_tokens(asked, "prompt", "prompt_tokens")
    )


def complete_response(raw: bytes, served: Served | None = None) -> pb.CompleteResponse:
    """A whole answer, or a part of one. Raises UpstreamMalformed if it is no JSON object."""
    answer = pb.CompleteResponse(**fields(read(raw), _ANSWER))
    if served is not None:
        answer.served.CopyFrom(served_message(served))
    return answer


def _logprobs(value: Any) -> tuple[str, Any] | None:
    if not isinstance(value, dict):
        return None
    said, told = cast("Object", value), Object()
    if is_list_of(dict, said.get("content")):
        said = _as_of_chats(said["content"])  # llama.cpp
    if is_list_of(str, said.get("tokens")):
        told["tokens"] = said["tokens"]
    if isinstance(each := said.get("token_logprobs"), list):
        told["token_logprobs"] = [x if is_number(x) else nan for x in cast("list[Any]", each)]
    if isinstance(top := said.get("top_logprobs"), list):
        told["top_logprobs"] = [{"logprobs": _numbers(x)} for x in cast("list[object]", top)]
    if isinstance(at := said.get("text_offset"), list) and all(map(is_int64, cast("list[object]", at))):
        told["text_offset"] = at
    return "logprobs", told


def _as_of_chats(tokens: list[Object]) -> Object:
    """The logprobs of a completion that come in the shape that those of a chat have."""
    return {
        "tokens": [str(each.get("token", "")) for each in tokens],
        "token_logprobs": [each.get("logprob") for each in tokens],
        "top_logprobs": [_likeliest(each.get("top_logprobs")) for each in tokens],
    }


def _likeliest(value: Any) -> Object:
    tops = cast("list[Object]", value) if is_list_of(dict, value) else []
    return {str(top.get("token", "")): top.get("logprob") for top in tops}


def _numbers(value: object) -> dict[str, float]:
    if not isinstance(value, dict):
        return {}
    return {name: number for name, number in cast("Object", value).items() if is_number(number)}


_ANSWER: Shape = {
    "id": str,
    "created": int,
    "model": str,
    "choices": [{"index": int, "text": str, "finish_reason": str, "logprobs": _logprobs}],
    "usage": USAGE,
    "system_fingerprint": str,
}
