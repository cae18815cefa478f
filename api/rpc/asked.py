"""A typed request → the JSON of its dialect, made by hand: in protobuf's own JSON an int64 would be a string."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from api.rpc.common import DURABILITY
from api.rpc.values import json_of, number, seconds, word_of
from gateway.domain.errors import InvalidRequest
from gateway.v1 import common_pb2
from gateway.v1 import inference_pb2 as pb

_MODES = {
    pb.TOOL_CHOICE_MODE_NONE: "none",
    pb.TOOL_CHOICE_MODE_AUTO: "auto",
    pb.TOOL_CHOICE_MODE_REQUIRED: "required",
}
# These the door sets itself, or they have fields whose absence would be hidden by an extra.
_OURS = frozenset({"gateway", "messages", "model", "stream", "stream_format", "stream_options"})


def chat_body(request: pb.ChatRequest, *, stream: bool = False) -> bytes:
    """The body that REST would have got for a chat."""
    return body_of(request, stream=stream)


def body_of(
    request: Any,
    *,
    stream: bool = False,
    shape: Callable[[Any], Any] | None = None,
    more: Mapping[str, object] | None = None,
) -> bytes:
    """The body that REST would have got. Raises InvalidRequest for what has no JSON of its own.

    The same request always gives the same bytes, since an Idempotency-Key stands for them. `shape` makes the object
    where that is not field by field; `more` are fields for which the rpc itself stands.
    """
    for name in _OURS.intersection(request.extras.fields):
        raise InvalidRequest(f"`extras.{name}` cannot be set: the gateway does.", param=f"extras.{name}")
    body: dict[str, Any] = {**(shape or object_of)(request), **(more or {})}
    if stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return msgspec.json.encode(body)


def object_of(message: Message) -> dict[str, Any]:
    """The fields that are set, under their names; `extras` beside them."""
    found: dict[str, Any] = {}
    extras: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.name == "extras":
            extras = json_of(value)
        else:
            found[field.name] = _value(value)
    for name in extras:
        if name in found:
            raise InvalidRequest(
                f"`{name}` stands both in its own field and in `extras`.", param=f"extras.{name}"
            )
    return found | extras


def _value(value: Any) -> Any:
    if isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Message):
        return _SHAPES.get(type(value), object_of)(value)
    if isinstance(value, Mapping):
        return {name: _value(value[name]) for name in sorted(value)}
    return [_value(item) for item in value]


def _message(message: pb.ChatMessage) -> dict[str, Any]:
    said = object_of(message)
    parts = said.pop("parts", None)
    if parts is not None and "content" in said:
        raise InvalidRequest("A message has either `content` or `parts`.", param="messages.parts")
    # Null where there is neither, as a message that only calls tools has it.
    return {"role": said.pop("role", ""), "content": said.pop("content", parts), **said}


def _part(part: pb.ContentPart) -> dict[str, Any]:
    said = _tagged(part, part.WhichOneof("part"))
    if "type" not in said:
        raise InvalidRequest("A part has a kind, or a `type` in its `extras`.", param="messages.parts")
    return said


def _tool(tool: pb.Tool) -> dict[str, Any]:
    said = _tagged(tool, tool.WhichOneof("tool"))
    if "type" not in said:
        raise InvalidRequest("A tool is a function, custom, or has a `type` in its `extras`.", param="tools")
    return said


def _tagged(message: Message, kind: str | None) -> dict[str, Any]:
    """An object whose `type` is the name of the one field that it has."""
    said = object_of(message)
    return said if kind is None else {"type": kind, **said}


def _tool_call(call: pb.ToolCall) -> dict[str, Any]:
    said = object_of(call)
    said.pop("index", None)  # tells parts of a stream apart, and is refused in a request
    said.setdefault("type", "custom" if call.HasField("custom") else "function")
    return said


def _function_call(call: pb.FunctionCall) -> dict[str, Any]:
    return {"name": call.name, "arguments": call.arguments} | object_of(call)


def _custom_call(call: pb.CustomToolCall) -> dict[str, Any]:
    return {"name": call.name, "input": call.input} | object_of(call)


def _tool_choice(choice: pb.ToolChoice) -> Any:
    match choice.WhichOneof("choice"):
        case "function":
            return {"type": "function", "function": {"name": choice.function}}
        case "custom":
            return {"type": "custom", "custom": {"name": choice.custom}}
        case "mode" if choice.mode in _MODES:
            return _MODES[choice.mode]
        case _:
            raise InvalidRequest(
                "`tool_choice` must be none, auto, required or the name of a tool.", param="tool_choice"
            )


def _response_format(wanted: pb.ResponseFormat) -> dict[str, Any]:
    said = object_of(wanted)
    if wanted.HasField("json_schema"):
        said.setdefault("type", "json_schema")
    return said


def _own(options: common_pb2.GatewayOptions) -> dict[str, Any]:
    said = object_of(options)
    if "deadline" in said:
        said["deadline_s"] = said.pop("deadline")
    said["durability"] = word_of(DURABILITY, options.durability, "gateway.durability")
    return said


_SHAPES: Mapping[type[Message], Callable[[Any], Any]] = {
    Duration: seconds,
    Struct: json_of,
    pb.ChatMessage: _message,
    pb.ContentPart: _part,
    pb.CustomToolCall: _custom_call,
    pb.FunctionCall: _function_call,
    common_pb2.GatewayOptions: _own,
    pb.ResponseFormat: _response_format,
    pb.Tool: _tool,
    pb.ToolCall: _tool_call,
    pb.ToolChoice: _tool_choice,
}
