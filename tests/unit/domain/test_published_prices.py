"""What attempts cost is what the providers' own price lists come to, worked out by hand for each case.

Each line names the page that the prices stand on; the sum beside it is the page's arithmetic, in USD.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from gateway.domain.inference import Usage
from gateway.domain.prices import Price, Tier

OPENAI = "https://openai.com/api/pricing"
OPENAI_IMAGES = "https://platform.openai.com/docs/pricing#image-generation"
OPENAI_AUDIO = "https://platform.openai.com/docs/pricing#audio-tokens"
ANTHROPIC = "https://www.anthropic.com/pricing#api"
ANTHROPIC_CACHE = "https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching#pricing"
ANTHROPIC_LONG = "https://docs.anthropic.com/en/docs/about-claude/pricing#long-context-pricing"
GOOGLE = "https://ai.google.dev/gemini-api/docs/pricing"
DEEPSEEK = "https://api-docs.deepseek.com/quick_start/pricing"
MISTRAL = "https://mistral.ai/pricing"
GROQ = "https://groq.com/pricing"
XAI = "https://docs.x.ai/docs/models"
PERPLEXITY = "https://docs.perplexity.ai/getting-started/pricing"
COHERE = "https://cohere.com/pricing"
OWN = "docs/prices.md"


def usd(**parts: str) -> Price:
    """A price from its parts as text."""
    return Price(**{f"{part}_usd": Decimal(text) for part, text in parts.items()})  # type: ignore[arg-type]


def tier(over: int, **parts: str) -> Tier:
    """A tier from its parts as text."""
    return Tier(over, **{f"{part}_usd": Decimal(text) for part, text in parts.items()})


def tiered(price: Price, *tiers: Tier) -> Price:
    """The price with these tiers."""
    known: Any = price.parts()
    return Price(**known, tiers=tiers)


GPT_4_1 = usd(input="2.00", output="8.00", cached_input="0.50")
GPT_4O = usd(input="2.50", output="10.00", cached_input="1.25")
O3 = usd(input="2.00", output="8.00", cached_input="0.50")
AUDIO = usd(input="2.50", output="10.00", audio_input="40.00", audio_output="80.00")
GPT_IMAGE = usd(input="5.00", image_input="10.00", output="40.00", image_output="40.00", cached_input="1.25")
SONNET = tiered(
    usd(
        input="3.00", output="15.00", cached_input="0.30", cache_write="3.75", cache_write_1h="6.00"
    ),
    tier(
        200_000, input="6.00", output="22.50", cached_input="0.60", cache_write="7.50", cache_write_1h="12.00"
    ),
)  # fmt: skip
OPUS = usd(input="15.00", output="75.00", cached_input="1.50", cache_write="18.75", cache_write_1h="30.00")
HAIKU = usd(input="0.80", output="4.00", cached_input="0.08", cache_write="1.00", cache_write_1h="1.60")
GEMINI_PRO = tiered(
    usd(input="1.25", output="10.00", cached_input="0.125"),
    tier(200_000, input="2.50", output="15.00", cached_input="0.25"),
)
GEMINI_FLASH = usd(input="0.30", output="2.50", cached_input="0.03", audio_input="1.00")
GEMINI_1_5_FLASH = tiered(
    usd(input="0.075", output="0.30", cached_input="0.01875"),
    tier(128_000, input="0.15", output="0.60", cached_input="0.0375"),
)
GEMINI_IMAGE = usd(input="0.30", output="2.50", image_output="30.00")
DEEPSEEK_CHAT = usd(input="0.27", cached_input="0.07", output="1.10")
GROK = usd(input="1.25", cached_input="0.20", output="2.50")


class Case(NamedTuple):
    """A usage at a price, and what it comes to."""

    name: str
    page: str
    price: Price
    usage: Usage
    expected: str
    took: timedelta | None = None


CASES = [
    # 8,000 x 2.00 + 2,000 x 0.50 + 1,500 x 8.00 = 16,000 + 1,000 + 12,000 = 29,000 millionths
    Case("gpt-4.1, cached", OPENAI, GPT_4_1, Usage(10_000, 1_500, cached=2_000), "0.029"),
    # 1,234 x 0.40 + 567 x 1.60 = 493.6 + 907.2
    Case("gpt-4.1-mini", OPENAI, usd(input="0.40", output="1.60"), Usage(1_234, 567), "0.0014008"),
    # 1 x 0.10 + 1 x 0.40
    Case("gpt-4.1-nano, one token each", OPENAI, usd(input="0.10", output="0.40"), Usage(1, 1), "0.0000005"),
    # 982 x 2.50 + 1,024 x 1.25 + 300 x 10.00 = 2,455 + 1,280 + 3,000
    Case("gpt-4o, cached", OPENAI, GPT_4O, Usage(2_006, 300, cached=1_024), "0.006735"),
    # 1,000 x 0.15 + 1,000 x 0.60
    Case("gpt-4o-mini", OPENAI, usd(input="0.15", output="0.60"), Usage(1_000, 1_000), "0.00075"),
    # 75 x 2.00 + 1,186 x 8.00 = 150 + 9,488: reasoning is output
    Case("o3, reasoning", OPENAI, O3, Usage(75, 1_186, reasoning=1_024), "0.009638"),
    # 1,976 x 2.00 + 1,024 x 0.50 + 2,000 x 8.00 = 3,952 + 512 + 16,000
    Case("o3, cached and reasoning", OPENAI, O3, Usage(3_000, 2_000, 1_024, 1_920), "0.020464"),
    # 500 x 1.10 + 4,000 x 4.40 = 550 + 17,600
    Case(
        "o4-mini, reasoning", OPENAI,
        usd(input="1.10", output="4.40", cached_input="0.275"), Usage(500, 4_000, reasoning=3_500), "0.01815",
    ),
    # 2,000 x 15.00 + 3,000 x 60.00
    Case("o1", OPENAI, usd(input="15.00", output="60.00"), Usage(2_000, 3_000, reasoning=2_500), "0.21"),
    # 100 x 2.50 + 400 x 40.00 + 50 x 10.00 + 250 x 80.00 = 250 + 16,000 + 500 + 20,000
    Case(
        "gpt-4o-audio-preview, heard and spoken", OPENAI_AUDIO,
        AUDIO, Usage(500, 300, audio_input=400, audio_output=250), "0.03675",
    ),
    # 14 x 2.50 + 620 x 6.00 + 110 x 10.00 = 35 + 3,720 + 1,100
    Case(
        "gpt-4o-transcribe, by tokens", OPENAI_AUDIO,
        usd(input="2.50", output="10.00", audio_input="6.00"),
        Usage(634, 110, audio_input=620, seconds=62.0), "0.004855",
    ),
    # 150 s = 2.5 minutes x 0.006 = 0.36 an hour
    Case("whisper-1, by the minute", OPENAI_AUDIO, usd(audio_hour="0.36"), Usage(seconds=150.0), "0.015"),
    # 4,096 x 15.00 = 61,440 millionths
    Case(
        "tts-1, by the character", OPENAI_AUDIO,
        usd(million_characters="15.00"), Usage(950, characters=4_096), "0.06144",
    ),
    # 4,096 x 30.00
    Case("tts-1-hd", OPENAI_AUDIO, usd(million_characters="30.00"), Usage(950, characters=4_096), "0.12288"),
    # 3 x 0.04
    Case("dall-e-3, standard", OPENAI_IMAGES, usd(image="0.04"), Usage(images=3), "0.12"),
    # 1 x 0.12, the prompt being in it
    Case("dall-e-3, HD wide", OPENAI_IMAGES, usd(image="0.12"), Usage(input=40, images=1), "0.12"),
    # 50 x 5.00 + 323 x 10.00 + 4,160 x 40.00 = 250 + 3,230 + 166,400
    Case(
        "gpt-image-1, an edit in high quality", OPENAI_IMAGES,
        GPT_IMAGE, Usage(373, 4_160, image_input=323, image_output=4_160, images=1), "0.16988",
    ),
    # 8,000 x 0.02
    Case("text-embedding-3-small", OPENAI, usd(input="0.02"), Usage(8_000), "0.00016"),
    # 8,191 x 0.13
    Case("text-embedding-3-large", OPENAI, usd(input="0.13"), Usage(8_191), "0.00106483"),
    # 1,000 x 3.00 + 5,000 x 3.75 + 20,000 x 0.30 + 700 x 15.00 = 3,000 + 18,750 + 6,000 + 10,500
    Case(
        "claude-sonnet-4-5, cache written for five minutes and read", ANTHROPIC_CACHE,
        SONNET, Usage(26_000, 700, cached=20_000, cache_write=5_000), "0.03825",
    ),
    # 1,000 x 3.00 + 2,000 x 3.75 + 3,000 x 6.00 + 700 x 15.00 = 3,000 + 7,500 + 18,000 + 10,500
    Case(
        "claude-sonnet-4-5, cache written for an hour too", ANTHROPIC_CACHE,
        SONNET, Usage(6_000, 700, cache_write=5_000, cache_write_1h=3_000), "0.039",
    ),
    # 200,000 x 3.00 + 1,000 x 15.00: at the bound it is not beyond it
    Case("claude-sonnet-4-5, 200k", ANTHROPIC_LONG, SONNET, Usage(200_000, 1_000), "0.615"),
    # 200,001 x 6.00 + 1,000 x 22.50 = 1,200,006 + 22,500: the whole request, cached input counting towards the bound
    Case("claude-sonnet-4-5, one over 200k", ANTHROPIC_LONG, SONNET, Usage(200_001, 1_000), "1.222506"),
    # 10,000 x 6.00 + 240,000 x 0.60 + 2,000 x 22.50 = 60,000 + 144,000 + 45,000
    Case("claude-sonnet-4-5, long and cached", ANTHROPIC_LONG, SONNET, Usage(250_000, 2_000, 240_000), "0.249"),
    # 300 x 15.00 + 10,000 x 18.75 + 500 x 75.00 = 4,500 + 187,500 + 37,500
    Case("claude-opus-4-1, cache written", ANTHROPIC_CACHE, OPUS, Usage(10_300, 500, cache_write=10_000), "0.2295"),
    # 2,000 x 0.80 + 8,000 x 0.08 + 400 x 4.00 = 1,600 + 640 + 1,600
    Case("claude-3-5-haiku, cache read", ANTHROPIC, HAIKU, Usage(10_000, 400, cached=8_000), "0.00384"),
    # 150,000 x 1.25 + 2,000 x 10.00 = 187,500 + 20,000
    Case("gemini-2.5-pro, up to 200k", GOOGLE, GEMINI_PRO, Usage(150_000, 2_000, reasoning=1_500), "0.2075"),
    # 300,000 x 2.50 + 2,000 x 15.00 = 750,000 + 30,000
    Case("gemini-2.5-pro, beyond 200k", GOOGLE, GEMINI_PRO, Usage(300_000, 2_000), "0.78"),
    # 50,000 x 2.50 + 250,000 x 0.25 + 1,000 x 15.00 = 125,000 + 62,500 + 15,000
    Case("gemini-2.5-pro, long and cached", GOOGLE, GEMINI_PRO, Usage(300_000, 1_000, 250_000), "0.2025"),
    # 1,000 x 0.30 + 1,920 x 1.00 + 605 x 2.50 = 300 + 1,920 + 1,512.5: a minute of audio is 1,920 tokens
    Case(
        "gemini-2.5-flash, audio and thoughts", GOOGLE,
        GEMINI_FLASH, Usage(2_920, 605, reasoning=405, audio_input=1_920), "0.0037325",
    ),
    # 128,001 x 0.15 + 100 x 0.60 = 19,200.15 + 60
    Case("gemini-1.5-flash, beyond 128k", GOOGLE, GEMINI_1_5_FLASH, Usage(128_001, 100), "0.01926015"),
    # 20 x 0.30 + 1,290 x 30.00 = 6 + 38,700: an image is 1,290 tokens
    Case(
        "gemini-2.5-flash-image", GOOGLE,
        GEMINI_IMAGE, Usage(20, 1_290, image_output=1_290, images=1), "0.038706",
    ),
    # 6,000 hits x 0.07 + 4,000 misses x 0.27 + 1,000 x 1.10 = 420 + 1,080 + 1,100
    Case("deepseek-chat, hits and misses", DEEPSEEK, DEEPSEEK_CHAT, Usage(10_000, 1_000, 6_000), "0.0026"),
    # 500 x 0.55 + 3,000 x 2.19 = 275 + 6,570
    Case(
        "deepseek-reasoner", DEEPSEEK,
        usd(input="0.55", cached_input="0.14", output="2.19"), Usage(500, 3_000, reasoning=2_700), "0.006845",
    ),
    # 12,000 x 2.00 + 800 x 6.00
    Case("mistral-large", MISTRAL, usd(input="2.00", output="6.00"), Usage(12_000, 800), "0.0288"),
    # 777 x 0.10 + 333 x 0.30 = 77.7 + 99.9
    Case("mistral-small", MISTRAL, usd(input="0.10", output="0.30"), Usage(777, 333), "0.0001776"),
    # 3,000 x 0.59 + 500 x 0.79 = 1,770 + 395
    Case("llama-3.3-70b-versatile", GROQ, usd(input="0.59", output="0.79"), Usage(3_000, 500), "0.002165"),
    # 90 s x 0.04 an hour
    Case("whisper-large-v3-turbo", GROQ, usd(audio_hour="0.04"), Usage(seconds=90.0), "0.001"),
    # 9,992 x 1.25 + 128 x 0.20 + 4,308 x 2.50 = 12,490 + 25.6 + 10,770
    Case("grok, reasoning beside the answer", XAI, GROK, Usage(10_120, 4_308, 128, 2_809), "0.0232856"),
    # 26 x 1.00 + 832 x 1.00 + 5 for a thousand requests
    Case(
        "sonar, a fee for each request", PERPLEXITY,
        usd(input="1.00", output="1.00", request="0.005"), Usage(26, 832), "0.005858",
    ),
    # 33 x 2.00 + 7,163 x 8.00 + 73,997 x 3.00 = 66 + 57,304 + 221,991: reasoning at its own price
    Case(
        "sonar-deep-research, reasoning apart", PERPLEXITY,
        usd(input="2.00", output="8.00", reasoning="3.00"), Usage(33, 81_160, reasoning=73_997), "0.279361",
    ),
    # 2.00 for a thousand searches
    Case("rerank-v3.5, by the search", COHERE, usd(request="0.002"), Usage(input=4_000), "0.002"),
    # 250 documents are three units of at most a hundred: 3 x 0.002
    Case("rerank-v3.5, by its units", COHERE, usd(search_unit="0.002"), Usage(4_000, search_units=3), "0.006"),
    # 3.25 s x 0.0011
    Case(
        "on-prem, by GPU second", OWN,
        usd(gpu_second="0.0011"), Usage(900, 200), "0.003575", timedelta(seconds=3.25),
    ),
    # 900 x 0.05 + 200 x 0.10 = 45 + 20
    Case("on-prem, by token", OWN, usd(input="0.05", output="0.10"), Usage(900, 200), "0.000065"),
    # 1.5 s x 0.002 + 1,000 x 0.01 + 100 x 0.02 = 0.003 + 0.000012
    Case(
        "on-prem, by both", OWN,
        usd(gpu_second="0.002", input="0.01", output="0.02"), Usage(1_000, 100), "0.003012",
        timedelta(seconds=1.5),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_cost_is_what_the_published_price_comes_to(case: Case):
    assert case.price.cost(case.usage, case.took) == Decimal(case.expected), case.page
