"""The one table from an error's code to its shape in every dialect: HTTP, gRPC, OpenAI, Anthropic, problem details."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from types import MappingProxyType
from typing import Any

import msgspec

from gateway.domain.errors import GatewayError, RequestInProgress

_DOCS = "about:blank"


@dataclass(frozen=True, slots=True)
class Row:
    """What a code is in each dialect. `grpc` is the name of a `grpc.StatusCode`."""

    http: int
    grpc: str
    openai: str
    anthropic: str


_INVALID = ("invalid_request_error", "invalid_request_error")
_MISSING = ("invalid_request_error", "not_found_error")
_FAILING = ("server_error", "api_error")
_BUSY = ("server_error", "overloaded_error")

TABLE = MappingProxyType(
    {
        "internal_error": Row(500, "INTERNAL", *_FAILING),
        "invalid_json": Row(400, "INVALID_ARGUMENT", *_INVALID),
        "invalid_request": Row(400, "INVALID_ARGUMENT", *_INVALID),
        "field_not_supported": Row(400, "INVALID_ARGUMENT", *_INVALID),
        "invalid_host": Row(400, "INVALID_ARGUMENT", *_INVALID),
        "body_too_large": Row(413, "RESOURCE_EXHAUSTED", "invalid_request_error", "request_too_large"),
        "head_too_large": Row(431, "RESOURCE_EXHAUSTED", *_INVALID),
        "body_timeout": Row(408, "DEADLINE_EXCEEDED", "invalid_request_error", "timeout_error"),
        "not_found": Row(404, "UNIMPLEMENTED", *_MISSING),
        "method_not_allowed": Row(405, "UNIMPLEMENTED", *_INVALID),
        "invalid_api_key": Row(401, "UNAUTHENTICATED", "authentication_error", "authentication_error"),
        "permission_denied": Row(403, "PERMISSION_DENIED", "permission_error", "permission_error"),
        "model_not_found": Row(404, "NOT_FOUND", *_MISSING),
        "no_model_fits": Row(400, "FAILED_PRECONDITION", *_INVALID),
        "no_model_available": Row(503, "UNAVAILABLE", *_BUSY),
        "refused_by_rule": Row(403, "PERMISSION_DENIED", "permission_error", "permission_error"),
        "model_exists": Row(409, "ALREADY_EXISTS", *_INVALID),
        "version_conflict": Row(412, "ABORTED", *_INVALID),
        "rate_limited": Row(429, "RESOURCE_EXHAUSTED", "rate_limit_error", "rate_limit_error"),
        "rules_invalid": Row(422, "INVALID_ARGUMENT", *_INVALID),
        "rule_version_not_found": Row(404, "NOT_FOUND", *_MISSING),
        "job_not_found": Row(404, "NOT_FOUND", *_MISSING),
        "request_not_found": Row(404, "NOT_FOUND", *_MISSING),
        "response_not_found": Row(404, "NOT_FOUND", *_MISSING),
        "previous_response_not_found": Row(400, "NOT_FOUND", *_MISSING),
        "conversation_not_found": Row(404, "NOT_FOUND", *_MISSING),
        "item_not_found": Row(404, "NOT_FOUND", *_MISSING),
        "price_not_found": Row(404, "NOT_FOUND", *_MISSING),
        "implausible_price": Row(422, "INVALID_ARGUMENT", *_INVALID),
        "repricing_not_found": Row(404, "NOT_FOUND", *_MISSING),
        "repricing_under_way": Row(409, "FAILED_PRECONDITION", *_INVALID),
        "simulation_not_found": Row(404, "NOT_FOUND", *_MISSING),
        "simulation_under_way": Row(409, "FAILED_PRECONDITION", *_INVALID),
        "webhook_secret_exists": Row(409, "ALREADY_EXISTS", *_INVALID),
        "webhook_secret_not_found": Row(404, "NOT_FOUND", *_MISSING),
        "receiver_unreachable": Row(502, "UNAVAILABLE", *_FAILING),
        "receiver_timeout": Row(504, "DEADLINE_EXCEEDED", "timeout_error", "timeout_error"),
        "receiver_insecure": Row(502, "FAILED_PRECONDITION", *_FAILING),
        "receiver_refused": Row(502, "FAILED_PRECONDITION", *_FAILING),
        "receiver_gone": Row(502, "FAILED_PRECONDITION", *_FAILING),
        "receiver_forbidden": Row(400, "PERMISSION_DENIED", *_INVALID),
        "bus_unavailable": Row(503, "UNAVAILABLE", *_BUSY),
        "bus_refused": Row(502, "FAILED_PRECONDITION", *_FAILING),
        "destination_sealed": Row(500, "INTERNAL", *_FAILING),
        "file_not_found": Row(404, "NOT_FOUND", *_MISSING),
        "file_unreadable": Row(500, "DATA_LOSS", *_FAILING),
        "batch_not_found": Row(404, "NOT_FOUND", *_MISSING),
        "batch_ended": Row(409, "FAILED_PRECONDITION", *_INVALID),
        "batch_expired": Row(504, "DEADLINE_EXCEEDED", "timeout_error", "timeout_error"),
        "batch_cancelled": Row(499, "CANCELLED", *_INVALID),
        "job_not_finished": Row(409, "FAILED_PRECONDITION", *_INVALID),
        "job_finished": Row(409, "FAILED_PRECONDITION", *_INVALID),
        "request_in_progress": Row(409, "ABORTED", *_INVALID),
        "answer_not_kept": Row(409, "FAILED_PRECONDITION", *_INVALID),
        "idempotency_key_reused": Row(422, "ALREADY_EXISTS", *_INVALID),
        "deadline_exceeded": Row(504, "DEADLINE_EXCEEDED", "timeout_error", "timeout_error"),
        "cancelled": Row(499, "CANCELLED", *_INVALID),
        "interrupted": Row(502, "ABORTED", *_FAILING),
        "abandoned": Row(502, "ABORTED", *_FAILING),
        "hedge_lost": Row(499, "CANCELLED", *_INVALID),
        "upstream_unavailable": Row(502, "UNAVAILABLE", *_FAILING),
        "upstream_timeout": Row(504, "DEADLINE_EXCEEDED", "timeout_error", "timeout_error"),
        "upstream_rate_limited": Row(429, "RESOURCE_EXHAUSTED", "rate_limit_error", "rate_limit_error"),
        "upstream_malformed": Row(502, "INTERNAL", *_FAILING),
        "upstream_broken": Row(502, "INTERNAL", *_FAILING),
        "upstream_auth": Row(502, "INTERNAL", *_FAILING),
        "upstream_not_found": Row(502, "INTERNAL", *_FAILING),
        "upstream_forbidden": Row(502, "INTERNAL", *_FAILING),
        "upstream_rejected": Row(400, "INVALID_ARGUMENT", *_INVALID),
        "context_length_exceeded": Row(400, "INVALID_ARGUMENT", *_INVALID),
        "content_filter": Row(400, "INVALID_ARGUMENT", *_INVALID),
        "storage_unavailable": Row(503, "UNAVAILABLE", *_BUSY),
        "engine_unavailable": Row(503, "UNAVAILABLE", *_BUSY),
        "overloaded": Row(503, "RESOURCE_EXHAUSTED", *_BUSY),
        "shutting_down": Row(503, "UNAVAILABLE", *_BUSY),
    }
)

_PATIENT = frozenset({408, 429, 503})  # a client should try again, and be told when


def row_of(error: GatewayError) -> Row:
    """The error's row."""
    return TABLE[error.code]


