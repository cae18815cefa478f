"""ModerateRequest → JSON, JSON → ModerateResponse."""

from __future__ import annotations

from typing import Any, cast

from api.rpc.asked import body_of, object_of
from api.rpc.reading import Object, Shape, fields, is_number, read, served_message
from api.service.served import Served
from gateway.domain.errors import InvalidRequest
from gateway.v1 import moderations_pb2 as pb


def moderate_body(request: pb.ModerateRequest) -> bytes:
    """The body that REST would have got."""
    return body_of(request, shape=_object)


def moderate_response(raw: bytes, served: Served | None = None) -> pb.ModerateResponse:
    """A whole answer. Raises UpstreamMalformed if it is no JSON object."""
    answer = pb.ModerateResponse(**fields(read(raw), _ANSWER))
    if served is not None:
        answer.served.CopyFrom(served_message(served))
    return answer


def _object(request: pb.ModerateRequest) -> dict[str, Any]:
    said = object_of(request)
    if said.pop("parts", None) is not None:
        if "input" in said:
            raise InvalidRequest("A request has either `input` or `parts`.", param="parts")
        said["input"] = [_part(part) for part in request.parts]
    return said


def _part(part: pb.ModerationPart) -> dict[str, Any]:
    match part.WhichOneof("part"):
        case "text":
            return {"type": "text", "text": part.text}
        case "image_url":
            return {"type": "image_url", "image_url": {"url": part.image_url}}
        case _:
            raise InvalidRequest("A part is a text or an image.", param="parts")


def _flags(value: Any) -> tuple[str, Any] | None:
    said = _named(value)
    return None if said is None else ("categories", {k: v for k, v in said.items() if isinstance(v, bool)})


def _scores(value: Any) -> tuple[str, Any] | None:
    said = _named(value)
    return None if said is None else ("category_scores", {k: v for k, v in said.items() if is_number(v)})


def _named(value: Any) -> Object | None:
    return cast("Object", value) if isinstance(value, dict) else None


_ANSWER: Shape = {
    "id": str,
    "model": str,
    "results": [{"flagged": bool, "categories": _flags, "category_scores": _scores}],
}
