"""Responses at a model that speaks them: its bytes pass, but for ids, numbers and what only the gateway keeps."""

from datetime import timedelta

import msgspec
import pytest

from gateway.domain import errors
from gateway.domain.inference import Kind, Usage
from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.ids import new_id
from gateway.providers.dialects.responses.native import native_response
from gateway.providers.dialects.responses.wire import Responses
from gateway.providers.ports import Call, CallTimeouts
from gateway.providers.wire import Reading
from tests.unit.providers.responses.sdk import a_response, an_event

READING = Reading(1 << 20)
TIMEOUTS = CallTimeouts(*[timedelta(seconds=1)] * 3)
WIRE = Responses()
RESPONSE = {
    "id": "resp_upstream",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt-up",
    "output": [
        {
            "id": "msg_up",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "store": False,
    "x_new": 1.0,
    "usage": {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 13,
    },
}


def body(**fields):
    fields = {"model": "assistant", "input": "hi", **fields}
    return {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}


def sent(**fields):
    carried = native_response(body(**fields), new_id())
    return {name: msgspec.json.decode(value) for name, value in carried.body.items()}


def encoded(**changes):
    return msgspec.json.encode({**RESPONSE, **changes})


def event(kind, number, **fields):
    data = msgspec.json.encode({"type": kind, "sequence_number": number, **fields})
    return WIRE.event(kind.encode(), data, READING, "req_1")


# ---- what is sent ------------------------------------------------------------------------------------------------
def test_the_provider_keeps_nothing_and_knows_nothing_of_our_state():
    ours = {"previous_response_id": "resp_1", "conversation": "conv_1", "background": True, "store": True}
    assert sent(**ours, gateway={"created_at": 1}, x_new=1) == {
        "model": "assistant",
        "input": "hi",
        "store": False,
        "x_new": 1,
    }


def test_thoughts_are_asked_for_where_a_model_thinks():
    assert sent(reasoning={"effort": "low"})["include"] == ["reasoning.encrypted_content"]
    asked = sent(reasoning={"effort": "low"}, include=["message.output_text.logprobs"])
    assert asked["include"] == ["message.output_text.logprobs", "reasoning.encrypted_content"]
    for none in (None, {}, {"effort": "none"}):
        assert "include" not in sent(reasoning=none)


def test_items_lose_the_names_that_another_gave_them_and_thoughts_that_cannot_be_read():
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "x"}
    items = [
        {**thought, "encrypted_content": "old"},
        {"role": "user", "content": "go"},
        {**thought, "encrypted_content": "gAAA"},
        {**thought, "encrypted_content": "gw1.xx"},
        thought,
        call,
        output,
        {"type": "item_of_tomorrow", "id": "x_1"},
    ]
    assert sent(input=items)["input"] == [
        {"role": "user", "content": "go"},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
        {name: value for name, value in call.items() if name != "id"},
        output,
        {"type": "item_of_tomorrow", "id": "x_1"},
    ]


def test_on_the_wire_stand_the_models_own_name_and_whether_it_streams():
    model = Model("m", "openai", "http://x/v1", "gpt-up", Kind.CHAT)
    call = Call(
        Kind.CHAT, model, body(stream=True, stream_options={}), TIMEOUTS, operation=Operation.RESPONSES
    )
    whole = msgspec.json.decode(WIRE.outgoing(call, stream=False).joined)
    assert whole == {"model": "gpt-up", "input": "hi"}
    assert msgspec.json.decode(WIRE.outgoing(call, stream=True).joined)["stream"] is True


# ---- what comes back ---------------------------------------------------------------------------------------------
def test_a_response_gets_our_id_and_keeps_the_rest():
    request = new_id()
    reply = WIRE.reply(encoded(), READING, None, "application/json")
    assert (reply.usage, reply.finish_reason) == (Usage(9, 4, 3, 1), "stop")
    assert reply.provider_request_id == "resp_upstream"
    own = {"created_at": 7, "previous_response_id": "resp_0", "conversation": "conv_1"}
    made = msgspec.json.decode(native_response(body(gateway=own), request).reply(reply.body))
    assert made["x_new"] == 1.0
    found = a_response(made)
    assert (found.id, found.created_at, found.previous_response_id) == (f"resp_{request}", 7, "resp_0")
    assert (found.conversation.id, made["store"], found.output_text) == ("conv_1", True, "Hello")


@pytest.mark.parametrize(
    ("changes", "finish"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete"}, "length"),
        ({"output": [{"type": "function_call"}]}, "tool_calls"),
    ],
)
def test_why_it_ended_is_told_in_the_ledgers_words(changes, finish):
    assert WIRE.reply(encoded(**changes), READING, "r", "").finish_reason == finish


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"[", errors.UpstreamMalformed),
        (b"{}", errors.UpstreamMalformed),
        (b'{"error":{"message":"no"}}', errors.UpstreamUnavailable),
        (encoded(status="queued"), errors.UpstreamMalformed),
        (encoded(status="failed"), errors.UpstreamUnavailable),
        (encoded(status="failed", error={"code": "server_error"}), errors.UpstreamUnavailable),
        (encoded(status="failed", error={"code": "rate_limit_exceeded"}), errors.UpstreamRateLimited),
        (encoded(status="failed", error={"code": "invalid_prompt"}), errors.ContentFiltered),
        (encoded(status="failed", error="strange"), errors.UpstreamUnavailable),
    ],
)
def test_a_response_that_is_none_or_failed_is_an_error(answer, kind):
    with pytest.raises(kind):
        WIRE.reply(answer, READING, None, "")


