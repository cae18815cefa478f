"""JSON bodies of our own: read within their limits, once it is known who sends them, and checked field by field."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from fastapi import Request
from pydantic import BaseModel, ValidationError

from api.rest import http
from gateway.domain.errors import InvalidJson, InvalidRequest
from gateway.settings import Api

B = TypeVar("B", bound=BaseModel)


async def read(request: Request, kind: type[B], settings: Api, *, may_be_empty: bool = False) -> B:
    """The body of a request; none at all counts as an empty object where it `may_be_empty`.

    Raises InvalidJson, InvalidRequest naming the field, BodyTooLarge, BodyTimeout.
    """
    headers = request.scope["gateway"]["headers"]
    raw = await http.read_body(request.receive, headers, settings.body_limit, settings.body_timeout)
    try:
        return kind.model_validate_json(b"{}" if may_be_empty and not raw else raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "json_invalid":
            raise InvalidJson from error
        raise refused(error) from error


def refused(error: ValidationError) -> InvalidRequest:
    """The error for a body that is not as it should be, naming its first field that is wrong."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if not where:
        return InvalidRequest("The body must be a JSON object.")
    return InvalidRequest(f"`{where}`: {first['msg']}.", param=where)


def described(kind: type[BaseModel], *, may_be_empty: bool = False) -> dict[str, Any]:
    """What the OpenAPI document says of a route with such a body."""
    schema = kind.model_json_schema()
    schema = cast("dict[str, Any]", _inlined(schema, schema.pop("$defs", {})))
    return {
        "requestBody": {"required": not may_be_empty, "content": {"application/json": {"schema": schema}}}
    }


def _inlined(schema: Any, named: dict[str, Any]) -> Any:
    match schema:
        case {"$ref": str(path)}:
            return _inlined(named[path.rpartition("/")[2]], named)
        case dict():
            return {name: _inlined(value, named) for name, value in cast("dict[str, Any]", schema).items()}
        case list():
            return [_inlined(each, named) for each in cast("list[Any]", schema)]
        case _:
            return schema
