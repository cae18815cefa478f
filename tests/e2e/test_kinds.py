"""An unchanged `openai` SDK asks for the kinds beside chat; what the real local model can do is asked of it."""

from __future__ import annotations

from decimal import Decimal
from math import sqrt

from openai import OpenAI

from tests.e2e.person import Person

EMBEDDER = "smollm2-135m-embeddings"


def likeness(a: list[float], b: list[float]) -> float:
    """The cosine of two vectors."""
    return sum(x * y for x, y in zip(a, b, strict=True)) / sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def test_the_real_model_makes_vectors_that_mean_something(openai: OpenAI, admin: Person):
    texts = ["The cat sat on the mat.", "A dog sat on the rug.", "Quarterly revenue rose by 4%."]
    answer = openai.embeddings.with_raw_response.create(model=EMBEDDER, input=texts)
    made = answer.parse()
    cat, dog, money = (item.embedding for item in made.data)
    assert likeness(cat, dog) > likeness(cat, money)
    row = admin.request(answer.headers["x-request-id"])
    assert (row["kind"], row["served_model"]) == ("embedding", EMBEDDER)
    assert row["usage"]["input_tokens"] == made.usage.prompt_tokens > 0
    assert Decimal(row["cost_usd"]) == 0


def test_the_sdks_own_base64_is_the_same_vector_as_floats(openai: OpenAI):
    # The SDK asks for base64 by itself and unpacks it, unless floats are asked for.
    packed = openai.embeddings.create(model=EMBEDDER, input="hello").data[0].embedding
    floats = (
        openai.embeddings.create(model=EMBEDDER, input="hello", encoding_format="float").data[0].embedding
    )
    assert likeness(packed, floats) > 0.9999


def test_the_real_chat_model_completes_a_plain_prompt(openai: OpenAI, admin: Person):
    answer = openai.completions.with_raw_response.create(
        model="assistant", prompt="Once upon a time", max_tokens=8, temperature=0
    )
    made = answer.parse()
    assert made.choices[0].text
    assert made.usage is not None
    row = admin.request(answer.headers["x-request-id"])
    assert (row["kind"], row["endpoint"]) == ("completion", "/v1/completions")
    assert row["usage"]["output_tokens"] == made.usage.completion_tokens


def test_the_real_model_streams_a_completion(openai: OpenAI):
    chunks = list(
        openai.completions.create(
            model="assistant",
            prompt="One, two, three,",
            max_tokens=8,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert chunks[-1].usage is not None


def test_moderations_need_no_model_named(openai: OpenAI):
    judged = openai.moderations.create(input=["be well", "do harm"])
    assert [result.flagged for result in judged.results] == [False, True]
