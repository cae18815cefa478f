"""What the provider for Anthropic promises beyond the port: headers, versions, limits, and bytes as they came."""

from __future__ import annotations

import gzip
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gateway.domain import errors
from gateway.domain.inference import Usage
from gateway.domain.operations import Operation
from gateway.providers.anthropic.options import misfits
from gateway.providers.catalogue import MANUALS, open_provider
from gateway.providers.ports import Call, Provider
from gateway.providers.scripted.messages import SIGNATURE
from gateway.settings import Providers
from tests.contracts.messages import messages
from tests.contracts.upstreams import Inside, call, failing, head, saying, sized

BODY = (
    b'{"max_tokens":9,"messages":[ {"role" : "user","content":"Gr\xc3\xbc\\u00dfe"} ],"x":{ "b":[1, 2.50 ]}}'
)
CHAT = b'{"messages":[{"role":"user","content":"Hi"}],"temperature":0.5}'
ANSWER = b'{"id":"msg_1","type":"message","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"}'


@pytest.fixture
async def provider() -> AsyncGenerator[Provider]:
    opened = open_provider("anthropic", Providers())
    yield opened
    await opened.close()


@pytest.fixture
async def upstream() -> AsyncGenerator[tuple[Inside, str]]:
    async with messages() as served:
        yield served


def asked(
    at: str,
    operation: Operation = Operation.MESSAGES,
    *,
    body: bytes = BODY,
    options: dict[str, object] | None = None,
    said: dict[str, str] | None = None,
    **changed: Any,
) -> Call:
    """A call of messages that works, but for what is changed."""
    made = call(base_url=at, body=body, **changed)
    model = replace(made.model, options=options or {})
    return replace(made, operation=operation, model=model, dialect_headers=said or {})


# ---- bytes -------------------------------------------------------------------------------------------------------
async def test_messages_pass_through_as_the_bytes_they_are(provider: Provider, upstream: tuple[Inside, str]):
    seen, at = upstream
    reply = await provider.complete(asked(at))
    assert msgspec.json.decode(reply.body)["type"] == "message"
    assert (reply.usage, reply.finish_reason) == (Usage(input=11, output=8), "stop")
    sent = seen.last()[1]
    assert b'[ {"role" : "user","content":"Gr\xc3\xbc\\u00dfe"} ]' in sent
    assert b'{ "b":[1, 2.50 ]}' in sent
    events = [event async for event in provider.stream(asked(at))]
    assert [event.name for event in events if event.name != "content_block_delta"] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert "".join(event.text for event in events) == "A café, a € sign, 漢字 and a "
    assert [event.usage for event in events if event.usage] == [Usage(input=11, output=8)]
    assert msgspec.json.decode(seen.last()[1])["stream"] is True


async def test_an_answer_without_usage_can_be_estimated_by_its_text(provider: Provider):
    call_ = b'{"type":"tool_use","id":"t","name":"f","input":{"a":1}}'
    async with saying(sized(ANSWER.replace(b'"text":"Hi"}', b'"text":"Hi"},' + call_))) as silent:
        for operation in (Operation.MESSAGES, Operation.CHAT):
            reply = await provider.complete(asked(silent.base_url, operation))
            assert (reply.usage, reply.text) == (None, 'Hi{"a":1}')


async def test_a_count_is_the_upstreams_and_costs_nothing(provider: Provider, upstream: tuple[Inside, str]):
    reply = await provider.complete(asked(upstream[1], Operation.COUNT_TOKENS))
    assert msgspec.json.decode(reply.body) == {"input_tokens": 11}
    assert reply.usage == Usage()
    with pytest.raises(errors.UpstreamMalformed):
        async with saying(sized(b'{"tokens":1}')) as odd:
            await provider.complete(asked(odd.base_url, Operation.COUNT_TOKENS))


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/"])
async def test_an_address_may_end_in_v1_or_not(provider: Provider, upstream: tuple[Inside, str], tail: str):
    at = upstream[1].removesuffix("/v1") + tail
    assert (await provider.complete(asked(at))).finish_reason == "stop"


async def test_thoughts_are_carried_to_chat_and_sent_back_with_their_signature(
    provider: Provider, upstream: tuple[Inside, str]
):
    seen, at = upstream
    thinking = asked(at, Operation.CHAT, body=CHAT, model="scripted-ok?thinking=Let+me+see.")
    said = msgspec.json.decode((await provider.complete(thinking)).body)["choices"][0]["message"]
    block = {"type": "thinking", "thinking": "Let me see.", "signature": SIGNATURE}
    assert (said["reasoning_content"], said["thinking_blocks"]) == ("Let me see.", [block])
    more = msgspec.json.encode({"messages": [{"role": "user", "content": "Hi"}, said]})
    await provider.complete(asked(at, Operation.CHAT, body=more))
    assert msgspec.json.decode(seen.last()[1])["messages"][1]["content"][0] == block


