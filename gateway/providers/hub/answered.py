"""Chat's answers and chunks, written from what another wire said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from gateway.domain.inference import Usage

_encode = msgspec.json.Encoder().encode
_NOT_IN_IDS: Final = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(slots=True)
class Said:
    """What was said in a whole message or in one event; `more` are other fields of it."""

    reasoning: str = ""
    content: str | None = None
    tools: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    more: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def text(self) -> str:
        """All that was generated, whatever it is for."""
        if not self.tools:
            return self.reasoning + (self.content or "")
        arguments = (tool["function"].get("arguments", "") for tool in self.tools)
        return "".join((self.reasoning, self.content or "", *arguments))

    @property
    def empty(self) -> bool:
        """Whether nothing was."""
        return not (self.reasoning or self.content or self.tools or self.more)

    def fields(self) -> dict[str, Any]:
        """As fields of a message or a delta; those that say nothing are left out."""
        found: dict[str, Any] = {}
        if self.reasoning:
            found["reasoning_content"] = self.reasoning
        if self.content is not None:
            found["content"] = self.content
        if self.tools:
            found["tool_calls"] = self.tools
        return found | self.more if self.more else found


@dataclass(frozen=True, slots=True)
class Frame:
    """What all chunks of an answer have alike."""

    id: str
    model: str
    created: int

    def completion(self, choices: Sequence[Mapping[str, Any]], usage: Usage | None, **more: Any) -> bytes:
        """A whole answer."""
        whole: dict[str, Any] = {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }
        if usage is not None:
            whole["usage"] = told(usage)
        return _encode(whole | more)

    def chunk(self, choices: Sequence[Mapping[str, Any]], **more: Any) -> bytes:
        """One event of a stream."""
        chunk: dict[str, Any] = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }
        return _encode(chunk | more if more else chunk)


def told(usage: Usage) -> dict[str, Any]:
    """Usage in OpenAI's words; kinds of tokens of which there are none are left out, those of every answer apart."""
    asked = {
        "cached_tokens": usage.cached,
        "cache_write_tokens": usage.cache_write,
        "audio_tokens": usage.audio_input,
        "image_tokens": usage.image_input,
    }
    answered = {
        "reasoning_tokens": usage.reasoning,
        "audio_tokens": usage.audio_output,
        "image_tokens": usage.image_output,
    }
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {n: v for n, v in asked.items() if v or n == "cached_tokens"},
        "completion_tokens_details": {n: v for n, v in answered.items() if v or n == "reasoning_tokens"},
    }


def chat_id(upstream_id: str | None, request_id: str) -> str:
    """The id of a chat completion, made of the upstream's own, or of our request's where it has none."""
    return "chatcmpl-" + (_NOT_IN_IDS.sub("", upstream_id or "") or request_id)[:64]


def call_id(answer_id: str, number: int) -> str:
    """An id for a tool call whose upstream gives none: no other call of the conversation has it."""
    return f"call_{answer_id.removeprefix('chatcmpl-')[:40]}_{number}"
