"""A Responses request as a chat request: every field has a place, is named as dropped, or is refused."""

import base64

import msgspec
import pytest

from gateway.domain.errors import InvalidRequest, NotCarried
from gateway.providers.dialects.responses.asked import carry
from gateway.providers.dialects.responses.items import SEALED


def fields(**body):
    body = {"model": "m", "input": "hi", **body}
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}


def carried(**body):
    asked = carry(fields(**body))
    return {name: msgspec.json.decode(value) for name, value in asked.body.items()}, asked


def messages(*items, **body):
    return carried(input=list(items), **body)[0]["messages"]


def user(text):
    return {"role": "user", "content": text}


def call(call_id="c1", name="f", arguments="{}"):
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def output(call_id="c1", value: object = "ok"):
    return {"type": "function_call_output", "call_id": call_id, "output": value}


def tool_call(call_id="c1", name="f", arguments="{}"):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


# ---- fields ------------------------------------------------------------------------------------------------------
def test_a_text_is_a_users_message_and_instructions_go_before_it():
    sent, asked = carried(instructions="Be kind.")
    assert sent == {"model": "m", "messages": [{"role": "system", "content": "Be kind."}, user("hi")]}
    assert asked.dropped == ()


def test_what_chat_calls_the_same_goes_as_it_came():
    alike = {
        "temperature": 0.5,
        "top_p": 0.9,
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "service_tier": "flex",
        "stream": True,
        "presence_penalty": 0.1,
    }
    sent, asked = carried(**alike)
    assert alike.items() <= sent.items()
    assert asked.dropped == ()


def test_what_chat_calls_otherwise_gets_its_name():
    sent, _ = carried(
        max_output_tokens=7,
        reasoning={"effort": "low", "summary": "auto"},
        text={"verbosity": "high", "format": {"type": "json_object"}},
        include=["message.output_text.logprobs"],
        top_logprobs=3,
    )
    assert sent["max_completion_tokens"] == 7
    assert sent["reasoning_effort"] == "low"
    assert sent["verbosity"] == "high"
    assert sent["response_format"] == {"type": "json_object"}
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 3)


def test_a_schema_is_carried_whole():
    schema = {"name": "x", "schema": {"type": "object"}, "strict": True, "description": "d"}
    sent, _ = carried(text={"format": {"type": "json_schema", **schema}})
    assert sent["response_format"] == {"type": "json_schema", "json_schema": schema}


def test_what_the_gateway_does_itself_is_neither_sent_nor_dropped():
    sent, asked = carried(
        store=True,
        metadata={"a": "b"},
        previous_response_id="resp_1",
        conversation="conv_1",
        background=False,
        max_tool_calls=3,
        gateway={"created_at": 1},
        truncation="disabled",
    )
    assert set(sent) == {"model", "messages"}
    assert asked.dropped == ()


def test_what_nobody_can_carry_is_named():
    _, asked = carried(
        truncation="auto",
        moderation={"model": "x"},
        include=["file_search_call.results", "reasoning.encrypted_content"],
        tools=[
            {"type": "web_search"},
            {"type": "function", "name": "f"},
            {"type": "mcp", "server_label": "x"},
        ],
        context_management=None,
    )
    assert asked.dropped == ("tools[0]", "tools[2]", "include[0]", "moderation", "truncation")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"input": 7}, "input"),
        ({"input": [7]}, "input[0]"),
        ({"input": [{"role": "nobody", "content": "x"}]}, "input[0].role"),
        ({"input": [user(7)]}, "input[0].content"),
        ({"input": [user([{"text": "x"}])]}, "input[0].content[0].type"),
        ({"input": [user([{"type": "input_text"}])]}, "input[0].content[0].text"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "input[0].arguments"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].id"),
        ({"instructions": 1}, "instructions"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"include": "all"}, "include"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "g"}}, "tool_choice.name"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(wrong, param):
    with pytest.raises(InvalidRequest) as caught:
        carry(fields(**wrong))
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"input": [user([{"type": "input_image", "file_id": "file-1"}])]}, "input[0].content[0].file_id"),
        (
            {"input": [user([{"type": "input_file", "file_url": "https://x"}])]},
            "input[0].content[0].file_url",
        ),
        ({"input": [user([{"type": "input_file", "file_id": "file-1"}])]}, "input[0].content[0].file_id"),
        ({"tool_choice": {"type": "web_search"}, "tools": [{"type": "web_search"}]}, "tool_choice"),
        ({"tool_choice": "required", "tools": [{"type": "web_search"}]}, "tool_choice"),
    ],
)
def test_an_answer_without_it_would_be_a_wrong_one_so_it_is_refused(wrong, param):
    with pytest.raises(NotCarried) as caught:
        carry(fields(**wrong))
    assert caught.value.param == param


# ---- tools -------------------------------------------------------------------------------------------------------
def test_functions_are_wrapped_and_the_choice_with_them():
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
    sent, _ = carried(tools=[tool], tool_choice={"type": "function", "name": "f"}, parallel_tool_calls=False)
    wrapped = {"name": "f", "parameters": {"type": "object"}, "strict": True}
    assert sent["tools"] == [{"type": "function", "function": wrapped}]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert sent["parallel_tool_calls"] is False


