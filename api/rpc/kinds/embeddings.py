"""EmbedRequest → JSON, JSON → EmbedResponse."""

from __future__ import annotations

import sys
from array import array
from binascii import Error as NoBase64
from binascii import a2b_base64
from typing import Any, cast

from api.rpc.asked import body_of, object_of
from api.rpc.reading import USAGE, Shape, fields, is_list_of, is_number, read, served_message
from api.service.served import Served
from gateway.domain.errors import InvalidRequest
from gateway.v1 import embeddings_pb2 as pb


def embed_body(request: pb.EmbedRequest) -> bytes:
    """The body that REST would have got."""
    return body_of(request, shape=lambda asked: texts_or_tokens(asked, "input", "tokens"))


def texts_or_tokens(request: Any, texts: str, rows: str) -> dict[str, Any]:
    """The object of a request whose field `texts` may come as `rows` of tokens. Raises InvalidRequest for both."""
    said = object_of(request)
    tokens = said.pop(rows, None)
    if tokens is not None:
        if texts in said:
            raise InvalidRequest(f"A request has either `{texts}` or `{rows}`.", param=rows)
        said[texts] = [row.get("ids", []) for row in tokens]
    return said


def embed_response(raw: bytes, served: Served | None = None) -> pb.EmbedResponse:
    """A whole answer. Raises UpstreamMalformed if it is no JSON object."""
    said = read(raw)
    if is_list_of(dict, said.get("data")):
        for item in said["data"]:
            item.pop("object", None)  # the message's own type says it
    answer = pb.EmbedResponse(**fields(said, _ANSWER))
    if served is not None:
        answer.served.CopyFrom(served_message(served))
    return answer


def _vector(value: Any) -> tuple[str, Any] | None:
    """Numbers, or the bytes of little-endian floats in base64."""
    if isinstance(value, str):
        try:
            numbers = array("f", a2b_base64(value))
        except (NoBase64, ValueError):
            return None
        if sys.byteorder == "big":
            numbers.byteswap()
        return "embedding", numbers
    if isinstance(value, list) and (
        is_list_of(float, value) or all(map(is_number, cast("list[object]", value)))
    ):
        return "embedding", value
    return None


_ANSWER: Shape = {
    "model": str,
    "data": [{"index": int, "embedding": _vector}],
    "usage": USAGE,
}
