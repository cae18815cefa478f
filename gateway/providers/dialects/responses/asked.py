"""A Responses request as a chat request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from gateway.domain.errors import InvalidRequest, NotCarried
from gateway.providers.dialects.responses.items import Messages
from gateway.providers.dialects.responses.own import FIELD
from gateway.providers.dialects.responses.tools import Tools, carry_tools
from gateway.providers.ports import Body

LOGPROBS: Final = "message.output_text.logprobs"
_ALIKE: Final = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "logit_bias",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
)
"""Fields that chat has under the same name: the first six are no fields of OpenAI's Responses, and harm nobody."""
_OURS: Final = frozenset(
    {
        FIELD,
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "text",
        "reasoning",
        "max_output_tokens",
        "max_tool_calls",  # bounds what providers run by themselves, and none of that is carried over
        "top_logprobs",
        "include",
        "truncation",
        "metadata",
        "store",
        "stream",
        "stream_options",
        "background",
        "conversation",
        "previous_response_id",
    }
)
_INCLUDED: Final = frozenset({LOGPROBS, "reasoning.encrypted_content", "message.input_image.image_url"})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request carried over: the chat request, its tools, what was left out, and whether thoughts are summaries."""

    body: Body
    tools: Tools
    dropped: tuple[str, ...]
    summary: bool
    logprobs: bool


def carry(body: Body) -> Asked:
    """Carry a request over. Raises InvalidRequest naming the field that is wrong, or NotCarried."""
    if _is_said(body, "prompt"):
        raise NotCarried(param="prompt")  # a template that only its provider has
    messages = Messages()
    _add_instructions(messages, _value(body, "instructions"))
    _add_input(messages, _value(body, "input"))
    tools = carry_tools(_value(body, "tools"), _value(body, "tool_choice"))
    reasoning = _object(body, "reasoning")
    logprobs, left_out = _included(body)
    alike = {name: name for name in ("model", "stream", *_ALIKE)} | {
        "max_output_tokens": "max_completion_tokens"
    }
    more: dict[str, object] = {"messages": messages.end(), **_format(_object(body, "text"))}
    if tools.sent:
        more["tools"] = tools.sent
        alike["parallel_tool_calls"] = "parallel_tool_calls"
    if tools.choice is not None:
        more["tool_choice"] = tools.choice
    if reasoning.get("effort") is not None:
        more["reasoning_effort"] = reasoning["effort"]
    if logprobs:
        more["logprobs"] = True
        alike["top_logprobs"] = "top_logprobs"
    sent = {there: body[here] for here, there in alike.items() if _is_said(body, here)}
    sent |= {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in more.items()}
    unknown = sorted(
        name for name in body if name not in _OURS and name not in alike and _is_said(body, name)
    )
    cut = ["truncation"] if _value(body, "truncation") == "auto" else []
    dropped = (*messages.dropped, *tools.dropped, *left_out, *unknown, *cut)
    summary = reasoning.get("summary") is not None or reasoning.get("generate_summary") is not None
    return Asked(sent, tools, dropped, summary, logprobs)


def _add_instructions(messages: Messages, said: object) -> None:
    match said:
        case str():
            messages.add_text("system", said)
        case None:
            return
        case _:
            raise InvalidRequest("`instructions` must be a text.", param="instructions")


def _add_input(messages: Messages, said: object) -> None:
    match said:
        case str():
            messages.add_text("user", said)
        case list():
            for place, item in enumerate(cast("list[object]", said)):
                messages.add(item, f"input[{place}]")
        case None:
            return
        case _:
            raise InvalidRequest("`input` must be a text or a list of items.", param="input")


def _format(text: Mapping[str, Any]) -> dict[str, object]:
    found: dict[str, object] = {}
    if text.get("verbosity") is not None:
        found["verbosity"] = text["verbosity"]
    said = text.get("format")
    if said is None:
        return found
    if not isinstance(said, dict):
        raise InvalidRequest("`text.format` must be an object.", param="text.format")
    said = cast("dict[str, Any]", said)
    match said.get("type"):
        case "text":
            pass
        case "json_object":
            found["response_format"] = {"type": "json_object"}
        case "json_schema":
            schema = {
                name: said[name]
                for name in ("name", "description", "schema", "strict")
                if said.get(name) is not None
            }
            found["response_format"] = {"type": "json_schema", "json_schema": schema}
        case _:
            raise InvalidRequest(
                "`text.format.type` must be text, json_schema or json_object.", param="text.format.type"
            )
    return found


def _included(body: Body) -> tuple[bool, list[str]]:
    """Whether probabilities are wanted, and what of `include` no chat can give."""
    said = _value(body, "include")
    if said is not None and not isinstance(said, list):
        raise InvalidRequest("`include` must be a list.", param="include")
    wanted = cast("list[object]", said or [])
    dropped = [f"include[{place}]" for place, name in enumerate(wanted) if name not in _INCLUDED]
    return LOGPROBS in wanted or bool(_value(body, "top_logprobs")), dropped


def _is_said(body: Body, name: str) -> bool:
    return name in body and bytes(body[name]) != b"null"


def _value(body: Body, name: str) -> object:
    return msgspec.json.decode(body[name]) if name in body else None


def _object(body: Body, name: str) -> Mapping[str, Any]:
    value = _value(body, name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"`{name}` must be an object.", param=name)
    return cast("dict[str, Any]", value)
