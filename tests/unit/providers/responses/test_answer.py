"""Chat completions as responses: every one of them is what the SDK says a response is."""

import msgspec
import pytest

from gateway.domain.errors import UpstreamMalformed
from gateway.ids import new_id
from gateway.providers.dialects.responses.bridge import carry_response
from gateway.providers.dialects.responses.items import unseal
from tests.unit.providers.responses.sdk import a_response


def body(**fields):
    fields = {"model": "assistant", "input": "hi", **fields}
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def completion(message, finish="stop", **more):
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": None, **message},
        "finish_reason": finish,
    }
    return msgspec.json.encode({"id": "c", "model": "served", "choices": [choice], **more})


def answered(message, finish="stop", asked=None, **more):
    made = carry_response(body(**(asked or {})), new_id()).reply(completion(message, finish, **more))
    return a_response(made)


def test_a_text_is_a_message_under_the_requests_id():
    request = new_id()
    made = a_response(carry_response(body(), request).reply(completion({"content": "Hello"})))
    assert made.id == f"resp_{request}"
    assert (made.status, made.model, made.output_text) == ("completed", "served", "Hello")
    assert made.completed_at >= made.created_at
    assert [item.type for item in made.output] == ["message"]


def test_what_was_asked_is_told_back():
    asked = {
        "instructions": "Be kind.",
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "tools": [{"type": "function", "name": "f", "parameters": {}}, {"type": "custom", "name": "c"}],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {}}, "verbosity": "low"},
        "reasoning": {"effort": "high"},
        "max_output_tokens": 9,
        "user": "u",
        "gateway": {
            "created_at": 5,
            "previous_response_id": "resp_1",
            "conversation": "conv_1",
            "store": False,
        },
    }
    made = answered({"content": "x"}, asked=asked)
    assert made.instructions == "Be kind."
    assert made.metadata == {"a": "b"}
    assert (made.temperature, made.top_p, made.truncation) == (0.5, 1.0, "disabled")
    assert [tool.type for tool in made.tools] == ["function", "custom"]
    assert made.tool_choice.name == "f"
    assert made.text.format.name == "x"
    assert made.reasoning.effort == "high"
    assert (made.max_output_tokens, made.user, made.created_at) == (9, "u", 5)
    assert (made.previous_response_id, made.conversation.id) == ("resp_1", "conv_1")


def test_usage_has_its_details():
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 7,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    made = answered({"content": "x"}, usage=usage).usage
    assert (made.input_tokens, made.output_tokens, made.total_tokens) == (10, 7, 17)
    assert made.input_tokens_details.cached_tokens == 4
    assert made.output_tokens_details.reasoning_tokens == 5
    assert answered({"content": "x"}).usage is None


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_what_was_cut_off_is_incomplete_and_says_why(finish, reason):
    made = answered({"content": "x"}, finish)
    assert (made.status, made.incomplete_details.reason) == ("incomplete", reason)
    assert made.output[0].status == "incomplete"
    assert made.completed_at is None


def test_calls_thoughts_and_refusals_are_items():
    calls = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]
    made = answered({"content": "So.", "reasoning_content": "Hm.", "tool_calls": calls}, "tool_calls")
    assert [item.type for item in made.output] == ["reasoning", "message", "function_call"]
    assert made.output[0].content[0].text == "Hm."
    assert (made.output[2].call_id, made.output[2].arguments) == ("call_1", '{"a":1}')
    assert len({item.id for item in made.output}) == 3
    refused = answered({"refusal": "No."})
    assert refused.output[0].content[0].refusal == "No."


def test_thoughts_are_a_summary_for_whom_asked_for_one():
    made = answered({"content": "x", "reasoning": "Hm."}, asked={"reasoning": {"summary": "auto"}})
    assert made.output[0].summary[0].text == "Hm."
    assert made.output[0].content is None


def test_a_custom_tools_input_is_its_text_and_what_is_none_is_left_as_it_is():
    asked = {"tools": [{"type": "custom", "name": "sh"}]}
    calls = [
        {"id": "c1", "function": {"name": "sh", "arguments": '{"input": "ls \\"x\\""}'}},
        {"id": "c2", "function": {"name": "sh", "arguments": "ls"}},
        {"id": "c3", "function": {"name": "sh", "arguments": '{"input": 3}'}},
    ]
    made = answered({"tool_calls": calls}, "tool_calls", asked=asked)
    assert [(item.type, item.input) for item in made.output] == [
        ("custom_tool_call", 'ls "x"'),
        ("custom_tool_call", "ls"),
        ("custom_tool_call", '{"input": 3}'),
    ]


def test_signatures_are_sealed_to_come_back():
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "s"}]
    made = answered({"content": "x", "reasoning_content": "Hm.", "thinking_blocks": blocks})
    assert unseal(made.output[0].encrypted_content) == {"thinking_blocks": blocks}


def test_probabilities_and_citations_stand_with_the_text():
    token = {"token": "é", "logprob": -0.1, "bytes": None, "top_logprobs": [{"token": "e", "logprob": -2}]}
    cited = {"type": "url_citation", "url_citation": {"url": "https://x", "title": "X", "end_index": 3}}
    made = a_response(
        carry_response(body(), new_id()).reply(
            msgspec.json.encode(
                {
                    "choices": [
                        {
                            "message": {"content": "é", "annotations": [cited]},
                            "logprobs": {"content": [token]},
                            "finish_reason": "stop",
                        }
                    ]
                }
            )
        )
    )
    part = made.output[0].content[0]
    assert part.logprobs[0].bytes == list("é".encode())
    assert part.logprobs[0].top_logprobs[0].token == "e"
    assert part.annotations[0].url == "https://x"


@pytest.mark.parametrize("answer", [b"[", b"[]", b'{"choices":[]}', b'{"choices":[3]}', b"\xff"])
def test_what_is_no_completion_is_malformed(answer):
    with pytest.raises(UpstreamMalformed):
        carry_response(body(), new_id()).reply(answer)
