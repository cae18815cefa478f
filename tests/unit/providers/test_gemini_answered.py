"""What Gemini answers is a chat completion: whole, and event by event, in shapes of its own pages."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import errors
from gateway.domain.inference import Kind, Usage
from gateway.domain.registry import Model
from gateway.domain.secret import Secret
from gateway.providers.chat import assemble
from gateway.providers.gemini import wire
from gateway.providers.gemini.answered import Answered
from gateway.providers.gemini.asked import carried
from gateway.providers.ports import Call, Event
from gateway.providers.sse import EventStream
from tests.contracts.upstreams import TIMEOUTS

MODEL = Model("m", "gemini", wire.BASE_URL, "gemini-3-pro-preview")


def answered(**changed: Any) -> Answered:
    call = Call(Kind.CHAT, MODEL, {}, TIMEOUTS, {"x-request-id": "0197"})
    return Answered(call, 1_767_225_600, **changed)


def candidate(*parts: dict[str, Any], finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0, **more}
    return found if finish is None else found | {"finishReason": finish}


def an_answer(*candidates: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"candidates": list(candidates), "modelVersion": "gemini-3-pro", "responseId": "Xy-1_", **more}


def whole(answer: dict[str, Any]) -> dict[str, Any]:
    return msgspec.json.decode(answered().reply(msgspec.json.encode(answer)).body)


def streamed(*answers: dict[str, Any], speech: Answered | None = None) -> list[Event]:
    speech = speech or answered()
    found: list[Event] = []
    for answer in answers:
        found.extend(speech.feed(b"", msgspec.json.encode(answer)))
    return [*found, *speech.end()]


USAGE = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 40,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 30,
    "toolUsePromptTokenCount": 5,
    "totalTokenCount": 155,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 60},
        {"modality": "IMAGE", "tokenCount": 30},
        {"modality": "AUDIO", "tokenCount": 10},
    ],
    "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 7}],
}
COUNTED = Usage(105, 50, 40, 30, audio_input=10, image_input=30, audio_output=7)


def test_a_whole_answer_says_what_it_thought_said_and_called():
    answer = an_answer(
        candidate(
            {"text": "Hm, ", "thought": True},
            {"text": "weather.", "thought": True},
            {"text": "Let me look."},
            {"functionCall": {"name": "weather", "args": {"city": "Zürich"}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"id": "own", "name": "time", "args": {}}},
        ),
        usageMetadata=USAGE,
    )
    reply = answered(dropped=("user",)).reply(msgspec.json.encode(answer, order=None))
    assert (reply.usage, reply.finish_reason, reply.provider_request_id) == (COUNTED, "tool_calls", "Xy-1_")
    assert reply.dropped == ("user",)
    assert msgspec.json.decode(reply.body) == {
        "id": "chatcmpl-Xy-1_",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": "gemini-3-pro",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Let me look.",
                    "reasoning_content": "Hm, weather.",
                    "tool_calls": [
                        {
                            "id": "call_Xy-1__0",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city":"Zürich"}'},
                            "extra_content": {"google": {"thought_signature": "c2ln"}},
                        },
                        {"id": "own", "type": "function", "function": {"name": "time", "arguments": "{}"}},
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 105,
            "completion_tokens": 50,
            "total_tokens": 155,
            "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 10, "image_tokens": 30},
            "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 7},
        },
    }


# As streamGenerateContent?alt=sse sends it: usage with every event, the finish with the last words.
TRANSCRIPT = [
    an_answer(
        candidate({"text": "I think", "thought": True}, finish=None),
        usageMetadata={"promptTokenCount": 9, "thoughtsTokenCount": 4, "totalTokenCount": 13},
    ),
    an_answer(
        candidate({"text": "Both"}, finish=None),
        usageMetadata={
            "promptTokenCount": 9,
            "thoughtsTokenCount": 4,
            "candidatesTokenCount": 1,
            "totalTokenCount": 14,
        },
    ),
    an_answer(
        candidate(
            {"functionCall": {"name": "weather", "args": {"city": "Zürich"}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "weather", "args": {"city": "Žilina"}}},
            finish=None,
        )
    ),
    an_answer(
        candidate({"text": ""}),
        usageMetadata={
            "promptTokenCount": 9,
            "thoughtsTokenCount": 4,
            "candidatesTokenCount": 20,
            "totalTokenCount": 33,
        },
    ),
]
CHUNKS = [
    {"delta": {"role": "assistant", "content": None, "reasoning_content": "I think"}, "finish_reason": None},
    {"delta": {"content": "Both"}, "finish_reason": None},
    {
        "delta": {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "call_Xy-1__0",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Zürich"}'},
                    "extra_content": {"google": {"thought_signature": "c2ln"}},
                },
                {
                    "index": 1,
                    "id": "call_Xy-1__1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Žilina"}'},
                },
            ]
        },
        "finish_reason": None,
    },
    {"delta": {}, "finish_reason": "tool_calls"},
]


def test_a_stream_says_the_same_event_by_event():
    events = streamed(*TRANSCRIPT, speech=answered(dropped=("user",)))
    chunks = [msgspec.json.decode(event.data) for event in events]
    assert [chunk["choices"][0] for chunk in chunks[:-1]] == [
        {"index": 0, "logprobs": None} | choice for choice in CHUNKS
    ]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 33
    assert [event.usage_only for event in events] == [False] * 4 + [True]
    assert events[-1].usage == Usage(9, 24, reasoning=4)
    assert events[0].usage == Usage(9, 4, reasoning=4), (
        "so that a stream that breaks off has been counted so far"
    )
    assert [event.dropped for event in events] == [("user",), (), (), (), ()]
    assert "".join(event.text for event in events) == 'I thinkBoth{"city":"Zürich"}{"city":"Žilina"}'
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-Xy-1_"}


def heard(pieces: Sequence[bytes]) -> list[bytes]:
    stream, speech, found = EventStream(10_000), answered(), list[bytes]()
    for piece in pieces:
        for name, data in stream.feed(piece):
            found.extend(event.data for event in speech.feed(name, data))
    return [*found, *(event.data for event in speech.end())]


BODY = b"".join(b"data: " + msgspec.json.encode(each) + b"\r\n\r\n" for each in TRANSCRIPT)


@given(st.lists(st.integers(0, len(BODY)), max_size=40))
def test_however_its_bytes_are_cut_a_stream_is_the_same(cuts: list[int]):
    edges = [0, *sorted(cuts), len(BODY)]
    pieces = [BODY[a:b] for a, b in itertools.pairwise(edges)]
    assert heard(pieces) == heard([BODY])


def test_what_was_called_goes_back_as_it_came():
    joined = msgspec.json.decode(assemble([event.data for event in streamed(*TRANSCRIPT)]))
    message = joined["choices"][0]["message"]
    body = {"messages": msgspec.Raw(msgspec.json.encode([{"role": "user", "content": "?"}, message]))}
    content, dropped = carried(Call(Kind.CHAT, MODEL, body, TIMEOUTS))
    parts = msgspec.json.decode(content)["contents"][1]["parts"]
    assert parts == [
        {"text": "I think", "thought": True},
        {"text": "Both"},
        {
            "functionCall": {"id": "call_Xy-1__0", "name": "weather", "args": {"city": "Zürich"}},
            "thoughtSignature": "c2ln",
        },
        {"functionCall": {"id": "call_Xy-1__1", "name": "weather", "args": {"city": "Žilina"}}},
    ]
    assert dropped == ()


_PARTS = st.lists(
    st.one_of(
        st.builds(lambda text: {"text": text}, st.text(min_size=1)),
        st.builds(lambda text: {"text": text, "thought": True}, st.text(min_size=1)),
        st.builds(
            lambda name, args, signature: {
                "functionCall": {"name": name, "args": args},
                "thoughtSignature": signature,
            },
            st.text("abc_", min_size=1),
            st.dictionaries(st.text(), st.integers(-(2**31), 2**31) | st.text() | st.booleans()),
            st.text("ABCab12+/=", min_size=1),
        ),
    ),
    min_size=1,
    max_size=8,
)


@given(_PARTS)
def test_whatever_was_said_there_and_back_is_the_same(parts: list[dict[str, Any]]):
    message = whole(an_answer(candidate(*parts)))["choices"][0]["message"]
    body = {"messages": msgspec.Raw(msgspec.json.encode([message]))}
    content, _ = carried(Call(Kind.CHAT, MODEL, body, TIMEOUTS))
    back = [part for turn in msgspec.json.decode(content)["contents"] for part in turn["parts"]]
    for kind in (True, False):
        assert "".join(p["text"] for p in back if "text" in p and p.get("thought", False) is kind) == "".join(
            p["text"] for p in parts if "text" in p and p.get("thought", False) is kind
        )
    calls = [
        (p["functionCall"]["name"], p["functionCall"]["args"], p["thoughtSignature"])
        for p in back
        if "functionCall" in p
    ]
    assert calls == [
        (p["functionCall"]["name"], p["functionCall"]["args"], p["thoughtSignature"])
        for p in parts
        if "functionCall" in p
    ]


def test_several_candidates_are_several_choices():
    one, two = candidate({"text": "A"}), candidate({"text": "B"}, finish="MAX_TOKENS") | {"index": 1}
    choices = whole(an_answer(one, two))["choices"]
    assert [(c["index"], c["message"]["content"], c["finish_reason"]) for c in choices] == [
        (0, "A", "stop"),
        (1, "B", "length"),
    ]
    chunks = [msgspec.json.decode(event.data)["choices"][0] for event in streamed(an_answer(one, two))]
    assert [(c["index"], c["delta"]["content"], c["finish_reason"]) for c in chunks] == [
        (0, "A", "stop"),
        (1, "B", "length"),
    ]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_why_it_ended_has_a_word_in_chat(reason: str, finish: str):
    choice = whole(an_answer(candidate({"text": "x"}, finish=reason)))["choices"][0]
    assert choice["finish_reason"] == finish
    assert choice.get("native_finish_reason") == (None if reason in ("STOP", "MAX_TOKENS") else reason)


def test_an_answer_that_was_stopped_before_its_first_word_is_a_choice_all_the_same():
    answer = {"candidates": [{"finishReason": "SAFETY", "index": 0}], "modelVersion": "g"}
    choice = whole(answer)["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": None}
    assert choice["finish_reason"] == "content_filter"
    events = streamed(answer)
    assert [event.finish_reason for event in events] == ["content_filter"]


@pytest.mark.parametrize("reason", sorted(wire.UNUSABLE))
def test_what_is_no_answer_goes_to_another_model(reason: str):
    answer = an_answer(candidate(finish=reason))
    for call in (lambda: whole(answer), lambda: streamed(answer)):
        with pytest.raises(errors.UpstreamMalformed) as raised:
            call()
        assert raised.value.retryable


def test_a_question_that_is_blocked_is_one_of_content():
    answer = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}
    for call in (lambda: whole(answer), lambda: streamed(answer)):
        with pytest.raises(errors.ContentFiltered):
            call()


def test_pictures_sound_and_code_of_an_answer_are_kept():
    answer = an_answer(
        candidate(
            {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
            {"inlineData": {"mimeType": "image/png", "data": "iVBO"}},
            {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": "AAAA"}},
            groundingMetadata={"webSearchQueries": ["x"]},
        )
    )
    message = whole(answer)["choices"][0]["message"]
    assert message["content"] == "\n```python\nprint(1)\n```\n\n```\n1\n```\n"
    assert message["images"][0]["image_url"] == {"url": "data:image/png;base64,iVBO"}
    assert message["audio"] == {"data": "AAAA", "media_type": "audio/L16;rate=24000"}
    assert message["extra_content"]["google"] == {"grounding_metadata": {"webSearchQueries": ["x"]}}


def test_probabilities_have_their_words_in_chat():
    told = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5}],
        "topCandidates": [
            {"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "e", "logProbability": -1}]}
        ],
    }
    logprobs = whole(an_answer(candidate({"text": "é"}, logprobsResult=told)))["choices"][0]["logprobs"]
    first = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    assert logprobs["content"] == [
        first | {"top_logprobs": [first, {"token": "e", "logprob": -1.0, "bytes": [101]}]}
    ]


# ---- what goes wrong ---------------------------------------------------------------------------------------------
def test_an_error_in_the_middle_breaks_the_stream():
    speech = answered()
    speech.feed(b"", msgspec.json.encode(TRANSCRIPT[0]))
    error = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    with pytest.raises(errors.UpstreamBroken):
        speech.feed(b"", msgspec.json.encode(error))


def test_an_event_without_candidates_says_nothing():
    events = streamed({"responseId": "Xy-1_", "modelVersion": "g"}, *TRANSCRIPT, {"usageMetadata": USAGE})
    assert [each.data for each in events[:4]] == [
        each.data.replace(b'"gemini-3-pro"', b'"g"') for each in streamed(*TRANSCRIPT)[:4]
    ]
    assert events[-1].usage == COUNTED


def test_a_stream_that_only_stops_has_not_ended():
    with pytest.raises(errors.UpstreamBroken):
        streamed(TRANSCRIPT[0], TRANSCRIPT[1])
    with pytest.raises(errors.UpstreamBroken):
        streamed()


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b'{"candidates":[]}', b'{"candidates":"x"}', b"\xff", b"[" * 5000]
)
def test_what_is_no_answer_is_malformed(body: bytes):
    with pytest.raises(errors.UpstreamMalformed):
        answered().reply(body)
    with pytest.raises(errors.UpstreamMalformed):
        answered().feed(b"", body)


def complaint(code: int, status: str, message: str = "No.", *details: dict[str, Any]) -> bytes:
    return msgspec.json.encode(
        {"error": {"code": code, "message": message, "status": status, "details": list(details)}}
    )


def info(reason: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, complaint(400, "INVALID_ARGUMENT"), errors.UpstreamRejected),
        (400, complaint(400, "INVALID_ARGUMENT", LONG), errors.ContextTooLong),
        (400, complaint(400, "INVALID_ARGUMENT", "API key not valid. Please pass one."), errors.UpstreamAuth),
        (400, complaint(400, "INVALID_ARGUMENT", "x", info("API_KEY_INVALID")), errors.UpstreamAuth),
        (400, complaint(400, "FAILED_PRECONDITION", "User location is not supported"), errors.UpstreamAuth),
        (401, complaint(401, "UNAUTHENTICATED"), errors.UpstreamAuth),
        (403, complaint(403, "PERMISSION_DENIED"), errors.UpstreamAuth),
        (404, complaint(404, "NOT_FOUND"), errors.UpstreamNotFound),
        (409, complaint(409, "ABORTED"), errors.UpstreamRejected),
        (429, complaint(429, "RESOURCE_EXHAUSTED", "x", RETRY), errors.UpstreamRateLimited),
        (499, complaint(499, "CANCELLED"), errors.UpstreamUnavailable),
        (500, complaint(500, "INTERNAL"), errors.UpstreamUnavailable),
        (503, complaint(503, "UNAVAILABLE"), errors.UpstreamUnavailable),
        (504, complaint(504, "DEADLINE_EXCEEDED"), errors.UpstreamUnavailable),
        (400, b"[" + complaint(400, "INVALID_ARGUMENT", LONG) + b"]", errors.ContextTooLong),
        (429, b"<html>", errors.UpstreamRateLimited),
        (418, b'{"error": 5}', errors.UpstreamRejected),
    ],
)
def test_each_complaint_has_its_class(status: int, body: bytes, kind: type[errors.GatewayError]):
    error = wire.refused(status, {}, body, None)
    assert type(error) is kind
    assert error.retry_after == (timedelta(seconds=34.5) if b"RetryInfo" in body else None)


def test_the_headers_wait_goes_before_that_of_the_body():
    error = wire.refused(429, {"retry-after": "7"}, complaint(429, "RESOURCE_EXHAUSTED", "x", RETRY), None)
    assert error.retry_after == timedelta(seconds=7)


def test_the_key_is_masked_where_it_is_repeated():
    error = wire.refused(
        400, {}, complaint(400, "INVALID_ARGUMENT", "bad AIza-canary"), Secret("AIza-canary")
    )
    assert "AIza" not in (error.detail or "")
    error = wire.complained(
        complaint(400, "X", "bad AIza-canary"), Secret("AIza-canary"), errors.UpstreamBroken
    )
    assert "AIza" not in (error.detail or "")


def test_the_key_is_a_header_and_takes_the_place_of_any_other():
    sent = wire.headers(
        {"x-goog-api-key": "other", "authorization": "Bearer x", "x-team": "a"}, Secret("AIza")
    )
    assert sent == {"x-team": "a", "x-goog-api-key": "AIza"}
