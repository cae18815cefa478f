"""What of Gemini's wire is said in tables: addresses, thinking, finish reasons, errors.

Pages: ai.google.dev/api/generate-content (fields, finish reasons), ai.google.dev/gemini-api/docs/openai (what OpenAI's
`reasoning_effort` means), ai.google.dev/gemini-api/docs/thinking, ai.google.dev/gemini-api/docs/thought-signatures,
ai.google.dev/gemini-api/docs/troubleshooting and google.rpc's `code.proto` and `error_details.proto` (errors).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, cast
from urllib.parse import quote

import msgspec

from gateway.domain import errors
from gateway.domain.errors import GatewayError
from gateway.domain.secret import Secret
from gateway.net.waits import LONGEST_WAIT
from gateway.providers.http import Complaint, refusal, said

BASE_URL: Final = "https://generativelanguage.googleapis.com/v1beta"
_WHOLE_NAMES: Final = ("models/", "tunedModels/", "publishers/", "projects/", "endpoints/")


def resource(model: str) -> str:
    """A model's name as the API has it: `models/gemini-2.5-flash`; names that say more stay as they are."""
    return model if model.startswith(_WHOLE_NAMES) else f"models/{model}"


def path(model: str, method: str) -> str:
    """Where a method of a model is called, below the base."""
    return f"{quote(resource(model), safe='/')}:{method}"


# ---- thinking ----------------------------------------------------------------------------------------------------
_VERSION: Final = re.compile(r"gemini-(\d+)")
_THOUGHTLESS: Final = re.compile(r"gemini-(?:1|2\.0)|gemma-")
_BUDGETS: Final[Mapping[str, int]] = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
    "max": 24576,
}
_LEVELS: Final[Mapping[str, str]] = {
    "none": "minimal",  # they cannot but think: as little as can be asked for
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
EFFORTS: Final = tuple(_LEVELS)
SKIP_SIGNATURE: Final = "skip_thought_signature_validator"
"""Google's own stand-in for the signature of a tool call that another model made, without which Gemini 3 refuses it."""


def thinks(model: str) -> bool:
    """Whether a model can be told how much to think: those before 2.5 cannot, and Gemma; of others nobody knows."""
    return _THOUGHTLESS.search(model) is None


def takes_levels(model: str) -> bool:
    """Whether a model is told how to think by level (from Gemini 3 on), and not by a budget of tokens."""
    found = _VERSION.search(model)
    return found is not None and int(found[1]) >= 3


def thinking(effort: str, model: str) -> dict[str, Any]:
    """What `reasoning_effort` is in Gemini's words; thoughts come along, as reasoning, where there may be any."""
    if takes_levels(model):
        level = _LEVELS[effort]
        # Its Pro models know no `minimal`.
        level = "low" if level == "minimal" and "pro" in model else level
        return {"thinkingLevel": level, "includeThoughts": effort != "none"}
    return {"thinkingBudget": _BUDGETS[effort], "includeThoughts": effort != "none"}


# ---- finish reasons ----------------------------------------------------------------------------------------------
FINISHES: Final[Mapping[str, str]] = {
    "STOP": "stop",
    "FINISH_REASON_UNSPECIFIED": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "OTHER": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_OTHER": "content_filter",
    "NO_IMAGE": "stop",
}
"""Reasons that are not here are taken for `stop`; the reason itself stands in `native_finish_reason`."""
UNUSABLE: Final = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
    }
)
"""The model wrote something that is no answer: another try, or another model, may do better."""


