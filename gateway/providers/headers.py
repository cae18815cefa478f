"""The headers of a request to a model, but for its credential, which each provider puts where it belongs."""

from __future__ import annotations

from gateway.providers.ports import JSON, Call


def outgoing(call: Call, media_type: str = JSON) -> dict[str, str]:
    """Ours, the model's own and the call's, in this order, all names in lower case."""
    sent = {
        "content-type": media_type,
        "accept": "*/*",
        # Answers are short or streamed: packing them would cost both sides more than it saves.
        "accept-encoding": "identity",
        "user-agent": "llm-gateway",
    }
    sent.update((name.lower(), value) for name, value in call.model.headers.items())
    sent.update((name.lower(), value) for name, value in call.headers.items())
    return sent