def test_without_tools_nothing_is_said_of_them():
    sent, _ = carried(tools=[{"type": "web_search"}], tool_choice="auto", parallel_tool_calls=True)
    assert set(sent) == {"model", "messages"}


def test_a_custom_tool_is_a_function_of_one_text_and_its_grammar_is_told():
    grammar = {"type": "grammar", "syntax": "regex", "definition": "[a-z]+"}
    sent, asked = carried(tools=[{"type": "custom", "name": "sh", "description": "Runs.", "format": grammar}])
    function = sent["tools"][0]["function"]
    assert function["parameters"]["required"] == ["input"]
    assert function["description"] == "Runs.\n\nThe input must match this regex grammar:\n[a-z]+"
    assert asked.tools.custom == {"sh"}
    assert asked.dropped == ("tools[0].format",)


def test_allowed_tools_are_those_that_are_sent():
    tools = [{"type": "function", "name": name} for name in "abc"]
    allowed = [{"type": "function", "name": "a"}, {"type": "function", "name": "c"}]
    sent, _ = carried(
        tools=tools, tool_choice={"type": "allowed_tools", "mode": "required", "tools": allowed}
    )
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["a", "c"]
    assert sent["tool_choice"] == "required"


# ---- items -------------------------------------------------------------------------------------------------------
def test_texts_alone_are_one_text_and_pictures_make_parts():
    text = {"type": "input_text", "text": "look"}
    image = {"type": "input_image", "image_url": "data:image/png;base64,xx", "detail": "low"}
    file = {"type": "input_file", "filename": "a.pdf", "file_data": "data:x"}
    audio = {"type": "input_audio", "input_audio": {"data": "xx", "format": "wav"}}
    assert messages(user([text, text])) == [user("look\nlook")]
    assert messages(user([text, image, file, audio])) == [
        user(
            [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,xx", "detail": "low"}},
                {"type": "file", "file": {"file_data": "data:x", "filename": "a.pdf"}},
                audio,
            ]
        )
    ]


def test_what_a_model_said_and_called_is_one_message():
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]}
    assert messages(user("go"), said, call("c1"), call("c2"), output("c1"), output("c2"), user("and?")) == [
        user("go"),
        {"role": "assistant", "content": "I look.", "tool_calls": [tool_call("c1"), tool_call("c2")]},
        {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        {"role": "tool", "tool_call_id": "c2", "content": "ok"},
        user("and?"),
    ]


def test_calls_after_outputs_are_another_message():
    sent = messages(user("go"), call("c1"), output("c1"), call("c2"), output("c2"))
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "assistant", "tool"]


def test_two_messages_of_a_model_stay_two_and_a_refusal_is_one():
    no = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert messages({"role": "assistant", "content": "a"}, no) == [
        {"role": "assistant", "content": "a"},
        {"role": "assistant", "content": None, "refusal": "No."},
    ]


def test_pictures_that_tools_gave_follow_when_all_outputs_are_there():
    image = {"type": "input_image", "image_url": "https://x/y.png"}
    text = {"type": "input_text", "text": "done"}
    sent = messages(
        user("go"), call("c1"), call("c2"), output("c1", [text, image]), output("c2"), user("so?")
    )
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool", "user", "user"]
    assert sent[2]["content"] == "done"
    assert sent[4]["content"] == [
        {"type": "text", "text": "What the tool call c1 gave, beside its text:"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
    ]


def test_a_custom_call_is_a_call_with_its_text_as_argument():
    custom = {"type": "custom_tool_call", "call_id": "c1", "name": "sh", "input": 'echo "hi"'}
    result = {"type": "custom_tool_call_output", "call_id": "c1", "output": "hi"}
    sent = messages(user("go"), custom, result)
    arguments = sent[1]["tool_calls"][0]["function"]["arguments"]
    assert msgspec.json.decode(arguments) == {"input": 'echo "hi"'}
    assert sent[2] == {"role": "tool", "tool_call_id": "c1", "content": "hi"}


def thoughts(text="hm", **more):
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": text}],
        **more,
    }


def test_thoughts_go_back_while_the_tools_they_led_to_are_at_work_and_no_longer():
    assert messages(user("go"), thoughts(), call(), output())[1]["reasoning_content"] == "hm"
    assert "reasoning_content" not in messages(user("go"), thoughts(), call(), output(), user("x"))[1]


def test_what_a_provider_sealed_goes_back_to_it():
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "s"}]
    sealed = SEALED + base64.b64encode(msgspec.json.encode({"thinking_blocks": blocks, "evil": 1})).decode()
    sent = messages(user("go"), thoughts(encrypted_content=sealed), call(), output(), user("x"))
    assert sent[1]["thinking_blocks"] == blocks
    assert "evil" not in sent[1]
    for foreign in ("gAAAA-of-another", SEALED + "%%%", SEALED + "eA=="):
        assert "thinking_blocks" not in messages(user("go"), thoughts(encrypted_content=foreign), call())[1]


def test_items_that_only_their_provider_understands_are_named():
    _, asked = carried(input=[user("go"), {"type": "web_search_call", "id": "ws_1", "status": "completed"}])
    assert asked.dropped == ("input[1]",)
