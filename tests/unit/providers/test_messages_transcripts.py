"""Streams as they were seen on the wire, and what each becomes in the other dialect, word for word.

The shapes of messages are those of https://platform.claude.com/docs/en/build-with-claude/streaming, those of chat of
https://platform.openai.com/docs/api-reference/chat-streaming and of the servers named.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.domain import errors
from gateway.domain.inference import Usage
from gateway.providers.anthropic.wire import judge
from gateway.providers.chat import read_event
from gateway.providers.dialects.messages.heard import Hearing
from gateway.providers.dialects.messages.told import Telling
from gateway.providers.messages import Messages
from gateway.providers.ports import Event
from gateway.providers.sse import EventStream
from gateway.providers.wire import Reading


def recorded(name: str) -> bytes:
    return (Path(__file__).parent / "transcripts" / f"messages_{name}.sse").read_bytes()


def chunks(name: str) -> list[dict[str, Any]]:
    """What a caller of chat is told: the changing part of each chunk, and what the ledger is told beside it."""
    wire, reading, hearing = Messages(), Reading(1 << 20, judge), Hearing(7)
    found: list[dict[str, Any]] = []
    for kind, data in EventStream(1 << 20).feed(recorded(name)):
        for event in hearing.feed(wire.event(kind, data, reading, "req_1")):
            chunk = msgspec.json.decode(event.data)
            assert (chunk["object"], chunk["created"]) == ("chat.completion.chunk", 7)
            choice = next(iter(chunk["choices"]), {})
            told = {"delta": choice.get("delta"), "finish": choice.get("finish_reason")}
            found.append(
                {k: v for k, v in told.items() if v} | ({"usage": event.usage} if event.usage else {})
            )
    assert hearing.end() == []
    return found


def call(index: int, **more: Any) -> dict[str, Any]:
    return {"delta": {"tool_calls": [{"index": index, **more}]}}


def test_a_text_and_two_calls_of_tools():
    assert chunks("tools") == [
        {"delta": {"role": "assistant", "content": None}},
        {"delta": {"content": "Okay"}},
        {"delta": {"content": ", let's see:"}},
        call(
            0,
            id="toolu_01T1x1fJ34qAmk2tNTrN7Up6",
            type="function",
            function={"name": "get_weather", "arguments": ""},
        ),
        call(0, function={"arguments": '{"location": "San'}),
        call(0, function={"arguments": ' Francisco, CA"}'}),
        call(1, id="toolu_02", type="function", function={"name": "get_time", "arguments": ""}),
        {"finish": "tool_calls"},
        {"usage": Usage(input=592, output=89, cached=100, cache_write=20)},
    ]


def test_thoughts_with_their_signature():
    assert chunks("thinking") == [
        {"delta": {"role": "assistant", "content": None}},
        {"delta": {"reasoning_content": "First, "}},
        {"delta": {"reasoning_content": "453 = 400 + 53."}},
        {
            "delta": {
                "thinking_blocks": [
                    {
                        "type": "thinking",
                        "thinking": "First, 453 = 400 + 53.",
                        "signature": "EqQBCgIYAhIM1gbc",
                    }
                ]
            }
        },
        {"delta": {"thinking_blocks": [{"type": "redacted_thinking", "data": "EmwKAhgBEgy3"}]}},
        {"delta": {"content": "27 * 453 = 12,231"}},
        {"finish": "stop"},
        {"usage": Usage(input=10, output=60, reasoning=40)},
    ]


def test_a_refusal():
    assert chunks("refusal") == [
        {"delta": {"role": "assistant", "content": None}},
        {"delta": {"refusal": "Not that."}, "finish": "content_filter"},
        {"usage": Usage(input=10, output=3)},
    ]


def test_an_error_in_the_middle():
    wire, reading = Messages(), Reading(1 << 20, judge)
    sent = EventStream(1 << 20).feed(recorded("overloaded"))
    for name, data in sent[:-1]:
        wire.event(name, data, reading, None)
    with pytest.raises(errors.UpstreamBroken) as broken:
        wire.event(*sent[-1], reading, None)
    assert broken.value.retryable
    assert "Overloaded" in (broken.value.detail or "")
    assert "Overloaded" not in broken.value.message


# ---- chat's chunks -----------------------------------------------------------------------------------------------
def events(*sent: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What a caller of messages is told, in short."""
    telling = Telling("01a2-03", {"END"})
    found: list[tuple[Any, ...]] = []
    for each in sent:
        data = msgspec.json.encode({"id": "chatcmpl-1", "model": "m", **each})
        found += [short(event) for event in telling.feed(read_event(data, Reading(1 << 20)))]
    return [*found, *map(short, telling.end())]


def short(told: Event) -> tuple[Any, ...]:
    event = msgspec.json.decode(told.data)
    match event["type"]:
        case "message_start":
            return ("start", event["message"]["id"], event["message"]["model"])
        case "content_block_start":
            return ("block", event["index"], event["content_block"])
        case "content_block_delta":
            kind, (value,) = event["delta"].pop("type"), event["delta"].values()
            return (kind, event["index"], value)
        case "content_block_stop":
            return ("stop", event["index"])
        case "message_delta":
            return ("end", event["delta"]["stop_reason"], event["delta"]["stop_sequence"], event["usage"])
        case _:
            return (event["type"],)


