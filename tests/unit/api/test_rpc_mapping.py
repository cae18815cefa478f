"""ChatRequest → OpenAI's JSON, and OpenAI's JSON → ChatResponse and ChatChunk."""

import json
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam
from pydantic import TypeAdapter

from api.rpc.answered import chat_chunk, chat_response
from api.rpc.asked import chat_body
from api.rpc.values import EXACT, json_of, struct_of
from api.service.ask import Hints
from api.service.forms import read_chat
from gateway.domain.errors import InvalidRequest, UpstreamMalformed
from gateway.domain.inference import Durability
from gateway.v1 import common_pb2
from gateway.v1 import inference_pb2 as pb
from gateway.v1.common_pb2 import DURABILITY_START_FIRST

# ---- asking ------------------------------------------------------------------------------------------------------
HELLO = [pb.ChatMessage(role="user", content="Hello")]


def asked(**fields):
    given: dict[str, Any] = {"model": "m", "messages": HELLO, **fields}
    return json.loads(chat_body(pb.ChatRequest(**given)))


def test_the_smallest_request_is_what_rest_would_get():
    assert asked() == {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def test_a_set_field_is_sent_even_when_it_is_nought_and_an_unset_one_is_not():
    body = asked(temperature=0, seed=0, logprobs=False, n=1)
    assert (body["temperature"], body["seed"], body["logprobs"], body["n"]) == (0, 0, False, 1)
    assert "top_p" not in body
    assert "stop" not in body


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_int64_is_a_number_and_exact(seed):
    body = asked(seed=seed)
    assert body["seed"] == seed
    assert type(body["seed"]) is int


@pytest.mark.parametrize("sent", [0.7, 0.1, 1e-9, 1.5])
def test_a_fraction_keeps_its_digits(sent):
    assert asked(temperature=sent)["temperature"] == sent


def test_all_kinds_of_messages_are_openais_own():
    call = pb.ToolCall(id="call_1", function=pb.FunctionCall(name="look", arguments='{"at":1}'), index=0)
    body = asked(
        messages=[
            pb.ChatMessage(role="system", content="Be brief."),
            pb.ChatMessage(
                role="user",
                name="ann",
                parts=[
                    pb.ContentPart(text="What is this?"),
                    pb.ContentPart(image_url=pb.ImageUrl(url="https://example.com/a.png", detail="low")),
                    pb.ContentPart(input_audio=pb.InputAudio(data="UklGRg==", format="wav")),
                    pb.ContentPart(file=pb.File(file_id="file-1")),
                ],
            ),
            pb.ChatMessage(role="assistant", tool_calls=[call]),
            pb.ChatMessage(role="tool", tool_call_id="call_1", content="A cat"),
            pb.ChatMessage(role="assistant", refusal="No.", content=""),
        ]
    )
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
            ],
            "name": "ann",
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}
            ],
        },
        {"role": "tool", "content": "A cat", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "", "refusal": "No."},
    ]
    TypeAdapter(list[ChatCompletionMessageParam]).validate_python(body["messages"])


def test_tools_and_their_schemas_keep_whole_numbers_whole():
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 10, "multipleOf": 0.5}},
    }
    body = asked(
        tools=[
            pb.Tool(
                function=pb.Function(
                    name="look", description="Looks.", parameters=struct_of(schema), strict=True
                )
            ),
            pb.Tool(custom=pb.CustomTool(name="shell", format=struct_of({"type": "text"}))),
        ],
        tool_choice=pb.ToolChoice(function="look"),
        parallel_tool_calls=False,
    )
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "look", "description": "Looks.", "parameters": schema, "strict": True},
        },
        {"type": "custom", "custom": {"name": "shell", "format": {"type": "text"}}},
    ]
    assert '"maximum":10,' in json.dumps(body["tools"], separators=(",", ":"))
    assert body["tool_choice"] == {"type": "function", "function": {"name": "look"}}
    assert body["parallel_tool_calls"] is False
    TypeAdapter(list[ChatCompletionToolUnionParam]).validate_python(body["tools"])


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_NONE), "none"),
        (pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_AUTO), "auto"),
        (pb.ToolChoice(mode=pb.TOOL_CHOICE_MODE_REQUIRED), "required"),
        (pb.ToolChoice(custom="shell"), {"type": "custom", "custom": {"name": "shell"}}),
    ],
)
def test_tool_choice_speaks_the_dialect(choice, said):
    assert asked(tool_choice=choice)["tool_choice"] == said


