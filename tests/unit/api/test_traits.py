"""What is measured of a request: its size, its needs, its conversation; never by tokenising it."""

from __future__ import annotations

import json
from typing import Any

import bpe_openai
import pytest

from api.service.ask import Hints
from api.service.forms import read, read_chat
from gateway.domain.inference import Traits
from gateway.domain.operations import Operation

HELLO = [{"role": "user", "content": "Hello"}]
PIXEL = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
SOUND = {"type": "input_audio", "input_audio": {"data": "A" * 64_000, "format": "wav"}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def traits(messages: Any = None, **fields: Any) -> Traits:
    body = {"model": "good", "messages": HELLO if messages is None else messages, **fields}
    return read_chat(json.dumps(body).encode(), Hints(), door="rest").traits


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


# ---- needs -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({}, ()),
        ({"stream": True}, ("streaming",)),
        ({"tools": [TOOL]}, ("tools",)),
        ({"functions": [{"name": "f"}]}, ("tools",)),
        ({"tools": [TOOL], "parallel_tool_calls": True}, ("parallel_tools", "tools")),
        ({"tools": [TOOL], "parallel_tool_calls": False}, ("tools",)),
        ({"parallel_tool_calls": True}, ()),
        ({"messages": user([{"type": "text", "text": "What is it?"}, PIXEL])}, ("vision",)),
        ({"messages": user([SOUND])}, ("audio",)),
        ({"modalities": ["text", "audio"]}, ("audio",)),
        ({"modalities": ["text"]}, ()),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, ("structured_output",)),
        ({"response_format": {"type": "json_object"}}, ()),
        ({"logprobs": True}, ("logprobs",)),
        ({"logprobs": False}, ()),
        ({"reasoning_effort": "high"}, ("reasoning",)),
        ({"reasoning_effort": "none"}, ()),
        ({"reasoning_effort": None}, ()),
        ({"tools": None, "functions": [], "response_format": None, "modalities": None, "logprobs": None}, ()),
    ],
)
def test_what_a_model_must_be_able_to_is_read_from_the_fields(fields: dict[str, Any], needs: tuple[str, ...]):
    assert traits(**fields).needs == needs


@pytest.mark.parametrize(
    "odd",
    [
        {"tools": "all"},
        {"tools": {"a": 1}},
        {"response_format": "json"},
        {"response_format": [1]},
        {"reasoning_effort": 3},
        {"modalities": "audio"},
        {"max_tokens": "many"},
        {"max_tokens": -5},
        {"logprobs": "yes"},
        {"prompt_cache_key": 7},
        {"messages": [{"role": "user", "content": {"text": "odd"}}]},
        {"messages": [{"role": "user", "content": [1, "two", None]}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user"}]},
    ],
)
def test_a_field_of_an_odd_kind_needs_nothing_and_refuses_nothing(odd: dict[str, Any]):
    assert traits(**odd).needs == ()
    assert traits(**odd).max_output is None


# ---- sizes -----------------------------------------------------------------------------------------------------------
ENGLISH = (
    "The gateway keeps every request in a durable workflow, so that nothing is lost when a process dies. "
)
CODE = "def add(a: int, b: int) -> int:\n    total = a + b\n    return total if total > 0 else 0\n\n"
GERMAN = "Die Anlage hält jede Anfrage in einem dauerhaften Ablauf fest, damit nichts verloren geht. "
CHINESE = "网关把每个请求保存在持久的工作流中，这样进程死亡时不会丢失任何东西。"
RUSSIAN = "Шлюз хранит каждый запрос в надежном процессе, чтобы ничего не потерялось при сбое. "


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("text", [ENGLISH, CODE, GERMAN, CHINESE, RUSSIAN])
def test_an_estimate_is_near_the_true_number_of_tokens(text: str, escaped: bool):
    said = text * 40
    body = {"model": "good", "messages": user(said)}
    raw = json.dumps(body, ensure_ascii=escaped).encode()
    measured = read_chat(raw, Hints(), door="rest").traits.input_tokens
    true = len(bpe_openai.get_encoding("o200k_base").encode_ordinary(said))
    assert 0.66 < measured / true < 1.4


def test_pictures_count_as_pictures_and_not_as_their_bytes():
    measured = traits(user([PIXEL, PIXEL]))
    assert measured.images == 2
    assert 1500 < measured.input_tokens < 1600
    assert measured.body_bytes > 200_000


def test_tools_and_their_calls_count():
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "x" * 4000}}]
    asked = [*HELLO, {"role": "assistant", "content": None, "tool_calls": calls}]
    assert traits(asked).input_tokens > 1000
    assert traits(tools=[{**TOOL, "description": "x" * 4000}]).input_tokens > 1000


