"""RerankRequest → JSON, JSON → RerankResponse."""

from __future__ import annotations

from typing import Any

from api.rpc.asked import body_of
from api.rpc.reading import USAGE, Shape, fields, read, served_message
from api.service.served import Served
from gateway.v1 import rerank_pb2 as pb


def rerank_body(request: pb.RerankRequest) -> bytes:
    """The body that REST would have got."""
    return body_of(request)


def rerank_response(raw: bytes, served: Served | None = None) -> pb.RerankResponse:
    """A whole answer. Raises UpstreamMalformed if it is no JSON object."""
    answer = pb.RerankResponse(**fields(read(raw), _ANSWER))
    if served is not None:
        answer.served.CopyFrom(served_message(served))
    return answer


def _document(value: Any) -> tuple[str, Any] | None:
    """An object with its text, or the text alone."""
    if isinstance(value, str):
        return "document", {"text": value}
    return ("document", fields(value, {"text": str})) if isinstance(value, dict) else None


_ANSWER: Shape = {
    "id": str,
    "model": str,
    "results": [{"index": int, "relevance_score": float, "document": _document}],
    "meta": {"billed_units": {"search_units": float, "input_tokens": float, "output_tokens": float}},
    "usage": USAGE,
}
