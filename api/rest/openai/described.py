"""OpenAI's operations in the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from api.rest.described import described

CHAT: Final[dict[str, Any]] = described(
    "Chat with a model",
    "OpenAI's chat completions. `model` is a name, an alias, `auto` or `tags:…`; fields that the gateway does not "
    "know are passed on untouched. `Prefer: respond-async` makes it a job: 202 with its address.",
    {
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["role"],
                "properties": {"role": {"type": "string"}, "content": {}},
            },
        },
        "stream": {"type": "boolean"},
        "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
    },
    ("messages",),
    answers=("application/json", "text/event-stream"),
)

RESPONSES: Final[dict[str, Any]] = described(
    "Make a response",
    "OpenAI's Responses, from any chat model: items, tools, structured output, a stream of typed events. What was said "
    "before is kept here (`store`, `previous_response_id`, `conversation`); `background` makes it a durable job.",
    {
        "input": {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}],
            "description": "A text, or items. May be left out only where something was said before.",
        },
        "instructions": {"type": ["string", "null"]},
        "stream": {"type": ["boolean", "null"]},
        "background": {"type": ["boolean", "null"]},
        "store": {"type": ["boolean", "null"], "default": True},
        "previous_response_id": {"type": ["string", "null"]},
        "conversation": {
            "anyOf": [
                {"type": "string"},
                {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
                {"type": "null"},
            ]
        },
        "include": {"type": ["array", "null"], "items": {"type": "string"}},
    },
    (),
    answers=("application/json", "text/event-stream"),
)

EMBEDDINGS: Final[dict[str, Any]] = described(
    "Embed texts",
    "OpenAI's embeddings: `input` is a text, texts, tokens, or rows of tokens.",
    {"input": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1}]}},
    ("input",),
)

_TEXTS: Final[dict[str, Any]] = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {}, "minItems": 1}],
}

COMPLETIONS: Final[dict[str, Any]] = described(
    "Complete a prompt",
    "OpenAI's completions of a plain prompt: a text, texts, tokens, or rows of tokens. Chat models may be asked, too.",
    {
        "prompt": _TEXTS,
        "stream": {"type": "boolean"},
        "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
    },
    ("prompt",),
    answers=("application/json", "text/event-stream"),
)

RERANK: Final[dict[str, Any]] = described(
    "Put documents in the order in which they answer a query",
    "The shape that Cohere, Jina, vLLM and others share: `results` with `index` and `relevance_score`, best first.",
    {
        "query": {"type": "string", "minLength": 1},
        "documents": {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [{"type": "string"}, {"type": "object"}]},
        },
        "top_n": {"type": "integer", "minimum": 1},
        "return_documents": {"type": "boolean"},
    },
    ("query", "documents"),
)

MODERATIONS: Final[dict[str, Any]] = described(
    "Judge whether texts and images are harmful",
    "OpenAI's moderations: `input` is a text, texts, or parts with texts and images.",
    {"input": _TEXTS},
    ("input",),
    model=False,
)
