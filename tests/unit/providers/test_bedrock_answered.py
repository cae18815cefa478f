"""What Converse answers is a chat completion: whole, and event by event, in shapes of AWS's own pages."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import errors
from gateway.domain.inference import Kind, Usage
from gateway.domain.registry import Model
from gateway.domain.secret import Secret
from gateway.providers.bedrock import wire
from gateway.providers.bedrock.answered import Answered
from gateway.providers.bedrock.asked import carried
from gateway.providers.bedrock.frames import Decoder
from gateway.providers.chat import assemble
from gateway.providers.ports import Call, Event
from tests.contracts.bedrock import event, exception, message
from tests.contracts.upstreams import TIMEOUTS

MODEL = Model("m", "bedrock", "", "us.anthropic.claude-sonnet-4-5-20250929-v1:0")


def answered(**changed: Any) -> Answered:
    call = Call(Kind.CHAT, MODEL, {}, TIMEOUTS, {"x-request-id": "0197"})
    return Answered(call, 1_767_225_600, request_id="1b2c", **changed)


def an_answer(*content: dict[str, Any], stop: str = "end_turn", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": list(content)}
    return {"output": {"message": message}, "stopReason": stop, "metrics": {"latencyMs": 1}, **more}


def whole(answer: dict[str, Any]) -> dict[str, Any]:
    return msgspec.json.decode(answered().reply(msgspec.json.encode(answer)).body)


def streamed(body: bytes, pieces: Sequence[bytes] = (), speech: Answered | None = None) -> list[Event]:
    decoder, speech, found = Decoder(10_000), speech or answered(), list[Event]()
    for piece in pieces or (body,):
        for name, data in decoder.feed(piece):
            found.extend(speech.feed(name, data))
    decoder.close()
    return [*found, *speech.end()]


THOUGHT = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}}
USAGE = {
    "inputTokens": 10,
    "outputTokens": 20,
    "totalTokens": 130,
    "cacheReadInputTokens": 60,
    "cacheWriteInputTokens": 40,
    "cacheDetails": [{"ttl": "1h", "inputTokens": 30}],
}
COUNTED = Usage(110, 20, 60, cache_write=40, cache_write_1h=30)


def test_a_whole_answer_says_what_it_thought_said_and_called():
    answer = an_answer(
        THOUGHT,
        {"reasoningContent": {"redactedContent": "eHg="}},
        {"text": "Let me look."},
        {"toolUse": {"toolUseId": "tooluse_1", "name": "weather", "input": {"city": "Zürich"}}},
        {"toolUse": {"toolUseId": "tooluse_2", "name": "time", "input": {}}},
        stop="tool_use",
        usage=USAGE,
    )
    reply = answered(dropped=("user",)).reply(msgspec.json.encode(answer))
    assert (reply.usage, reply.finish_reason, reply.provider_request_id) == (COUNTED, "tool_calls", "1b2c")
    assert reply.dropped == ("user",)
    assert msgspec.json.decode(reply.body) == {
        "id": "chatcmpl-1b2c",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": MODEL.upstream_model,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Let me look.",
                    "reasoning_content": "Hm.",
                    "thinking_blocks": [
                        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                        {"type": "redacted_thinking", "data": "eHg="},
                    ],
                    "tool_calls": [
                        {
                            "id": "tooluse_1",
                            "type": "function",
                            "function": {"name": "weather", "arguments": '{"city":"Zürich"}'},
                        },
                        {
                            "id": "tooluse_2",
                            "type": "function",
                            "function": {"name": "time", "arguments": "{}"},
                        },
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 110,
            "completion_tokens": 20,
            "total_tokens": 130,
            "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 40},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def delta(index: int, **said: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta=said)


def called(index: int, call_id: str) -> bytes:
    start = {"toolUse": {"toolUseId": call_id, "name": "weather"}}
    return event("contentBlockStart", contentBlockIndex=index, start=start)


def stopped(index: int) -> bytes:
    return event("contentBlockStop", contentBlockIndex=index)


# A stream with a thought and its signature, words, and two tools at once.
TRANSCRIPT = [
    event("messageStart", role="assistant"),
    delta(0, reasoningContent={"text": "Both"}),
    delta(0, reasoningContent={"text": " cities."}),
    delta(0, reasoningContent={"signature": "c2ln"}),
    stopped(0),
    delta(1, text="I look "),
    delta(1, text="them up. 🦊"),
    stopped(1),
    called(2, "tooluse_1"),
    delta(2, toolUse={"input": '{"city":'}),
    delta(2, toolUse={"input": '"Zürich"}'}),
    stopped(2),
    called(3, "tooluse_2"),
    delta(3, toolUse={"input": '{"city":"Žilina"}'}),
    stopped(3),
    event("messageStop", stopReason="tool_use"),
    event("metadata", usage=USAGE, metrics={"latencyMs": 5}),
]
BODY = b"".join(TRANSCRIPT)


def test_a_stream_says_the_same_event_by_event():
    events = streamed(BODY, speech=answered(dropped=("user",)))
    chunks = [msgspec.json.decode(each.data) for each in events]
    assert [chunk["choices"][0]["delta"] for chunk in chunks[:-1]] == [
        {"role": "assistant", "content": None},
        {"reasoning_content": "Both"},
        {"reasoning_content": " cities."},
        {"thinking_blocks": [{"type": "thinking", "thinking": "Both cities.", "signature": "c2ln"}]},
        {"content": "I look "},
        {"content": "them up. 🦊"},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "tooluse_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": ""},
                }
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"Zürich"}'}}]},
        {
            "tool_calls": [
                {
                    "index": 1,
                    "id": "tooluse_2",
                    "type": "function",
                    "function": {"name": "weather", "arguments": ""},
                }
            ]
        },
        {"tool_calls": [{"index": 1, "function": {"arguments": '{"city":"Žilina"}'}}]},
        {},
    ]
    assert [each.finish_reason for each in events] == [None] * 11 + ["tool_calls", None]
    assert (events[-1].usage, events[-1].usage_only) == (COUNTED, True)
    assert chunks[-1]["usage"]["prompt_tokens"] == 110
    assert [each.dropped for each in events] == [("user",), *[()] * 12]
    assert "".join(e.text for e in events).startswith("Both cities.I look them up. 🦊")


@given(st.lists(st.integers(0, len(BODY)), max_size=60))
def test_however_its_bytes_are_cut_a_stream_is_the_same(cuts: list[int]):
    edges = [0, *sorted(cuts), len(BODY)]
    pieces = [BODY[a:b] for a, b in itertools.pairwise(edges)]
    assert [each.data for each in streamed(BODY, pieces)] == [each.data for each in streamed(BODY)]


def test_a_stream_of_single_bytes_is_the_same():
    pieces = [bytes((each,)) for each in BODY]
    assert [each.data for each in streamed(BODY, pieces)] == [each.data for each in streamed(BODY)]


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_a_byte_that_was_changed_on_the_way_breaks_the_stream(place: int, change: int):
    damaged = bytearray(BODY)
    damaged[place] ^= change
    with pytest.raises((errors.UpstreamBroken, errors.UpstreamMalformed)):
        streamed(bytes(damaged))


@pytest.mark.parametrize("length", [1, 11, 12, 40, len(BODY) - 1])
def test_a_stream_that_is_cut_is_broken(length: int):
    with pytest.raises(errors.UpstreamBroken):
        streamed(BODY[:length])


def test_an_event_that_is_too_long_is_not_kept():
    long = delta(0, text="x" * 20_000)
    with pytest.raises(errors.UpstreamMalformed):
        streamed(long, [long[n : n + 1000] for n in range(0, len(long), 1000)])


def test_what_was_called_goes_back_as_it_came():
    joined = msgspec.json.decode(assemble([each.data for each in streamed(BODY)]))["choices"][0]["message"]
    joined["thinking_blocks"] = [{"type": "thinking", "thinking": "Both cities.", "signature": "c2ln"}]
    body = {"messages": msgspec.Raw(msgspec.json.encode([{"role": "user", "content": "?"}, joined]))}
    content, dropped = carried(Call(Kind.CHAT, MODEL, body, TIMEOUTS))
    assert msgspec.json.decode(content)["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Both cities.", "signature": "c2ln"}}},
        {"text": "I look them up. 🦊"},
        {"toolUse": {"toolUseId": "tooluse_1", "name": "weather", "input": {"city": "Zürich"}}},
        {"toolUse": {"toolUseId": "tooluse_2", "name": "weather", "input": {"city": "Žilina"}}},
    ]
    assert dropped == ()


_BLOCKS = st.lists(
    st.one_of(
        st.builds(lambda text: {"text": text}, st.text(min_size=1)),
        st.builds(
            lambda text, signature: {
                "reasoningContent": {"reasoningText": {"text": text, "signature": signature}}
            },
            st.text(),
            st.text("ABCab12+/=", min_size=1),
        ),
        st.builds(lambda data: {"reasoningContent": {"redactedContent": data}}, st.text("ABab", min_size=4)),
        st.builds(
            lambda call_id, name, args: {"toolUse": {"toolUseId": call_id, "name": name, "input": args}},
            st.text("abc_-1", min_size=1, max_size=64),
            st.text("abc_", min_size=1),
            st.dictionaries(st.text(), st.integers(-(2**31), 2**31) | st.text() | st.booleans()),
        ),
    ),
    min_size=1,
    max_size=8,
)


@given(_BLOCKS)
def test_whatever_was_said_there_and_back_is_the_same(blocks: list[dict[str, Any]]):
    said = whole(an_answer(*blocks))["choices"][0]["message"]
    body = {"messages": msgspec.Raw(msgspec.json.encode([said]))}
    content, _ = carried(Call(Kind.CHAT, MODEL, body, TIMEOUTS))
    back = [block for turn in msgspec.json.decode(content)["messages"] for block in turn["content"]]
    for kind in ("reasoningContent", "toolUse"):
        assert [b[kind] for b in back if kind in b] == [b[kind] for b in blocks if kind in b]
    assert "".join(b.get("text", "") for b in back) == "".join(b.get("text", "") for b in blocks)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_why_it_ended_has_a_word_in_chat(reason: str, finish: str):
    choice = whole(an_answer({"text": "x"}, stop=reason))["choices"][0]
    assert choice["finish_reason"] == finish
    [chunk] = streamed(event("messageStop", stopReason=reason))
    assert chunk.finish_reason == finish
    plain = reason in ("end_turn", "stop_sequence", "max_tokens")
    assert choice.get("native_finish_reason") == (None if plain else reason)


@pytest.mark.parametrize("reason", sorted(wire.UNUSABLE))
def test_what_is_no_answer_goes_to_another_model(reason: str):
    for call in (
        lambda: whole(an_answer(stop=reason)),
        lambda: streamed(event("messageStop", stopReason=reason)),
    ):
        with pytest.raises(errors.UpstreamMalformed) as raised:
            call()
        assert raised.value.retryable


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"inputTokens": 5, "outputTokens": 7, "totalTokens": 12}, Usage(5, 7)),
        (
            {"inputTokens": 100, "outputTokens": 7, "totalTokens": 107, "cacheReadInputTokens": 60},
            Usage(100, 7, 60),
        ),
        (
            {"inputTokens": 100, "outputTokens": 7, "totalTokens": 167, "cacheReadInputTokens": 60},
            Usage(160, 7, 60),
        ),
        ({"inputTokens": 4, "outputTokens": 7, "cacheWriteInputTokens": 50}, Usage(54, 7, cache_write=50)),
        ({"inputTokens": 10**12, "outputTokens": 7}, None),
        (None, None),
    ],
)
def test_cached_input_is_counted_once(usage: dict[str, int] | None, counted: Usage | None):
    answer = an_answer({"text": "x"}) | ({} if usage is None else {"usage": usage})
    assert answered().reply(msgspec.json.encode(answer)).usage == counted


def test_pictures_and_quotations_of_an_answer_are_kept():
    cited = {"content": [{"text": "It rains."}], "citations": [{"title": "Paper"}]}
    image = {"image": {"format": "png", "source": {"bytes": "iVBO"}}}
    said = whole(an_answer({"citationsContent": cited}, image))["choices"][0]["message"]
    assert said["content"] == "It rains."
    assert said["citations"] == [[{"title": "Paper"}]]
    assert said["images"][0]["image_url"] == {"url": "data:image/png;base64,iVBO"}


# ---- what goes wrong ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("internalServerException", "The system encountered an error.", errors.UpstreamBroken),
        ("modelStreamErrorException", "It broke.", errors.UpstreamBroken),
        ("serviceUnavailableException", "Later.", errors.UpstreamBroken),
        ("modelTimeoutException", "Too slow.", errors.UpstreamTimeout),
        ("throttlingException", "Too many tokens, please wait.", errors.UpstreamRateLimited),
        ("validationException", "Input is too long for requested model.", errors.ContextTooLong),
        ("validationException", "No.", errors.UpstreamRejected),
    ],
)
def test_an_exception_in_the_middle_ends_the_stream(name: str, text: str, kind: type[errors.GatewayError]):
    with pytest.raises(errors.GatewayError) as raised:
        streamed(TRANSCRIPT[0] + TRANSCRIPT[1] + exception(name, text))
    assert type(raised.value) is kind
    assert text in (raised.value.detail or "")


def test_an_error_without_a_payload_ends_the_stream_too():
    import struct
    from zlib import crc32

    said = [
        (b":message-type", b"error"),
        (b":error-code", b"InternalFailure"),
        (b":error-message", b"It broke."),
    ]
    headers = b"".join(bytes((len(k),)) + k + b"\x07" + struct.pack(">H", len(v)) + v for k, v in said)
    prelude = struct.pack(">II", len(headers) + 16, len(headers))
    start = prelude + struct.pack(">I", crc32(prelude)) + headers
    with pytest.raises(errors.UpstreamBroken) as raised:
        streamed(start + struct.pack(">I", crc32(start)))
    assert "It broke." in (raised.value.detail or "")


def test_a_stream_that_only_stops_has_not_ended():
    with pytest.raises(errors.UpstreamBroken):
        streamed(b"".join(TRANSCRIPT[:8]))
    with pytest.raises(errors.UpstreamBroken):
        streamed(b"")


def test_events_that_nobody_knows_are_passed_over():
    more = message(b"somethingNew", b'{"p":"x"}') + event("initial-response")
    assert len(streamed(more + BODY)) == len(streamed(BODY))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"output":5}', b"\xff", b"[" * 5000])
def test_what_is_no_answer_is_malformed(body: bytes):
    with pytest.raises(errors.UpstreamMalformed):
        answered().reply(body)


def complaint(text: str, kind: str = "") -> bytes:
    return msgspec.json.encode({"message": text} | ({"__type": kind} if kind else {}))


@pytest.mark.parametrize(
    ("status", "kind", "text", "ours"),
    [
        (400, "ValidationException", "No.", errors.UpstreamRejected),
        (400, "ValidationException", "Input is too long for requested model.", errors.ContextTooLong),
        (
            400,
            "ValidationException",
            "prompt is too long: 200049 tokens > 200000 maximum",
            errors.ContextTooLong,
        ),
        (400, "ValidationException", "The provided model identifier is invalid.", errors.UpstreamNotFound),
        (400, "ValidationException", "Operation not allowed", errors.UpstreamAuth),
        (400, "ServiceQuotaExceededException", "x", errors.UpstreamRateLimited),
        (400, "ExpiredTokenException", "x", errors.UpstreamAuth),
        (403, "AccessDeniedException", "x", errors.UpstreamAuth),
        (403, "UnrecognizedClientException", "x", errors.UpstreamAuth),
        (403, "InvalidSignatureException", "x", errors.UpstreamAuth),
        (404, "ResourceNotFoundException", "x", errors.UpstreamNotFound),
        (408, "ModelTimeoutException", "x", errors.UpstreamTimeout),
        (424, "ModelErrorException", "x", errors.UpstreamUnavailable),
        (429, "ThrottlingException", "x", errors.UpstreamRateLimited),
        (429, "ModelNotReadyException", "x", errors.UpstreamUnavailable),
        (500, "InternalServerException", "x", errors.UpstreamUnavailable),
        (503, "ServiceUnavailableException", "x", errors.UpstreamUnavailable),
        (418, "", "x", errors.UpstreamRejected),
    ],
)
def test_each_complaint_has_its_class(status: int, kind: str, text: str, ours: type[errors.GatewayError]):
    url = ":http://internal.amazon.com/coral/com.amazon.bedrock/"
    by_header = wire.refused(status, {"x-amzn-errortype": kind + url}, complaint(text), None)
    by_body = wire.refused(status, {}, complaint(text, f"com.amazon.coral.service#{kind}"), None)
    assert type(by_header) is type(by_body) is ours
    assert wire.refused(429, {"retry-after": "7"}, b"", None).retry_after is not None


def test_no_part_of_a_credential_is_repeated():
    secret = Secret("AKIACANARY:SeCrEtCaNaRy:ToKeNcAnArY")
    body = complaint("Credential=AKIACANARY/2026 SeCrEtCaNaRy x-amz-security-token:ToKeNcAnArY")
    for error in (wire.refused(403, {}, body, secret), wire.broken(b"x", body, secret)):
        assert "canary" not in (error.detail or "").lower()
        assert "****" in (error.detail or "")
