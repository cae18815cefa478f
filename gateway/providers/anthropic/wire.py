"""What Anthropic puts into requests, limits and errors: https://platform.claude.com/docs/en/api/errors."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from anthropic import Omit

from gateway.domain.errors import ContentFiltered, ContextTooLong, GatewayError, UpstreamAuth
from gateway.domain.operations import Operation
from gateway.domain.secret import Secret
from gateway.net.waits import LONGEST_WAIT
from gateway.providers.anthropic.options import BASE_URL, is_bearer
from gateway.providers.http import Complaint, address
from gateway.providers.ports import Call

VERSION: Final = "anthropic-version"
BETA: Final = "anthropic-beta"
USUAL_VERSION: Final = "2023-06-01"
"""What chat is translated for: later versions refuse `temperature`, which many callers send."""
_NO_SAMPLING: Final = "2026-10-21"

_KINDS: Final[Mapping[str, type[GatewayError]]] = {
    "authentication_error": UpstreamAuth,
    "billing_error": UpstreamAuth,
}
# All of these are `invalid_request_error` with status 400, and told apart by their words alone.
_WORDS: Final[Mapping[str, type[GatewayError]]] = {
    "prompt is too long": ContextTooLong,
    "exceed context limit": ContextTooLong,
    "exceeds the maximum number of tokens": ContextTooLong,
    "content filtering policy": ContentFiltered,
    "credit balance is too low": UpstreamAuth,
}
_LIMITS: Final = ("requests", "tokens", "input-tokens", "output-tokens")


def judge(complaint: Complaint) -> type[GatewayError] | None:
    """What a complaint stands for."""
    message = complaint.message.lower()
    said = next((kind for words, kind in _WORDS.items() if words in message), None)
    return said or _KINDS.get(complaint.kind)


def target(base_url: str, operation: Operation) -> str:
    """Where an operation is. A model's address may end in `/v1`, as those of other providers do; a query is kept.

    Raises UpstreamNotFound for an address that is none.
    """
    base, mark, query = (base_url or BASE_URL).partition("?")
    base = base.rstrip("/").removesuffix("/v1")
    return str(address(f"{base}{mark}{query}", operation.value.removeprefix("/")))


def version_of(call: Call) -> str:
    """Which version of the API is asked: the model's own word, then the caller's, who may speak a later one."""
    own = {name.lower(): value for name, value in call.model.headers.items()}
    return own.get(VERSION) or call.dialect_headers.get(VERSION) or USUAL_VERSION


def samples(version: str) -> bool:
    """Whether this version of the API knows `temperature` and its like."""
    return version < _NO_SAMPLING


def headers(call: Call, secret: Secret | None) -> dict[str, str | Omit]:
    """The headers of one request; the credential last, so that nothing replaces it."""
    sent: dict[str, str | Omit] = {name.lower(): value for name, value in call.model.headers.items()}
    betas = [each for each in (sent.get(BETA), call.dialect_headers.get(BETA)) if isinstance(each, str)]
    if betas:
        sent[BETA] = ",".join(betas)
    sent.update((name.lower(), value) for name, value in call.headers.items())
    sent[VERSION] = version_of(call)
    bearer = is_bearer(call.model)
    if secret is not None:
        sent.pop("x-api-key", None)
        sent["authorization"] = f"Bearer {secret.reveal()}" if bearer else Omit()
        if not bearer:
            sent["x-api-key"] = secret.reveal()
    elif "authorization" not in sent:
        sent["authorization"] = Omit()
    return sent


def waits(headed: Mapping[str, str]) -> timedelta | None:
    """When there is more of the limits that are used up: https://platform.claude.com/docs/en/api/rate-limits."""
    moments = [
        _until(headed.get(f"anthropic-ratelimit-{limit}-reset", ""))
        for limit in _LIMITS
        if headed.get(f"anthropic-ratelimit-{limit}-remaining") == "0"
    ]
    return max((each for each in moments if each is not None), default=None)


def _until(moment: str) -> timedelta | None:
    try:
        reset = datetime.fromisoformat(moment)
    except ValueError:
        return None
    if reset.tzinfo is None:
        return None
    return min(max(reset - datetime.now(UTC), timedelta(0)), LONGEST_WAIT)
