"""Dialects carried over to each other: pure functions over JSON values, and state machines for streams.

One folder for each pair with OpenAI's chat, which is the hub: `messages/` (Anthropic), `responses/`. A provider's own
wire, where nobody asks in it, stands with the provider.
"""