def headers_of(error: GatewayError, *, tried: bool) -> dict[str, str]:
    """The headers that tell a client whether and when to try again; `tried` says that the gateway has tried enough."""
    row = row_of(error)
    headers: dict[str, str] = {}
    if error.retry_after is not None or row.http in _PATIENT:
        seconds = ceil(error.retry_after.total_seconds()) if error.retry_after is not None else 1
        headers["retry-after"] = str(max(1, seconds))
    patient = row.http in _PATIENT or error.code == RequestInProgress.code
    if tried or (row.http < HTTPStatus.INTERNAL_SERVER_ERROR and not patient):
        headers["x-should-retry"] = "false"
    if row.http == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    return headers


def openai_body(error: GatewayError) -> bytes:
    """`{"error": {"message", "type", "param", "code"}}`, all four keys always."""
    return _json(
        {
            "error": {
                "message": error.message,
                "type": row_of(error).openai,
                "param": error.param,
                "code": error.code,
            }
        }
    )


def anthropic_body(error: GatewayError, request_id: str) -> bytes:
    """`{"type": "error", "error": {"type", "message"}, "request_id"}`."""
    kind = row_of(error).anthropic
    return _json(
        {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": request_id}
    )


def problem_body(error: GatewayError, request_id: str) -> bytes:
    """Problem details of RFC 9457, with our code, the wrong field and the request's id."""
    status = row_of(error).http
    body: dict[str, Any] = {
        "type": _DOCS,
        "title": error.code.replace("_", " ").capitalize(),
        "status": status,
        "detail": error.message,
        "code": error.code,
        "request_id": request_id,
    }
    if error.param is not None:
        body["param"] = error.param
    return _json(body)


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)
