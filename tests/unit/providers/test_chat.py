"""Chat completions are read once, sent on untouched, and joined for the log."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import errors
from gateway.domain.inference import Usage
from gateway.providers.chat import Reading, assemble, outgoing, read_event, read_reply

READING = Reading(limit=1 << 20)


def fields(body: str) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(body.encode(), type=dict[str, msgspec.Raw])


def chunk(**choice: Any) -> bytes:
    return msgspec.json.encode(
        {"id": "c-1", "object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]}
    )


# ---- reading -----------------------------------------------------------------------------------------------------
def test_an_event_says_its_text_and_keeps_its_bytes():
    data = b'{ "choices" : [ {"delta":{"content":"caf\xc3\xa9"} , "x":1} ], "x_unknown": 1.0 }'
    event = read_event(data, READING, "req-1")
    assert event.data is data
    assert (event.text, event.provider_request_id, event.usage_only) == ("café", "req-1", False)


@pytest.mark.parametrize(
    ("delta", "text"),
    [
        ({"content": "a"}, "a"),
        ({"content": None}, ""),
        ({"reasoning_content": "think"}, "think"),
        ({"reasoning": "think", "content": "say"}, "thinksay"),
        ({"reasoning": "think", "reasoning_content": "think"}, "think"),
        ({"refusal": "no"}, "no"),
        ({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a'}}]}, '{"a'),
        ({"tool_calls": [{"index": 0, "id": "x"}]}, ""),
        ({}, ""),
    ],
)
def test_all_that_was_generated_is_text(delta: dict[str, Any], text: str):
    assert read_event(chunk(delta=delta), READING).text == text


def test_without_a_header_the_completions_own_id_names_the_request():
    assert read_event(chunk(delta={}), READING).provider_request_id == "c-1"
    assert read_reply(b'{"id":"c-1","choices":[]}', READING).provider_request_id == "c-1"


def test_usage_beside_a_choice_is_not_a_chunk_of_usage_only():
    usage = b'{"prompt_tokens":3,"completion_tokens":2}'
    assert read_event(b'{"choices":[],"usage":%b}' % usage, READING).usage_only
    event = read_event(b'{"choices":[{"delta":{}}],"usage":%b}' % usage, READING)
    assert (event.usage, event.usage_only) == (Usage(3, 2), False)


@pytest.mark.parametrize(
    "usage", ["null", "{}", '{"prompt_tokens":null}', '"none"', "[1]", '{"prompt_tokens":"x"}']
)
def test_usage_that_says_nothing_is_none(usage: str):
    assert read_reply(b'{"choices":[],"usage":%b}' % usage.encode(), READING).usage is None


@pytest.mark.parametrize(
    "data",
    [
        b'{"choices":[{"delta":{"content":["a"]}}]}',
        b'{"choices":[{"delta":"a"}]}',
        b'{"choices":[7]}',
        b'{"choices":[{"delta":{"content":"a"},"finish_reason":{}}],"usage":"?"}',
        b'{"type":"ping"}',
        b'{"choices":[],"prompt_filter_results":[{}]}',
        b'{"id":7,"choices":[{"delta":{"content":"a"}}]}',
    ],
)
def test_an_event_of_a_kind_that_nobody_knows_passes(data: bytes):
    event = read_event(data, READING)
    assert (event.data, event.usage_only) == (data, False)


NAMES = st.sampled_from(["choices", "usage", "delta", "error", "content", "index", "id", "object", "x"])
scalars = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=12,
)


@given(values)
def test_any_json_is_an_event_or_an_error_of_ours(value: Any):
    data = msgspec.json.encode(value)
    with suppress(errors.UpstreamMalformed, errors.UpstreamBroken):
        assert read_event(data, READING).data == data
    assemble([data, data])


@given(st.binary(max_size=60))
def test_any_bytes_are_a_reply_or_an_error_of_ours(body: bytes):
    with pytest.raises(errors.GatewayError):
        read_reply(body, READING)


# ---- sending -----------------------------------------------------------------------------------------------------
def test_a_stream_is_asked_for_with_its_usage():
    sent = outgoing(fields('{"messages":[ ],"stream":false}'), "up/stream", stream=True)
    assert (
        sent == b'{"messages":[ ],"stream":true,"model":"up/stream","stream_options":{"include_usage":true}}'
    )


@pytest.mark.parametrize(
    ("given_options", "sent_options"),
    [
        ('{"include_usage":false}', '{"include_usage":true}'),
        ('{"include_obfuscation": false}', '{"include_obfuscation":false,"include_usage":true}'),
        ("null", '{"include_usage":true}'),
        ("[ 1 ]", "[ 1 ]"),
        ('"yes"', '"yes"'),
    ],
)
def test_stream_options_of_the_callers_stay(given_options: str, sent_options: str):
    sent = outgoing(fields('{"stream_options":' + given_options + "}"), "m", stream=True)
    assert f'"stream_options":{sent_options}' in sent.decode()


def test_what_is_not_streamed_says_nothing_of_streams():
    body = '{"model":"a","stream":true,"stream_options":{"include_usage":true},"n": 1}'
    assert outgoing(fields(body), "m", stream=False) == b'{"model":"m","n":1}'


def test_the_callers_body_is_not_changed_itself():
    body = fields('{"model":"a","stream_options":{"x":1}}')
    outgoing(body, "m", stream=True)
    assert {name: bytes(value) for name, value in body.items()} == {
        "model": b'"a"',
        "stream_options": b'{"x":1}',
    }


others = st.text(max_size=8).filter(lambda name: name not in {"model", "stream", "stream_options"})
raws = st.sampled_from(["1.0", "1e2", '"\\u00e9"', '{ "a" : [ ] }', "[1,  2]", "null", '"é"'])


@given(st.dictionaries(others, raws, max_size=6))
def test_every_other_value_is_the_callers_bytes(values: dict[str, str]):
    raw = {name: msgspec.Raw(value.encode()) for name, value in values.items()}
    for stream in (False, True):
        sent = msgspec.json.decode(outgoing(raw, "m", stream=stream), type=dict[str, msgspec.Raw])
        assert {name: bytes(sent[name]) for name in values} == {n: v.encode() for n, v in values.items()}


# ---- joining -----------------------------------------------------------------------------------------------------
def joined(*events: bytes) -> dict[str, Any]:
    return msgspec.json.decode(assemble(events))


def test_pieces_of_an_answer_are_joined():
    answer = joined(
        chunk(delta={"role": "assistant", "content": ""}),
        chunk(delta={"reasoning_content": "Let me "}),
        chunk(delta={"reasoning_content": "see."}),
        chunk(delta={"content": "caf"}),
        chunk(delta={"content": "é"}, logprobs={"content": [{"token": "é"}]}),
        chunk(delta={}, finish_reason="stop"),
        b'{"id":"c-1","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}',
    )
    assert answer == {
        "id": "c-1",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "café", "reasoning_content": "Let me see."},
                "finish_reason": "stop",
                "logprobs": {"content": [{"token": "é"}]},
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }


def test_tool_calls_are_joined_by_their_index():
    def call(index: int, **call: Any) -> bytes:
        return chunk(delta={"tool_calls": [{"index": index, **call}]})

    answer = joined(
        call(0, id="a", type="function", function={"name": "f", "arguments": ""}),
        call(1, id="b", type="function", function={"name": "g", "arguments": "{"}),
        call(0, function={"arguments": '{"x":'}),
        call(1, function={"arguments": "}"}),
        call(0, function={"arguments": "1}"}),
        chunk(delta={}, finish_reason="tool_calls"),
    )
    assert answer["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


def test_several_choices_stay_apart_and_in_order():
    def of(index: int, said: str) -> bytes:
        return msgspec.json.encode({"choices": [{"index": index, "delta": {"content": said}}]})

    answer = joined(of(1, "b"), of(0, "a"), of(1, "B"), of(0, "A"))
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["aA", "bB"]


def test_a_stream_that_broke_is_joined_as_far_as_it_came():
    answer = joined(chunk(delta={"content": "so "}), chunk(delta={"content": "far"}))
    assert answer["choices"][0]["message"]["content"] == "so far"
    assert answer["choices"][0]["finish_reason"] is None


def test_nothing_joined_is_an_empty_object():
    assert assemble([]) == assemble([b"nonsense", b"[]", b"{}"]) == b"{}"


@given(st.lists(st.text(max_size=5), min_size=1, max_size=8), st.data())
def test_joining_gives_back_what_was_cut(words: list[str], data: st.DataObject):
    whole = "".join(words)
    arguments = msgspec.json.encode({"a": whole}).decode()
    cut = data.draw(st.integers(0, len(arguments)))
    events = [chunk(delta={"content": word}) for word in words]
    parts = [{"index": 0, "function": {"arguments": part}} for part in (arguments[:cut], arguments[cut:])]
    events += [chunk(delta={"tool_calls": [part]}) for part in parts]
    message = joined(*events)["choices"][0]["message"]
    assert message["content"] == whole
    assert message["tool_calls"][0]["function"]["arguments"] == arguments
