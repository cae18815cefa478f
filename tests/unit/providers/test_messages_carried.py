"""Chat and messages: what changes on the way, what is left out and named, and what is refused by its path."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.domain.errors import InvalidRequest, UpstreamMalformed
from gateway.domain.inference import Usage
from gateway.providers.dialects.messages.answered import message
from gateway.providers.dialects.messages.asked import chat_request
from gateway.providers.dialects.messages.carried import MessagesOverChat
from gateway.providers.dialects.messages.counting import estimate
from gateway.providers.dialects.messages.inward import completion
from gateway.providers.dialects.messages.outward import Terms, messages_request
from gateway.providers.dialects.messages.values import Lost, encoded

HELLO = [{"role": "user", "content": "Hello"}]


def to_chat(**fields: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    lost = Lost()
    asked = {"model": "m", "max_tokens": 9, "messages": HELLO, **fields}
    return chat_request(asked, lost), lost.paths


def to_messages(terms: Terms | None = None, **fields: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    lost = Lost()
    return messages_request({"model": "m", "messages": HELLO, **fields}, terms or Terms(), lost), lost.paths


# ---- messages to chat --------------------------------------------------------------------------------------------
LOST = [
    ({"top_k": 5}, ("top_k",)),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, ("tools[0]",)),
    (
        {"tools": [{"name": "a", "input_schema": {}, "cache_control": {"type": "ephemeral"}}]},
        ("tools[0].cache_control",),
    ),
    (
        {"system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}]},
        ("system[0].cache_control",),
    ),
    ({"container": "c", "speed": "fast", "inference_geo": None}, ("container", "speed")),
    ({"thinking": {"type": "disabled"}}, ("thinking",)),
    ({"service_tier": "odd"}, ("service_tier",)),
    ({"x_unknown": {"a": 1}}, ("x_unknown",)),
    (
        {
            "messages": [
                {"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}
            ]
        },
        ("messages[0].content[0].source",),
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]},
        ("messages[0].content[0]",),
    ),
    (
        {
            "messages": [
                *HELLO,
                {
                    "role": "assistant",
                    "content": [{"type": "server_tool_use", "id": "s", "name": "web_search"}],
                },
            ]
        },
        ("messages[1].content[0]",),
    ),
]


@pytest.mark.parametrize(("fields", "names"), LOST)
def test_what_chat_has_no_word_for_is_left_out_and_named(fields: dict[str, Any], names: tuple[str, ...]):
    chat, lost = to_chat(**fields)
    assert lost == names
    assert not set(names) & chat.keys()


def test_so_many_names_are_bounded_since_they_go_into_a_header():
    _, lost = to_chat(**{f"x_{number}": 1 for number in range(100)})
    assert len(lost) == 32
    _, lost = to_chat(**{"x" * 500: 1, "a\r\nset-cookie: b": 1, "ü": 1})
    assert lost == ("x" * 120, "a\\r\\nset-cookie: b", "\\xfc")


def test_results_of_tools_go_before_what_the_user_says_and_their_images_after():
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    result = {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": [{"type": "text", "text": "A"}, image],
    }
    failed = {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no such city", "is_error": True}
    silent = {"type": "tool_result", "tool_use_id": "toolu_3", "is_error": True}
    said = {"type": "text", "text": "Well?"}
    chat, lost = to_chat(messages=[{"role": "user", "content": [said, result, failed, silent]}])
    assert lost == ()
    assert chat["messages"] == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": "A"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "Error: no such city"},
        {"role": "tool", "tool_call_id": "toolu_3", "content": "Error"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Well?"},
                {"type": "text", "text": "What the tool call toolu_1 has shown:"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            ],
        },
    ]


def test_thoughts_without_a_signature_are_ours_and_carried_as_words_alone():
    blocks = [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "thinking", "thinking": "So.", "signature": "sig"},
        {"type": "text", "text": "Yes."},
    ]
    chat, _ = to_chat(messages=[*HELLO, {"role": "assistant", "content": blocks}])
    assert chat["messages"][1] == {
        "role": "assistant",
        "content": "Yes.",
        "reasoning_content": "Hm.So.",
        "thinking_blocks": [blocks[1]],
    }


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 32_000}}, "high"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "xhigh"),
        ({"output_config": {"effort": "low"}}, "low"),
        ({}, None),
    ],
)
def test_how_hard_it_is_to_think(fields: dict[str, Any], effort: str | None):
    chat, lost = to_chat(**fields)
    assert (chat.get("reasoning_effort"), lost) == (effort, ())


def test_a_long_user_id_is_hashed_and_tags_beside_it_are_the_gateways():
    chat, lost = to_chat(metadata={"user_id": "u" * 65, "team": "search"})
    assert (len(chat["user"]), lost) == (64, ())
    assert to_chat(metadata={"user_id": "u" * 64})[0]["user"] == "u" * 64


WRONG = [
    ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": ["Hi"]}]}, "messages[0].content[0]"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": "here"}]}]},
        "messages[0].content[0].source",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]},
        "messages[0].content[0].tool_use_id",
    ),
    ({"tools": {}, "tool_choice": {"type": "auto"}}, None),
    ({"tools": "all"}, "tools"),
    ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
    ({"tools": [{"name": "a", "input_schema": {}}], "tool_choice": {"type": "some"}}, "tool_choice.type"),
    ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ({"max_tokens": 1.5}, "max_tokens"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG)
def test_what_is_wrong_is_named_by_its_path(fields: dict[str, Any], param: str | None):
    if param is None:
        assert to_chat(**fields)[1] == ("tool_choice",)
        return
    with pytest.raises(InvalidRequest) as refused:
        to_chat(**fields)
    assert refused.value.param == param
    assert f"`{param}`" in refused.value.message


# ---- chat to messages --------------------------------------------------------------------------------------------
def test_what_the_system_says_is_gathered_and_turns_alternate():
    sent, lost = to_messages(
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hello"},
            {"role": "user", "content": [{"type": "text", "text": "there"}, {"type": "text", "text": ""}]},
            {"role": "developer", "content": "Be brief."},
            {"role": "assistant", "content": "", "refusal": None},
            {"role": "assistant", "content": "Hi  "},
        ]
    )
    assert lost == ()
    assert sent["system"] == [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Be brief."}]
    assert sent["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
    ]
    assert sent["max_tokens"] == 4096


def test_calls_and_their_results_are_turns_of_assistant_and_user():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    odd = {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "not json"}}
    sent, _ = to_messages(
        messages=[
            *HELLO,
            {"role": "assistant", "content": None, "tool_calls": [call, odd]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
            {"role": "user", "content": "Well?"},
        ]
    )
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
    assert [block["input"] for block in sent["messages"][1]["content"]] == [
        {"a": 1},
        {"arguments": "not json"},
    ]
    assert sent["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
        {"type": "tool_result", "tool_use_id": "c2", "content": "two"},
        {"type": "text", "text": "Well?"},
    ]


def test_marks_for_the_cache_are_kept_where_anthropic_has_them():
    mark = {"type": "ephemeral", "ttl": "1h"}
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": mark}
    sent, lost = to_messages(
        messages=[
            {"role": "system", "content": [{"type": "text", "text": "Long.", "cache_control": mark}]},
            {"role": "user", "content": "Hello", "cache_control": mark},
        ],
        tools=[tool],
    )
    assert lost == ()
    assert sent["system"] == [{"type": "text", "text": "Long.", "cache_control": mark}]
    assert sent["messages"][0]["content"] == [{"type": "text", "text": "Hello", "cache_control": mark}]
    assert sent["tools"] == [
        {"name": "f", "input_schema": {"type": "object"}, "cache_control": mark},
    ]


@pytest.mark.parametrize(
    ("fields", "sampling", "lost"),
    [
        ({"temperature": 0.5, "top_k": 3}, {"temperature": 0.5, "top_k": 3}, ()),
        ({"temperature": 1.7}, {"temperature": 1}, ("temperature",)),
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5}, ("top_p",)),
        ({"top_p": 0.9}, {"top_p": 0.9}, ()),
        ({"temperature": 1, "reasoning_effort": "low"}, {}, ()),
        ({"temperature": 0.5, "reasoning_effort": "low"}, {}, ("temperature",)),
        ({"temperature": 0.5, "reasoning_effort": "none"}, {"temperature": 0.5}, ()),
    ],
)
def test_a_temperature_is_one_that_anthropic_takes(
    fields: dict[str, Any], sampling: dict[str, Any], lost: tuple[str, ...]
):
    sent, names = to_messages(**fields)
    assert {k: v for k, v in sent.items() if k in ("temperature", "top_p", "top_k")} == sampling
    assert names == lost


def test_a_model_that_takes_no_sampling_is_sent_none():
    sent, lost = to_messages(Terms(samples=False), temperature=0.5, top_k=1)
    assert not {"temperature", "top_k"} & sent.keys()
    assert lost == ("temperature", "top_k")


@pytest.mark.parametrize(
    ("fields", "thinking", "lost"),
    [
        (
            {"reasoning_effort": "medium", "max_tokens": 20_000},
            {"type": "enabled", "budget_tokens": 8192},
            (),
        ),
        ({"reasoning_effort": "high", "max_tokens": 5_000}, {"type": "enabled", "budget_tokens": 4999}, ()),
        ({"reasoning_effort": "high", "max_tokens": 1_000}, None, ("reasoning_effort",)),
        ({"reasoning_effort": "none"}, {"type": "disabled"}, ()),
        (
            {
                "reasoning_effort": "low",
                "tools": [{"type": "function", "function": {"name": "f"}}],
                "tool_choice": "required",
            },
            None,
            ("reasoning_effort",),
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 5}}, {"type": "enabled", "budget_tokens": 5}, ()),
    ],
)
def test_a_model_that_knows_a_budget_is_given_one(
    fields: dict[str, Any], thinking: dict[str, Any] | None, lost: tuple[str, ...]
):
    sent, names = to_messages(Terms(budgets=True), **fields)
    assert (sent.get("thinking"), names) == (thinking, lost)
    assert "output_config" not in sent


LOST_OUT = [
    ({"seed": 1, "n": 2, "logprobs": True}, {"seed", "n", "logprobs"}),
    ({"n": 1, "logprobs": False, "presence_penalty": 0, "modalities": ["text"], "seed": None}, set[str]()),
    ({"response_format": {"type": "json_object"}}, {"response_format"}),
    ({"response_format": {"type": "text"}}, set[str]()),
    ({"service_tier": "flex"}, {"service_tier"}),
    ({"service_tier": "default"}, set[str]()),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, {"tools[0]"}),
    ({"metadata": {"team": "a"}, "stream_options": {"include_usage": True}}, set[str]()),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "name": "Ann",
                    "content": [
                        {"type": "text", "text": "Hi"},
                        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
                        {"type": "file", "file": {"file_id": "f"}},
                        {"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA"}},
                    ],
                }
            ]
        },
        {"messages[0].name", *(f"messages[0].content[{n}]" for n in (1, 2, 3))},
    ),
]


@pytest.mark.parametrize(("fields", "names"), LOST_OUT)
def test_what_messages_has_no_word_for_is_left_out_and_named(fields: dict[str, Any], names: set[str]):
    assert set(to_messages(**fields)[1]) == names


def test_the_bound_is_the_callers_then_the_models():
    assert to_messages(Terms(most=64_000))[0]["max_tokens"] == 64_000
    assert to_messages(Terms(most=64_000), max_tokens=5)[0]["max_tokens"] == 5
    assert to_messages(max_completion_tokens=7, max_tokens=5)[0]["max_tokens"] == 7


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages[0].role"),
        ({"reasoning_effort": "much"}, "reasoning_effort"),
        ({"temperature": "hot"}, "temperature"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "some"},
            "tool_choice",
        ),
    ],
)
def test_what_is_wrong_in_a_chat_is_named_by_its_path(fields: dict[str, Any], param: str):
    with pytest.raises(InvalidRequest) as refused:
        to_messages(**fields)
    assert refused.value.param == param


# ---- answers -----------------------------------------------------------------------------------------------------
def test_what_chat_has_no_word_for_in_an_answer_is_named():
    content = [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "text", "text": "Yes", "citations": [{"type": "char_location"}]},
    ]
    lost = Lost()
    completion(msgspec.json.encode({"content": content}), 0, lost)
    assert lost.paths == ("content[0]", "content[1].citations")


def test_a_completion_without_choices_is_no_answer():
    with pytest.raises(UpstreamMalformed):
        message(b'{"choices":[]}', "01")


@pytest.mark.parametrize(
    ("choice", "content", "reason"),
    [
        (
            {"message": {"content": "Yes", "reasoning": "Hm."}, "finish_reason": "stop"},
            [{"type": "thinking", "thinking": "Hm.", "signature": ""}, {"type": "text", "text": "Yes"}],
            "end_turn",
        ),
        (
            {"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"},
            [{"type": "text", "text": "No."}],
            "refusal",
        ),
        (
            {
                "message": {"tool_calls": [{"function": {"name": "f", "arguments": "{broken"}}]},
                "finish_reason": "stop",
            },
            [{"type": "tool_use", "id": "toolu_0100", "name": "f", "input": {"arguments": "{broken"}}],
            "tool_use",
        ),
        ({"message": {"content": ""}, "finish_reason": "length"}, [], "max_tokens"),
    ],
)
def test_an_answer_of_chat_is_one_of_messages(choice: dict[str, Any], content: list[Any], reason: str):
    told = msgspec.json.decode(message(msgspec.json.encode({"model": "m", "choices": [choice]}), "01"))
    assert (told["content"], told["stop_reason"]) == (content, reason)
    assert told["usage"]["input_tokens"] == 0


# ---- the bridge, and counts --------------------------------------------------------------------------------------
def test_the_bridge_names_what_it_drops_and_the_answer_after_the_request():
    asked: dict[str, Any] = {
        "model": "m",
        "max_tokens": 9,
        "messages": HELLO,
        "stop_sequences": ["END"],
        "top_k": 1,
    }
    carried = MessagesOverChat(encoded(asked), "01a2-b3")
    assert carried.dropped == ("top_k",)
    assert bytes(carried.body["max_completion_tokens"]) == b"9"
    choice = {"message": {"content": "Hi"}, "finish_reason": "stop", "stop_reason": "END"}
    told = msgspec.json.decode(carried.reply(msgspec.json.encode({"choices": [choice]})))
    assert (told["id"], told["stop_reason"], told["stop_sequence"]) == ("msg_01a2b3", "stop_sequence", "END")


def test_an_estimate_grows_with_all_that_a_model_reads():
    def count(**more: Any) -> int:
        reply = estimate(encoded({"model": "m", "messages": HELLO, **more}))
        assert (reply.usage, reply.estimated) == (Usage(), True)
        return msgspec.json.decode(reply.body)["input_tokens"]

    plain = count()
    assert 1 < plain < 10
    assert count(system="Be kind to all.") > plain
    assert count(tools=[{"name": "f", "description": "Does this.", "input_schema": {}}]) > plain
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 9000}}
    assert plain + 700 < count(messages=[*HELLO, {"role": "user", "content": [image]}]) < plain + 900
