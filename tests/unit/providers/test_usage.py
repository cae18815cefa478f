"""Whatever words a server has for its tokens, they come to one count."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.inference import Usage
from gateway.providers.chat import Reading, read_event, read_reply
from gateway.providers.usage import read_told, usage_of

READING = Reading(limit=1 << 20)


def said(**usage: Any) -> Usage | None:
    return read_reply(msgspec.json.encode({"choices": [], "usage": usage}), READING).usage


CASES: list[tuple[str, dict[str, Any], Usage]] = [
    (
        "OpenAI",
        {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 128,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 9,
                "rejected_prediction_tokens": 1,
            },
        },
        Usage(2006, 300, 1920, 128),
    ),
    (
        "OpenAI, audio",
        {
            "prompt_tokens": 500,
            "completion_tokens": 300,
            "prompt_tokens_details": {"audio_tokens": 400, "cached_tokens": 0},
            "completion_tokens_details": {"audio_tokens": 250, "reasoning_tokens": 0},
        },
        Usage(500, 300, audio_input=400, audio_output=250),
    ),
    (
        "OpenAI's images",
        {
            "input_tokens": 373,
            "output_tokens": 4160,
            "total_tokens": 4533,
            "input_tokens_details": {"text_tokens": 50, "image_tokens": 323},
            "output_tokens_details": {"image_tokens": 4160, "text_tokens": 0},
        },
        Usage(373, 4160, image_input=323, image_output=4160),
    ),
    (
        "OpenAI's transcriptions by tokens",
        {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "input_token_details": {"audio_tokens": 14}},
        Usage(14, 45, audio_input=14),
    ),
    ("OpenAI's transcriptions by time", {"type": "duration", "seconds": 62.5}, Usage(seconds=62.5)),
    ("embeddings", {"prompt_tokens": 8, "total_tokens": 8}, Usage(8, 0)),
    (
        "DeepSeek",
        {
            "prompt_tokens": 10_000,
            "completion_tokens": 1000,
            "total_tokens": 11_000,
            "prompt_cache_hit_tokens": 6000,
            "prompt_cache_miss_tokens": 4000,
        },
        Usage(10_000, 1000, 6000),
    ),
    ("Moonshot", {"prompt_tokens": 100, "completion_tokens": 10, "cached_tokens": 64}, Usage(100, 10, 64)),
    (
        "OpenRouter",
        {
            "prompt_tokens": 6000,
            "completion_tokens": 70,
            "total_tokens": 6070,
            "prompt_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 4500},
            "cost": 0.0123,
        },
        Usage(6000, 70, 1000, cache_write=4500),
    ),
    (
        "LiteLLM before Anthropic",
        {
            "prompt_tokens": 6000,
            "completion_tokens": 70,
            "total_tokens": 6070,
            "cache_creation_input_tokens": 4500,
            "cache_read_input_tokens": 1000,
        },
        Usage(6000, 70, 1000, cache_write=4500),
    ),
    (
        "Anthropic's own words, which leave caches out of the input",
        {
            "input_tokens": 500,
            "output_tokens": 70,
            "cache_creation_input_tokens": 4500,
            "cache_read_input_tokens": 1000,
            "cache_creation": {"ephemeral_5m_input_tokens": 1500, "ephemeral_1h_input_tokens": 3000},
        },
        Usage(6000, 70, 1000, cache_write=4500, cache_write_1h=3000),
    ),
    (
        "xAI, whose reasoning is beside the answer",
        {
            "prompt_tokens": 10_120,
            "completion_tokens": 1499,
            "total_tokens": 14_428,
            "prompt_tokens_details": {"text_tokens": 10_120, "cached_tokens": 128, "image_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 2809, "audio_tokens": 0},
        },
        Usage(10_120, 4308, 128, 2809),
    ),
    (
        "Gemini, whose thoughts are in the total only",
        {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623},
        Usage(20, 603, reasoning=405),
    ),
    (
        "a server that leaves cached input out of the prompt",
        {
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "total_tokens": 1010,
            "prompt_tokens_details": {"cached_tokens": 900},
        },
        Usage(1000, 10, 900),
    ),
    ("a total that fits nothing", {
        "prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 99,
        "completion_tokens_details": {"reasoning_tokens": 3},
    }, Usage(5, 9, reasoning=3)),
    ("details that are null", {
        "prompt_tokens": 5, "completion_tokens": 9, "prompt_tokens_details": None, "completion_tokens_details": None,
    }, Usage(5, 9)),
    ("parts larger than their whole", {
        "prompt_tokens": 5, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 70},
        "completion_tokens_details": {"reasoning_tokens": 70},
    }, Usage(5, 9, 5, 9)),
    ("numbers below nothing", {
        "prompt_tokens": 5, "completion_tokens": -9, "prompt_tokens_details": {"cached_tokens": -7},
    }, Usage(5, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("usage", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_servers_words_come_to_one_count(usage: dict[str, Any], expected: Usage):
    assert said(**usage) == expected
    event = read_event(msgspec.json.encode({"choices": [], "usage": usage}), READING)
    assert event.usage == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"cached_tokens": "many"},
        {"prompt_tokens_details": [1]},
        {"prompt_tokens_details": {"audio_tokens": 1.5}},
        {"completion_tokens_details": "none"},
        {"total_tokens": {}},
        {"cache_creation": 7},
    ],
)
def test_one_field_of_an_unknown_kind_does_not_lose_the_others(wrong: dict[str, Any]):
    usage = said(**{"prompt_tokens": 50, "completion_tokens": 9, "cached_tokens": 7, "seconds": 2.5, **wrong})
    assert usage is not None
    assert (usage.input, usage.output, usage.seconds) == (50, 9, 2.5)
    assert usage.cached == (0 if "cached_tokens" in wrong else 7)


@pytest.mark.parametrize("count", [10**9 + 1, 2**63, 10**30])
def test_more_tokens_than_can_be_are_not_believed(count: int):
    assert said(prompt_tokens=count, completion_tokens=1) is None
    assert said(prompt_tokens=1, completion_tokens=count) is None


counts = st.none() | st.integers(-5, 10**10) | st.text(max_size=3)
details = st.none() | st.dictionaries(
    st.sampled_from(
        ["cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens", "reasoning_tokens"]
    ),
    counts,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "input_tokens"]
        ),
        counts,
    ),
    details,
    details,
)
def test_parts_are_never_larger_than_their_whole(usage: dict[str, Any], asked: Any, answered: Any):
    usage |= {"prompt_tokens_details": asked, "completion_tokens_details": answered}
    found = usage_of(read_told(msgspec.Raw(msgspec.json.encode(usage))))
    if found is not None:
        inner = (found.cached, found.cache_write, found.audio_input, found.image_input)
        assert 0 <= max(inner) <= found.input <= 10**9
        assert 0 <= max(found.reasoning, found.audio_output, found.image_output) <= found.output <= 10**9
        assert found.cache_write_1h <= found.cache_write