def delta(finish: str | None = None, **said: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": said, "finish_reason": finish}]}


USAGE = {
    "choices": [],
    "usage": {
        "prompt_tokens": 30,
        "completion_tokens": 9,
        "total_tokens": 39,
        "prompt_tokens_details": {"cached_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 4},
    },
}
TOLD = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 20,
    "output_tokens": 9,
    "output_tokens_details": {"thinking_tokens": 4},
}
START = ("start", "msg_01a203", "m")
EMPTY_TEXT = {"type": "text", "text": ""}
EMPTY_THOUGHT = {"type": "thinking", "thinking": "", "signature": ""}


def tool(called: str, name: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": called, "name": name, "input": {}}


def test_thoughts_text_and_calls_one_after_the_other():
    named = {"name": "a", "arguments": ""}
    assert events(
        delta(role="assistant", content=""),
        delta(reasoning_content="Hm."),
        delta(content="Yes"),
        delta(content="."),
        delta(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": named}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"x"'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ":1}"}}]),
        delta(tool_calls=[{"index": 1, "id": "call_2", "function": {"name": "b", "arguments": "{}"}}]),
        delta("tool_calls"),
        USAGE,
    ) == [
        START,
        ("block", 0, EMPTY_THOUGHT),
        ("thinking_delta", 0, "Hm."),
        ("stop", 0),
        ("block", 1, EMPTY_TEXT),
        ("text_delta", 1, "Yes"),
        ("text_delta", 1, "."),
        ("stop", 1),
        ("block", 2, tool("call_1", "a")),
        ("input_json_delta", 2, '{"x"'),
        ("input_json_delta", 2, ":1}"),
        ("stop", 2),
        ("block", 3, tool("call_2", "b")),
        ("input_json_delta", 3, "{}"),
        ("stop", 3),
        ("end", "tool_use", None, TOLD),
        ("message_stop",),
    ]


def test_calls_that_come_mixed_are_told_one_after_the_other():
    assert events(
        delta(tool_calls=[{"index": 0, "id": "call_1", "function": {"name": "a", "arguments": '{"x":'}}]),
        delta(tool_calls=[{"index": 1, "id": "call_2", "function": {"name": "b", "arguments": '{"y":'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "1}"}}]),
        delta(tool_calls=[{"index": 1, "function": {"arguments": "2}"}}]),
        delta("tool_calls"),
    )[1:-2] == [
        ("block", 0, tool("call_1", "a")),
        ("input_json_delta", 0, '{"x":'),
        ("input_json_delta", 0, "1}"),
        ("stop", 0),
        ("block", 1, tool("call_2", "b")),
        ("input_json_delta", 1, '{"y":2}'),
        ("stop", 1),
    ]


def test_calls_without_ids_and_numbers_come_whole():
    whole = [{"function": {"name": name, "arguments": '{"x":1}'}, "id": name * 2} for name in ("a", "b")]
    told = events(delta(tool_calls=whole[:1]), delta(tool_calls=whole[1:]), delta("stop"))
    assert [each for each in told if each[0] == "block"] == [
        ("block", 0, tool("aa", "a")),
        ("block", 1, tool("bb", "b")),
    ]
    assert told[-2][1] == "tool_use", "some servers say `stop` when a tool is called"
    nameless = events(delta(tool_calls=[{"index": 0, "function": {"name": "a", "arguments": "{}"}}]))
    assert nameless[1] == ("block", 0, tool("toolu_01a20300", "a"))


@pytest.mark.parametrize(
    ("choice", "ended"),
    [
        ({"finish_reason": "stop"}, ("end_turn", None)),
        ({"finish_reason": "length"}, ("max_tokens", None)),
        ({"finish_reason": "content_filter"}, ("refusal", None)),
        ({"finish_reason": "stop", "stop_reason": "END"}, ("stop_sequence", "END")),
        ({"finish_reason": "stop", "matched_stop": "END"}, ("stop_sequence", "END")),
        ({"finish_reason": "stop", "stop_reason": "</s>"}, ("end_turn", None)),
        ({"finish_reason": "stop", "stop_reason": 128009}, ("end_turn", None)),
        ({"finish_reason": "what is this"}, ("end_turn", None)),
    ],
)
def test_why_it_ended(choice: dict[str, Any], ended: tuple[str, str | None]):
    told = events(delta(content="Hi"), {"choices": [{"index": 0, "delta": {}, **choice}]})
    assert told[-2][1:3] == ended


def test_a_refusal_of_openais_is_a_text_and_the_reason():
    told = events(delta(refusal="I will "), delta(refusal="not."), delta("stop"))
    assert told[1:4] == [("block", 0, EMPTY_TEXT), ("text_delta", 0, "I will "), ("text_delta", 0, "not.")]
    assert told[-2][1] == "refusal"


def test_choices_beyond_the_first_are_not_told():
    other = {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "length"}]}
    assert events(delta(content="Hi"), other, delta("stop"))[2:] == [
        ("text_delta", 0, "Hi"),
        ("stop", 0),
        events(delta("stop"))[-2],
        ("message_stop",),
    ]
