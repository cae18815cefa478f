"""Whatever is asked or answered, a translation to another wire fails by our own errors alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import GatewayError
from gateway.domain.inference import Kind
from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.providers.bedrock import answered as bedrock_answered
from gateway.providers.bedrock import asked as bedrock
from gateway.providers.bedrock import embeddings as bedrock_embeddings
from gateway.providers.bedrock import wire as bedrock_wire
from gateway.providers.bedrock.frames import Decoder
from gateway.providers.catalogue import open_provider
from gateway.providers.gemini import answered as gemini_answered
from gateway.providers.gemini import asked as gemini
from gateway.providers.gemini import embeddings as gemini_embeddings
from gateway.providers.gemini import wire as gemini_wire
from gateway.providers.ports import Call
from gateway.settings import Providers
from tests.contracts.bedrock import chunk, event
from tests.contracts.upstreams import TIMEOUTS, call, head, saying, within

WORDS = st.sampled_from(
    [
        *(
            "role",
            "content",
            "type",
            "text",
            "name",
            "id",
            "function",
            "arguments",
            "parameters",
            "url",
            "data",
        ),
        *(
            "tool_calls",
            "tool_call_id",
            "image_url",
            "file",
            "filename",
            "file_data",
            "input_audio",
            "format",
        ),
        *("user", "assistant", "tool", "system", "thinking_blocks", "signature", "thinking", "cache_control"),
        *(
            "extra_content",
            "google",
            "properties",
            "$ref",
            "anyOf",
            "candidates",
            "parts",
            "functionCall",
            "args",
        ),
        *(
            "finishReason",
            "usageMetadata",
            "promptTokenCount",
            "output",
            "message",
            "toolUse",
            "input",
            "usage",
        ),
        *(
            "delta",
            "reasoningContent",
            "inputTokens",
            "error",
            "code",
            "status",
            "details",
            "data:image/png;base64,",
        ),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | WORDS | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=25,
)
FIELDS = st.sampled_from(
    [
        *(
            "messages",
            "tools",
            "tool_choice",
            "response_format",
            "stop",
            "temperature",
            "max_tokens",
            "thinking",
        ),
        *(
            "reasoning_effort",
            "modalities",
            "audio",
            "google",
            "extra_body",
            "bedrock",
            "safety_settings",
            "n",
        ),
        *(
            "input",
            "dimensions",
            "encoding_format",
            "logprobs",
            "top_logprobs",
            "parallel_tool_calls",
            "top_k",
        ),
    ]
)
BODIES = st.dictionaries(FIELDS, VALUES, max_size=6)


def a_call(body: dict[str, Any], model: str) -> Call:
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
    return Call(Kind.CHAT, Model("m", "p", "", model), raw, TIMEOUTS, operation=Operation.CHAT)


def encodable(value: Any) -> bytes:
    return msgspec.json.encode(value)


@pytest.mark.parametrize(
    ("carried", "model"),
    [
        (gemini.carried, "gemini-3-pro"),
        (gemini_embeddings.carried, "gemini-embedding-001"),
        (bedrock.carried, "anthropic.claude-sonnet-4-5-v1:0"),
        (bedrock_embeddings.carried, "cohere.embed-v4:0"),
    ],
)
@given(body=BODIES)
def test_whatever_is_asked_is_carried_or_refused(
    carried: Callable[[Call], object], model: str, body: dict[str, Any]
):
    with suppress(GatewayError):
        carried(a_call(body, model))


@given(VALUES)
def test_whatever_is_answered_is_read_or_refused(value: Any):
    data, asked = encodable(value), a_call({}, "m")
    for read in (
        gemini_answered.Answered(asked, 0).reply,
        bedrock_answered.Answered(asked, 0).reply,
        lambda data: gemini_answered.Answered(asked, 0).feed(b"", data),
        *(
            lambda data, name=name: bedrock_answered.Answered(asked, 0).feed(name, data)
            for name in (b"contentBlockDelta", b"contentBlockStart", b"messageStop", b"metadata", b"!x")
        ),
    ):
        with suppress(GatewayError):
            read(data)
    for status in (200, 400, 429, 503):
        assert isinstance(gemini_wire.refused(status, {}, data, None), GatewayError)
        assert isinstance(bedrock_wire.refused(status, {}, data, None), GatewayError)


@given(st.binary(max_size=200), st.integers(1, 50))
def test_whatever_bytes_come_an_event_stream_is_read_or_broken(data: bytes, size: int):
    decoder = Decoder(1000)
    with suppress(GatewayError):
        for at in range(0, len(data), size):
            list(decoder.feed(data[at : at + size]))
        decoder.close()


# ---- servers that stay -------------------------------------------------------------------------------------------
LAST = msgspec.json.encode(
    {
        "candidates": [{"content": {"parts": [{"text": "Yes"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1},
    }
)
STREAMS = {
    "gemini": ("text/event-stream", b"data: " + LAST + b"\r\n\r\n", Operation.CHAT),
    "bedrock": (
        "application/vnd.amazon.eventstream",
        event("contentBlockDelta", contentBlockIndex=0, delta={"text": "Yes"})
        + event("messageStop", stopReason="end_turn")
        + event("metadata", usage={"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}),
        Operation.CHAT,
    ),
}


@pytest.mark.parametrize("name", sorted(STREAMS))
async def test_a_server_that_stays_after_its_last_word_holds_nobody_up(name: str):
    kind, said, _ = STREAMS[name]
    provider = open_provider(name, Providers())
    async with saying(head(kind=kind) + said, close=False) as server:
        async with asyncio.timeout(30):
            asked = call(base_url=server.base_url, timeouts=within(first_byte=90, total=90))
            events = [each async for each in provider.stream(asked)]
        assert "".join(each.text for each in events) == "Yes"
        assert events[-1].usage is not None
    await provider.close()


@pytest.mark.parametrize("name", sorted(STREAMS))
async def test_a_word_that_comes_after_the_last_is_still_heard(name: str):
    kind, said, _ = STREAMS[name]
    provider = open_provider(name, Providers())
    more = chunk(b"{}") if name == "bedrock" else b"data: " + LAST + b"\n\n"
    async with saying(head(kind=kind) + said, more, pause=0.02) as server:
        events = [each async for each in provider.stream(call(base_url=server.base_url))]
    assert "".join(each.text for each in events) == ("Yes" if name == "bedrock" else "YesYes")
    await provider.close()
