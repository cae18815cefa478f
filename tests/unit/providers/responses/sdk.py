"""The SDK's own types as judges: what we send must be what the SDK says it is, field by field."""

from typing import Any

import msgspec
from openai.types.responses import Response, ResponseItem, ResponseStreamEvent
from pydantic import TypeAdapter

_EVENTS = TypeAdapter(ResponseStreamEvent)
_ITEMS = TypeAdapter(ResponseItem)


def a_response(raw) -> Any:
    """The response in these bytes, as the SDK's type."""
    return Response.model_validate(msgspec.json.decode(raw) if isinstance(raw, bytes) else raw)


def an_event(event) -> Any:
    """The event, as the SDK's type of the name that it goes by."""
    fields = msgspec.json.decode(event.data)
    found = _EVENTS.validate_python(fields)
    assert found.type == fields["type"] == event.name
    return found


def an_item(fields) -> Any:
    """An item, as the SDK's type."""
    return _ITEMS.validate_python(fields)