def test_structured_output_may_leave_its_type_out():
    schema = pb.JsonSchema(name="answer", schema=struct_of({"type": "object"}), strict=True)
    body = asked(response_format=pb.ResponseFormat(json_schema=schema))
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
    }
    assert asked(response_format=pb.ResponseFormat(type="json_object"))["response_format"] == {
        "type": "json_object"
    }


def test_lists_and_maps_are_lists_and_objects():
    body = asked(
        stop=["a", "b"],
        logit_bias={"50256": -100, "7": 0.5},
        metadata={"team": "search"},
        modalities=["text"],
    )
    assert body["stop"] == ["a", "b"]
    assert body["logit_bias"] == {"50256": -100, "7": 0.5}
    assert body["metadata"] == {"team": "search"}


def test_extras_stand_beside_the_known_fields_at_every_level():
    message = pb.ChatMessage(
        role="user",
        parts=[
            pb.ContentPart(text="a", extras=struct_of({"cache_control": {"type": "ephemeral"}})),
            pb.ContentPart(extras=struct_of({"type": "video_url", "video_url": {"url": "u"}})),
        ],
        extras=struct_of({"prefix": True}),
    )
    body = asked(
        messages=[message], extras=struct_of({"top_k": 40, "min_p": 0.05, "guided": {"a": [1, None]}})
    )
    assert (body["top_k"], body["min_p"], body["guided"]) == (40, 0.05, {"a": [1, None]})
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
                {"type": "video_url", "video_url": {"url": "u"}},
            ],
            "prefix": True,
        }
    ]


@pytest.mark.parametrize("name", ["stream", "stream_options", "gateway", "model", "messages"])
def test_what_the_door_sets_cannot_be_an_extra(name):
    with pytest.raises(InvalidRequest) as refused:
        asked(extras=struct_of({name: True}))
    assert refused.value.param == f"extras.{name}"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 1, "extras": struct_of({"temperature": 0})}, "extras.temperature"),
        (
            {"messages": [pb.ChatMessage(role="user", content="a", parts=[pb.ContentPart(text="b")])]},
            "messages.parts",
        ),
        ({"messages": [pb.ChatMessage(role="user", parts=[pb.ContentPart()])]}, "messages.parts"),
        ({"tools": [pb.Tool()]}, "tools"),
        ({"tool_choice": pb.ToolChoice()}, "tool_choice"),
        ({"tool_choice": pb.ToolChoice.FromString(b"\x08\x63")}, "tool_choice"),
        ({"gateway": common_pb2.GatewayOptions.FromString(b"\x10\x63")}, "gateway.durability"),
        ({"temperature": float("nan")}, None),
        ({"logit_bias": {"7": float("inf")}}, None),
    ],
)
def test_what_has_no_json_is_refused_by_its_name(fields, param):
    with pytest.raises(InvalidRequest) as refused:
        asked(**fields)
    assert refused.value.param == param


def test_our_own_options_are_read_as_those_of_rest():
    options = common_pb2.GatewayOptions(
        deadline=Duration(seconds=1, nanos=500_000_000),
        durability=DURABILITY_START_FIRST,
        tags={"team": "search"},
        metadata={"run": "7"},
    )
    request = pb.ChatRequest(model="m", messages=HELLO, gateway=options, metadata={"a": "b"})
    ask = read_chat(chat_body(request), Hints(deadline=timedelta(seconds=9)), door="grpc")
    assert ask.deadline == timedelta(seconds=1.5)
    assert ask.durability is Durability.START_FIRST
    assert ask.tags == {"team": "search"}
    assert ask.metadata == {"a": "b", "run": "7"}
    assert "gateway" not in ask.body
    assert "gateway" not in ask.text


def test_a_stream_asks_for_its_usage():
    request = pb.ChatRequest(model="m", messages=HELLO)
    ask = read_chat(chat_body(request, stream=True), Hints(), door="grpc")
    assert ask.stream
    assert ask.wants_usage


def test_the_same_request_has_the_same_bytes_whatever_the_order_of_its_maps():
    names = [f"k{i}" for i in range(20)]
    one = pb.ChatRequest(model="m", messages=HELLO, logit_bias=dict.fromkeys(names, 1))
    other = pb.ChatRequest(model="m", messages=HELLO, logit_bias=dict.fromkeys(reversed(names), 1))
    one.extras.update(dict.fromkeys(names, 1))
    other.extras.update(dict.fromkeys(reversed(names), 1))
    assert chat_body(one) == chat_body(other)


