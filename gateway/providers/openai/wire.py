"""What OpenAI puts into requests and errors of its own."""

from __future__ import annotations

from typing import Final

from openai import Omit

from gateway.domain.errors import ContentFiltered, GatewayError
from gateway.domain.secret import Secret
from gateway.providers.headers import outgoing
from gateway.providers.http import Complaint
from gateway.providers.ports import Call

BASE_URL: Final = "https://api.openai.com/v1"


def judge(complaint: Complaint) -> type[GatewayError] | None:
    """What a complaint stands for, beyond the codes that everybody uses."""
    # Reasoning models refuse by policy under this code and no other.
    return ContentFiltered if complaint.code == "invalid_prompt" else None


def headers(call: Call, secret: Secret | None) -> dict[str, str | Omit]:
    """The headers of one request; the SDK adds the credential, and must not look for one where there is none."""
    sent: dict[str, str | Omit] = {name.lower(): value for name, value in call.model.headers.items()}
    sent.update((name.lower(), value) for name, value in call.headers.items())
    if secret is not None:
        sent.pop("authorization", None)
    elif "authorization" not in sent:
        sent["authorization"] = Omit()
    return sent


def form_headers(call: Call, secret: Secret | None, media_type: str) -> dict[str, str]:
    """The headers of a form, which goes out without the SDK."""
    sent = outgoing(call, media_type)
    if secret is not None:
        sent["authorization"] = f"Bearer {secret.reveal()}"
    return sent
