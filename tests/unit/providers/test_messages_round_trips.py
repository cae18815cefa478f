"""Chat and messages carried to each other and back: what both have words for comes back as it was."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.inference import Usage
from gateway.providers.chat import assemble as assemble_chat
from gateway.providers.chat import read_event
from gateway.providers.dialects.messages.answered import message
from gateway.providers.dialects.messages.asked import chat_request
from gateway.providers.dialects.messages.heard import Hearing
from gateway.providers.dialects.messages.inward import completion
from gateway.providers.dialects.messages.joined import assemble
from gateway.providers.dialects.messages.outward import Terms, messages_request
from gateway.providers.dialects.messages.tables import messages_usage
from gateway.providers.dialects.messages.told import Telling
from gateway.providers.dialects.messages.values import Lost
from gateway.providers.messages import Messages
from gateway.providers.sse import EventStream
from gateway.providers.wire import Reading

pytestmark = pytest.mark.slow

Json = dict[str, Any]
READING = Reading(1 << 20)

names = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=24).filter(lambda t: t.strip() == t != "")
ids = st.from_regex(r"toolu_[A-Za-z0-9]{1,12}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(names, values, max_size=3)
text_blocks = st.builds(lambda text: {"type": "text", "text": text}, texts)
images = st.sampled_from(
    [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
        },
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
    ]
)
papers = st.just(
    {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        "title": "a.pdf",
    }
)
thoughts = st.one_of(
    st.builds(lambda t, s: {"type": "thinking", "thinking": t, "signature": s}, texts, texts),
    st.builds(lambda d: {"type": "redacted_thinking", "data": d}, texts),
)
calls = st.builds(lambda i, n, o: {"type": "tool_use", "id": i, "name": n, "input": o}, ids, names, objects)


@st.composite
def answers(draw: st.DrawFn) -> list[Json]:
    """What a model said: thoughts, then a text, then calls of tools."""
    content: list[Json] = draw(st.lists(thoughts, max_size=2))
    content += draw(st.lists(text_blocks, max_size=1))
    content += draw(st.lists(calls, max_size=3, unique_by=lambda call: call["id"]))
    return content or [{"type": "text", "text": "Yes."}]


@st.composite
def conversations(draw: st.DrawFn) -> list[Json]:
    """Turns of user and assistant; each call is answered at the start of the turn after it."""
    turns: list[Json] = []
    called: list[Json] = []
    for _ in range(draw(st.integers(1, 3))):
        said = [{"type": "tool_result", "tool_use_id": call["id"], "content": draw(texts)} for call in called]
        said += draw(st.lists(text_blocks | images | papers, min_size=0 if said else 1, max_size=3))
        turns.append({"role": "user", "content": said})
        answer = draw(answers())
        called = [block for block in answer if block["type"] == "tool_use"]
        turns.append({"role": "assistant", "content": answer})
    return turns if called or draw(st.booleans()) else turns[:-1]


@st.composite
def requests(draw: st.DrawFn) -> Json:
    """Requests of messages in which there is nothing that chat has no word for."""
    asked: Json = {"model": "m", "max_tokens": draw(st.integers(1, 10**6)), "messages": draw(conversations())}
    for name, values_of in {
        "system": texts,
        "stop_sequences": st.lists(texts, min_size=1, max_size=3),
        "metadata": st.builds(lambda user: {"user_id": user}, texts),
        "service_tier": st.sampled_from(["auto", "standard_only"]),
        "stream": st.booleans(),
        "temperature": st.floats(0, 1),
    }.items():
        if draw(st.booleans()):
            asked[name] = draw(values_of)
    if draw(st.booleans()):
        asked["output_config"] = {"format": {"type": "json_schema", "schema": draw(objects)}}
    if "temperature" not in asked and draw(st.booleans()):
        effort = draw(st.sampled_from(["low", "medium", "high", "xhigh"]))
        asked["thinking"] = {"type": "adaptive"}
        asked["output_config"] = {**asked.get("output_config", {}), "effort": effort}
    if draw(st.booleans()):
        schemas = st.builds(lambda rest: {"type": "object", "properties": rest}, objects)
        tools = st.builds(
            lambda name, said, schema: {"name": name, "description": said, "input_schema": schema},
            names,
            texts,
            schemas,
        )
        asked["tools"] = draw(st.lists(tools, min_size=1, max_size=3))
        choice: Json = draw(
            st.sampled_from([{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "a"}])
        )
        if draw(st.booleans()):
            choice = {**choice, "disable_parallel_tool_use": True}
        if draw(st.booleans()):
            asked["tool_choice"] = choice
    return asked


@settings(max_examples=150)
@given(requests())
def test_a_request_that_is_carried_to_chat_and_back_is_the_same(asked: Json):
    lost = Lost()
    there = chat_request(msgspec.json.decode(msgspec.json.encode(asked)), lost)
    back = messages_request(msgspec.json.decode(msgspec.json.encode(there)), Terms(), lost)
    assert lost.paths == ()
    assert back == asked


@settings(max_examples=150)
@given(requests())
def test_a_chat_request_that_is_carried_to_messages_and_back_is_the_same(asked: Json):
    lost = Lost()
    chat = chat_request(asked, lost)
    there = messages_request(msgspec.json.decode(msgspec.json.encode(chat)), Terms(), lost)
    assert chat_request(there, lost) == chat
    assert lost.paths == ()


usages = st.builds(
    lambda rest, cached, written, output: Usage(
        input=rest + cached + written, output=output, cached=cached, cache_write=written
    ),
    *[st.integers(0, 10**6)] * 4,
)
reasons = st.sampled_from(["end_turn", "max_tokens", "stop_sequence", "refusal"])


@st.composite
def messages_of(draw: st.DrawFn) -> Json:
    """Whole answers of messages."""
    content = draw(answers())
    called = any(block["type"] == "tool_use" for block in content)
    reason = "tool_use" if called else draw(reasons)
    answer: Json = {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": "END" if reason == "stop_sequence" else None,
        "usage": messages_usage(draw(usages)),
    }
    if reason == "refusal":
        answer["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
    return answer


def streamed(answer: Json, size: int) -> bytes:
    """An answer as Anthropic streams it, its texts in pieces of this size."""
    begun = {**answer, "content": [], "stop_reason": None, "stop_sequence": None}
    begun.pop("stop_details", None)
    events: list[Json] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(answer["content"]):
        empty = {**block}
        deltas: list[Json] = []
        for name, kind in (("text", "text_delta"), ("thinking", "thinking_delta")):
            if name in block:
                empty[name] = ""
                deltas += [{"type": kind, name: part} for part in pieces(block[name], size)]
        if "signature" in block:
            empty["signature"] = ""
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        if "input" in block:
            empty["input"] = {}
            written = msgspec.json.encode(block["input"]).decode()
            deltas += [{"type": "input_json_delta", "partial_json": part} for part in pieces(written, size)]
        at = {"index": index}
        events.append({"type": "content_block_start", **at, "content_block": empty})
        events += [{"type": "content_block_delta", **at, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", **at})
    ended = {
        name: answer[name] for name in ("stop_reason", "stop_sequence", "stop_details") if name in answer
    }
    told = {"output_tokens": answer["usage"]["output_tokens"]}
    events += [{"type": "message_delta", "delta": ended, "usage": told}, {"type": "message_stop"}]
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), msgspec.json.encode(event)) for event in events
    )


def pieces(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


@settings(max_examples=150)
@given(messages_of())
def test_an_answer_that_is_carried_to_chat_and_back_is_the_same(answer: Json):
    lost = Lost()
    there = completion(msgspec.json.encode(answer), 0, lost)
    assert msgspec.json.decode(message(there, "01", {"END"})) == {**answer, "id": "msg_01"}
    assert lost.paths == ()


@settings(max_examples=100)
@given(messages_of(), st.integers(1, 7))
def test_a_stream_that_is_carried_to_chat_and_back_tells_the_same_answer(answer: Json, size: int):
    sent = streamed(answer, size)
    wire, reading, hearing, telling = Messages(), Reading(1 << 20), Hearing(0), Telling("01", {"END"})
    chunks: list[bytes] = []
    back: list[bytes] = []
    for name, data in EventStream(1 << 20).feed(sent):
        for chunk in hearing.feed(wire.event(name, data, reading, None)):
            chunks.append(chunk.data)
            again = read_event(chunk.data, READING)
            assert (again.text, again.usage_only, again.usage) == (chunk.text, chunk.usage_only, chunk.usage)
            back += [event.data for event in telling.feed(again)]
    back += [event.data for event in telling.end()]
    assert msgspec.json.decode(assemble(back)) == {**answer, "id": "msg_01"}
    # What the log joins of either dialect is one answer too.
    whole = msgspec.json.decode(completion(msgspec.json.encode(answer), 0, Lost()))
    joined = msgspec.json.decode(assemble_chat(chunks))
    said = {name: value for name, value in whole["choices"][0]["message"].items() if value is not None}
    heard = {name: value for name, value in joined["choices"][0]["message"].items() if value is not None}
    assert (heard.pop("content", None) or None) == (said.pop("content", None) or None)
    assert heard == said
    assert joined["usage"] == whole["usage"]


@settings(max_examples=60)
@given(messages_of(), st.data())
def test_every_split_of_the_bytes_gives_the_same_events(answer: Json, data: st.DataObject):
    sent = streamed(answer, 3)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=12)))
    assert heard(sent, [0, *cuts, len(sent)]) == heard(sent, [0, len(sent)])


def test_a_stream_that_comes_byte_by_byte_gives_the_same_events():
    answer = {
        "id": "msg_01",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "Ünd 🦊?", "signature": "c2ln"},
            {"type": "text", "text": "漢字 — «é»"},
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"ü": ["\u2028", 1]}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": messages_usage(Usage(input=9, output=5)),
    }
    sent = streamed(answer, 2)
    assert heard(sent, list(range(len(sent) + 1))) == heard(sent, [0, len(sent)])


def heard(sent: bytes, cuts: list[int]) -> list[Any]:
    """The chunks, and the events again, of bytes that came in these pieces."""
    stream, wire, reading = EventStream(1 << 20), Messages(), Reading(1 << 20)
    hearing, telling = Hearing(0), Telling("01")
    found: list[Any] = []
    for i, end in enumerate(cuts[1:]):
        for name, data in stream.feed(sent[cuts[i] : end]):
            for chunk in hearing.feed(wire.event(name, data, reading, None)):
                found.append(chunk)
                found.extend(telling.feed(chunk))
    return found


# ---- chat first --------------------------------------------------------------------------------------------------
@st.composite
def completions(draw: st.DrawFn) -> list[Json]:
    """Chunks of chat: thoughts without signatures, texts, and calls whose parts may come mixed."""
    deltas: list[Json] = [{"reasoning_content": text} for text in draw(st.lists(texts, max_size=2))]
    deltas += [{"content": text} for text in draw(st.lists(texts, max_size=3))]
    parts: list[list[Json]] = []
    for index, call in enumerate(draw(st.lists(calls, max_size=3, unique_by=lambda call: call["id"]))):
        written = msgspec.json.encode(call["input"]).decode()
        named = {"name": call["name"], "arguments": ""}
        parts.append(
            [{"index": index, "id": call["id"], "type": "function", "function": named}]
            + [{"index": index, "function": {"arguments": part}} for part in pieces(written, 4)]
        )
    while any(parts):
        one = draw(st.sampled_from([each for each in parts if each]))
        deltas.append({"tool_calls": [one.pop(0)]})
    finish = "tool_calls" if any("tool_calls" in delta for delta in deltas) else "stop"
    return [
        *({"choices": [{"index": 0, "delta": delta}]} for delta in [{"role": "assistant"}, *deltas]),
        {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}},
    ]


@settings(max_examples=150)
@given(completions())
def test_chunks_tell_the_same_message_as_the_completion_that_they_stand_for(chunks: list[Json]):
    sent = [msgspec.json.encode({"id": "c", "model": "m", **chunk}) for chunk in chunks]
    telling = Telling("01")
    events = [event for data in sent for event in telling.feed(read_event(data, READING))]
    assert telling.end() == []
    told = [msgspec.json.decode(event.data) for event in events]
    assert [event.name for event in events] == [each["type"] for each in told]
    whole = msgspec.json.decode(message(assemble_chat(sent), "01"))
    # Calls that come mixed are told one after the other, so their order may be another.
    joined = msgspec.json.decode(assemble([event.data for event in events]))
    assert sorted(map(str, joined.pop("content"))) == sorted(map(str, whole.pop("content")))
    assert joined == whole
    in_order(told)


def in_order(told: list[Json]) -> None:
    """One block after the other, each begun, then added to, then ended; one start and one end of all."""
    open_at, next_at = None, 0
    assert told[0]["type"] == "message_start"
    assert [each["type"] for each in told[-2:]] == ["message_delta", "message_stop"]
    for each in told[1:-2]:
        if each["type"] == "content_block_start":
            assert open_at is None
            assert each["index"] == next_at
            open_at, next_at = next_at, next_at + 1
        else:
            assert each["index"] == open_at
            if each["type"] == "content_block_stop":
                open_at = None
    assert open_at is None


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": 9, "completion_tokens": 2}])
def test_a_stream_without_a_closing_chunk_ends_all_the_same(usage: Json):
    telling = Telling("01")
    data = msgspec.json.encode(
        {
            "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "length"}],
            "usage": usage or None,
        }
    )
    assert telling.feed(read_event(data, READING))[-1].name == "content_block_delta"
    ended = [msgspec.json.decode(event.data) for event in telling.end()]
    assert [each["type"] for each in ended] == ["content_block_stop", "message_delta", "message_stop"]
    assert ended[1]["delta"]["stop_reason"] == "max_tokens"
    assert ended[1]["usage"]["input_tokens"] == usage.get("prompt_tokens", 0)
    assert telling.end() == []