# ---- errors ------------------------------------------------------------------------------------------------------
_BY_STATUS: Final[Mapping[str, type[GatewayError]]] = {
    "INVALID_ARGUMENT": errors.UpstreamRejected,
    "OUT_OF_RANGE": errors.UpstreamRejected,
    "FAILED_PRECONDITION": errors.UpstreamAuth,  # no billing, or not from this place: an administrator's affair
    "UNAUTHENTICATED": errors.UpstreamAuth,
    "PERMISSION_DENIED": errors.UpstreamAuth,
    "NOT_FOUND": errors.UpstreamNotFound,
    "RESOURCE_EXHAUSTED": errors.UpstreamRateLimited,
    "CANCELLED": errors.UpstreamUnavailable,
}
_BY_REASON: Final[Mapping[str, type[GatewayError]]] = {
    "API_KEY_INVALID": errors.UpstreamAuth,
    "API_KEY_SERVICE_BLOCKED": errors.UpstreamAuth,
    "API_KEY_IP_ADDRESS_BLOCKED": errors.UpstreamAuth,
    "API_KEY_HTTP_REFERRER_BLOCKED": errors.UpstreamAuth,
    "SERVICE_DISABLED": errors.UpstreamAuth,
    "BILLING_DISABLED": errors.UpstreamAuth,
    "CONSUMER_INVALID": errors.UpstreamAuth,
    "CONSUMER_SUSPENDED": errors.UpstreamAuth,
    "ACCESS_TOKEN_EXPIRED": errors.UpstreamAuth,
}
# Told by its words, since a prompt that is too long has no status or reason of its own.
_TOO_LONG: Final = (
    "exceeds the maximum number of tokens",
    "input token count",
    "exceeds the maximum context length",
)
_MASKED_KEY: Final = "API key not valid"
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


class _Detail(msgspec.Struct):
    kind: str = msgspec.field(default="", name="@type")
    reason: str = ""
    retry_delay: str = msgspec.field(default="", name="retryDelay")


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""
    status: str = ""
    details: list[_Detail] = []


class _Body(msgspec.Struct):
    error: _Error = msgspec.field(default_factory=_Error)


_bodies = msgspec.json.Decoder(_Body | list[_Body])


def _error_of(body: bytes) -> _Error:
    """The error in a body; a stream that was not asked for as events comes as an array of one."""
    try:
        found = _bodies.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Error()
    if isinstance(found, list):
        return found[0].error if found else _Error()
    return found.error


def _kind_of(error: _Error) -> type[GatewayError] | None:
    for detail in error.details:
        if detail.reason in _BY_REASON:
            return _BY_REASON[detail.reason]
    if error.status == "INVALID_ARGUMENT":
        message = error.message.lower()
        if any(words in message for words in _TOO_LONG):
            return errors.ContextTooLong
        if error.message.startswith(_MASKED_KEY):
            return errors.UpstreamAuth
    return _BY_STATUS.get(error.status)


def _wait_of(error: _Error) -> timedelta | None:
    for detail in error.details:
        found = _DURATION.fullmatch(detail.retry_delay)
        if found is not None and detail.kind.endswith("google.rpc.RetryInfo"):
            return min(timedelta(seconds=float(found[1])), LONGEST_WAIT)
    return None


def refused(status: int, headers: Mapping[str, str], body: bytes, secret: Secret | None) -> GatewayError:
    """The error for an answer that is no success."""
    complaint = _error_of(body)
    kind = _kind_of(complaint)

    def judge(_: Complaint) -> type[GatewayError] | None:
        return kind

    error = refusal(status, headers, body, judge, secret)
    error.param = None  # it would name a field of Gemini's
    if error.retry_after is None:
        error.retry_after = _wait_of(complaint)
    return error


def complained(body: bytes, secret: Secret | None, otherwise: type[GatewayError]) -> GatewayError:
    """The error for a complaint that came with status 200: in a whole answer, or in the middle of a stream."""
    complaint = _error_of(body)
    if otherwise is errors.UpstreamUnavailable and 400 <= complaint.code <= 599:
        return refused(complaint.code, {}, body, secret)
    kind = _kind_of(complaint) or otherwise
    return kind(detail=said(body, secret), status=200, retry_after=_wait_of(complaint))


def headers(base: Mapping[str, str], secret: Secret | None) -> dict[str, str]:
    """The request's headers. The key is one of them, never a part of the address, which others write down."""
    sent = {name: value for name, value in base.items() if name not in ("authorization", "x-goog-api-key")}
    if secret is not None:
        sent["x-goog-api-key"] = secret.reveal()
    return sent


def as_fields(value: object) -> Mapping[str, Any]:
    """An object of the model's options; empty where it is none."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
