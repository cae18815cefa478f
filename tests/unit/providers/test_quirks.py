"""Each flavour is asked as its own pages say, and what it says elsewhere than OpenAI is read where it stands."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from gateway.domain import errors
from gateway.domain.inference import Usage
from gateway.domain.operations import Operation
from gateway.providers.compatible.options import base_url_of, misfits, server_of
from gateway.providers.compatible.quirks import QUIRKS, SPOKEN
from gateway.providers.compatible.wire import Scores, fitted, judge, waits
from gateway.providers.http import Complaint, refusal
from gateway.providers.wire import Reading
from tests.contracts.upstreams import call

READING = Reading(10_000)


def asked(flavour: str, **fields: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a flavour is sent of a chat, and what of it is left out."""
    made = call(body=msgspec.json.encode({"messages": [{"role": "user", "content": "Hi"}], **fields}))
    sent, dropped = fitted(made, QUIRKS[flavour])
    outgoing = server_of({"flavour": flavour}).wires[Operation.CHAT].outgoing(sent, stream=True)
    return json.loads(outgoing.joined), dropped


def chunk(flavour: str, **fields: Any):
    wire = server_of({"flavour": flavour}).wires[Operation.CHAT]
    return wire.event(b"", json.dumps(fields).encode(), READING, None)


# ---- the table ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("flavour", QUIRKS)
def test_a_row_names_its_pages_and_has_an_operation(flavour: str):
    row = QUIRKS[flavour]
    assert row.pages
    assert all(page.startswith("https://") for page in row.pages)
    assert Operation.CHAT in row.operations


@pytest.mark.parametrize("flavour", QUIRKS)
def test_the_words_of_a_row_are_in_lower_case_as_complaints_are_when_they_are_read(flavour: str):
    row = QUIRKS[flavour]
    assert [words for words in (*row.too_long, *row.filtered) if words != words.lower()] == []


def test_without_a_flavour_responses_and_messages_are_carried_over_chat():
    operations = server_of({}).operations
    assert Operation.CHAT in operations
    assert not operations & {Operation.RESPONSES, Operation.MESSAGES, Operation.COUNT_TOKENS}


def test_the_option_dialects_is_the_last_word():
    server = server_of({"flavour": "groq", "dialects": ["embeddings"]})
    assert server.operations == {Operation.EMBEDDINGS}


def test_nothing_is_spoken_that_has_no_wire():
    for flavour in QUIRKS:
        server = server_of({"flavour": flavour})
        assert server.operations <= server.wires.keys()


# ---- options -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "option", "nearest"),
    [
        ({"flavor": "vllm"}, "flavor", "flavour"),
        ({"flavour": "mistrall"}, "flavour", "mistral"),
        ({"flavour": 7}, "flavour", None),
        ({"dialects": "chat"}, "dialects", None),
        ({"dialects": []}, "dialects", None),
        ({"dialects": ["chat", "message"]}, "dialects", "messages"),
        ({"flavour": "azure", "api_version": "v1"}, "api_version", None),
        ({"flavour": "groq", "api_version": "2024-10-21"}, "api_version", None),
    ],
)
def test_an_option_that_cannot_be_meant_is_named(options: dict[str, Any], option: str, nearest: str | None):
    (wrong,) = misfits(options)
    assert (wrong.option, wrong.nearest) == (option, nearest)
    assert wrong.expected


def test_good_options_are_good():
    assert misfits({}) == ()
    assert misfits({"flavour": "azure", "api_version": "2025-01-01-preview", "dialects": list(SPOKEN)}) == ()


def test_a_hosted_flavour_knows_its_address():
    assert base_url_of({"flavour": "groq"}) == "https://api.groq.com/openai/v1"
    assert base_url_of({"flavour": "azure"}) == ""
    assert base_url_of({}) == ""