def test_the_longest_answer_is_what_the_newer_field_says():
    assert traits(max_tokens=5).max_output == 5
    assert traits(max_tokens=5, max_completion_tokens=7).max_output == 7
    assert traits().max_output is None


# ---- conversations -------------------------------------------------------------------------------------------------
OPENING = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who wrote Faust?"}]
LATER = [*OPENING, {"role": "assistant", "content": "Goethe."}, {"role": "user", "content": "When?"}]


def test_a_conversation_stays_itself_while_it_grows():
    assert traits(OPENING).conversation == traits(LATER).conversation


@pytest.mark.parametrize(
    "other",
    [
        {"messages": [OPENING[0], {"role": "user", "content": "Who wrote Hamlet?"}]},
        {"messages": [{"role": "system", "content": "Be long."}, OPENING[1]]},
        {"user": "u-1"},
        {"safety_identifier": "s-1"},
        {"prompt_cache_key": "k"},
        {"metadata": {"conversation_id": "c"}},
    ],
)
def test_another_opening_speaker_or_name_is_another_conversation(other: dict[str, Any]):
    assert traits(**{"messages": OPENING, **other}).conversation != traits(OPENING).conversation


@pytest.mark.parametrize("named", [{"prompt_cache_key": "k"}, {"metadata": {"conversation_id": "k"}}])
def test_a_conversation_with_a_name_is_told_by_it_alone(named: dict[str, Any]):
    assert traits(OPENING, **named).conversation == traits(HELLO, user="u", **named).conversation


def test_a_conversation_is_a_digest_and_holds_nothing_of_its_text():
    found = traits(OPENING, prompt_cache_key="secret").conversation
    assert len(found) == 16
    assert int(found, 16) >= 0


# ---- Anthropic's dialect -----------------------------------------------------------------------------------------
def of_messages(**fields: Any) -> Any:
    asked = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}], **fields}
    return read(Operation.MESSAGES, json.dumps(asked).encode(), Hints(), door="rest")


def test_a_request_of_messages_is_measured_with_all_that_a_model_reads():
    plain = of_messages().traits
    assert (plain.max_output, plain.needs, plain.images) == (100, (), 0)
    assert of_messages(system="Be kind. " * 40).traits.input_tokens > plain.input_tokens + 80
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 4000}}
    shown = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "text", "text": "x" * 400}, image],
    }
    seen = of_messages(messages=[{"role": "user", "content": [image, shown]}]).traits
    assert (seen.images, seen.needs) == (2, ("vision",))
    assert 2 * 765 + 100 < seen.input_tokens < 2 * 765 + 150, "what is drawn is counted by the picture"
    paper = {"type": "document", "source": {"type": "base64", "data": "A" * 64_000}}
    assert of_messages(messages=[{"role": "user", "content": [paper]}]).traits.input_tokens > 1000


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, ("reasoning",)),
        ({"thinking": {"type": "adaptive"}}, ()),
        ({"stream": True, "tools": [{"name": "f", "input_schema": {}}]}, ("streaming", "tools")),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, ("structured_output",)),
        ({"output_format": {"type": "json_schema", "schema": {}}}, ("structured_output",)),
        ({"output_config": 5, "tools": []}, ()),
    ],
)
def test_what_a_request_of_messages_needs(fields, needs):
    assert of_messages(**fields).traits.needs == needs


def test_metadata_of_messages_are_tags_and_a_user_that_is_nobody_is_none():
    asked = of_messages(metadata={"user_id": None, "team": "search"})
    assert asked.metadata == {"team": "search"}
    assert of_messages(metadata=None).metadata == {}
