"""Anthropic's operations in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from api.rest.described import described

_CONTENT: Final[dict[str, Any]] = {
    "system": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]},
    "messages": {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": ["role", "content"],
            "properties": {
                "role": {"type": "string", "enum": ["user", "assistant", "system"]},
                "content": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]},
            },
        },
    },
    "tools": {"type": "array", "items": {"type": "object"}},
}

MESSAGES: Final[dict[str, Any]] = described(
    "Chat with a model, as Anthropic has it",
    "Anthropic's messages, answered by any chat model: one that does not speak this dialect is asked in its own, and "
    "`x-gateway-dropped` names what could not be carried over. Streams are named events, with `ping` while nothing "
    "comes. `anthropic-version` and `anthropic-beta` go on to Anthropic alone. `Prefer: respond-async` makes it a job.",
    {
        "max_tokens": {"type": "integer", "minimum": 0},
        **_CONTENT,
        "stream": {"type": "boolean"},
        "stop_sequences": {"type": "array", "items": {"type": "string"}},
    },
    ("max_tokens", "messages"),
    answers=("application/json", "text/event-stream"),
)

COUNT_TOKENS: Final[dict[str, Any]] = described(
    "Count the tokens of messages",
    "How many tokens a request has: counted by the model's provider where it can, else estimated here, which the "
    "header `x-gateway-estimated: true` says. It costs nothing.",
    _CONTENT,
    ("messages",),
)
