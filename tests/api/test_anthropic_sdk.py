"""The `anthropic` SDK, unchanged, in front of the door: over models of OpenAI's dialect and of its own."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic, beta_async_tool

from gateway.providers.scripted.messages import SIGNATURE
from gateway.providers.scripted.server import serve
from gateway.providers.scripted.upstream import Upstream
from tests.api.rest import Rest, a_quick_world, serving
from tests.api.world import KEY

HELLO: Any = [{"role": "user", "content": "Hello"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
SAID = "A café, a € sign, 漢字 and a "


@dataclass
class Door:
    """The door, the SDK in front of it, and the upstream of Anthropic's dialect behind."""

    rest: Rest
    sdk: Any
    claude: Upstream

    async def ask(self, model: str, **more: Any) -> Any:
        return await self.sdk.messages.create(model=model, max_tokens=100, **{"messages": HELLO, **more})


@pytest.fixture
async def door() -> AsyncGenerator[Door]:
    upstream = Upstream()
    server = await serve(upstream)
    at = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with serving(a_quick_world(claudes_at=at)) as rest:
        sdk = AsyncAnthropic(base_url=f"http://127.0.0.1:{rest.port}", api_key=KEY, max_retries=0)
        yield Door(rest, sdk, upstream)
        await sdk.close()
    server.close()


def plain(message: Any) -> list[dict[str, Any]]:
    """A message's blocks, without what the SDK's helpers add to them."""
    return [block.model_dump(exclude_none=True) for block in message.content]


def said_by(raised: Any) -> dict[str, Any]:
    """The body of an error that the SDK raised."""
    return raised.value.body


BOTH = pytest.mark.parametrize("model", ["good", "claude"])
TOOLS = pytest.mark.parametrize("model", ["tools", "claude-tools"])


# ---- answers -----------------------------------------------------------------------------------------------------
@BOTH
async def test_a_message_is_answered_whatever_the_upstream_speaks(door: Door, model: str):
    answer = await door.ask(model, system="Be kind.")
    assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "end_turn")
    assert [block.text for block in answer.content] == [SAID]
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 8)


@BOTH
async def test_the_headers_and_the_ledger_tell_of_it_like_of_any_request(door: Door, model: str):
    raw = await door.sdk.messages.with_raw_response.create(model=model, max_tokens=9, messages=HELLO)
    assert raw.headers["request-id"] == raw.headers["x-request-id"]
    assert raw.headers["x-gateway-model"] == model
    assert raw.headers["x-gateway-provider"] == ("scripted" if model == "good" else "anthropic")
    record = await door.rest.settled(raw.http_response)
    assert (record.request.endpoint, record.settlement.status) == ("/v1/messages", "completed")
    usage = record.settlement.usage
    assert usage is not None
    assert (usage.input, usage.output, usage.estimated) == (11, 8, False)
    assert record.settlement.attempts[0].finish_reason == "stop"


@BOTH
async def test_a_stream_of_text_is_helped_along_by_the_sdk(door: Door, model: str):
    async with door.sdk.messages.stream(model=model, max_tokens=100, messages=HELLO) as stream:
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(texts) == SAID
    assert len(texts) == 8
    assert final.stop_reason == "end_turn"
    assert (final.usage.input_tokens, final.usage.output_tokens) == (11, 8)


@BOTH
async def test_the_raw_events_come_in_the_order_that_anthropic_has(door: Door, model: str):
    stream = await door.ask(model, stream=True)
    kinds = [event.type async for event in stream]
    assert kinds == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 8,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_the_sdk_that_waits_works_as_well(door_address: str):
    with Anthropic(base_url=door_address, api_key=KEY, max_retries=0) as sdk:
        answer = sdk.messages.create(model="good", max_tokens=100, messages=HELLO)
        assert answer.content[0].type == "text"
        with sdk.messages.stream(model="good", max_tokens=100, messages=HELLO) as stream:
            assert stream.get_final_text() == SAID