# ---- streams -----------------------------------------------------------------------------------------------------
def opening():
    in_progress = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
    return [
        event(f"response.{kind}", n, response=in_progress)
        for n, kind in enumerate(("created", "in_progress"))
    ]


def delta(number, text="Hel"):
    at = {"item_id": "msg_up", "output_index": 0, "content_index": 0, "logprobs": []}
    return event("response.output_text.delta", number, delta=text, **at)


def test_the_opening_waits_for_what_follows_so_that_a_failure_can_go_elsewhere():
    stream = native_response(body(), new_id()).stream()
    assert [stream.feed(each) for each in opening()] == [(), ()]
    assert [each.name for each in stream.feed(delta(2))] == [
        "response.created",
        "response.in_progress",
        "response.output_text.delta",
    ]
    with pytest.raises(errors.UpstreamRateLimited):
        event(
            "response.failed",
            2,
            response={**RESPONSE, "status": "failed", "error": {"code": "rate_limit_exceeded"}},
        )
    with pytest.raises(errors.UpstreamBroken):
        event("error", 2, code="x", message="no", param=None)


@pytest.mark.parametrize("told", [0, 2])
def test_events_are_numbered_anew_and_tell_our_id(told):
    request = new_id()
    stream = native_response(body(gateway={"told": told}), request).stream()
    events = [*opening(), delta(7), delta(8, "lo"), event("response.completed", 9, response=RESPONSE)]
    told_events = [found for each in events for found in stream.feed(each)]
    told_events += stream.end()
    kinds = [an_event(each) for each in told_events]
    assert [each.sequence_number for each in kinds] == list(range(told, told + len(kinds)))
    assert kinds[0].type == ("response.in_progress" if told else "response.created")
    assert {each.response.id for each in kinds if hasattr(each, "response")} == {f"resp_{request}"}


def test_deltas_are_counted_and_the_end_says_usage():
    assert (delta(2).text, delta(2).finish_reason) == ("Hel", None)
    assert event("response.function_call_arguments.delta", 1, delta='{"a"').text == '{"a"'
    assert event("response.output_item.added", 1, item={}).text == ""
    done = event("response.completed", 3, response=RESPONSE)
    assert (done.usage, done.finish_reason, done.usage_only) == (Usage(9, 4, 3, 1), "stop", False)


def test_a_stream_that_is_only_an_opening_is_told_at_its_end():
    stream = native_response(body(), new_id()).stream()
    for each in opening():
        stream.feed(each)
    assert [each.name for each in stream.end()] == ["response.created", "response.in_progress"]
