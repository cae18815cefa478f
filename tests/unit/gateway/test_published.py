"""Published prices come to the same sums as in the package they are from, or are left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.inference import Usage
from gateway.domain.prices import Price
from gateway.domain.registry import Model
from gateway.published import Published, Unpublished, published

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ADDRESSES = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com/v1",
    "google": "https://generativelanguage.googleapis.com/v1beta/openai",
    "mistral": "https://api.mistral.ai/v1",
    "groq": "https://api.groq.com/openai/v1",
    "x-ai": "https://api.x.ai/v1",
    "together": "https://api.together.xyz/v1",
}


def called(provider: str, name: str) -> Model:
    return Model(name, "compatible", ADDRESSES[provider], name)


def price_of(provider: str, name: str) -> Price:
    found = published(called(provider, name))
    assert isinstance(found, Published)
    price = found.at(NOW)
    assert price is not None
    return price


def test_a_price_is_found_by_address_and_name_and_says_whence():
    found = published(called("openai", "gpt-4.1"))
    assert isinstance(found, Published)
    assert found.prices == (Price(Decimal(2), Decimal(8), Decimal("0.5")),)
    assert found.source.startswith("genai-prices 0.")
    assert found.source.endswith(" (openai/gpt-4.1)")


def test_the_openai_provider_has_an_address_of_its_own():
    assert published(Model("m", "openai", "", "gpt-4.1")) == published(called("openai", "gpt-4.1"))


@pytest.mark.parametrize(
    ("model", "source"),
    [
        (Model("m", "gemini", "", "gemini-2.5-flash"), "google/gemini-2.5-flash"),
        (
            Model(
                "m", "gemini", "https://generativelanguage.googleapis.com/v1beta", "models/gemini-2.5-flash"
            ),
            "google/gemini-2.5-flash",
        ),
        (
            Model(
                "m", "bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com", "us.amazon.nova-pro-v1:0"
            ),
            "aws/amazon.nova-pro-v1:0",
        ),
        (
            Model(
                "m",
                "bedrock",
                "https://bedrock-runtime.us-east-1.amazonaws.com",
                "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            ),
            "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
    ],
)
def test_a_price_is_that_of_the_provider_where_the_model_is_called(model: Model, source: str):
    found = published(model)
    assert isinstance(found, Published)
    assert source in found.source


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (Model("m", "compatible", "http://gpu-1.internal:8000/v1", "gpt-4.1"), "no price for gpt-4.1 at this address"),
        (Model("m", "openai", "http://gpu-1.internal:8000/v1", "gpt-4.1"), "no price for gpt-4.1 at this address"),
        (Model("m", "scripted", "", "gpt-4.1"), "no address"),
        (called("openai", "no-such-model"), "no price for no-such-model"),
        (called("mistral", "mistral-ocr-2503"), "by something that is not counted here"),
        (Model("m", "compatible", "https://api.deepseek.com", "deepseek-chat"), "depends on the time of day"),
    ],
)  # fmt: skip
def test_what_is_not_published_for_this_address_stays_unknown(model: Model, why: str):
    found = published(model)
    assert isinstance(found, Unpublished)
    assert why in found.why


def test_speech_is_priced_by_its_characters():
    assert price_of("openai", "tts-1").million_characters_usd == 15


def test_a_price_that_changed_is_several_with_dates():
    found = published(called("openai", "o3"))
    assert isinstance(found, Published)
    assert [price.since for price in found.prices] == [None, datetime(2025, 6, 10, tzinfo=UTC)]
    assert [price.input_usd for price in found.prices] == [10, 2]


def test_a_tier_says_all_that_changes_at_it():
    [tier] = price_of("google", "gemini-2.5-pro").tiers
    assert (tier.over, tier.input_usd, tier.output_usd) == (200_000, Decimal("2.5"), Decimal(15))


counts = st.integers(0, 300_000)


@given(
    st.sampled_from(
        [
            ("openai", "gpt-4.1"),
            ("openai", "gpt-4o-mini"),
            ("openai", "o3"),
            ("anthropic", "claude-sonnet-4-5"),
            ("anthropic", "claude-opus-4-1"),
            ("google", "gemini-2.5-pro"),
            ("google", "gemini-2.5-flash"),
            ("mistral", "mistral-large-latest"),
            ("groq", "llama-3.3-70b-versatile"),
            ("x-ai", "grok-3"),
        ]
    ),
    counts, counts, counts, counts, counts, counts,
)  # fmt: skip
def test_our_sum_is_the_packages_own(
    of: tuple[str, str], fresh: int, cached: int, write: int, hour: int, answer: int, thought: int
):
    provider, name = of
    price = price_of(provider, name)
    if price.cache_write_usd is None:
        write = hour = 0
    usage = Usage(
        fresh + cached + write + hour,
        answer + thought,
        cached,
        thought,
        cache_write=write + hour,
        cache_write_1h=hour,
    )
    theirs = TheirUsage(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=cached,
        cache_write_tokens=usage.cache_write,
        cache_write_1h_tokens=hour,
        output_reasoning_tokens=thought,
    )
    expected = calc_price(theirs, name, provider_id=provider, genai_request_timestamp=NOW).total_price
    assert price.cost(usage) == expected


def test_our_sum_is_the_packages_own_for_audio_too():
    usage = Usage(5_000, 300, audio_input=4_000)
    theirs = TheirUsage(input_tokens=5_000, output_tokens=300, input_audio_tokens=4_000)
    expected = calc_price(
        theirs, "gemini-2.5-flash", provider_id="google", genai_request_timestamp=NOW
    ).total_price
    assert price_of("google", "gemini-2.5-flash").cost(usage) == expected
    assert price_of("openai", "whisper-1").cost(replace(Usage(), seconds=150.0)) == Decimal("0.015")
