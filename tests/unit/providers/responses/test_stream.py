"""Chat chunks as a response's events: each is what the SDK says it is, and together they are the final response."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState

from gateway.domain.errors import UpstreamMalformed
from gateway.domain.inference import Usage
from gateway.ids import new_id
from gateway.providers.chat import read_event
from gateway.providers.dialects.responses.bridge import carry_response
from gateway.providers.dialects.responses.items import unseal
from gateway.providers.dialects.responses.wire import assemble
from gateway.providers.sse import EventStream
from gateway.providers.wire import Reading
from tests.unit.providers.responses.sdk import a_response, an_event

READING = Reading(1 << 20)
USAGE = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}


def body(**fields):
    fields = {"model": "assistant", "input": "hi", "stream": True, **fields}
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def chunk(delta=None, finish=None, **more):
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish, **more}
    return msgspec.json.encode({"id": "c", "model": "served", "choices": [choice]})


def usage_chunk():
    return msgspec.json.encode({"id": "c", "model": "served", "choices": [], "usage": USAGE})


def told(chunks, request=None, **asked):
    """All events of a stream of these chunks, checked one by one."""
    translator = carry_response(body(**asked), request or new_id()).stream()
    events = [event for data in chunks for event in translator.feed(read_event(data, READING))]
    events += translator.end()
    checked(events)
    return events


def checked(events, first=0):
    state = ResponseStreamState(input_tools=omit, text_format=omit)
    for number, event in enumerate(events, first):
        found = an_event(event)
        assert found.sequence_number == number
        if first == 0:
            state.handle_event(found)
    added, done = {}, {}
    deltas = {}
    for event in events:
        fields = msgspec.json.decode(event.data)
        match fields["type"]:
            case "response.output_item.added":
                added[fields["output_index"]] = fields["item"]["id"]
            case "response.output_item.done":
                done[fields["output_index"]] = fields["item"]
            case kind if kind.endswith(".delta"):
                deltas[place_of(fields)] = deltas.get(place_of(fields), "") + fields["delta"]
            case kind if kind.endswith(("_text.done", ".refusal.done", "arguments.done", "input.done")):
                whole = next(
                    fields[name] for name in ("text", "refusal", "arguments", "input") if name in fields
                )
                assert deltas.pop(place_of(fields), "") == whole
            case _:
                pass
    assert not deltas
    final = msgspec.json.decode(events[-1].data)["response"]
    assert [done[place] for place in sorted(done)] == final["output"]
    assert {place: item["id"] for place, item in done.items()} == added


def place_of(fields):
    kind = fields["type"].removesuffix(".delta").removesuffix(".done")
    return kind, fields["item_id"], fields.get("content_index", fields.get("summary_index"))


def names(events):
    return [event.name.removeprefix("response.") for event in events]


def final(events):
    return a_response(msgspec.json.decode(events[-1].data)["response"])


# ---- transcripts -------------------------------------------------------------------------------------------------
def test_a_text():
    events = told(
        [
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Hel"}),
            chunk({"content": "lo"}),
            chunk(finish="stop"),
            usage_chunk(),
        ]
    )
    assert names(events) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    made = final(events)
    assert (made.output_text, made.model, made.usage.total_tokens) == ("Hello", "served", 16)


def test_thoughts_then_words_then_calls_side_by_side():
    def tool(index, **function):
        return {"tool_calls": [{"index": index, **function}]}

    events = told(
        [
            chunk({"reasoning_content": "Hm, "}),
            chunk({"reasoning_content": "so."}),
            chunk({"content": "I look."}),
            chunk(tool(0, id="call_a", function={"name": "f", "arguments": ""})),
            chunk(tool(1, id="call_b", function={"name": "g", "arguments": '{"b"'})),
            chunk(tool(0, function={"arguments": '{"a":1}'})),
            chunk(tool(1, function={"arguments": ":2}"})),
            chunk(finish="tool_calls"),
        ]
    )
    assert names(events)[2:] == [
        "output_item.added",
        "content_part.added",
        "reasoning_text.delta",
        "reasoning_text.delta",
        "reasoning_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    made = final(events)
    assert [item.type for item in made.output] == ["reasoning", "message", "function_call", "function_call"]
    assert [item.arguments for item in made.output[2:]] == ['{"a":1}', '{"b":2}']


def test_thoughts_as_a_summary():
    events = told(
        [chunk({"reasoning": "Hm."}), chunk({"content": "x"}, "stop")], reasoning={"summary": "auto"}
    )
    assert names(events)[2:8] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    assert final(events).output[0].summary[0].text == "Hm."


def test_a_custom_tool_is_told_when_its_input_is_whole():
    tool = {"type": "custom", "name": "sh"}
    start = {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "sh", "arguments": '{"input":'}}]}
    events = told(
        [
            chunk(start),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"ls"}'}}]}),
            chunk(finish="tool_calls"),
        ],
        tools=[tool],
    )
    assert names(events)[2:] == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "completed",
    ]
    assert final(events).output[0].input == "ls"


def test_a_refusal_after_a_text_is_another_part():
    events = told(
        [chunk({"content": "Well"}), chunk({"refusal": "No"}), chunk({"refusal": "."}), chunk(finish="stop")]
    )
    assert [part.type for part in final(events).output[0].content] == ["output_text", "refusal"]
    assert final(events).output[0].content[1].refusal == "No."


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_what_was_cut_off_ends_as_incomplete(finish, reason):
    events = told([chunk({"content": "x"}), chunk(finish=finish), usage_chunk()])
    assert names(events)[-1] == "incomplete"
    assert final(events).incomplete_details.reason == reason
    assert final(events).output[0].status == "incomplete"


def test_an_empty_answer_is_a_response_without_output():
    assert names(told([chunk({"role": "assistant"}), chunk(finish="stop")])) == [
        "created",
        "in_progress",
        "completed",
    ]
    assert names(told([])) == ["created", "in_progress", "completed"]


def test_calls_that_servers_tell_in_their_own_ways():
    whole = [
        {"id": "a", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "function": {"name": "g", "arguments": "[]"}},
    ]
    assert [item.name for item in final(told([chunk({"tool_calls": whole}, "tool_calls")])).output] == [
        "f",
        "g",
    ]
    same = [chunk({"tool_calls": [{"index": 0, **call}]}) for call in whole]
    assert [item.name for item in final(told([*same, chunk(finish="stop")])).output] == ["f", "g"]
    late = [
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"arguments": "{"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "}"}}]}),
        chunk(finish="tool_calls"),
    ]
    assert final(told(late)).output[0].arguments == "{}"
    nameless = [chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}), chunk(finish="stop")]
    assert final(told(nameless)).output[0].call_id.startswith("call_")


def test_words_after_calls_are_another_message():
    call = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}
    events = told([chunk({"content": "a"}), chunk(call), chunk({"content": "b"}), chunk(finish="stop")])
    assert [item.type for item in final(events).output] == ["message", "function_call", "message"]


def test_signatures_come_sealed_with_the_thoughts_they_sign():
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
    events = told(
        [
            chunk({"reasoning_content": "Hm."}),
            chunk({"thinking_blocks": blocks}),
            chunk({"content": "x"}, "stop"),
        ]
    )
    assert unseal(final(events).output[0].encrypted_content) == {"thinking_blocks": blocks}


def test_probabilities_come_with_their_deltas_and_together_at_the_end():
    logprobs = {"content": [{"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": []}]}
    events = told(
        [
            chunk({"content": "x"}, logprobs=logprobs),
            chunk({"content": "x"}, logprobs=logprobs),
            chunk(finish="stop"),
        ]
    )
    assert len(final(events).output[0].content[0].logprobs) == 2


def test_only_the_first_choice_counts_and_strange_values_do_no_harm():
    strange = [
        b'{"choices":[{"index":1,"delta":{"content":"other"}}]}',
        b'{"choices":[{"index":0,"delta":{"content":7,"tool_calls":"x","reasoning":{}}},3]}',
        b'{"choices":null}',
    ]
    assert final(told([chunk({"content": "x"}), *strange, chunk(finish="stop")])).output_text == "x"


def test_what_is_no_json_is_malformed():
    stream = carry_response(body(), new_id()).stream()
    event = read_event(chunk({"content": "x"}), READING)
    with pytest.raises(UpstreamMalformed):
        stream.feed(type(event)(b"{"))


def test_events_that_were_told_before_are_not_told_again():
    translator = carry_response(body(gateway={"background": True, "told": 2}), new_id()).stream()
    events = [*translator.feed(read_event(chunk({"content": "x"}, "stop"), READING)), *translator.end()]
    checked(events, first=2)
    assert names(events)[:2] == ["in_progress", "output_item.added"]


def test_the_log_keeps_the_response_that_the_events_stand_for():
    events = told([chunk({"content": "x"}, "stop"), usage_chunk()])
    data = [event.data for event in events]
    assert a_response(assemble(data)).output_text == "x"
    cut = a_response(assemble(data[:-1]))
    assert (cut.status, cut.output_text) == ("in_progress", "x")
    assert assemble([]) == b"{}"
    assert assemble([b"{", b"[]", b'{"type":3}']) == b"{}"


# ---- properties --------------------------------------------------------------------------------------------------
_text = st.text(min_size=1, max_size=8)


def call_delta(index, text, fresh):
    named = {"id": f"call_{index}"} if fresh else {}
    function = {"name": f"f{index}" if fresh else None, "arguments": text}
    return {"tool_calls": [{"index": index, **named, "function": function}]}


_call = st.builds(call_delta, st.integers(0, 2), _text, st.booleans())
_delta = st.one_of(
    st.builds(lambda text: {"content": text}, _text),
    st.builds(lambda text: {"reasoning_content": text}, _text),
    st.builds(lambda text: {"refusal": text}, _text),
    _call,
    st.just({"role": "assistant"}),
)


@given(st.lists(_delta, max_size=12), st.sampled_from(["stop", "length", "tool_calls", None]), st.booleans())
@settings(max_examples=150)
def test_whatever_comes_in_whatever_order_the_pieces_are_the_whole(deltas, finish, summary):
    asked = {"reasoning": {"summary": "auto"}} if summary else {}
    request = new_id()
    events = told(
        [*(chunk(delta) for delta in deltas), chunk(finish=finish), usage_chunk()], request, **asked
    )
    made = final(events)
    assert made.id == f"resp_{request}"
    assert "".join(d["content"] for d in deltas if "content" in d) == made.output_text


def test_every_split_of_the_bytes_gives_the_same_events():
    chunks = [
        chunk({"reasoning_content": "hm é"}),
        chunk({"content": "漢字 🦊"}),
        chunk({"content": "!"}),
        chunk(finish="stop"),
        usage_chunk(),
    ]
    stream = b"".join(b"data: " + data + b"\n\n" for data in chunks) + b"data: [DONE]\n\n"
    request = new_id()
    whole = [event.data for event in told(chunks, request)][:-1]
    for place in range(len(stream)):
        parser, translator = EventStream(1 << 20), carry_response(body(), request).stream()
        found = []
        for part in (stream[:place], stream[place:]):
            for _, data in parser.feed(part):
                if data != b"[DONE]":
                    found += translator.feed(read_event(bytes(data), READING))
        found += translator.end()
        assert [event.data for event in found][:-1] == whole


def test_usage_is_that_of_the_chunks():
    translator = carry_response(body(), new_id()).stream()
    translator.feed(read_event(usage_chunk(), READING))
    assert read_event(usage_chunk(), READING).usage == Usage(11, 5)
    assert msgspec.json.decode(translator.end()[-1].data)["response"]["usage"]["input_tokens"] == 11
