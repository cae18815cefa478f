"""What compatible servers put into requests and errors of their own."""

from __future__ import annotations

from gateway.domain.errors import ContextTooLong, GatewayError
from gateway.domain.secret import Secret
from gateway.providers.http import Complaint
from gateway.providers.ports import JSON, Call

# The one place where an error is told by its words: these servers give no code for a prompt that is too long.
_TOO_LONG = (
    "maximum context length",  # vLLM, SGLang, TGI
    "exceeds the available context size",  # llama.cpp before it had a type for it
    "exceed context window",  # llama-cpp-python
    "greater than the context length",  # LM Studio
    "input length exceeds the context length",  # Ollama
    "longer than the model's context length",  # SGLang
)


def judge(complaint: Complaint) -> type[GatewayError] | None:
    """What a complaint stands for, where it is not in OpenAI's words."""
    message = complaint.message.lower()
    return ContextTooLong if any(words in message for words in _TOO_LONG) else None


def headers(call: Call, secret: Secret | None, media_type: str = JSON) -> dict[str, str]:
    """The request's headers: the model's own, the call's, and the credential last, so that nothing replaces it."""
    sent = {
        "content-type": media_type,
        "accept": "*/*",
        # Answers are short or streamed: packing them would cost both sides more than it saves.
        "accept-encoding": "identity",
        "user-agent": "llm-gateway",
    }
    sent.update((name.lower(), value) for name, value in call.model.headers.items())
    sent.update((name.lower(), value) for name, value in call.headers.items())
    if secret is not None:
        sent["authorization"] = f"Bearer {secret.reveal()}"
    return sent
