"""What a chat request is in Gemini's words, and what is named because it has no word there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.domain.errors import InvalidRequest, NotCarried
from gateway.domain.inference import Kind
from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.providers.gemini import embeddings, wire
from gateway.providers.gemini.asked import carried
from gateway.providers.ports import Call
from tests.contracts.upstreams import TIMEOUTS

PNG = "data:image/png;base64,iVBORw0KGgo="
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def a_call(model: str = "gemini-2.5-flash", *, strict: bool = False, **body: Any) -> Call:
    options = body.pop("options", {})
    asked = {"messages": [{"role": "user", "content": "Hi"}], **body}
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in asked.items()}
    known = Model("m", "gemini", wire.BASE_URL, model, options=options)
    return Call(Kind.CHAT, known, raw, TIMEOUTS, strict=strict)


def sent(model: str = "gemini-2.5-flash", **body: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    content, dropped = carried(a_call(model, **body))
    return msgspec.json.decode(content), dropped


def said(*messages: Any, model: str = "gemini-2.5-flash") -> dict[str, Any]:
    found, dropped = sent(model, messages=list(messages))
    assert dropped == ()
    return found


# ---- messages ----------------------------------------------------------------------------------------------------
def test_a_plain_question_is_one_turn():
    assert sent() == ({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}, ())


def test_instructions_stand_beside_the_conversation():
    found = said(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "developer", "content": [{"type": "text", "text": "In Slovak."}]},
    )
    assert found["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "In Slovak."}]}
    assert [turn["role"] for turn in found["contents"]] == ["user"]


def test_instructions_alone_are_what_is_asked():
    found = said({"role": "system", "content": "Tell a joke."})
    assert found == {"contents": [{"role": "user", "parts": [{"text": "Tell a joke."}]}]}


def test_turns_of_one_role_that_follow_each_other_are_one():
    found = said(
        {"role": "user", "content": "One."},
        {"role": "user", "content": "Two."},
        {"role": "assistant", "content": "Three."},
    )
    assert found["contents"] == [
        {"role": "user", "parts": [{"text": "One."}, {"text": "Two."}]},
        {"role": "model", "parts": [{"text": "Three."}]},
    ]


@pytest.mark.parametrize(
    ("part", "theirs"),
    [
        (
            {"type": "image_url", "image_url": {"url": PNG}},
            {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://host/a/cat.webp?size=1", "detail": "auto"}},
            {"fileData": {"mimeType": "image/webp", "fileUri": "https://host/a/cat.webp?size=1"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "UklG"}},
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBE"}},
        ),
        (
            {"type": "file", "file": {"file_id": "https://host/v1beta/files/abc", "filename": "a.mp4"}},
            {"fileData": {"mimeType": "video/mp4", "fileUri": "https://host/v1beta/files/abc"}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "https://www.youtube.com/watch?v=1"}},
            {"fileData": {"mimeType": "video/mp4", "fileUri": "https://www.youtube.com/watch?v=1"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/svg+xml,%3Csvg/%3E"}},
            {"inlineData": {"mimeType": "image/svg+xml", "data": "PHN2Zy8+"}},
        ),
    ],
)
def test_pictures_sound_and_papers_go_along(part: dict[str, Any], theirs: dict[str, Any]):
    found = said({"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]})
    assert found["contents"][0]["parts"] == [{"text": "What is it?"}, theirs]


CALLS = [
    {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Zürich"}'}},
    {"id": "b", "type": "function", "function": {"name": "time", "arguments": ""}},
]


def test_parallel_tool_calls_and_their_results_keep_their_ids():
    found = said(
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": CALLS},
        {"role": "tool", "tool_call_id": "a", "content": '{"degrees": 20}'},
        {"role": "tool", "tool_call_id": "b", "content": "noon"},
    )
    assert found["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "a", "name": "weather", "args": {"city": "Zürich"}}},
                {"functionCall": {"id": "b", "name": "time", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a", "name": "weather", "response": {"degrees": 20}}},
                {"functionResponse": {"id": "b", "name": "time", "response": {"output": "noon"}}},
            ],
        },
    ]


def test_a_tools_result_may_hold_a_picture():
    found = said(
        {"role": "assistant", "tool_calls": CALLS[:1]},
        {
            "role": "tool",
            "tool_call_id": "a",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": PNG}},
            ],
        },
    )
    answered = found["contents"][1]["parts"][0]["functionResponse"]
    assert answered["response"] == {"output": "see"}
    assert answered["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]


def test_signatures_of_thoughts_go_back_where_they_came_from():
    call = {**CALLS[0], "extra_content": {"google": {"thought_signature": "c2ln"}}}
    found = said(
        {"role": "assistant", "reasoning_content": "Hm.", "content": "Well,", "tool_calls": [call]},
        {"role": "assistant", "content": "so", "extra_content": {"google": {"thought_signature": "dHdv"}}},
        model="gemini-3-pro",
    )
    assert found["contents"][0]["parts"] == [
        {"text": "Hm.", "thought": True},
        {"text": "Well,"},
        {
            "functionCall": {"id": "a", "name": "weather", "args": {"city": "Zürich"}},
            "thoughtSignature": "c2ln",
        },
        {"text": "so", "thoughtSignature": "dHdv"},
    ]


def test_a_call_that_another_model_made_gets_the_signature_that_gemini_3_takes_for_one():
    messages = [{"role": "assistant", "tool_calls": CALLS}]
    old = said(*messages)["contents"][0]["parts"]
    new = said(*messages, model="gemini-3.8-flash")["contents"][0]["parts"]
    assert [part.get("thoughtSignature") for part in old] == [None, None]
    assert [part.get("thoughtSignature") for part in new] == [wire.SKIP_SIGNATURE, None]


# ---- tools -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("choice", "theirs"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "weather"}},
            {"mode": "ANY", "allowedFunctionNames": ["weather"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [WEATHER]}},
            {"mode": "ANY", "allowedFunctionNames": ["weather"]},
        ),
    ],
)
def test_what_a_model_is_to_do_with_its_tools_has_a_mode(choice: Any, theirs: dict[str, Any]):
    found, dropped = sent(tools=[WEATHER], tool_choice=choice)
    assert found["tools"] == [
        {"functionDeclarations": [{"name": "weather", "parametersJsonSchema": {"type": "object"}}]}
    ]
    assert found["toolConfig"] == {"functionCallingConfig": theirs}
    assert dropped == ()


def test_of_tools_that_may_be_chosen_freely_only_the_allowed_are_offered():
    other = {"type": "function", "function": {"name": "other"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [WEATHER]}}
    found, _ = sent(tools=[WEATHER, other], tool_choice=choice)
    assert [each["name"] for each in found["tools"][0]["functionDeclarations"]] == ["weather"]


def test_tools_of_googles_own_go_along():
    found, dropped = sent(tools=[{"url_context": {}}], web_search_options={}, google={"tools": [{"x": 1}]})
    assert found["tools"] == [{"urlContext": {}}, {"googleSearch": {}}, {"x": 1}]
    assert dropped == ()


def test_of_a_schema_that_is_left_out_which_gemini_does_not_take():
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "kind": {"const": "city"},
            "name": {"type": "string", "pattern": "[a-z]+", "minLength": 1},
            "place": {"allOf": [{"$ref": "#/definitions/place"}]},
            "properties": {"type": "array", "items": {"type": "integer", "multipleOf": 2}},
        },
        "definitions": {"place": {"type": "object", "not": {}}},
        "additionalProperties": False,
        "required": ["name"],
    }
    tool = {"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}
    found, dropped = sent(tools=[tool])
    assert found["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == {
        "type": "object",
        "properties": {
            "kind": {"enum": ["city"]},
            "name": {"type": "string"},
            "place": {"anyOf": [{"$ref": "#/$defs/place"}]},
            "properties": {"type": "array", "items": {"type": "integer"}},
        },
        "$defs": {"place": {"type": "object"}},
        "additionalProperties": False,
        "required": ["name"],
    }
    at = "tools[0].function.parameters"
    assert set(dropped) == {
        f"{at}.properties.name.pattern",
        f"{at}.properties.name.minLength",
        f"{at}.properties.properties.items.multipleOf",
        f"{at}.definitions.place.not",
        "tools[0].function.strict",
    }


# ---- generation --------------------------------------------------------------------------------------------------
def test_what_is_said_of_generation_has_its_words_there():
    found, dropped = sent(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop="END",
        max_tokens=10,
        max_completion_tokens=100,
        n=2,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logprobs=True,
        top_logprobs=3,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
        safety_settings=[{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}],
    )
    assert found["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "seed": 7,
        "maxOutputTokens": 100,
        "stopSequences": ["END"],
        "candidateCount": 2,
        "responseLogprobs": True,
        "logprobs": 3,
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object"},
    }
    assert found["safetySettings"] == [{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}]
    assert dropped == ()


@pytest.mark.parametrize(
    ("model", "asked", "theirs"),
    [
        ("gemini-2.5-flash", {"reasoning_effort": "none"}, {"thinkingBudget": 0, "includeThoughts": False}),
        ("gemini-2.5-pro", {"reasoning_effort": "low"}, {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-pro", {"reasoning_effort": "high"}, {"thinkingBudget": 24576, "includeThoughts": True}),
        (
            "gemini-3-flash",
            {"reasoning_effort": "minimal"},
            {"thinkingLevel": "minimal", "includeThoughts": True},
        ),
        ("gemini-3-pro", {"reasoning_effort": "minimal"}, {"thinkingLevel": "low", "includeThoughts": True}),
        (
            "models/gemini-4",
            {"reasoning_effort": "xhigh"},
            {"thinkingLevel": "high", "includeThoughts": True},
        ),
        (
            "gemini-2.5-pro",
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            {"thinkingBudget": 2000, "includeThoughts": True},
        ),
        (
            "gemini-2.5-pro",
            {"thinking": {"type": "disabled"}},
            {"thinkingBudget": 0, "includeThoughts": False},
        ),
        (
            "gemini-2.5-pro",
            {"extra_body": {"google": {"thinking_config": {"thinking_budget": 5, "include_thoughts": True}}}},
            {"thinkingBudget": 5, "includeThoughts": True},
        ),
        (
            "gemini-3-pro",
            {"reasoning_effort": "low", "google": {"thinkingConfig": {"thinkingLevel": "high"}}},
            {"thinkingLevel": "high", "includeThoughts": True},
        ),
        ("gemini-3-pro", {"options": {"include_thoughts": True}}, {"includeThoughts": True}),
    ],
)
def test_how_much_to_think_is_said_as_the_model_takes_it(
    model: str, asked: dict[str, Any], theirs: dict[str, Any]
):
    found, dropped = sent(model, **asked)
    assert found["generationConfig"]["thinkingConfig"] == theirs
    assert dropped == ()


def test_a_model_that_does_not_think_is_not_told_to():
    for model in ("gemini-2.0-flash", "gemini-1.5-pro", "gemma-3-27b-it"):
        found, dropped = sent(model, reasoning_effort="low")
        assert "generationConfig" not in found
        assert dropped == ("reasoning_effort",)
        assert sent(model, reasoning_effort="none")[1] == ()


def test_googles_own_words_go_along_in_either_spelling():
    found, dropped = sent(google={"generation_config": {"media_resolution": "LOW"}, "cachedContent": "c/1"})
    assert found["generationConfig"] == {"mediaResolution": "LOW"}
    assert found["cachedContent"] == "c/1"
    assert dropped == ()


def test_a_models_options_hold_until_the_caller_says_otherwise():
    options = {"safety_settings": [{"category": "A"}], "generation_config": {"temperature": 1, "topK": 3}}
    found, _ = sent(options=options, temperature=0)
    assert found["generationConfig"] == {"temperature": 0, "topK": 3}
    assert found["safetySettings"] == [{"category": "A"}]
    assert sent(options=options, safety_settings=[])[0]["safetySettings"] == []


# ---- what cannot be carried --------------------------------------------------------------------------------------
def test_what_has_no_word_there_is_named():
    image = {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}}
    _, dropped = sent(
        messages=[{"role": "user", "name": "eve", "content": [image]}],
        tools=[{"type": "custom", "custom": {"name": "c"}}, WEATHER],
        parallel_tool_calls=False,
        logit_bias={"1": 2},
        user="u",
        store=True,
        google={"nonsense": 1},
        prediction={"type": "content", "content": "x"},
    )
    assert set(dropped) == {
        "messages[0].name",
        "messages[0].content[0].image_url.detail",
        "tools[0]",
        "parallel_tool_calls",
        "logit_bias",
        "user",
        "store",
        "google.nonsense",
        "prediction",
    }


def test_what_asks_for_nothing_is_not_named():
    _, dropped = sent(
        n=1,
        store=False,
        logprobs=False,
        user=None,
        metadata={"team": "a"},
        stream=True,
        model="x",
        logit_bias={},
    )
    assert dropped == ()


def test_what_is_named_can_be_a_header_and_is_bounded():
    unknown: dict[str, Any] = {"a\r\nb": 1, "ü": 1, "x" * 500: 1, **{f"f{n}": n for n in range(100)}}
    _, dropped = sent(**unknown)
    assert dropped[:3] == ("a??b", "?", "x" * 128)
    assert len(dropped) == 32


def test_a_strict_request_is_refused_by_the_first_that_cannot_be_carried():
    with pytest.raises(NotCarried) as raised:
        carried(a_call(strict=True, user="u"))
    assert raised.value.param == "user"
    carried(a_call(strict=True, temperature=1))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "tool", "tool_call_id": "z", "content": "x"}]}, "messages[0].tool_call_id"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}
                ]
            },
            "messages[0].content[0].image_url.url",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[]"}}],
                    }
                ]
            },
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": [1]}, "stop"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [WEATHER], "tool_choice": "always"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"reasoning_effort": "hard"}, "reasoning_effort"),
        ({"thinking": {"type": "much"}}, "thinking.type"),
    ],
)
def test_a_field_that_is_wrong_is_named_with_its_place(body: dict[str, Any], param: str):
    with pytest.raises(InvalidRequest) as raised:
        carried(a_call(**body))
    assert raised.value.param == param
    assert "must be" in raised.value.message


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "file", "file": {"file_id": "file-abc"}}],
        [{"type": "hologram", "hologram": {}}],
    ],
)
def test_what_the_model_would_have_to_see_is_refused_and_never_left_out(content: Any):
    with pytest.raises(NotCarried) as raised:
        carried(a_call(messages=[{"role": "user", "content": content}]))
    assert (raised.value.param or "").startswith("messages[0].content[0]")


# ---- addresses and embeddings ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "models/gemini-2.5-flash:generateContent"),
        ("models/gemini-2.5-flash", "models/gemini-2.5-flash:generateContent"),
        ("tunedModels/mine-1", "tunedModels/mine-1:generateContent"),
        ("publishers/google/models/g", "publishers/google/models/g:generateContent"),
        ("a?b#c d", "models/a%3Fb%23c%20d:generateContent"),
    ],
)
def test_a_models_name_is_a_part_of_its_address(model: str, path: str):
    assert wire.path(model, "generateContent") == path


def embedded(**body: Any) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
    known = Model("e", "gemini", "", "gemini-embedding-001", Kind.EMBEDDING)
    call = Call(Kind.EMBEDDING, known, raw, TIMEOUTS, operation=Operation.EMBEDDINGS)
    method, content, _, dropped = embeddings.carried(call)
    return method, msgspec.json.decode(content), dropped


def test_one_text_and_many_are_embedded_by_their_own_methods():
    one = {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "a"}]}}
    assert embedded(input="a") == ("embedContent", one, ())
    method, content, dropped = embedded(
        input=["a", "b"], dimensions=256, task_type="RETRIEVAL_QUERY", encoding_format="base64", user="u"
    )
    assert method == "batchEmbedContents"
    assert content["requests"][0] == {**one, "outputDimensionality": 256, "taskType": "RETRIEVAL_QUERY"}
    assert len(content["requests"]) == 2
    assert dropped == ("user",)


def test_tokens_are_not_embedded_by_a_model_with_others():
    for tokens in ([1, 2], [[1], [2]]):
        with pytest.raises(NotCarried):
            embedded(input=tokens)
    with pytest.raises(InvalidRequest):
        embedded(input=[])