@pytest.fixture
def door_address():
    """A door in a loop of its own, for a client that blocks."""
    import threading

    ready, stop = threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def run() -> None:
        async with serving(a_quick_world()) as rest:
            found.extend([f"http://127.0.0.1:{rest.port}", asyncio.get_running_loop()])
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(10)
    yield found[0]
    found[1].call_soon_threadsafe(stop.set)
    thread.join(10)


@BOTH
async def test_it_may_be_done_as_a_job(door: Door, model: str):
    body = {"model": model, "max_tokens": 100, "messages": HELLO}
    given = await door.rest.post("/v1/messages", body, prefer="respond-async")
    assert given.status_code == 202
    job = await door.rest.ended(given.json()["id"])
    assert (job["status"], job["endpoint"]) == ("completed", "/v1/messages")
    assert job["result"]["content"] == [{"type": "text", "text": SAID}]
    again = await door.rest.post("/api/v1/jobs", {"endpoint": "/v1/messages", "body": body})
    assert (await door.rest.ended(again.json()["id"]))["result"]["type"] == "message"


@BOTH
async def test_what_carries_a_key_is_told_again_event_by_event(door: Door, model: str):
    body = {"model": model, "max_tokens": 9, "messages": HELLO, "stream": True}
    first = await door.rest.post("/v1/messages", body, **{"idempotency-key": "k"})
    await door.rest.settled(first)
    again = await door.rest.post("/v1/messages", body, **{"idempotency-key": "k"})
    assert again.headers["x-gateway-replayed"] == "true"
    assert again.headers["request-id"] == first.headers["request-id"]
    told = [[line for line in each.text.splitlines() if not line.startswith(":")] for each in (first, again)]
    assert told[0] == told[1]
    assert told[0][0] == "event: message_start"


# ---- tools, thinking, images -------------------------------------------------------------------------------------
@TOOLS
async def test_a_tool_is_called_and_its_input_is_an_object(door: Door, model: str):
    answer = await door.ask(model, tools=[WEATHER], tool_choice={"type": "any"})
    assert answer.stop_reason == "tool_use"
    assert [(block.type, block.name, block.input) for block in answer.content] == [
        ("tool_use", "get_weather", {"city": "Zürich"})
    ]


@TOOLS
async def test_a_tools_input_is_streamed_piece_by_piece(door: Door, model: str):
    async with door.sdk.messages.stream(
        model=model, max_tokens=100, messages=HELLO, tools=[WEATHER]
    ) as stream:
        parts = [event.partial_json async for event in stream if event.type == "input_json"]
        final = await stream.get_final_message()
    assert json.loads("".join(parts)) == {"city": "Zürich"}
    assert final.content[0].type == "tool_use"
    assert final.content[0].input == {"city": "Zürich"}


@pytest.mark.parametrize("model", ["tools-once", "claude-tools"])
async def test_the_tool_runner_runs_a_tool_and_comes_to_an_end(door: Door, model: str):
    asked: list[str] = []

    @beta_async_tool
    async def get_weather(city: str) -> str:
        """The weather in a city.

        Args:
            city: its name
        """
        asked.append(city)
        return "Sunny, 21 °C"

    runner = door.sdk.beta.messages.tool_runner(
        model=model, max_tokens=100, messages=HELLO, tools=[get_weather]
    )
    final = await runner.until_done()
    assert asked == ["Zürich"]
    assert final.content[0].text == SAID


async def test_thoughts_come_back_with_their_signature(door: Door):
    answer = await door.ask("claude-thinks", thinking={"type": "adaptive"})
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert (answer.content[0].thinking, answer.content[0].signature) == ("Let me see.", SIGNATURE)
    async with door.sdk.messages.stream(model="claude-thinks", max_tokens=100, messages=HELLO) as stream:
        final = await stream.get_final_message()
    assert plain(final) == plain(answer)
    more = [*HELLO, {"role": "assistant", "content": answer.content}, *HELLO]
    await door.ask("claude-thinks", messages=more)
    assert SIGNATURE in door.claude.last[1].decode()