# ---- headers -----------------------------------------------------------------------------------------------------
async def test_the_credential_goes_as_x_api_key_and_nowhere_else(
    provider: Provider, upstream: tuple[Inside, str], monkeypatch: pytest.MonkeyPatch
):
    seen, at = upstream
    monkeypatch.setenv("OF_TEST_API_KEY", "sk-canary-4711")
    forged = {"x-api-key": "other", "Authorization": "Bearer other"}
    await provider.complete(asked(at, credential="env:OF_TEST_API_KEY", model_headers=forged))
    headers, body = seen.last()
    assert headers.pop("x-api-key") == "sk-canary-4711"
    assert "authorization" not in headers
    assert "sk-canary-4711" not in str(headers) + body.decode()
    await provider.complete(asked(at, credential="env:OF_TEST_API_KEY", options={"auth": "bearer"}))
    headers, _ = seen.last()
    assert headers["authorization"] == "Bearer sk-canary-4711"
    assert "x-api-key" not in headers


async def test_nothing_of_the_environment_is_sent(
    provider: Provider, upstream: tuple[Inside, str], monkeypatch: pytest.MonkeyPatch
):
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, "sk-of-the-environment")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Custom: of-the-environment")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://of-the-environment.invalid")
    await provider.complete(asked(upstream[1]))
    headers, body = upstream[0].last()
    assert not {"authorization", "x-api-key", "x-custom"} & headers.keys()
    assert "of-the-environment" not in str(headers) + body.decode()
    assert not [name for name in headers if name.startswith("x-stainless")]


async def test_versions_and_betas_are_the_models_then_the_callers_then_ours(
    provider: Provider, upstream: tuple[Inside, str]
):
    seen, at = upstream
    await provider.complete(asked(at))
    assert (seen.last()[0]["anthropic-version"], "anthropic-beta" in seen.last()[0]) == ("2023-06-01", False)
    said = {"anthropic-version": "2026-10-21", "anthropic-beta": "a-1"}
    await provider.complete(asked(at, said=said))
    assert [seen.last()[0][name] for name in said] == ["2026-10-21", "a-1"]
    own = {"Anthropic-Version": "2024-01-01", "anthropic-beta": "b-2"}
    await provider.complete(asked(at, said=said, model_headers=own))
    assert [seen.last()[0][name] for name in said] == ["2024-01-01", "b-2,a-1"]


@pytest.mark.parametrize(
    ("changed", "sends"),
    [
        ({}, True),
        ({"options": {"sampling": False}}, False),
        ({"model_headers": {"anthropic-version": "2026-10-21"}}, False),
    ],
)
async def test_a_temperature_is_sent_only_where_it_is_known(
    provider: Provider, upstream: tuple[Inside, str], changed: dict[str, Any], sends: bool
):
    reply = await provider.complete(asked(upstream[1], Operation.CHAT, body=CHAT, **changed))
    assert ("temperature" in msgspec.json.decode(upstream[0].last()[1])) is sends
    assert reply.dropped == (() if sends else ("temperature",))


@pytest.mark.parametrize("how", ["json", "stream"])
async def test_a_strict_chat_is_refused_before_anything_is_sent(
    provider: Provider, upstream: tuple[Inside, str], how: str
):
    odd = CHAT.replace(b'"temperature":0.5', b'"seed":1')
    strict = replace(asked(upstream[1], Operation.CHAT, body=odd), strict=True)
    error, _ = await failing(provider, strict, how)
    assert (type(error), error.param) == (errors.NotCarried, "seed")
    assert upstream[0].stats()["calls"] == 0
    lenient = replace(strict, strict=False)
    events = [event async for event in provider.stream(lenient)]
    assert [event.dropped for event in events if event.dropped] == [("seed",)]


async def test_the_models_own_bound_stands_in_where_the_caller_says_none(
    provider: Provider, upstream: tuple[Inside, str]
):
    made = asked(upstream[1], Operation.CHAT, body=CHAT)
    await provider.complete(replace(made, model=replace(made.model, max_output=64_000)))
    assert msgspec.json.decode(upstream[0].last()[1])["max_tokens"] == 64_000