# ---- answering ---------------------------------------------------------------------------------------------------
texts = st.text(max_size=8)
wholes = st.integers(-EXACT, EXACT)
reals = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())
values = st.recursive(
    st.none() | st.booleans() | wholes | reals | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(texts, values, max_size=5))
def test_json_comes_back_from_a_struct_as_it_was(fields):
    assert json_of(struct_of(fields)) == fields


COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "gpt-4.1-mini-2025",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hi",
                "refusal": None,
                "reasoning_content": "Greet.",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "look", "arguments": "{}"},
                        "extra_content": {"signature": "s"},
                    }
                ],
                "annotations": [{"type": "url_citation"}],
            },
            "logprobs": {
                "content": [
                    {
                        "token": "Hi",
                        "logprob": -0.5,
                        "bytes": [72, 105],
                        "top_logprobs": [{"token": "Ho", "logprob": -2, "bytes": None}],
                    }
                ],
                "refusal": None,
            },
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 2,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1, "accepted_prediction_tokens": 0},
        "cost": 0.25,
    },
    "system_fingerprint": "fp_1",
    "service_tier": "default",
    "timings": {"prompt_n": 9, "ms": 1.5},
}


def test_a_completion_is_all_there():
    answer = chat_response(json.dumps(COMPLETION).encode())
    assert (answer.id, answer.created, answer.model) == ("chatcmpl-1", 1_700_000_000, "gpt-4.1-mini-2025")
    assert (answer.system_fingerprint, answer.service_tier) == ("fp_1", "default")
    choice = answer.choices[0]
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", "Hi")
    assert choice.message.reasoning_content == "Greet."
    assert not choice.message.HasField("refusal")
    assert json_of(choice.message.extras) == {"annotations": [{"type": "url_citation"}]}
    call = choice.message.tool_calls[0]
    assert (call.id, call.type, call.function.name, call.function.arguments) == (
        "call_1",
        "function",
        "look",
        "{}",
    )
    assert json_of(call.extras) == {"extra_content": {"signature": "s"}}
    token = choice.logprobs.content[0]
    assert (token.token, token.logprob, token.raw) == ("Hi", -0.5, b"Hi")
    assert (token.top_logprobs[0].token, token.top_logprobs[0].logprob) == ("Ho", -2)
    assert not token.top_logprobs[0].HasField("raw")
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (9, 2, 11)
    assert usage.prompt_tokens_details.cached_tokens == 4
    assert usage.prompt_tokens_details.HasField("audio_tokens")
    assert usage.completion_tokens_details.reasoning_tokens == 1
    assert json_of(usage.extras) == {"cost": 0.25}
    assert json_of(answer.extras) == {"timings": {"prompt_n": 9, "ms": 1.5}}


def test_the_message_of_an_answer_can_be_sent_on_as_it_is():
    answer = chat_response(json.dumps(COMPLETION).encode())
    sent = asked(messages=[*HELLO, answer.choices[0].message])["messages"][1]
    given = COMPLETION["choices"][0]["message"]
    assert sent == {name: value for name, value in given.items() if value is not None}


def test_a_chunk_is_all_there():
    chunk = chat_chunk(
        json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion.chunk",
                "created": 1_700_000_000,
                "model": "m",
                "choices": [
                    {
                        "index": 1,
                        "delta": {
                            "role": "assistant",
                            "content": "",
                            "tool_calls": [{"index": 2, "function": {"arguments": "{"}}],
                        },
                        "finish_reason": None,
                    }
                ],
                "usage": None,
                "obfuscation": "xyz",
            }
        ).encode()
    )
    choice = chunk.choices[0]
    assert (choice.index, choice.delta.role, choice.finish_reason) == (1, "assistant", "")
    assert choice.delta.HasField("content")
    assert (choice.delta.tool_calls[0].index, choice.delta.tool_calls[0].function.arguments) == (2, "{")
    assert not chunk.HasField("usage")
    assert json_of(chunk.extras) == {"obfuscation": "xyz"}


def test_what_is_of_another_kind_than_ours_is_kept_among_the_extras():
    answer = chat_response(
        b'{"id":7,"created":1.5,"model":null,"choices":[{"index":"0","finish_reason":{"r":1},"message":"Hi"}],"usage":[]}'
    )
    assert json_of(answer.extras) == {"id": 7, "created": 1.5, "usage": []}
    assert json_of(answer.choices[0].extras) == {"index": "0", "finish_reason": {"r": 1}, "message": "Hi"}