async def test_thoughts_of_another_dialect_are_thinking_too(door: Door):
    answer = await door.ask("thinks")
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert answer.content[0].thinking == "Let me see."
    async with door.sdk.messages.stream(model="thinks", max_tokens=100, messages=HELLO) as stream:
        assert plain(await stream.get_final_message()) == plain(answer)
    # They can be sent back, and reach no server that does not know what they are.
    more = [*HELLO, {"role": "assistant", "content": answer.content}, *HELLO]
    await door.ask("thinks", messages=more)
    assert "Let me see." not in door.rest.world.upstream.last[1].decode()


async def test_images_and_documents_reach_a_model_of_openais_dialect(door: Door):
    data = base64.b64encode(b"\x89PNG").decode()
    blocks: Any = [
        {"type": "text", "text": "What is it?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": data}},
    ]
    await door.ask("good", messages=[{"role": "user", "content": blocks}])
    sent = door.rest.world.upstream.last[1].decode()
    assert f'"url":"data:image/png;base64,{data}"' in sent
    assert f'"file_data":"data:application/pdf;base64,{data}"' in sent


async def test_what_cannot_be_carried_over_is_named_and_refused_to_the_strict(door: Door):
    more: Any = {"top_k": 7, "cache_control": {"type": "ephemeral"}}
    asked: Any = {"model": "good", "max_tokens": 9, "messages": HELLO, "extra_body": more}
    raw = await door.sdk.messages.with_raw_response.create(**asked)
    assert set(raw.headers["x-gateway-dropped"].split(",")) == {"top_k", "cache_control"}
    with pytest.raises(anthropic.BadRequestError) as refused:
        await door.sdk.messages.create(**asked, extra_headers={"x-gateway-strict": "true"})
    assert said_by(refused)["error"]["type"] == "invalid_request_error"
    same = await door.sdk.messages.with_raw_response.create(**{**asked, "model": "claude"})
    assert "x-gateway-dropped" not in same.headers


async def test_bytes_pass_through_to_an_upstream_of_the_same_dialect(door: Door):
    odd = (
        b'{"model":"claude","max_tokens":5, "messages":[ {"role" : "user","content":"Gr\xc3\xbc\\u00dfe"} ],'
        b'"x_unknown":{ "b":[1, 2.50 ]},"gateway":{"tags":{"team":"a"}}}'
    )
    headers = {
        "authorization": f"Bearer {KEY}",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "a-1,b-2",
    }
    answer = await door.rest.client.post("/v1/messages", content=odd, headers=headers)
    assert answer.status_code == 200
    sent, body = door.claude.last
    assert b'[ {"role" : "user","content":"Gr\xc3\xbc\\u00dfe"} ]' in body
    assert b'"x_unknown":{ "b":[1, 2.50 ]}' in body
    assert b"gateway" not in body
    assert (sent["anthropic-version"], sent["anthropic-beta"]) == ("2023-06-01", "a-1,b-2")
    await door.rest.client.post("/v1/messages", content=odd.replace(b"claude", b"good"), headers=headers)
    assert "anthropic-beta" not in door.rest.world.upstream.last[0]


# ---- counts and models -------------------------------------------------------------------------------------------
async def test_tokens_are_counted_by_the_provider_that_can_and_estimated_for_others(door: Door):
    counted = await door.sdk.messages.with_raw_response.count_tokens(model="claude", messages=HELLO)
    assert (await counted.parse()).input_tokens == 11
    assert "x-gateway-estimated" not in counted.headers
    guessed = await door.sdk.messages.with_raw_response.count_tokens(
        model="good", messages=HELLO, system="Be kind.", tools=[WEATHER]
    )
    assert 20 < (await guessed.parse()).input_tokens < 100
    assert guessed.headers["x-gateway-estimated"] == "true"
    assert guessed.headers["x-gateway-cost-usd"] in ("0", "0.00")
    calls = door.rest.world.upstream.stats()["calls"]
    assert calls == 0, "an estimate asks nobody"


