"""Response objects: what a request asked for, told back, and what a chat completion answered as output items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from gateway.domain.inference import Usage
from gateway.providers.dialects.responses.items import seal
from gateway.providers.dialects.responses.own import item_id, own_of, response_id
from gateway.providers.dialects.responses.tools import input_of
from gateway.providers.ports import Body

IN_PROGRESS: Final = "in_progress"
COMPLETED: Final = "completed"
INCOMPLETE: Final = "incomplete"
_REASONS: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
_TOLD: Final[Mapping[str, object]] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Fields of a request that its response repeats, with what they are where nobody said them."""


def blank(body: Body, request_id: str) -> dict[str, Any]:
    """The response to a request before there is anything in it: in progress, without output."""
    own = own_of(body, request_id)
    told = {name: usual if (value := _value(body, name)) is None else value for name, usual in _TOLD.items()}
    return {
        "id": response_id(request_id),
        "object": "response",
        "created_at": own.created_at,
        "completed_at": None,
        "status": IN_PROGRESS,
        "background": own.background,
        "error": None,
        "incomplete_details": None,
        "model": _value(body, "model") or "",
        "output": [],
        "previous_response_id": own.previous_response_id,
        "conversation": None if own.conversation is None else {"id": own.conversation},
        "reasoning": {"effort": None, "summary": None, **objected(_value(body, "reasoning"))},
        "store": own.store,
        "text": {"format": {"type": "text"}, **objected(_value(body, "text"))},
        "tools": [_tool(tool) for tool in cast("list[dict[str, Any]]", _value(body, "tools") or [])],
        "usage": None,
        **told,
    }


def ended(response: Mapping[str, Any], finish: str | None, at: int) -> dict[str, Any]:
    """A response whose output is there, by the reason for which its chat ended."""
    reason = _REASONS.get(finish or "")
    if reason is None:
        return {**response, "status": COMPLETED, "completed_at": at}
    return {**response, "status": INCOMPLETE, "incomplete_details": {"reason": reason}}


def usage_told(usage: Usage | None) -> dict[str, Any] | None:
    """Usage as the dialect tells it."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the output items of one response, each with an id by its place.

    `custom` are the tools that are no functions to the caller; thoughts are told as a `summary`, or as they are.
    """

    request_id: str
    custom: frozenset[str]
    summary: bool

    def thoughts(self, place: int, text: str, status: str, sealed: str | None = None) -> dict[str, Any]:
        """What the model thought; `sealed` is what its provider wants back with it."""
        item: dict[str, Any] = {
            "id": item_id("rs", self.request_id, place),
            "type": "reasoning",
            "status": status,
            "summary": [],
        }
        if self.summary:
            item["summary"] = [summary_part(text)] if text else []
        else:
            item["content"] = [thought_part(text)] if text else []
        if sealed is not None:
            item["encrypted_content"] = sealed
        return item

    def message(self, place: int, content: Sequence[Mapping[str, Any]], status: str) -> dict[str, Any]:
        """What the model said."""
        return {
            "id": item_id("msg", self.request_id, place),
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": list(content),
        }

    def call(self, place: int, called: Called, status: str) -> dict[str, Any]:
        """What the model calls: a function, or a custom tool that was carried over as one."""
        custom = self.is_custom(called.name)
        item: dict[str, Any] = {
            "id": item_id("ctc" if custom else "fc", self.request_id, place),
            "type": "custom_tool_call" if custom else "function_call",
            "call_id": called.id or f"call_{self.request_id.replace('-', '')}{place:04x}",
            "name": called.name,
            "status": status,
        }
        if custom:
            return {**item, "input": input_of(called.arguments) if called.arguments else ""}
        return {**item, "arguments": called.arguments}

    def is_custom(self, name: str) -> bool:
        """Whether a tool is no function to the caller."""
        return name in self.custom


@dataclass(slots=True)
class Called:
    """A call of a function, as far as it has come."""

    id: str = ""
    name: str = ""
    arguments: str = ""


def thought_part(text: str) -> dict[str, Any]:
    """A part of thoughts."""
    return {"type": "reasoning_text", "text": text}


def summary_part(text: str) -> dict[str, Any]:
    """A part of a summary of thoughts."""
    return {"type": "summary_text", "text": text}


def text_part(
    text: str, logprobs: Sequence[object] | None = None, annotations: Sequence[object] = ()
) -> dict[str, Any]:
    """A text in a message."""
    return {
        "type": "output_text",
        "text": text,
        "annotations": list(annotations),
        "logprobs": list(logprobs or ()),
    }


def refusal_part(text: str) -> dict[str, Any]:
    """A refusal in a message."""
    return {"type": "refusal", "refusal": text}


def outputs(maker: Maker, choice: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The items of a chat completion's first choice."""
    message = objected(choice.get("message"))
    status = INCOMPLETE if choice.get("finish_reason") in _REASONS else COMPLETED
    items: list[dict[str, Any]] = []
    thoughts = message.get("reasoning_content") or message.get("reasoning")
    sealed = seal(message)
    if (isinstance(thoughts, str) and thoughts) or sealed is not None:
        items.append(maker.thoughts(0, thoughts if isinstance(thoughts, str) else "", COMPLETED, sealed))
    content: list[Mapping[str, Any]] = []
    if text := _text_of(message.get("content")):
        logprobs = logprobs_told(objected(choice.get("logprobs")).get("content"))
        content.append(text_part(text, logprobs, citations(message.get("annotations"))))
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        content.append(refusal_part(message["refusal"]))
    if content:
        items.append(maker.message(len(items), content, status))
    known: set[str] = set()
    for call in listed(message.get("tool_calls")):
        function = objected(call.get("function"))
        call_id = str(call.get("id") or "")
        called = Called(
            "" if call_id in known else call_id,
            str(function.get("name") or ""),
            str(function.get("arguments") or ""),
        )
        known.add(call_id)
        items.append(maker.call(len(items), called, status))
    return items


def logprobs_told(tokens: object) -> list[dict[str, Any]]:
    """Probabilities as the dialect tells them."""
    return [
        {
            "token": str(token.get("token", "")),
            "bytes": _bytes(token),
            "logprob": token.get("logprob", 0.0),
            "top_logprobs": [
                {
                    "token": str(other.get("token", "")),
                    "bytes": _bytes(other),
                    "logprob": other.get("logprob", 0.0),
                }
                for other in listed(token.get("top_logprobs"))
            ],
        }
        for token in listed(tokens)
    ]


def _bytes(token: Mapping[str, Any]) -> list[int]:
    said = token.get("bytes")
    return cast("list[int]", said) if isinstance(said, list) else list(str(token.get("token", "")).encode())


def citations(annotations: object) -> list[dict[str, Any]]:
    """Addresses that a chat cites, as the dialect does."""
    found: list[dict[str, Any]] = []
    for each in listed(annotations):
        cited = objected(each.get("url_citation"))
        if isinstance(cited.get("url"), str):
            found.append(
                {
                    "type": "url_citation",
                    "url": cited["url"],
                    "title": str(cited.get("title") or ""),
                    "start_index": cited.get("start_index") or 0,
                    "end_index": cited.get("end_index") or 0,
                }
            )
    return found


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(part["text"]) for part in listed(content) if isinstance(part.get("text"), str))


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """A function as a response repeats it, with all that it may have."""
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": None, **tool}


def _value(body: Body, name: str) -> Any:
    return msgspec.json.decode(body[name]) if name in body else None


def objected(value: object) -> dict[str, Any]:
    """An object; an empty one for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def listed(value: object) -> list[dict[str, Any]]:
    """The objects of a list; none of anything else."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