# ---- errors ------------------------------------------------------------------------------------------------------
def complaint(kind: str, message: str) -> bytes:
    error = {"type": kind, "message": message}
    return msgspec.json.encode({"type": "error", "error": error, "request_id": "req_1"})


TOLD: list[tuple[str, str, str, type[errors.GatewayError]]] = [
    ("400 Bad Request", "invalid_request_error", "prompt is too long: 9 > 8", errors.ContextTooLong),
    (
        "400 Bad Request",
        "invalid_request_error",
        "input length and `max_tokens` exceed context limit: 9 + 8 > 10",
        errors.ContextTooLong,
    ),
    ("400 Bad Request", "invalid_request_error", "messages: too odd", errors.UpstreamRejected),
    (
        "400 Bad Request",
        "invalid_request_error",
        "Output blocked by content filtering policy",
        errors.ContentFiltered,
    ),
    (
        "400 Bad Request",
        "invalid_request_error",
        "Your credit balance is too low to access the Anthropic API.",
        errors.UpstreamAuth,
    ),
    ("401 Unauthorized", "authentication_error", "invalid x-api-key", errors.UpstreamAuth),
    ("403 Forbidden", "permission_error", "not yours", errors.UpstreamAuth),
    ("404 Not Found", "not_found_error", "model: claude-9", errors.UpstreamNotFound),
    ("413 Too Large", "request_too_large", "Request exceeds the maximum size", errors.UpstreamRejected),
    ("429 Too Many Requests", "rate_limit_error", "slow down", errors.UpstreamRateLimited),
    ("500 Error", "api_error", "Internal server error", errors.UpstreamUnavailable),
    ("529 Overloaded", "overloaded_error", "Overloaded", errors.UpstreamUnavailable),
]


@pytest.mark.parametrize("operation", [Operation.MESSAGES, Operation.CHAT])
@pytest.mark.parametrize(("status", "kind", "message", "error"), TOLD)
async def test_a_complaint_is_told_by_its_class(
    provider: Provider,
    operation: Operation,
    status: str,
    kind: str,
    message: str,
    error: type[errors.GatewayError],
):
    async with saying(sized(complaint(kind, message), status, request_id="req_9")) as odd:
        found, _ = await failing(provider, asked(odd.base_url, operation), "stream")
    assert type(found) is error
    assert message in (found.detail or "")
    assert message not in found.message


async def test_the_upstreams_request_id_is_kept(provider: Provider):
    async with saying(sized(ANSWER, request_id="req_011CSHoE")) as odd:
        assert (await provider.complete(asked(odd.base_url))).provider_request_id == "req_011CSHoE"


@pytest.mark.parametrize(
    ("limits", "least", "most"),
    [
        ({"retry_after": "7", "anthropic_ratelimit_requests_remaining": "0"}, 7, 7),
        (
            {"requests_remaining": "0", "requests_reset": 30, "tokens_remaining": "5", "tokens_reset": 90},
            25,
            30,
        ),
        ({"input_tokens_remaining": "0", "input_tokens_reset": -30}, 0, 0),
        ({"requests_remaining": "0", "requests_reset": None}, None, None),
        ({}, None, None),
    ],
)
async def test_how_long_to_wait_is_read_from_the_limits_that_are_used_up(
    provider: Provider, limits: dict[str, Any], least: int | None, most: int | None
):
    headed: dict[str, str] = {}
    for name, value in limits.items():
        if name.endswith("_reset"):
            moment = datetime.now(UTC) + timedelta(seconds=value or 0)
            value = "soon" if value is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: PLW2901
        headed[name if "retry" in name or "anthropic" in name else f"anthropic_ratelimit_{name}"] = value
    refusal = sized(complaint("rate_limit_error", "slow"), "429 Too Many Requests", **headed)
    async with saying(refusal) as odd:
        found, _ = await failing(provider, asked(odd.base_url), "json")
    if least is None or most is None:
        assert found.retry_after is None
    else:
        assert found.retry_after is not None
        assert timedelta(seconds=least) <= found.retry_after <= timedelta(seconds=most)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"type":"message"}', errors.UpstreamMalformed),
        (b"[]", errors.UpstreamMalformed),
        (b'{"content":[]', errors.UpstreamMalformed),
        (complaint("overloaded_error", "Overloaded"), errors.UpstreamUnavailable),
    ],
)
@pytest.mark.parametrize("operation", [Operation.MESSAGES, Operation.CHAT])
async def test_an_answer_that_is_none_is_no_answer(
    provider: Provider, body: bytes, error: type[errors.GatewayError], operation: Operation
):
    async with saying(sized(body)) as odd:
        assert type((await failing(provider, asked(odd.base_url, operation), "json"))[0]) is error


