"""An unchanged `anthropic` SDK: the real local model, asked in chat and in its own dialect, and a scripted one."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import anthropic as sdk
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_tool

from tests.e2e.conftest import MadeKey
from tests.e2e.person import Person, Upstream
from tests.e2e.stack import Stack

HELLO = [{"role": "user", "content": "Say hello in one short sentence."}]
SAID = "A café, a € sign, 漢字 and a "
REAL = pytest.mark.parametrize("model", ["assistant", "smollm2-native"])


@pytest.fixture(scope="session")
def anthropic(stack: Stack) -> Anthropic:
    """The SDK as it comes: only its address and its key are ours."""
    return Anthropic(base_url=stack.rest, api_key=stack.admin_key)


@REAL
def test_the_real_model_answers(anthropic: Anthropic, admin: Person, model: str):
    raw = anthropic.messages.with_raw_response.create(
        model=model, max_tokens=24, messages=HELLO, system="You are brief."
    )
    message = raw.parse()
    assert message.content[0].text
    assert message.stop_reason in ("end_turn", "max_tokens")
    assert message.usage.output_tokens <= 24
    assert raw.headers["request-id"] == raw.headers["x-request-id"]
    row = admin.request(raw.headers["x-request-id"])
    assert (row["model"], row["endpoint"]) == (model, "/v1/messages")
    assert row["usage"]["input_tokens"] == message.usage.input_tokens + (
        message.usage.cache_read_input_tokens or 0
    )
    assert row["usage"]["output_tokens"] == message.usage.output_tokens
    assert Decimal(row["cost_usd"]) == 0


@REAL
def test_the_real_model_streams(anthropic: Anthropic, model: str):
    with anthropic.messages.stream(model=model, max_tokens=24, messages=HELLO) as stream:
        texts = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(texts) > 1
    assert "".join(texts) == final.content[0].text
    assert final.usage.output_tokens > 1


def test_the_sdk_that_does_not_wait_works_as_well(stack: Stack):
    async def ask() -> list[str]:
        async with AsyncAnthropic(base_url=stack.rest, api_key=stack.admin_key) as client:

            async def one() -> str:
                message = await client.messages.create(model="claude", max_tokens=9, messages=HELLO)
                return message.content[0].text

            return await asyncio.gather(*(one() for _ in range(8)))

    assert set(asyncio.run(ask())) == {SAID}


@pytest.mark.parametrize("model", ["weather", "claude-tools"])
def test_the_tool_runner_comes_to_an_end(anthropic: Anthropic, model: str):
    asked = []

    @beta_tool
    def get_weather(city: str) -> str:
        """The weather in a city.

        Args:
            city: its name
        """
        asked.append(city)
        return "Sunny"

    runner = anthropic.beta.messages.tool_runner(
        model=model, max_tokens=100, messages=HELLO, tools=[get_weather]
    )
    assert runner.until_done().content[0].text == SAID
    assert asked == ["Zürich"]


def test_tokens_are_counted_for_every_model(anthropic: Anthropic):
    for model, estimated in (("assistant", "true"), ("smollm2-native", None), ("claude", None)):
        raw = anthropic.messages.with_raw_response.count_tokens(model=model, messages=HELLO)
        assert raw.parse().input_tokens > 0
        assert raw.headers.get("x-gateway-estimated") == estimated


def test_models_are_listed_and_found_by_name(anthropic: Anthropic):
    names = [model.id for model in anthropic.models.list(limit=5)]
    assert {"assistant", "smollm2-135m-instruct", "claude"} <= set(names)
    assert len(names) > 5
    assert anthropic.models.retrieve("assistant").type == "model"


def test_what_anthropic_alone_understands_reaches_it_alone(anthropic: Anthropic, upstream: Upstream):
    beta = {"anthropic-beta": "token-efficient-tools-2026-01-01"}
    anthropic.messages.create(model="claude", max_tokens=9, messages=HELLO, extra_headers=beta)
    assert upstream.last()["headers"]["anthropic-beta"] == beta["anthropic-beta"]
    anthropic.messages.create(model="ok", max_tokens=9, messages=HELLO, extra_headers=beta)
    assert "anthropic-beta" not in upstream.last()["headers"]


def test_it_is_a_job_if_that_is_preferred(agent: Person):
    body = {"model": "claude", "max_tokens": 9, "messages": HELLO}
    given = agent.http.post("/v1/messages", json=body, headers={"prefer": "respond-async"})
    assert given.status_code == 202
    job = agent.ended(given.json()["id"])
    assert (job["status"], job["result"]["content"][0]["text"]) == ("completed", SAID)


def test_errors_are_the_sdks_own(anthropic: Anthropic, stack: Stack, keys: dict[str, MadeKey]):
    with pytest.raises(sdk.NotFoundError):
        anthropic.messages.create(model="claude-99", max_tokens=9, messages=HELLO)
    with pytest.raises(sdk.BadRequestError):
        anthropic.messages.create(model="rejects", max_tokens=9, messages=HELLO)
    narrow = Anthropic(base_url=stack.rest, api_key=keys["narrow"].secret)
    with pytest.raises(sdk.NotFoundError):
        narrow.messages.create(model="claude", max_tokens=9, messages=HELLO)
    with pytest.raises(sdk.AuthenticationError):
        Anthropic(base_url=stack.rest, api_key="wrong").models.list()


def test_a_stream_that_breaks_is_an_error(anthropic: Anthropic):
    for model in ("close-mid-stream", "claude-breaks"):
        with (
            pytest.raises(sdk.APIStatusError) as raised,
            anthropic.messages.stream(model=model, max_tokens=9, messages=HELLO) as stream,
        ):
            stream.get_final_message()
        said: Any = raised.value.body
        assert said["error"]["type"] == "api_error"
