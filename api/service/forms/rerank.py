"""Reranking: the fields that the gateway itself reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from api.service.ask import Own, Read
from api.service.traits import measured
from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import Traits
from gateway.providers.ports import Body


class _Rerank(msgspec.Struct):
    model: str
    query: str
    documents: list[str | dict[str, Any]]
    top_n: int | None = None
    metadata: dict[str, str] | None = None
    gateway: Own | None = None


_decode = msgspec.json.Decoder(_Rerank).decode


def read(raw: bytes) -> Read:
    """Read a query and the documents that are to be put in order."""
    asked = _decode(raw)
    if not asked.query:
        raise InvalidRequest("`query` must not be empty.", param="query")
    if not asked.documents:
        raise InvalidRequest("`documents` must have at least one document.", param="documents")
    if asked.top_n is not None and asked.top_n < 1:
        raise InvalidRequest("`top_n` must be at least 1.", param="top_n")

    def traits(body: Body, size: int, metadata: Mapping[str, str]) -> Traits:
        return measured(("query", "documents"), body, size, metadata)

    return Read(
        model=asked.model,
        stream=False,
        wants_usage=True,
        metadata=asked.metadata or {},
        own=asked.gateway or Own(),
        traits=traits,
    )