async def test_an_event_of_a_kind_that_nobody_knows_yet_is_passed_on(provider: Provider):
    events = (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","usage":{"input_tokens":3}}}\n\n'
        b'event: new_thing\ndata: {"type":"new_thing","delta":[1]}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
        b'"usage":{"output_tokens":2}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
    )
    async with saying(sized(events, kind="text/event-stream")) as odd:
        found = [event async for event in provider.stream(asked(odd.base_url))]
        assert [event.name for event in found] == [
            "message_start",
            "new_thing",
            "message_delta",
            "message_stop",
        ]
        assert found[1].data == b'{"type":"new_thing","delta":[1]}'
        assert found[2].usage == Usage(input=3, output=2)
        chunks = [event async for event in provider.stream(asked(odd.base_url, Operation.CHAT))]
        assert [chunk.finish_reason for chunk in chunks] == [None, "stop", None]


# ---- connections -------------------------------------------------------------------------------------------------
SAID = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","usage":{"input_tokens":3}}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":2}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
)


async def test_a_server_that_stays_after_its_last_word_holds_nobody_up(provider: Provider):
    async with saying(head(kind="text/event-stream") + SAID, close=False) as server:
        began = time.monotonic()
        assert len([event async for event in provider.stream(asked(server.base_url))]) == 3
        assert time.monotonic() - began < 8


async def test_one_connection_serves_one_call_after_another(provider: Provider, upstream: tuple[Inside, str]):
    for _ in range(3):
        await provider.complete(asked(upstream[1]))
        async for _event in provider.stream(asked(upstream[1])):
            pass
        await failing(provider, asked(upstream[1], model="scripted-503"), "json")
    assert upstream[0].stats()["accepted_connections"] == 1


async def test_what_one_answer_sets_does_not_come_with_the_next_request(provider: Provider):
    async with saying(sized(ANSWER, set_cookie="who=me; Path=/"), close=False) as server:
        for _ in range(2):
            await provider.complete(asked(server.base_url))
        assert b"cookie" not in server.requests[1].lower()


async def test_a_base_url_keeps_its_path_and_query(provider: Provider):
    async with saying(sized(ANSWER)) as server:
        await provider.complete(asked(f"{server.base_url}/deep/v1?api=7"))
        assert server.requests[0].startswith(b"POST /v1/deep/v1/messages?api=7 HTTP/1.1\r\n")


@pytest.mark.parametrize("at", ["upstream/v1", "ftp://upstream/v1", "http://", "http://[::1/v1"])
async def test_an_address_that_is_none_is_an_administrators_affair(provider: Provider, at: str):
    with pytest.raises(errors.UpstreamNotFound):
        await provider.complete(asked(at))


async def test_an_answer_packed_though_nobody_asked_is_unpacked(provider: Provider):
    async with saying(sized(gzip.compress(ANSWER), content_encoding="gzip")) as server:
        assert (await provider.complete(asked(server.base_url))).body == ANSWER


@pytest.mark.parametrize("cut", [len(SAID) - 120, 90])
async def test_a_stream_that_is_cut_off_is_broken_wherever_that_is(provider: Provider, cut: int):
    async with saying(head(kind="text/event-stream") + SAID[:cut]) as server:
        for operation in (Operation.MESSAGES, Operation.CHAT):
            error, _ = await failing(provider, asked(server.base_url, operation), "stream")
            assert type(error) is errors.UpstreamBroken


async def test_an_answer_longer_than_allowed_is_not_read_to_its_end(upstream: tuple[Inside, str]):
    provider = open_provider("anthropic", Providers(max_answer=2000))
    long = asked(upstream[1], model="scripted-ok?tokens=1000")
    assert type((await failing(provider, long, "json"))[0]) is errors.UpstreamMalformed
    assert len([event async for event in provider.stream(long)]) == 1006
    await provider.close()


# ---- options -----------------------------------------------------------------------------------------------------
def test_options_are_known_by_name_and_value():
    assert MANUALS["anthropic"].base_url({}) == "https://api.anthropic.com"
    assert misfits({"thinking": "budget", "sampling": False, "auth": "bearer"}) == ()
    wrong = misfits({"thinkin": "budget", "sampling": 0, "auth": "basic"})
    assert [(each.option, each.expected, each.nearest) for each in wrong] == [
        ("thinkin", "one of thinking, sampling, auth", "thinking"),
        ("sampling", "true or false", None),
        ("auth", "x-api-key or bearer", None),
    ]
