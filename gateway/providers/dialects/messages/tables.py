"""What a word of one dialect is in the other, each table with the page that it is from.

Chat: https://platform.openai.com/docs/api-reference/chat/object
Messages: https://platform.claude.com/docs/en/api/messages, …/docs/en/build-with-claude/handling-stop-reasons
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.domain.inference import Usage
from gateway.providers.dialects.messages.values import Json

FINISHES: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Anthropic's stop reasons as chat's finish reasons, which are those of the ledger."""

STOPS: Final[Mapping[str, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
"""Chat's finish reasons as Anthropic's stop reasons."""

EFFORTS: Final[Mapping[str, str]] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
"""Chat's `reasoning_effort` as Anthropic's `output_config.effort`; `none` is thinking disabled."""

REASONING: Final[Mapping[str, str]] = {
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "xhigh",
}
"""Anthropic's effort as chat's, which knows nothing above `xhigh`."""

BUDGETS: Final[Mapping[str, int]] = {
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 32_768,
}
"""Tokens to think with, for models that know a budget and no effort (those before Claude 4.6)."""
LEAST_BUDGET: Final = 1_024  # what Anthropic takes

TIERS_OUT: Final[Mapping[str, str]] = {"auto": "auto", "default": "standard_only"}
"""Chat's `service_tier` as Anthropic's."""
TIERS_IN: Final[Mapping[str, str]] = {"auto": "auto", "standard_only": "default"}

TOOL_CHOICES_OUT: Final[Mapping[str, str]] = {"auto": "auto", "none": "none", "required": "any"}
TOOL_CHOICES_IN: Final[Mapping[str, str]] = {"auto": "auto", "none": "none", "any": "required"}


def effort_of(budget: int) -> str:
    """The effort for which a model would be given such a budget."""
    if budget < BUDGETS["medium"]:
        return "low"
    return "medium" if budget < BUDGETS["high"] else "high"


def messages_usage(usage: Usage | None) -> Json:
    """Usage as Anthropic counts it: `input_tokens` without what came from, or went into, a cache."""
    usage = usage or Usage()
    told: Json = {
        "input_tokens": max(usage.input - usage.cached - usage.cache_write, 0),
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    }
    if usage.reasoning:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return told


def chat_usage(usage: Usage) -> Json:
    """Usage as OpenAI counts it."""
    told: Json = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
    if usage.cache_write_1h:
        told["cache_creation"] = {"ephemeral_1h_input_tokens": usage.cache_write_1h}
    return told
