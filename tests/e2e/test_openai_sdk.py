"""An unchanged `openai` SDK, with the real local model behind the gateway."""

from __future__ import annotations

from decimal import Decimal

import openai as sdk
import pytest
from openai import OpenAI

from tests.e2e.conftest import ATTEMPTS, MadeKey
from tests.e2e.person import Person, Upstream
from tests.e2e.stack import Stack

HELLO = [{"role": "user", "content": "Say hello in one short sentence."}]


def test_the_real_model_answers(openai: OpenAI, admin: Person):
    answer = openai.chat.completions.with_raw_response.create(
        model="assistant", messages=HELLO, max_tokens=24, temperature=0
    )
    completion = answer.parse()
    assert completion.choices[0].message.content
    assert completion.usage is not None
    row = admin.request(answer.headers["x-request-id"])
    assert (row["model"], row["served_model"]) == ("assistant", "smollm2-135m-instruct")
    assert row["usage"]["input_tokens"] == completion.usage.prompt_tokens
    assert row["usage"]["output_tokens"] == completion.usage.completion_tokens
    assert Decimal(row["cost_usd"]) == 0
    assert row["cost_unknown"] is False


def test_the_real_model_streams_with_the_usage_that_was_asked_for(openai: OpenAI):
    stream = openai.chat.completions.create(
        model="assistant",
        messages=HELLO,
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert sum(1 for c in chunks if c.choices and c.choices[0].delta.content) > 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 1


def test_a_stream_has_no_usage_that_nobody_asked_for(openai: OpenAI):
    chunks = list(
        openai.chat.completions.create(model="assistant", messages=HELLO, max_tokens=8, stream=True)
    )
    assert chunks
    assert all(c.choices for c in chunks)
    assert all(c.usage is None for c in chunks)


def test_an_unknown_field_reaches_the_provider_untouched(openai: OpenAI, upstream: Upstream):
    openai.chat.completions.create(
        model="ok", messages=HELLO, extra_body={"top_k": 7, "x_future": {"deep": [1, 2.5, "ü"]}}
    )
    body = upstream.last()["body"]
    assert '"top_k":7' in body.replace(" ", "")
    assert '"x_future":{"deep":[1,2.5,"ü"]}' in body.replace(" ", "")


def test_our_own_field_does_not(openai: OpenAI, upstream: Upstream):
    openai.chat.completions.create(
        model="ok", messages=HELLO, extra_body={"gateway": {"tags": {"team": "search"}}}
    )
    assert "gateway" not in upstream.last()["body"]


def test_models_are_listed_and_found_by_name(openai: OpenAI):
    names = {model.id for model in openai.models.list()}
    assert {"assistant", "smollm2-135m-instruct", "ok", "fallback"} <= names
    assert openai.models.retrieve("assistant").id == "assistant"


def test_a_model_that_does_not_exist_is_a_not_found_error(openai: OpenAI):
    with pytest.raises(sdk.NotFoundError) as raised:
        openai.chat.completions.create(model="gpt-99", messages=HELLO)
    assert raised.value.code == "model_not_found"
    assert raised.value.param == "model"
    with pytest.raises(sdk.NotFoundError):
        openai.models.retrieve("gpt-99")


def test_a_model_that_is_forbidden_looks_like_one_that_does_not_exist(stack: Stack, keys: dict[str, MadeKey]):
    narrow = OpenAI(base_url=f"{stack.rest}/v1", api_key=keys["narrow"].secret)
    said = []
    for name in ("other", "gpt-99"):
        with pytest.raises(sdk.NotFoundError) as raised:
            narrow.chat.completions.create(model=name, messages=HELLO)
        said.append(str(raised.value).replace(name, "NAME"))
    assert said[0] == said[1]
    assert {model.id for model in narrow.models.list()} == {"auto", "ok"}
    assert narrow.chat.completions.create(model="ok", messages=HELLO).choices


@pytest.mark.parametrize("key", ["wrong", "gw_" + "A" * 43])
def test_a_wrong_key_is_an_authentication_error(stack: Stack, key: str):
    stranger = OpenAI(base_url=f"{stack.rest}/v1", api_key=key)
    with pytest.raises(sdk.AuthenticationError) as raised:
        stranger.chat.completions.create(model="ok", messages=HELLO)
    assert raised.value.code == "invalid_api_key"


def test_a_wrong_type_is_a_bad_request_error_that_names_the_field(openai: OpenAI):
    with pytest.raises(sdk.BadRequestError) as raised:
        openai.chat.completions.create(model="ok", messages="hello")  # type: ignore[call-overload]
    assert raised.value.code == "invalid_request"
    assert raised.value.param == "messages"


def test_a_model_that_is_down_is_tried_by_the_gateway_and_not_again_by_the_sdk(
    openai: OpenAI, upstream: Upstream
):
    before = upstream.stats()["models"].get("scripted-503", 0)
    with pytest.raises(sdk.InternalServerError) as raised:
        openai.chat.completions.create(model="down", messages=HELLO)
    assert raised.value.code == "upstream_unavailable"
    assert raised.value.response.headers["x-gateway-attempts"] == str(ATTEMPTS)
    assert upstream.stats()["models"]["scripted-503"] - before == ATTEMPTS


def test_an_upstreams_rate_limit_is_a_rate_limit_error_that_says_when(openai: OpenAI):
    with pytest.raises(sdk.RateLimitError) as raised:
        openai.with_options(max_retries=0).chat.completions.create(
            model="limited", messages=HELLO, extra_body={"gateway": {"deadline_s": 2}}
        )
    assert raised.value.code == "upstream_rate_limited"
    assert int(raised.value.response.headers["retry-after"]) >= 1


def test_an_upstreams_own_refusal_of_the_request_is_a_bad_request_error(openai: OpenAI):
    with pytest.raises(sdk.BadRequestError) as raised:
        openai.chat.completions.create(model="rejects", messages=HELLO)
    assert raised.value.code == "upstream_rejected"
