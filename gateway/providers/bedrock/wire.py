"""What of Bedrock's wire is said in tables: addresses, stop reasons, formats, thinking, errors.

Pages: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (fields, stop reasons, errors),
…/API_runtime_ConverseStream.html (exceptions in a stream), …/CommonErrors.html,
docs.aws.amazon.com/bedrock/latest/userguide/claude-messages-adaptive-thinking.html and
docs.aws.amazon.com/nova/latest/nova2-userguide/using-converse-api.html (thinking).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from gateway.domain import errors
from gateway.domain.errors import GatewayError
from gateway.domain.secret import Secret
from gateway.providers.bedrock.signing import masked
from gateway.providers.http import Complaint, refusal, said

REQUEST_IDS: Final = ("x-amzn-requestid", "x-request-id")
INPUT_TOKENS: Final = "x-amzn-bedrock-input-token-count"


def path(model: str, method: str) -> str:
    """Where a model is called, below the base: its id, profile or ARN is one segment."""
    return f"model/{quote(model, safe='')}/{method}"


def is_anthropic(model: str) -> bool:
    """Whether a model takes Anthropic's own messages."""
    return "anthropic." in model


# ---- stop reasons ------------------------------------------------------------------------------------------------
FINISHES: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
"""Reasons that are not here are taken for `stop`; those that chat has no word for stand in `native_finish_reason`."""
UNUSABLE: Final = frozenset({"malformed_model_output", "malformed_tool_use"})
"""The model wrote something that is no answer: another try, or another model, may do better."""


# ---- formats -----------------------------------------------------------------------------------------------------
IMAGES: Final[Mapping[str, str]] = {
    "image/png": "png",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
VIDEOS: Final[Mapping[str, str]] = {
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/x-matroska": "mkv",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/x-ms-wmv": "wmv",
    "video/3gpp": "three_gp",
}
AUDIO: Final[Mapping[str, str]] = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/opus": "opus",
    "audio/aac": "aac",
    "audio/mp4": "mp4",
    "audio/m4a": "m4a",
    "audio/webm": "webm",
    "audio/pcm": "pcm",
    "audio/pcm16": "pcm",
}
DOCUMENTS: Final[Mapping[str, str]] = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}


# ---- thinking ----------------------------------------------------------------------------------------------------
EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS: Final[Mapping[str, int]] = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
_LEVELS: Final[Mapping[str, str]] = {"minimal": "low", "xhigh": "high", "max": "high"}
_CLAUDE: Final = re.compile(r"claude-(?:(?P<old>3)|[a-z]+-(?P<major>\d+)(?:-(?P<minor>\d)(?!\d))?)")


def _thinks_by_budget(model: str) -> bool:
    """Whether a Claude is told a budget of tokens (up to 4.5), and not an effort."""
    found = _CLAUDE.search(model)
    if found is None:
        return False
    return found["old"] is not None or (int(found["major"]), int(found["minor"] or 0)) < (4, 6)


def thinking(effort: str, model: str, most: int | None) -> Mapping[str, Any] | None:
    """What `reasoning_effort` is among the model's own fields; None where it has no word for it.

    `most` bounds the answer, and what is thought is a part of it.
    """
    level = _LEVELS.get(effort, effort)
    if is_anthropic(model):
        if effort == "none":
            return {}
        if not _thinks_by_budget(model):
            return {"thinking": {"type": "adaptive"}, "output_config": {"effort": level}}
        budget = _BUDGETS[level] if most is None else min(_BUDGETS[level], most - 1)
        return {"thinking": {"type": "enabled", "budget_tokens": budget}} if budget >= 1024 else None
    if "amazon.nova" in model:
        if effort == "none":
            return {"reasoningConfig": {"type": "disabled"}}
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": level}}
    if "openai." in model:
        return {"reasoning_effort": level} if effort != "none" else None
    return None


# ---- errors ------------------------------------------------------------------------------------------------------
_BY_TYPE: Final[Mapping[str, type[GatewayError]]] = {
    "accessdeniedexception": errors.UpstreamAuth,
    "unrecognizedclientexception": errors.UpstreamAuth,
    "invalidsignatureexception": errors.UpstreamAuth,
    "incompletesignature": errors.UpstreamAuth,
    "missingauthenticationtokenexception": errors.UpstreamAuth,
    "missingauthenticationtoken": errors.UpstreamAuth,
    "invalidclienttokenid": errors.UpstreamAuth,
    "expiredtokenexception": errors.UpstreamAuth,
    "requestexpired": errors.UpstreamAuth,
    "optinrequired": errors.UpstreamAuth,
    "notauthorized": errors.UpstreamAuth,
    "resourcenotfoundexception": errors.UpstreamNotFound,
    "throttlingexception": errors.UpstreamRateLimited,
    "toomanyrequestsexception": errors.UpstreamRateLimited,
    "servicequotaexceededexception": errors.UpstreamRateLimited,
    "modelnotreadyexception": errors.UpstreamUnavailable,
    "modelerrorexception": errors.UpstreamUnavailable,
    "modeltimeoutexception": errors.UpstreamTimeout,
    "validationexception": errors.UpstreamRejected,
}
# Told by their words, since all of them are ValidationException.
_BY_WORDS: Final[tuple[tuple[str, type[GatewayError]], ...]] = (
    ("input is too long", errors.ContextTooLong),
    ("prompt is too long", errors.ContextTooLong),
    ("too many input tokens", errors.ContextTooLong),
    ("exceeds the maximum number of tokens", errors.ContextTooLong),
    ("maximum context length", errors.ContextTooLong),
    ("exceed context limit", errors.ContextTooLong),
    ("input tokens exceeded", errors.ContextTooLong),
    ("model identifier is invalid", errors.UpstreamNotFound),
    ("on-demand throughput isn", errors.UpstreamNotFound),
    ("reached the end of its life", errors.UpstreamNotFound),
    ("operation not allowed", errors.UpstreamAuth),
    ("blocked by our content filters", errors.ContentFiltered),
)


class _Said(msgspec.Struct):
    message: str | None = None
    shouted: str | None = msgspec.field(default=None, name="Message")
    kind: str | None = msgspec.field(default=None, name="__type")


_bodies = msgspec.json.Decoder(_Said)


def _kind_of(name: str, body: bytes) -> type[GatewayError] | None:
    """What an exception stands for, by its name and, if it is about the request, by its words."""
    try:
        told = _bodies.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = _Said()
    name = (name or told.kind or "").partition(":")[0].rpartition("#")[2].lower()
    if name == "validationexception":
        words = (told.message or told.shouted or "").lower()
        for part, kind in _BY_WORDS:
            if part in words:
                return kind
    return _BY_TYPE.get(name)


def refused(status: int, headers: Mapping[str, str], body: bytes, secret: Secret | None) -> GatewayError:
    """The error for an answer that is no success."""
    kind = _kind_of(headers.get("x-amzn-errortype", ""), body)

    def judge(_: Complaint) -> type[GatewayError] | None:
        return kind

    error = refusal(status, headers, masked(body, secret), judge)
    error.param = None  # it would name a field of Bedrock's
    return error


def broken(name: bytes, body: bytes, secret: Secret | None) -> GatewayError:
    """The error for an exception in a stream: that of its kind, where it is about the request or our rate."""
    kind = _kind_of(name.decode("utf-8", "replace"), body)
    if kind is None or kind is errors.UpstreamUnavailable:
        kind = errors.UpstreamBroken
    detail = f"{name.decode('utf-8', 'replace')}: {said(masked(body, secret), None)}"
    return kind(detail=detail, status=200)
