"""What a chat request is in Converse's words, held against AWS's own description of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from gateway.domain.errors import InvalidRequest, NotCarried
from gateway.domain.inference import Kind
from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.providers.bedrock import embeddings, options, wire
from gateway.providers.bedrock.asked import carried
from gateway.providers.ports import Call
from tests.contracts.upstreams import TIMEOUTS

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
PNG = "data:image/png;base64,iVBORw0KGgo="
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CALLS = [
    {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Zürich"}'}},
    {"id": "b", "type": "function", "function": {"name": "time", "arguments": ""}},
]
SERVICE = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")


def a_call(model: str = CLAUDE, *, strict: bool = False, **body: Any) -> Call:
    given = body.pop("options", {})
    asked = {"messages": [{"role": "user", "content": "Hi"}], **body}
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in asked.items()}
    known = Model("m", "bedrock", "", model, options=given)
    return Call(Kind.CHAT, known, raw, TIMEOUTS, strict=strict)


def sent(model: str = CLAUDE, **body: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What is sent, which AWS's own description of its API holds for, and what was dropped."""
    content, dropped = carried(a_call(model, **body))
    found = msgspec.json.decode(content)
    report = ParamValidator().validate(
        {"modelId": model, **found}, SERVICE.operation_model("Converse").input_shape
    )
    assert not report.has_errors(), report.generate_report()
    return found, dropped


def said(*messages: Any) -> dict[str, Any]:
    found, dropped = sent(messages=list(messages))
    assert dropped == ()
    return found


# ---- messages ----------------------------------------------------------------------------------------------------
def test_a_plain_question_is_one_turn():
    assert sent() == ({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}, ())


def test_instructions_stand_beside_the_conversation():
    found = said(
        {"role": "system", "content": "Be brief.", "cache_control": {"type": "ephemeral"}},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": ""}]},
        {"role": "developer", "content": [{"type": "text", "text": "In Slovak."}]},
    )
    assert found["system"] == [
        {"text": "Be brief."},
        {"cachePoint": {"type": "default"}},
        {"text": "In Slovak."},
    ]
    assert found["messages"] == [{"role": "user", "content": [{"text": "Hi"}]}]
    alone = said({"role": "system", "content": "Tell a joke."})
    assert alone == {"messages": [{"role": "user", "content": [{"text": "Tell a joke."}]}]}


@pytest.mark.parametrize(
    ("part", "theirs"),
    [
        (
            {"type": "image_url", "image_url": {"url": PNG}},
            {"image": {"format": "png", "source": {"bytes": "iVBORw0KGgo="}}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "s3://bucket/a.jpg"}},
            {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.jpg"}}}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            {"audio": {"format": "wav", "source": {"bytes": "UklG"}}},
        ),
        (
            {
                "type": "file",
                "file": {"filename": "a_b (1).pdf", "file_data": "data:application/pdf;base64,JVBE"},
            },
            {"document": {"format": "pdf", "name": "a b (1) 1", "source": {"bytes": "JVBE"}}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/markdown;base64,IyBB"}},
            {"document": {"format": "md", "name": "document 1", "source": {"bytes": "IyBB"}}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "s3://bucket/a.mov"}},
            {"video": {"format": "mov", "source": {"s3Location": {"uri": "s3://bucket/a.mov"}}}},
        ),
    ],
)
def test_pictures_sound_and_papers_go_along(part: dict[str, Any], theirs: dict[str, Any]):
    content = [
        part,
        {"type": "text", "text": "What is it?", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]
    found = said({"role": "user", "content": content})
    assert found["messages"][0]["content"] == [
        theirs,
        {"text": "What is it?"},
        {"cachePoint": {"type": "default", "ttl": "1h"}},
    ]


def test_parallel_tool_calls_and_their_results_take_one_turn_each():
    found, dropped = sent(
        tools=[WEATHER],
        messages=[
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Let me see.", "tool_calls": CALLS},
            {"role": "tool", "tool_call_id": "a", "content": '{"degrees": 20}'},
            {"role": "tool", "tool_call_id": "b", "content": ""},
            {"role": "user", "content": "So?"},
        ],
    )
    assert dropped == ()
    assert found["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"text": "Let me see."},
                {"toolUse": {"toolUseId": "a", "name": "weather", "input": {"city": "Zürich"}}},
                {"toolUse": {"toolUseId": "b", "name": "time", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "a", "content": [{"text": '{"degrees": 20}'}]}},
                {"toolResult": {"toolUseId": "b", "content": [{"text": "(empty)"}]}},
                {"text": "So?"},
            ],
        },
    ]


def test_an_id_that_converse_would_refuse_is_another_for_the_call_and_its_result_alike():
    call = {"id": "call|of:another model", "function": {"name": "f", "arguments": "{}"}}
    found = said(
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "x"},
    )
    (called,), (answered,) = (turn["content"] for turn in found["messages"])
    assert called["toolUse"]["toolUseId"] == answered["toolResult"]["toolUseId"]
    assert called["toolUse"]["toolUseId"].startswith("call_")