# ---- addresses ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "base",
    [
        "https://r.openai.azure.com",
        "https://r.openai.azure.com/openai",
        "https://r.openai.azure.com/openai/v1/",
    ],
)
def test_azure_is_asked_at_its_deployment_or_at_its_first_version(base: str):
    dated = server_of({"flavour": "azure", "api_version": "2024-10-21"})
    assert dated.base(base) == "https://r.openai.azure.com"
    assert (
        dated.path(Operation.CHAT, "mine")
        == "openai/deployments/mine/chat/completions?api-version=2024-10-21"
    )
    current = server_of({"flavour": "azure"})
    assert current.base(base) == "https://r.openai.azure.com/openai/v1"
    assert current.path(Operation.CHAT, "mine") == "chat/completions"


def test_only_the_first_version_of_azure_has_responses():
    row = QUIRKS["azure"]
    assert row.dated is not None
    assert Operation.RESPONSES in row.operations
    assert Operation.RESPONSES not in row.dated.operations


# ---- requests ----------------------------------------------------------------------------------------------------
def test_a_bound_of_tokens_goes_by_the_name_that_is_known():
    sent, dropped = asked("deepseek", max_completion_tokens=5)
    assert (sent["max_tokens"], "max_completion_tokens" in sent, dropped) == (5, False, ())
    assert asked("deepseek", max_completion_tokens=5, max_tokens=7)[0]["max_tokens"] == 7
    assert asked("groq", max_completion_tokens=5)[0]["max_completion_tokens"] == 5


def test_fields_that_would_be_refused_are_left_out_and_named():
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "name": "Ann", "content": "Hi"},
    ]
    sent, dropped = asked("mistral", messages=messages, seed=3, user="u", logprobs=True, temperature=0.5)
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert (sent["random_seed"], sent["temperature"]) == (3, 0.5)
    assert not sent.keys() & {"seed", "user", "logprobs", "stream_options"}
    assert dropped == ("logprobs", "user", "messages[1].name")


def test_a_strict_request_is_refused_rather_than_cut():
    strict = replace(call(body=b'{"messages":[],"logit_bias":{}}'), strict=True)
    with pytest.raises(errors.NotCarried) as raised:
        fitted(strict, QUIRKS["groq"])
    assert raised.value.param == "logit_bias"


def test_messages_that_need_nothing_stay_the_very_bytes():
    body = b'{"messages": [ {"role":"user",  "content":"the developer said \\"name\\""} ]}'
    sent, _ = fitted(call(body=body), QUIRKS["mistral"])
    assert bytes(sent.body["messages"]) == b'[ {"role":"user",  "content":"the developer said \\"name\\""} ]'


# ---- answers -----------------------------------------------------------------------------------------------------
def test_groq_tells_usage_in_a_field_of_its_own():
    told = {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15}
    last = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    event = chunk("groq", choices=last, x_groq={"id": "req_1", "usage": told})
    assert event.usage == Usage(11, 4)
    assert chunk("groq", choices=last, x_groq={"id": "req_1"}).usage is None


def test_thoughts_in_parts_come_in_their_own_field():
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
        {"type": "text", "text": "Yes."},
    ]
    event = chunk("mistral", choices=[{"index": 0, "delta": {"role": "assistant", "content": parts}}])
    delta = json.loads(event.data)["choices"][0]["delta"]
    assert delta == {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}
    assert event.text == "Hm.Yes."
    wire = server_of({"flavour": "mistral"}).wires[Operation.CHAT]
    whole = {"choices": [{"index": 0, "message": {"content": parts}, "finish_reason": "stop"}]}
    reply = wire.reply(json.dumps(whole).encode(), READING, None, "application/json")
    assert json.loads(reply.body)["choices"][0]["message"]["reasoning_content"] == "Hm."


def test_what_openrouter_breaks_off_in_the_middle_is_no_good_end():
    broken = {
        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
        "error": {"code": "server_error", "message": "Provider disconnected"},
    }
    with pytest.raises(errors.UpstreamBroken):
        chunk("openrouter", **broken)


