"""Which features of a request reach which provider: found out by asking each one's double, and not by what we think.

A feature counts as carried where a request with it is answered and nothing of it is named among what was dropped.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec

from gateway.attempt import Attempts, Try
from gateway.domain.inference import Choice
from gateway.domain.operations import Operation
from gateway.domain.registry import Model, Registry
from gateway.providers.catalogue import PROVIDERS, open_provider
from gateway.providers.ports import CallTimeouts, Provider
from gateway.settings import Providers
from tests.builders import a_model, a_request
from tests.contracts.test_providers import TRANSLATING
from tests.contracts.upstreams import served

_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_PDF = "JVBERi0xLjQKJSVFT0YK"
_WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
_SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
_PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
_TOOL = {"type": "function", "function": {"name": "weather", "description": "Now", "parameters": _PARAMETERS}}
_HI = [{"role": "user", "content": "Hi"}]


def _chat(*parts: Mapping[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, *parts]}]}


CHAT: Mapping[str, Mapping[str, Any]] = {
    "system and developer messages": {
        "messages": [{"role": "system", "content": "A"}, {"role": "developer", "content": "B"}, *_HI]
    },
    "tools": {"tools": [_TOOL]},
    "a forced tool": {"tools": [_TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
    "one tool at a time": {"tools": [_TOOL], "parallel_tool_calls": False},
    "images by their bytes": _chat(
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PNG}"}}
    ),
    "images by their address": _chat(
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    ),
    "sound": _chat({"type": "input_audio", "input_audio": {"data": _WAV, "format": "wav"}}),
    "files": _chat(
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{_PDF}"}}
    ),
    "structured output": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "a", "strict": True, "schema": _SCHEMA},
        }
    },
    "JSON of any shape": {"response_format": {"type": "json_object"}},
    "bounds and sampling": {"max_completion_tokens": 64, "temperature": 0.5, "top_p": 0.9, "stop": ["END"]},
    "`seed`": {"seed": 7},
    "penalties": {"frequency_penalty": 0.5, "presence_penalty": 0.5},
    "`logprobs`": {"logprobs": True, "top_logprobs": 2},
    "`logit_bias`": {"logit_bias": {"50256": -100}},
    "`n` answers": {"n": 2},
    "`reasoning_effort`": {"reasoning_effort": "low", "max_completion_tokens": 4096},
    "predicted output": {"prediction": {"type": "content", "content": "Hi"}},
    "`user`": {"user": "ann"},
}
_CLAUDES_TOOL = {"name": "weather", "description": "Now", "input_schema": _PARAMETERS}


def _message(*blocks: Mapping[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, *blocks]}]}


MESSAGES: Mapping[str, Mapping[str, Any]] = {
    "system blocks": {"system": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]},
    "tools": {"tools": [_CLAUDES_TOOL]},
    "a forced tool": {"tools": [_CLAUDES_TOOL], "tool_choice": {"type": "tool", "name": "weather"}},
    "one tool at a time": {
        "tools": [_CLAUDES_TOOL],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    },
    "images by their bytes": _message(
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PNG}}
    ),
    "documents": _message(
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": _PDF}}
    ),
    "thinking": {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4096},
    "`cache_control`": _message({"type": "text", "text": "A", "cache_control": {"type": "ephemeral"}}),
    "bounds and sampling": {"temperature": 0.5, "top_p": 0.9, "stop_sequences": ["END"]},
    "`top_k`": {"top_k": 5},
    "`metadata.user_id`": {"metadata": {"user_id": "ann"}},
}
RESPONSES: Mapping[str, Mapping[str, Any]] = {
    "`instructions`": {"instructions": "Be brief."},
    "function tools": {"tools": [{"type": "function", "name": "weather", "parameters": _PARAMETERS}]},
    "a forced tool": {
        "tools": [{"type": "function", "name": "weather", "parameters": _PARAMETERS}],
        "tool_choice": {"type": "function", "name": "weather"},
    },
    "tools of OpenAI's own": {"tools": [{"type": "web_search"}]},
    "images by their bytes": {
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{_PNG}"}
                ],
            }
        ]
    },
    "files": {
        "input": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "input_file",
                        "filename": "a.pdf",
                        "file_data": f"data:application/pdf;base64,{_PDF}",
                    }
                ],
            }
        ]
    },
    "structured output": {
        "text": {"format": {"type": "json_schema", "name": "a", "strict": True, "schema": _SCHEMA}}
    },
    "bounds and sampling": {"max_output_tokens": 64, "temperature": 0.5, "top_p": 0.9},
    "`reasoning.effort`": {"reasoning": {"effort": "low"}, "max_output_tokens": 4096},
    "`truncation`": {"truncation": "auto"},
    "`max_tool_calls`": {
        "tools": [{"type": "function", "name": "weather", "parameters": _PARAMETERS}],
        "max_tool_calls": 2,
    },
}
FEATURES: Mapping[Operation, tuple[Mapping[str, Any], Mapping[str, Mapping[str, Any]]]] = {
    Operation.CHAT: ({"model": "m", "messages": _HI}, CHAT),
    Operation.MESSAGES: ({"model": "m", "messages": _HI, "max_tokens": 64}, MESSAGES),
    Operation.RESPONSES: ({"model": "m", "input": "Hi"}, RESPONSES),
}
CARRIED, DROPPED, REFUSED = "yes", "dropped", "refused"
_REFUSALS = frozenset({"invalid_request", "field_not_supported"})
ASKED = tuple(sorted(PROVIDERS.keys() - {"scripted"}))
"""The providers that are asked: `compatible` is one of no flavour."""


@cache
def found() -> Mapping[Operation, Mapping[str, Mapping[str, str]]]:
    """For each endpoint, feature and provider: whether it is carried."""
    return asyncio.run(_found())


async def _found() -> Mapping[Operation, Mapping[str, Mapping[str, str]]]:
    answers: dict[Operation, dict[str, dict[str, str]]] = {
        operation: {feature: {} for feature in features} for operation, (_, features) in FEATURES.items()
    }
    with served() as upstream:
        for name in ASKED:
            async with _opened(name, upstream.base_url) as (provider, model, attempts):
                for operation, (usual, features) in FEATURES.items():
                    # Bytes that pass through lose nothing, and the scripted upstream knows no other dialect than chat.
                    passes = name not in TRANSLATING and provider.speaks(operation, model)
                    for feature, fields in features.items():
                        body = {**usual, **fields}
                        told = CARRIED if passes else await _ask(attempts, operation, body)
                        answers[operation][feature][name] = told
    return answers


@asynccontextmanager
async def _opened(name: str, base_url: str) -> AsyncGenerator[tuple[Provider, Model, Attempts]]:
    async with AsyncExitStack() as stack:
        provider = open_provider(name, Providers())
        stack.push_async_callback(provider.close)
        if name in TRANSLATING:
            _, base_url = await stack.enter_async_context(TRANSLATING[name]())
        model = a_model("m", provider=name, base_url=base_url, upstream_model="scripted-ok")
        registry = Registry({"m": model}, {}, "test")
        bounds = CallTimeouts(*(timedelta(seconds=5),) * 3)
        yield provider, model, Attempts(lambda: registry, {name: provider}, bounds)


async def _ask(attempts: Attempts, operation: Operation, body: Mapping[str, Any]) -> str:
    text = json.dumps(body)
    request = a_request(
        endpoint=operation.value, body=text, deadline=datetime.now(UTC) + timedelta(seconds=5)
    )
    fields = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    attempt, reply = await attempts.complete(Try(request, fields, 1, Choice("m", "to find out")))
    if reply is not None:
        return DROPPED if reply.dropped else CARRIED
    assert attempt.failure is not None
    assert attempt.failure.code in _REFUSALS, attempt.failure
    return REFUSED
