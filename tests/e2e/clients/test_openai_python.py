"""OpenAI's Python SDK beyond its plain calls: asynchronous, streaming helpers, parse, tools, pictures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import openai as sdk
import pytest
from openai import AsyncOpenAI, OpenAI, pydantic_function_tool
from openai.lib.responses_tool_runner import RegisteredFunction, ResponsesToolRunner
from pydantic import BaseModel, Field

from tests.e2e.person import Upstream
from tests.e2e.stack import Stack, until

HELLO = [{"role": "user", "content": "Say hello in one short sentence."}]
WEATHER = [{"role": "user", "content": "What is the weather in Zürich?"}]
DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg"
    "=="
)


class City(BaseModel):
    """A city."""

    name: str = Field(max_length=40)
    is_capital: bool


class GetWeather(BaseModel):
    """The weather in a city."""

    city: str


@pytest.fixture
async def eager(stack: Stack) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{stack.rest}/v1", api_key=stack.admin_key) as client:
        yield client


async def test_many_ask_the_real_model_at_once(eager: AsyncOpenAI):
    asked = (
        eager.chat.completions.create(model="assistant", messages=HELLO, max_tokens=8, seed=n)
        for n in range(4)
    )
    answers = await asyncio.gather(*asked)
    assert all(answer.choices[0].message.content for answer in answers)
    assert len({answer.id for answer in answers}) == 4


async def test_the_asynchronous_streaming_helper_puts_the_answer_together(eager: AsyncOpenAI):
    kinds: set[str] = set()
    async with eager.chat.completions.stream(
        model="assistant", messages=HELLO, max_tokens=200, stream_options={"include_usage": True}
    ) as stream:
        async for event in stream:
            kinds.add(event.type)
        final = await stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content
    assert final.usage.completion_tokens > 1


def test_the_streaming_helper_tells_each_piece_once(openai: OpenAI):
    with openai.chat.completions.stream(model="assistant", messages=HELLO, max_tokens=200) as stream:
        pieces = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(pieces) == final.choices[0].message.content


def test_parse_gives_the_type_that_was_asked_of_the_real_model(openai: OpenAI):
    answer = openai.chat.completions.parse(
        model="assistant",
        messages=[{"role": "user", "content": "Tell me of the city of Bern, in Switzerland."}],
        response_format=City,
        temperature=0,
        max_tokens=80,
    )
    parsed = answer.choices[0].message.parsed
    assert isinstance(parsed, City)
    assert parsed.name


def test_the_real_model_gives_logprobs_and_stops_where_it_is_told(openai: OpenAI):
    answer = openai.chat.completions.create(
        model="assistant",
        messages=[{"role": "user", "content": "Count: one two three four five"}],
        max_tokens=6,
        logprobs=True,
        top_logprobs=2,
        seed=1,
    )
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.content is not None
    assert len(told.content) == answer.usage.completion_tokens
    assert all(len(token.top_logprobs) == 2 for token in told.content)


def test_a_tool_is_called_and_its_result_is_answered(openai: OpenAI):
    tools = [pydantic_function_tool(GetWeather, name="get_weather")]
    asked = openai.chat.completions.parse(model="weather", messages=WEATHER, tools=tools)
    message = asked.choices[0].message
    assert message.tool_calls is not None
    (call,) = message.tool_calls
    assert call.function.parsed_arguments == GetWeather(city="Zürich")
    result = {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"sunny": True})}
    said = openai.chat.completions.create(
        model="weather",
        messages=[*WEATHER, message.model_dump(exclude_none=True, exclude={"parsed"}), result],
        tools=tools,
    )
    assert said.choices[0].finish_reason == "stop"
    assert said.choices[0].message.content


def test_a_streamed_tool_call_is_put_together_from_its_pieces(openai: OpenAI):
    tools = [pydantic_function_tool(GetWeather, name="get_weather")]
    with openai.chat.completions.stream(model="weather", messages=WEATHER, tools=tools) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
    assert [event.parsed_arguments for event in done] == [GetWeather(city="Zürich")]


def test_a_picture_reaches_the_model_untouched(openai: OpenAI, upstream: Upstream):
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": DOT, "detail": "low"}},
    ]
    openai.chat.completions.create(model="ok", messages=[{"role": "user", "content": parts}])
    assert json.loads(upstream.last()["body"])["messages"][0]["content"] == parts


def test_a_stream_that_breaks_is_an_api_error_and_no_short_answer(openai: OpenAI):
    stream = openai.chat.completions.create(model="close-mid-stream", messages=HELLO, stream=True)
    with pytest.raises(sdk.APIError) as raised:
        list(stream)
    assert raised.value.code
    assert raised.value.code.startswith("upstream_")


def test_the_retries_of_the_sdk_carry_one_idempotency_key(openai: OpenAI, upstream: Upstream):
    key = {"Idempotency-Key": "clients-once"}
    first = openai.chat.completions.create(model="ok", messages=HELLO, extra_headers=key)
    calls = upstream.stats()["models"]["scripted-ok"]
    again = openai.chat.completions.create(model="ok", messages=HELLO, extra_headers=key)
    assert again == first
    assert upstream.stats()["models"]["scripted-ok"] == calls


# ---- Responses ---------------------------------------------------------------------------------------------------
def test_responses_go_on_with_what_was_said(openai: OpenAI):
    first = openai.responses.create(model="assistant", input="My name is Ada.", max_output_tokens=24)
    assert first.output_text
    second = openai.responses.create(
        model="assistant", input="What is my name?", previous_response_id=first.id, max_output_tokens=24
    )
    assert second.output_text
    assert second.usage.input_tokens > first.usage.input_tokens + first.usage.output_tokens
    assert openai.responses.retrieve(second.id).output_text == second.output_text
    assert [item.type for item in openai.responses.input_items.list(second.id)] == ["message"]


def test_the_streaming_helper_of_responses_tells_each_piece_once(openai: OpenAI):
    with openai.responses.stream(model="assistant", input="Say hello.", max_output_tokens=400) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    told = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert told == final.output_text
    assert events[-1].type == "response.completed"


def test_parse_of_responses_gives_the_type_that_was_asked_of_the_real_model(openai: OpenAI):
    made = openai.responses.parse(
        model="assistant",
        input="Tell me of the city of Bern, in Switzerland.",
        text_format=City,
        temperature=0,
        max_output_tokens=80,
    )
    assert isinstance(made.output_parsed, City)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_the_tool_runner_of_responses_runs_a_tool_and_ends_with_the_answer(openai: OpenAI, stream: bool):
    asked: list[dict[str, object]] = []
    tool = {
        "type": "function",
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    }
    runner = ResponsesToolRunner(
        functions=[RegisteredFunction(tool, lambda said: asked.append(said) or "Sunny.")]
    )
    final = runner.run(
        openai, {"model": "weather", "input": "What is the weather in Zürich?"}, max_steps=4, stream=stream
    )
    assert asked == [{"city": "Zürich"}]
    assert final.output_text


def test_a_response_in_the_background_is_fetched_when_it_is_done(openai: OpenAI):
    made = openai.responses.create(
        model="assistant", input="Say hello.", background=True, max_output_tokens=24
    )
    assert made.status == "queued"

    def ended():
        found = openai.responses.retrieve(made.id)
        return found if found.status not in ("queued", "in_progress") else None

    assert until(ended, 20, every=0.2).output_text


def test_a_response_in_the_background_is_cancelled(openai: OpenAI):
    made = openai.responses.create(model="hang", input="Say hello.", background=True)
    assert openai.responses.cancel(made.id).status in ("cancelled", "in_progress", "queued")
    assert until(lambda: openai.responses.retrieve(made.id).status == "cancelled", 20, every=0.2)