def test_content_in_parts_is_kept_in_parts():
    parts = [{"type": "text", "text": "a", "n": 1}, {"type": "thinking", "thinking": [{"text": "b"}]}]
    message = {"role": "assistant", "content": parts}
    answer = chat_response(json.dumps({"choices": [{"message": message}]}).encode())
    assert answer.choices[0].message.parts[0].text == "a"
    assert asked(messages=[answer.choices[0].message])["messages"] == [message]


def test_arguments_that_a_server_has_parsed_are_text_again():
    call = {"function": {"name": "look", "arguments": {"at": 1}}}
    answer = chat_response(json.dumps({"choices": [{"message": {"tool_calls": [call]}}]}).encode())
    assert answer.choices[0].message.tool_calls[0].function.arguments == '{"at":1}'


@pytest.mark.parametrize(
    ("said", "told"), [(2**53, 2**53), (2**53 + 1, str(2**53 + 1)), (10**400, str(10**400))]
)
def test_an_integer_beyond_a_doubles_reach_is_told_in_digits(said, told):
    assert json_of(chat_response(b'{"seed":%d}' % said).extras) == {"seed": told}


def test_a_token_count_beyond_int64_is_no_reason_to_refuse():
    answer = chat_response(b'{"usage":{"prompt_tokens":%d}}' % 2**64)
    assert json_of(answer.usage.extras) == {"prompt_tokens": str(2**64)}


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{", b'{"a":"\xff"}', b"<html>"])
def test_what_is_no_object_is_malformed(raw):
    with pytest.raises(UpstreamMalformed):
        chat_response(raw)


@pytest.mark.parametrize("depth", [10, 30, 200, 900])
def test_nesting_of_any_depth_can_be_read_by_clients(depth):
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    raw = b'{"choices":[{"message":{"tool_calls":[{"function":{"x":%b}}]},"logprobs":{"x":%b}}],"x":%b}' % (
        (nested,) * 3
    )
    answer = chat_response(raw)
    pb.ChatStreamResponse(chunk=chat_chunk(raw))
    assert pb.ChatResponse.FromString(answer.SerializeToString()) == answer


def test_likely_tokens_inside_of_likely_tokens_can_be_read_by_clients():
    token = b'{"token":"a","top_logprobs":[' * 200 + b"]}" * 200
    answer = chat_response(b'{"choices":[{"logprobs":{"content":[%b]}}]}' % token)
    assert pb.ChatResponse.FromString(answer.SerializeToString()) == answer


KNOWN = (
    "id object created model choices usage index message delta finish_reason logprobs role content tool_calls function "
    "custom arguments name type text refusal token logprob bytes top_logprobs prompt_tokens prompt_tokens_details "
    "cached_tokens completion_tokens_details x"
)
known = st.sampled_from(KNOWN.split(" "))
strange = st.recursive(
    st.none() | st.booleans() | st.integers() | reals | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known, inner, max_size=5),
    max_leaves=25,
)


@given(st.dictionaries(known, strange, max_size=6))
def test_no_answer_is_too_strange_to_be_told(said):
    raw = json.dumps(said).encode()
    for told in (chat_response(raw), chat_chunk(raw)):
        assert type(told).FromString(told.SerializeToString()) == told


choices = st.fixed_dictionaries(
    {
        "index": st.integers(0, 9),
        "message": st.fixed_dictionaries({"role": st.just("assistant"), "content": texts}),
    },
    optional={
        "finish_reason": st.sampled_from(["stop", "length"]),
        "x_more": values.filter(lambda v: v is not None),
    },
)
completions = st.fixed_dictionaries(
    {"id": texts.filter(bool), "model": texts.filter(bool), "choices": st.lists(choices, max_size=3)},
    optional={
        "usage": st.fixed_dictionaries({"prompt_tokens": st.integers(1, 2**63 - 1)}),
        "x_more": values.filter(lambda v: v is not None),
        "system_fingerprint": texts,
    },
)


def as_said(message):
    """The JSON that a message was made of."""
    said = {field.name: value for field, value in message.ListFields()}
    extras = json_of(said.pop("extras")) if "extras" in said else {}
    told = {}
    for name, value in said.items():
        if name == "choices":
            told[name] = [{"index": choice.index, **as_said(choice)} for choice in value]
        else:
            told[name] = as_said(value) if hasattr(value, "ListFields") else value
    return told | extras


@given(completions)
def test_completions_come_back_as_they_were(said):
    told = as_said(chat_response(json.dumps(said).encode()))
    assert {"choices": [], **told} == said
