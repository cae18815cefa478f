"""The `openai` SDK, unchanged, in front of models whose upstreams speak Gemini's and Bedrock's wires."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import openai
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from gateway.domain.inference import Kind
from gateway.domain.registry import Registry
from gateway.providers.catalogue import open_provider
from gateway.providers.scripted.script import Script
from gateway.settings import Api, Inference, Providers, Settings
from gateway.v1.inference_pb2 import ChatMessage
from gateway.v1.inference_pb2_grpc import InferenceServiceStub
from tests.api.rest import QUICK_FALLBACK, Rest, serving
from tests.api.rpc import bearer, chat, streamed
from tests.api.world import KEY, a_world, rpc_channel
from tests.builders import a_model
from tests.contracts.doubles import TRANSLATING
from tests.contracts.upstreams import Inside

HELLO: Any = [{"role": "user", "content": "Hello"}]
SAID = "A café, a € sign, 漢字 and a "
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@dataclass
class Door:
    """The door, the SDK in front of it, and the upstream behind."""

    name: str
    rest: Rest
    sdk: Any
    upstream: Inside

    async def ask(self, model: str = "well", **more: Any) -> Any:
        return await self.sdk.chat.completions.create(model=model, **{"messages": HELLO, **more})


@pytest.fixture(params=["bedrock", "gemini"])
async def door(request: pytest.FixtureRequest) -> AsyncGenerator[Door]:
    name = request.param
    async with AsyncExitStack() as stack:
        provider = open_provider(name, Providers())
        stack.push_async_callback(provider.close)
        seen, base_url = await stack.enter_async_context(TRANSLATING[name]())
        models = [
            a_model("well", provider=name, base_url=base_url, upstream_model="scripted-ok"),
            a_model("tools", provider=name, base_url=base_url, upstream_model="scripted-tool-calls"),
            a_model("down", provider=name, base_url=base_url, upstream_model="scripted-503"),
            a_model("long", provider=name, base_url=base_url, upstream_model="scripted-context-too-long"),
            a_model(
                "breaks", provider=name, base_url=base_url, upstream_model="scripted-close-mid-stream?after=4"
            ),
            a_model(
                "vectors",
                provider=name,
                base_url=base_url,
                upstream_model="amazon.titan-embed-text-v2:0" if name == "bedrock" else "gemini-embedding",
                kind=Kind.EMBEDDING,
            ),
            a_model("good"),
        ]
        registry = Registry({model.name: model for model in models}, {"either": ("down", "well")}, "test")
        settings = Settings(inference=Inference(fallback=QUICK_FALLBACK), api=Api(grpc_port=0))
        world = a_world(settings, models=registry, providers={name: provider})
        rest = await stack.enter_async_context(serving(world))
        sdk = AsyncOpenAI(base_url=f"http://127.0.0.1:{rest.port}/v1", api_key=KEY, max_retries=0)
        stack.push_async_callback(sdk.close)
        yield Door(name, rest, sdk, seen)


async def test_a_chat_is_answered_told_of_and_priced_like_any(door: Door):
    raw = await door.sdk.chat.completions.with_raw_response.create(model="well", messages=HELLO, user="u")
    answer = raw.parse()
    assert answer.choices[0].message.content == SAID
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (11, 8)
    assert raw.headers["x-gateway-provider"] == door.name
    assert raw.headers["x-gateway-dropped"] == "user"
    assert raw.headers["x-gateway-cost-usd"] == "0.000027"
    record = await door.rest.settled(raw)
    [attempt] = record.settlement.attempts
    assert attempt.cost_usd == Decimal("0.000027")
    assert attempt.provider_request_id.startswith("req_")
    assert json.loads(record.prompt)["messages"] == HELLO


async def test_a_strict_request_is_refused_by_the_field_that_cannot_be_carried(door: Door):
    with pytest.raises(openai.BadRequestError) as raised:
        await door.ask(logit_bias={"1": 5}, extra_headers={"x-gateway-strict": "true"})
    assert (raised.value.code, raised.value.param) == ("field_not_supported", "logit_bias")
    assert door.upstream.stats()["calls"] == 0


async def test_a_stream_is_chunks_of_chat_with_the_usage_that_was_asked_for(door: Door):
    stream = await door.ask(stream=True, stream_options={"include_usage": True}, user="u")
    assert stream.response.headers["x-gateway-dropped"] == "user"
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == SAID
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 19)
    without = [chunk async for chunk in await door.ask(stream=True)]
    assert all(chunk.choices for chunk in without)


async def test_tools_are_called_answered_and_called_again_over_the_helpers(door: Door):
    answer = await door.ask("tools", tools=[WEATHER])
    message = answer.choices[0].message
    [called] = message.tool_calls
    assert (answer.choices[0].finish_reason, called.function.name) == ("tool_calls", "get_weather")
    assert json.loads(called.function.arguments) == {"city": "Zürich"}
    async with door.sdk.chat.completions.stream(model="tools", messages=HELLO, tools=[WEATHER]) as stream:
        whole = (await stream.get_final_completion()).choices[0].message
    assert whole.tool_calls[0].id == called.id
    assert json.loads(whole.tool_calls[0].function.arguments) == {"city": "Zürich"}
    more = [*HELLO, message, {"role": "tool", "tool_call_id": called.id, "content": "Sunny"}]
    await door.ask("well", messages=more, tools=[WEATHER])
    sent = door.upstream.last()[1].decode()
    assert "call_scripted" in sent
    assert "Sunny" in sent
    # The SDK's own object carries what it does not know, so that a signature comes back.
    assert ("c2lnbmVk" in sent) == (door.name == "gemini")


async def test_another_model_answers_where_one_is_down(door: Door):
    raw = await door.sdk.chat.completions.with_raw_response.create(model="either", messages=HELLO)
    assert (raw.headers["x-gateway-model"], raw.headers["x-gateway-attempts"]) == ("well", "2")


async def test_a_prompt_that_is_too_long_is_told_as_openai_tells_it(door: Door):
    with pytest.raises(openai.BadRequestError) as raised:
        await door.ask("long")
    assert raised.value.code == "context_length_exceeded"


async def test_a_stream_that_breaks_says_so_and_is_settled(door: Door):
    with pytest.raises(openai.APIError):
        async for _ in await door.ask("breaks", stream=True):
            pass


async def test_what_is_wrong_is_told_with_its_place(door: Door):
    with pytest.raises(openai.BadRequestError) as raised:
        await door.ask(messages=[{"role": "robot", "content": "x"}])
    assert raised.value.param == "messages[0].role"


async def test_texts_are_embedded(door: Door):
    answer = await door.sdk.embeddings.create(model="vectors", input=["a", "b"])
    assert [len(each.embedding) for each in answer.data] == [3, 3], "which the SDK asks for packed"


async def test_other_dialects_are_carried_over_chat(door: Door):
    answer = await door.sdk.responses.create(model="well", input="Hello")
    assert answer.output_text == SAID
    sdk = AsyncAnthropic(base_url=f"http://127.0.0.1:{door.rest.port}", api_key=KEY, max_retries=0)
    message = await sdk.messages.create(model="well", max_tokens=50, messages=HELLO)
    assert [block.text for block in message.content if block.type == "text"] == [SAID]
    door.upstream.upstream.models["scripted-ok"] = Script(tool_calls=True)
    async with sdk.messages.stream(model="well", max_tokens=50, messages=HELLO) as stream:
        final = await stream.get_final_message()
    assert (final.stop_reason, final.content[-1].type) == ("tool_use", "tool_use")
    await sdk.close()


async def test_over_grpc_a_tools_signature_goes_back_too(door: Door):
    async with rpc_channel(door.rest.world) as channel:
        inference = InferenceServiceStub(channel)
        answer = await inference.Chat(chat("tools"), metadata=bearer())
        said = answer.choices[0].message
        [called] = said.tool_calls
        assert json.loads(called.function.arguments) == {"city": "Zürich"}
        asked = chat("well")
        asked.messages.append(said)
        asked.messages.append(ChatMessage(role="tool", tool_call_id=called.id, content="Sunny"))
        assert (await inference.Chat(asked, metadata=bearer())).choices[0].message.content == SAID
        sent = door.upstream.last()[1].decode()
        assert ("c2lnbmVk" in sent) == (door.name == "gemini")
        chunks = [chunk async for chunk in inference.ChatStream(streamed("well"), metadata=bearer())]
        deltas = (c.chunk.choices[0].delta for c in chunks if c.chunk.choices)
        assert "".join(delta.content for delta in deltas) == SAID
