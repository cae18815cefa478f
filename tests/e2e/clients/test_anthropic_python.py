"""Anthropic's Python SDK: the real local model and scripted ones of OpenAI's dialect stand behind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anthropic as sdk
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_tool

from tests.e2e.person import Person, Upstream
from tests.e2e.stack import Stack

HELLO = [{"role": "user", "content": "Say hello in one short sentence."}]
WEATHER = [{"role": "user", "content": "What is the weather in Zürich?"}]


@pytest.fixture
async def eager(stack: Stack) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=stack.rest, api_key=stack.admin_key) as client:
        yield client


def test_the_real_model_answers(claude: Anthropic, admin: Person):
    answer = claude.messages.with_raw_response.create(
        model="assistant", max_tokens=24, system="You are kind.", messages=HELLO
    )
    message = answer.parse()
    assert message.role == "assistant"
    assert message.content[0].type == "text"
    assert message.content[0].text
    row = admin.request(answer.headers["request-id"])
    assert (row["endpoint"], row["served_model"]) == ("/v1/messages", "smollm2-135m-instruct")
    assert row["usage"]["output_tokens"] == message.usage.output_tokens > 0


def test_the_streaming_helper_puts_the_answer_together(claude: Anthropic):
    kinds: list[str] = []
    with claude.messages.stream(model="assistant", max_tokens=24, messages=HELLO) as stream:
        pieces = []
        for event in stream:
            kinds.append(event.type)
            if event.type == "text":
                pieces.append(event.text)
        final = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert len(pieces) > 1
    assert "".join(pieces) == final.content[0].text
    assert final.stop_reason in ("end_turn", "max_tokens")
    assert final.usage.output_tokens > 1


async def test_the_asynchronous_streaming_helper_does_the_same(eager: AsyncAnthropic):
    async with eager.messages.stream(model="assistant", max_tokens=16, messages=HELLO) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        assert text == await stream.get_final_text()
    assert text


def test_a_stop_sequence_stops_the_real_model(claude: Anthropic):
    message = claude.messages.create(
        model="assistant", max_tokens=64, messages=HELLO, stop_sequences=["a", "e", "i", "o", "u"]
    )
    assert not set("aeiou") & set("".join(block.text for block in message.content))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_tool_runner_runs_a_tool_and_ends_with_the_answer(claude: Anthropic, stream: bool):
    asked: list[str] = []

    @beta_tool
    def get_weather(city: str) -> str:
        """Tell the weather.

        Args:
            city: The city.

        """
        asked.append(city)
        return "Sunny."

    runner = claude.beta.messages.tool_runner(
        model="weather", max_tokens=128, messages=WEATHER, tools=[get_weather], stream=stream
    )
    final = runner.until_done()
    assert asked == ["Zürich"]
    assert final.stop_reason == "end_turn"
    assert final.content[0].text


def test_tokens_are_counted(claude: Anthropic):
    few = claude.messages.count_tokens(model="assistant", messages=HELLO).input_tokens
    many = claude.messages.count_tokens(model="assistant", messages=[*HELLO, *HELLO, *HELLO]).input_tokens
    assert 0 < few < many


def test_models_are_listed_in_its_shape(claude: Anthropic):
    listed = {model.id: model for model in claude.models.list()}
    assert listed["assistant"].type == "model"
    assert claude.models.retrieve("assistant").id == "assistant"


def test_a_wrong_key_is_an_authentication_error(stack: Stack):
    with pytest.raises(sdk.AuthenticationError) as raised:
        Anthropic(base_url=stack.rest, api_key="wrong").messages.create(
            model="ok", max_tokens=8, messages=HELLO
        )
    assert raised.value.type == "authentication_error"
    assert raised.value.request_id


def test_a_model_that_does_not_exist_is_a_not_found_error(claude: Anthropic):
    with pytest.raises(sdk.NotFoundError):
        claude.messages.create(model="claude-99", max_tokens=8, messages=HELLO)


def test_a_model_that_is_down_is_not_tried_again_by_the_sdk(claude: Anthropic, upstream: Upstream):
    before = upstream.stats()["models"].get("scripted-503", 0)
    with pytest.raises(sdk.InternalServerError) as raised:
        claude.messages.create(model="down", max_tokens=8, messages=HELLO)
    tried = int(raised.value.response.headers["x-gateway-attempts"])
    assert upstream.stats()["models"]["scripted-503"] - before == tried


def test_a_stream_that_breaks_is_an_error_and_no_short_answer(claude: Anthropic):
    with (
        pytest.raises(sdk.APIStatusError) as raised,
        claude.messages.stream(model="close-mid-stream", max_tokens=64, messages=HELLO) as stream,
    ):
        stream.get_final_message()
    assert raised.value.type == "api_error"
