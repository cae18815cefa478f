"""How operations describe themselves in the OpenAPI document, as far as they do it alike."""

from __future__ import annotations

from typing import Any, Final

DELIVER: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Who is told of the job's end. It can be asked for in any case.",
    "additionalProperties": False,
    "properties": {
        "webhook": {
            "type": "object",
            "required": ["url"],
            "additionalProperties": False,
            "properties": {
                "url": {"type": "string", "format": "uri"},
                "secret": {
                    "type": "string",
                    "description": "What the event is signed with: `whsec_` and base64 of 24 to 64 bytes. Left out: "
                    "your own secret (`/api/v1/webhooks/secret`).",
                },
            },
        },
        "nats": {
            "type": "object",
            "required": ["subject"],
            "additionalProperties": False,
            "properties": {
                "subject": {"type": "string", "description": "Below `agents.{caller}`, or granted."},
                "trace_id": {"type": "string", "description": "Comes back in the header `X-Trace-Id`."},
            },
        },
    },
}
"""Who is told of a job's end."""
GATEWAY: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "deadline_s": {"type": "number", "exclusiveMinimum": 0},
        "durability": {"type": "string", "enum": ["overlapped", "start-first"]},
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        "select": {
            "type": "string",
            "description": "Tags that a model must have, beside what `model` says.",
        },
        "prefer": {"type": "string", "enum": ["cost", "latency", "quality"]},
        "exclude": {"type": "array", "items": {"type": "string"}, "maxItems": 64},
        "strict": {
            "type": "boolean",
            "description": "Refuse rather than drop a field that the model's own dialect has no word for.",
        },
        "deliver": DELIVER,
        "priority": {
            "type": "integer",
            "minimum": 1,
            "maximum": 5,
            "description": "Of a job: 1 goes first where workers are few.",
        },
        "max_cost_usd": {
            "description": "A bound in USD on all attempts together.",
            "anyOf": [{"type": "number"}, {"type": "string"}],
        },
    },
}
"""Our own field in every body."""

MODEL: Final[dict[str, Any]] = {
    "type": "string",
    "description": "A model, an alias, `auto`, or tags such as `tags:location=on-prem,size=small`.",
}


IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes it safe to send again: the same key and body give the same answer, and no second call.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 256},
}


def described(
    summary: str,
    description: str,
    properties: dict[str, Any],
    required: tuple[str, ...],
    *,
    answers: tuple[str, ...] = ("application/json",),
    model: bool = True,
) -> dict[str, Any]:
    """An operation's entry: `properties` are the fields that the gateway reads beside `model` and its own.

    Where a `model` need not be said, it is `auto`.
    """
    schema = {
        "type": "object",
        "required": [*(("model",) if model else ()), *required],
        "properties": {
            "model": MODEL,
            **properties,
            "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
            "gateway": GATEWAY,
        },
    }
    return {
        "tags": ["inference"],
        "summary": summary,
        "description": description,
        "parameters": [IDEMPOTENCY_KEY],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {"description": "The answer.", "content": {each: {} for each in answers}},
            "202": {
                "description": "Accepted as a job (`Prefer: respond-async`, or `wait=N` when that is over)."
            },
            "409": {
                "description": "The request with this `Idempotency-Key` still runs, or its answer was not kept."
            },
            "422": {"description": "This `Idempotency-Key` was used with another body."},
            "default": {
                "description": "An error in the dialect's shape.",
                "content": {"application/json": {}},
            },
        },
    }