def test_a_list_of_scores_becomes_results_best_first():
    scores = b'[{"score":0.1,"document":"a","index":0,"meta_info":{}},{"score":0.9,"document":"b","index":1}]'
    body = json.loads(Scores().reply(scores, READING, "id", "application/json").body)
    assert [each["index"] for each in body["results"]] == [1, 0]
    assert body["results"][0] == {"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}
    with pytest.raises(errors.UpstreamMalformed):
        Scores().reply(b'[{"nothing": 1}]', READING, "id", "application/json")


# ---- complaints --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("flavour", "status", "body", "kind"),
    [
        (
            "vllm",
            400,
            {"error": {"message": "This model's maximum context length is 10 tokens.", "code": 400}},
            errors.ContextTooLong,
        ),
        (
            "tgi",
            422,
            {
                "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 1512.",
                "error_type": "validation",
            },
            errors.ContextTooLong,
        ),
        (
            "llama.cpp",
            400,
            {"error": {"code": 400, "message": "too many", "type": "exceed_context_size_error"}},
            errors.ContextTooLong,
        ),
        (
            "mistral",
            400,
            {
                "object": "error",
                "message": "Prompt contains 9 tokens, too large for model with 8 maximum context",
            },
            errors.ContextTooLong,
        ),
        (
            "litellm",
            400,
            {"error": {"message": "litellm.ContextWindowExceededError: too long", "code": "400"}},
            errors.ContextTooLong,
        ),
        (
            "litellm",
            400,
            {"error": {"message": "litellm.ContentPolicyViolationError: no", "code": "400"}},
            errors.ContentFiltered,
        ),
        (
            "litellm",
            400,
            {"error": {"message": "Budget", "type": "budget_exceeded", "code": "400"}},
            errors.UpstreamAuth,
        ),
        (
            "openrouter",
            403,
            {"error": {"code": 403, "message": "The model requires moderation and your input was flagged"}},
            errors.ContentFiltered,
        ),
        ("openrouter", 402, {"error": {"code": 402, "message": "Insufficient credits"}}, errors.UpstreamAuth),
        (
            "groq",
            413,
            {"error": {"message": "Request too large", "type": "tokens", "code": "rate_limit_exceeded"}},
            errors.UpstreamRateLimited,
        ),
        ("groq", 498, {"error": {"message": "capacity"}}, errors.UpstreamRateLimited),
        (
            "azure",
            400,
            {"error": {"code": "content_filter", "message": "The response was filtered", "status": 400}},
            errors.ContentFiltered,
        ),
        (
            "azure",
            404,
            {"error": {"code": "DeploymentNotFound", "message": "no such deployment"}},
            errors.UpstreamNotFound,
        ),
        ("deepseek", 402, {"error": {"message": "Insufficient Balance"}}, errors.UpstreamAuth),
    ],
)
def test_a_complaint_is_told_by_its_own_words(
    flavour: str, status: int, body: dict[str, Any], kind: type[errors.GatewayError]
):
    server = server_of({"flavour": flavour})
    error = refusal(status, {}, json.dumps(body).encode(), server.judge, statuses=server.quirks.statuses)
    assert type(error) is kind


def test_a_code_of_one_server_means_nothing_at_another():
    assert judge(Complaint(code="budget_exceeded")) is None


@pytest.mark.parametrize(
    ("flavour", "headers", "seconds"),
    [
        ("groq", {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2m59.56s"}, 179.56),
        ("groq", {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, 0.12),
        ("azure", {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7"}, 7.0),
        ("together", {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "3"}, 3.0),
    ],
)
def test_where_no_retry_after_is_said_the_limit_that_is_used_up_says_how_long(
    flavour: str, headers: dict[str, str], seconds: float
):
    wait = waits(QUIRKS[flavour].limits)
    assert refusal(429, headers, b"{}", waits=wait).retry_after == timedelta(seconds=seconds)
    assert refusal(429, {**headers, "retry-after": "1"}, b"{}", waits=wait).retry_after == timedelta(
        seconds=1
    )
    assert wait({name: "1" if "remaining" in name else value for name, value in headers.items()}) is None
    assert wait({name: "0" if "remaining" in name else "soon" for name in headers}) is None


def test_a_moment_is_a_time_to_wait():
    at = str(int((time.time() + 30) * 1000))
    wait = waits(QUIRKS["openrouter"].limits)({"x-ratelimit-remaining": "0", "x-ratelimit-reset": at})
    assert wait is not None
    assert timedelta(seconds=28) < wait <= timedelta(seconds=30)