def test_thoughts_go_back_as_they_were_signed_and_unsigned_ones_not_at_all():
    blocks = [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "eHg="},
        {"type": "thinking", "thinking": "of another model's", "signature": ""},
    ]
    found = said(
        {"role": "assistant", "reasoning_content": "Hm.", "thinking_blocks": blocks, "content": "Well."},
        {"role": "assistant", "reasoning_content": "unsigned", "content": "So."},
    )
    assert found["messages"][0]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "eHg="}},
        {"text": "Well."},
        {"text": "So."},
    ]


# ---- tools -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("choice", "theirs"),
    [
        ("auto", None),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "weather"}}, {"tool": {"name": "weather"}}),
    ],
)
def test_what_a_model_is_to_do_with_its_tools_has_a_word(choice: Any, theirs: dict[str, Any] | None):
    tool = {
        "type": "function",
        "function": {"name": "weather", "description": "Tells it.", "parameters": {}, "strict": True},
        "cache_control": {"type": "ephemeral"},
    }
    found, dropped = sent(tools=[tool], tool_choice=choice)
    spec = {
        "name": "weather",
        "description": "Tells it.",
        "strict": True,
        "inputSchema": {"json": {"type": "object"}},
    }
    assert found["toolConfig"].pop("toolChoice", None) == theirs
    assert found["toolConfig"] == {"tools": [{"toolSpec": spec}, {"cachePoint": {"type": "default"}}]}
    assert dropped == ()


def test_tools_that_must_not_be_called_are_not_offered():
    found, dropped = sent(tools=[WEATHER], tool_choice="none")
    assert "toolConfig" not in found
    assert dropped == ()


def test_where_tools_were_called_there_are_tools():
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": CALLS[:1]},
        {"role": "tool", "tool_call_id": "a", "content": "20"},
    ]
    found, _ = sent(messages=messages)
    assert [tool["toolSpec"]["name"] for tool in found["toolConfig"]["tools"]] == ["weather"]
    found, dropped = sent(messages=messages, tools=[WEATHER], tool_choice="none")
    assert "toolConfig" in found
    assert dropped == ("tool_choice",), (
        "Converse has no word for it, and refuses the conversation without tools"
    )


# ---- generation --------------------------------------------------------------------------------------------------
def test_what_is_said_of_generation_has_its_words_there():
    schema = {"name": "x", "description": "an x", "schema": {"type": "object"}, "strict": True}
    found, dropped = sent(
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop=["END"],
        max_tokens=10,
        max_completion_tokens=100,
        service_tier="flex",
        response_format={"type": "json_schema", "json_schema": schema},
        extra_body={"bedrock": {"requestMetadata": {"team": "a"}}},
        bedrock={"performanceConfig": {"latency": "optimized"}, "additionalModelRequestFields": {"x": 1}},
    )
    assert found["inferenceConfig"] == {
        "maxTokens": 100,
        "temperature": 0.5,
        "topP": 0.9,
        "stopSequences": ["END"],
    }
    assert found["additionalModelRequestFields"] == {"top_k": 40, "x": 1}
    assert found["serviceTier"] == {"type": "flex"}
    assert found["performanceConfig"] == {"latency": "optimized"}
    assert found["requestMetadata"] == {"team": "a"}
    assert found["outputConfig"]["textFormat"] == {
        "type": "json_schema",
        "structure": {"jsonSchema": {"schema": '{"type":"object"}', "name": "x", "description": "an x"}},
    }
    assert dropped == ()