async def test_models_are_listed_in_pages_and_found_by_name(door: Door):
    first = await door.sdk.models.list(limit=3)
    assert len(first.data) == 3
    assert first.has_more
    assert (first.first_id, first.last_id) == (first.data[0].id, first.data[-1].id)
    names = [model.id async for model in door.sdk.models.list(limit=3)]
    assert {"good", "claude", "assistant", "auto"} <= set(names)
    assert len(names) == len(set(names))
    before = await door.sdk.models.list(limit=2, before_id=names[4])
    assert [model.id for model in before.data] == names[2:4]
    one = await door.sdk.models.retrieve("good")
    assert (one.id, one.type, one.display_name) == ("good", "model", "good")
    with pytest.raises(anthropic.NotFoundError) as unknown:
        await door.sdk.models.retrieve("gpt-99")
    assert said_by(unknown)["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError):
        await door.sdk.models.list(after_id="gpt-99")


# ---- what goes wrong ---------------------------------------------------------------------------------------------
ERRORS: list[tuple[dict[str, Any], type[anthropic.APIStatusError], str]] = [
    ({"model": "gpt-99"}, anthropic.NotFoundError, "not_found_error"),
    ({"messages": []}, anthropic.BadRequestError, "invalid_request_error"),
    ({"messages": "Hello"}, anthropic.BadRequestError, "invalid_request_error"),
    ({"messages": [{"role": "robot", "content": "Hi"}]}, anthropic.BadRequestError, "invalid_request_error"),
    ({"model": "rejects"}, anthropic.BadRequestError, "invalid_request_error"),
    ({"model": "down"}, anthropic.InternalServerError, "api_error"),
    ({"model": "claude-down"}, anthropic.InternalServerError, "api_error"),
]


@pytest.mark.parametrize(("changed", "kind", "named"), ERRORS)
async def test_an_error_is_the_sdks_own(
    door: Door, changed: dict[str, Any], kind: type[anthropic.APIStatusError], named: str
):
    asked: Any = {"model": "good", "max_tokens": 100, "messages": HELLO, **changed}
    with pytest.raises(kind) as raised:
        await door.sdk.messages.create(**asked)
    assert said_by(raised)["type"] == "error"
    assert said_by(raised)["error"]["type"] == named
    assert said_by(raised)["request_id"] == raised.value.response.headers["request-id"]


async def test_max_tokens_is_required_and_named(door: Door):
    answer = await door.rest.post("/v1/messages", {"model": "good", "messages": HELLO})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "`max_tokens` is required."


async def test_a_wrong_key_is_an_authentication_error(door: Door):
    stranger = door.sdk.with_options(api_key="sk-wrong")
    with pytest.raises(anthropic.AuthenticationError):
        await stranger.messages.create(model="good", max_tokens=9, messages=HELLO)
    with pytest.raises(anthropic.AuthenticationError):
        await stranger.models.list()


@pytest.mark.parametrize("model", ["breaks", "claude-breaks", "claude-fails"])
async def test_a_stream_that_breaks_ends_with_an_error_event(door: Door, model: str):
    heard: list[str] = []

    async def listen() -> None:
        async for event in await door.ask(model, stream=True):
            heard.append(event.type)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(anthropic.APIStatusError) as raised:
        await listen()
    assert heard[:2] == ["message_start", "content_block_start"]
    assert "message_stop" not in heard
    assert said_by(raised)["error"]["type"] == "api_error"


async def test_a_model_that_is_down_is_left_for_one_of_another_dialect(door: Door):
    raw = await door.sdk.messages.with_raw_response.create(model="mixed", max_tokens=9, messages=HELLO)
    assert raw.headers["x-gateway-model"] == "good"
    assert raw.headers["x-gateway-attempts"] == "2"
    assert (await raw.parse()).content[0].text == SAID


async def test_a_chat_of_openais_dialect_is_answered_by_an_upstream_of_anthropics(door: Door):
    answer = await door.rest.chat({"model": "claude", "messages": HELLO, "seed": 7})
    said = answer.json()
    assert said["choices"][0]["message"]["content"] == SAID
    assert said["choices"][0]["finish_reason"] == "stop"
    assert said["usage"]["prompt_tokens"] == 11
    assert answer.headers["x-gateway-dropped"] == "seed"