@pytest.mark.parametrize(
    ("model", "asked", "theirs"),
    [
        (CLAUDE, {"reasoning_effort": "low"}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (
            CLAUDE,
            {"reasoning_effort": "high", "max_tokens": 4000},
            {"thinking": {"type": "enabled", "budget_tokens": 3999}},
        ),
        (
            "anthropic.claude-3-7-sonnet-20250219-v1:0",
            {"reasoning_effort": "medium"},
            {"thinking": {"type": "enabled", "budget_tokens": 8192}},
        ),
        (
            "global.anthropic.claude-opus-4-6-v1:0",
            {"reasoning_effort": "medium"},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}},
        ),
        (
            "global.anthropic.claude-opus-5",
            {"reasoning_effort": "xhigh"},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        ),
        (
            CLAUDE,
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        ),
        (
            "us.amazon.nova-2-lite-v1:0",
            {"reasoning_effort": "low"},
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
        ),
        ("openai.gpt-oss-120b-1:0", {"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
        ("us.amazon.nova-pro-v1:0", {"top_k": 5}, {"inferenceConfig": {"topK": 5}}),
    ],
)
def test_how_much_to_think_is_said_as_the_model_takes_it(
    model: str, asked: dict[str, Any], theirs: dict[str, Any]
):
    found, dropped = sent(model, **asked)
    assert found["additionalModelRequestFields"] == theirs
    assert dropped == ()


def test_a_models_options_hold_until_the_caller_says_otherwise():
    guardrail = {"guardrailIdentifier": "g1", "guardrailVersion": "1"}
    given = {"guardrail_config": guardrail, "additional_model_request_fields": {"top_k": 1, "y": 2}}
    found, _ = sent(options=given, top_k=9)
    assert found["guardrailConfig"] == guardrail
    assert found["additionalModelRequestFields"] == {"top_k": 9, "y": 2}


# ---- what cannot be carried --------------------------------------------------------------------------------------
def test_what_has_no_word_there_is_named():
    found, dropped = sent(
        "deepseek.r1-v1:0",
        messages=[{"role": "user", "name": "eve", "content": "x"}],
        tools=[{"type": "custom", "custom": {"name": "c"}}, WEATHER],
        parallel_tool_calls=False,
        response_format={"type": "json_object"},
        reasoning_effort="low",
        thinking={"type": "enabled"},
        service_tier="scale",
        seed=1,
        n=2,
        logprobs=True,
        frequency_penalty=1,
        bedrock={"nonsense": 1},
        user="u",
    )
    assert set(dropped) == {
        "messages[0].name",
        "tools[0]",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "thinking",
        "service_tier",
        "seed",
        "n",
        "logprobs",
        "frequency_penalty",
        "bedrock.nonsense",
        "user",
    }
    assert set(found) == {"messages", "toolConfig"}


def test_a_strict_request_is_refused_by_the_first_that_cannot_be_carried():
    with pytest.raises(NotCarried) as raised:
        carried(a_call(strict=True, seed=1))
    assert raised.value.param == "seed"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"tools": [WEATHER], "tool_choice": "always"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"reasoning_effort": "hard"}, "reasoning_effort"),
        ({"bedrock": {"additionalModelRequestFields": 5}}, "bedrock.additionalModelRequestFields"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
def test_a_field_that_is_wrong_is_named_with_its_place(body: dict[str, Any], param: str):
    with pytest.raises(InvalidRequest) as raised:
        carried(a_call(**body))
    assert raised.value.param == param
    assert "must be" in raised.value.message


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://host/cat.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64,PHN2Zy8+"}},
        {"type": "file", "file": {"file_id": "file-abc"}},
        {"type": "hologram", "hologram": {}},
    ],
)
def test_what_the_model_would_have_to_see_is_refused_and_never_left_out(part: dict[str, Any]):
    with pytest.raises(NotCarried) as raised:
        carried(a_call(messages=[{"role": "user", "content": [part]}]))
    assert (raised.value.param or "").startswith("messages[0].content[0]")


# ---- addresses ---------------------------------------------------------------------------------------------------
def test_a_models_id_is_one_segment_of_its_address():
    assert wire.path("a.b-v1:0", "converse") == "model/a.b-v1%3A0/converse"
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.x"
    assert wire.path(arn, "invoke").count("/") == 2


@pytest.mark.parametrize(
    ("base_url", "given", "region"),
    [
        ("https://bedrock-runtime.us-east-1.amazonaws.com", {}, "us-east-1"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", {}, "us-gov-west-1"),
        ("https://vpce-1.bedrock-runtime.eu-central-1.vpce.amazonaws.com", {}, "eu-central-1"),
        ("https://proxy.internal/bedrock", {"region": "eu-west-3"}, "eu-west-3"),
        ("https://proxy.internal/bedrock", {}, ""),
    ],
)
def test_the_region_is_that_of_the_address_unless_the_model_says_it(
    base_url: str, given: dict[str, str], region: str
):
    assert options.region_of(Model("m", "bedrock", base_url, "x", options=given)) == region


def test_a_region_has_an_address_and_options_are_checked():
    assert options.base_url_of({"region": "eu-west-1"}) == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert options.base_url_of({}) == options.base_url_of({"region": "a.evil.host/"}) == ""
    wrong = options.misfits({"region": "Ireland", "regoin": "x", "guardrail_config": 5})
    assert [(each.option, each.nearest) for each in wrong] == [
        ("regoin", "region"),
        ("guardrail_config", None),
        ("region", None),
    ]


# ---- embeddings --------------------------------------------------------------------------------------------------
def embedded(model: str, **body: Any) -> tuple[list[Any], tuple[str, ...]]:
    raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
    known = Model("e", "bedrock", "", model, Kind.EMBEDDING)
    found = embeddings.carried(Call(Kind.EMBEDDING, known, raw, TIMEOUTS, operation=Operation.EMBEDDINGS))
    return [msgspec.json.decode(each) for each in found.bodies], found.dropped


def test_each_family_is_asked_in_its_own_words():
    assert embedded("amazon.titan-embed-text-v2:0", input=["a", "b"], dimensions=256, user="u") == (
        [{"inputText": "a", "dimensions": 256}, {"inputText": "b", "dimensions": 256}],
        ("user",),
    )
    assert embedded("amazon.titan-embed-image-v1", input="a", dimensions=256)[0] == [
        {"inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 256}}
    ]
    [many, rest], dropped = embedded("cohere.embed-v4:0", input=["x"] * 100, input_type="search_query")
    assert (len(many["texts"]), len(rest["texts"])) == (96, 4)
    assert many["input_type"] == "search_query"
    assert dropped == ()
    with pytest.raises(NotCarried):
        embedded("some.other-embed", input="a")
