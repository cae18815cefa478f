"""Every provider does what the port promises, against the scripted upstream on real sockets and in process."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest

from gateway.domain import errors
from gateway.domain.inference import Usage
from gateway.providers.catalogue import PROVIDERS, open_provider
from gateway.providers.chat import assemble
from gateway.providers.ports import Call, Event, Provider
from gateway.providers.scripted.client import Scripted
from gateway.providers.scripted.script import FAILURES, Script
from gateway.settings import Providers
from tests.contracts.doubles import TRANSLATING
from tests.contracts.upstreams import (
    Inside,
    Seen,
    Served,
    call,
    failing,
    saying,
    served,
    sized,
    within,
)
from tests.waits import until

pytestmark = pytest.mark.slow


@dataclass
class Bench:
    """A provider, and the upstream that its calls reach."""

    provider: Provider
    upstream: Seen
    base_url: str
    translates: bool = False  # its upstream's wire is not OpenAI's
    tells_thoughts: bool = True  # its upstream says how much of its output was thought

    def call(self, model: str = "scripted-ok", **changed: Any) -> Call:
        if self.translates and "script" in changed:
            assert isinstance(self.upstream, Inside)
            model = f"scripted-as-told-{len(self.upstream.upstream.models)}"
            self.upstream.upstream.models[model] = msgspec.convert(changed.pop("script"), Script)
        return call(model, base_url=self.base_url, **changed)

    async def events(self, asked: Call) -> list[Event]:
        return [event async for event in self.provider.stream(asked)]

    async def error(self, asked: Call, how: str) -> tuple[errors.GatewayError, list[Event]]:
        return await failing(self.provider, asked, how)


@pytest.fixture(scope="session")
def upstream() -> Generator[Served]:
    with served() as running:
        yield running


@asynccontextmanager
async def opened(name: str, upstream: Served) -> AsyncGenerator[Bench]:
    async with AsyncExitStack() as stack:
        provider = open_provider(name, Providers())
        stack.push_async_callback(provider.close)
        if name in TRANSLATING:
            seen, base_url = await stack.enter_async_context(TRANSLATING[name]())
            yield Bench(provider, seen, base_url, translates=True, tells_thoughts=name != "bedrock")
        else:
            inside = isinstance(provider, Scripted)
            yield Bench(provider, Inside(provider.upstream) if inside else upstream, upstream.base_url)


@pytest.fixture(params=sorted(PROVIDERS))
async def bench(request: pytest.FixtureRequest, upstream: Served) -> AsyncGenerator[Bench]:
    async with opened(request.param, upstream) as found:
        yield found


@pytest.fixture(params=sorted(PROVIDERS.keys() - TRANSLATING.keys()))
async def passing(request: pytest.FixtureRequest, upstream: Served) -> AsyncGenerator[Bench]:
    """Those that hand bytes on as they come."""
    async with opened(request.param, upstream) as found:
        yield found


def unnumbered(data: bytes) -> bytes:
    return re.sub(rb"chatcmpl-(req_)?[@0-9]*|scripted-as-told-\d+|\"created\":\d+", b"N", data)


# ---- good answers ------------------------------------------------------------------------------------------------
async def test_a_whole_answer_is_handed_on_as_it_came(passing: Bench):
    reply = await passing.provider.complete(passing.call())
    answer = msgspec.json.decode(reply.body)
    assert answer["id"] == f"chatcmpl-{(reply.provider_request_id or '')[4:]}", "the very bytes, not a copy"


async def test_a_whole_answer_is_a_chat_completion(bench: Bench):
    reply = await bench.provider.complete(bench.call())
    answer = msgspec.json.decode(reply.body)
    assert (answer["object"], answer["model"]) == ("chat.completion", "scripted-ok")
    assert answer["choices"][0]["message"]["content"] == "A café, a € sign, 漢字 and a "
    assert reply.usage == Usage(input=11, output=8)
    assert reply.finish_reason == "stop"
    assert re.fullmatch(r"req_\d{12}", reply.provider_request_id or "")
    assert answer["id"].startswith("chatcmpl-")


async def test_a_stream_is_handed_on_event_by_event(bench: Bench):
    events = await bench.events(bench.call())
    assert "".join(event.text for event in events) == "A café, a € sign, 漢字 and a "
    assert [event.finish_reason for event in events if event.finish_reason] == ["stop"]
    assert [event.usage for event in events if event.usage] == [Usage(input=11, output=8)]
    assert [event.usage_only for event in events] == [False] * 10 + [True]
    assert all(event.provider_request_id == events[0].provider_request_id for event in events)
    assert all(msgspec.json.decode(event.data)["object"] == "chat.completion.chunk" for event in events)


async def test_a_stream_joined_for_the_log_says_what_the_whole_answer_says(bench: Bench):
    for model in ("scripted-ok", "scripted-tool-calls"):
        whole = msgspec.json.decode((await bench.provider.complete(bench.call(model))).body)
        joined = msgspec.json.decode(
            assemble([event.data for event in await bench.events(bench.call(model))])
        )
        for name in ("object", "model", "usage"):
            assert joined[name] == whole[name]
        said = {k: v for k, v in whole["choices"][0]["message"].items() if v is not None or k == "content"}
        assert joined["choices"][0]["message"] == said
        assert joined["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]


async def test_cached_and_reasoning_tokens_are_counted_apart(bench: Bench):
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    asked = bench.call(script={"usage": usage})
    counted = Usage(input=100, output=50, cached=64, reasoning=40 if bench.tells_thoughts else 0)
    assert (await bench.provider.complete(asked)).usage == counted
    assert (await bench.events(asked))[-1].usage == counted


async def test_an_upstream_that_says_no_usage_has_none(bench: Bench):
    asked = bench.call(script={"usage": "none"})
    assert (await bench.provider.complete(asked)).usage is None
    assert {event.usage for event in await bench.events(asked)} == {None}


async def test_a_tool_call_counts_as_generated_text(bench: Bench):
    events = await bench.events(bench.call("scripted-tool-calls"))
    assert msgspec.json.decode("".join(event.text for event in events)) == {"city": "Zürich"}


@pytest.mark.parametrize("how", ["json", "stream"])
async def test_an_answer_that_comes_byte_by_byte_is_the_same(bench: Bench, how: str):
    script = {"tokens": 9}
    if how == "json":
        whole = (await bench.provider.complete(bench.call(script=script))).body
        split = (await bench.provider.complete(bench.call(script=script | {"split": 1}))).body
        assert unnumbered(split) == unnumbered(whole)
    else:
        events = await bench.events(bench.call(script=script))
        split_events = await bench.events(bench.call(script=script | {"split": 1}))
        assert [unnumbered(event.data) for event in split_events] == [
            unnumbered(event.data) for event in events
        ]
        assert "🦊" in "".join(event.text for event in split_events)


async def test_a_stream_without_its_closing_word_is_whole_if_it_says_that_it_finished(bench: Bench):
    events = await bench.events(bench.call(script={"done": False}))
    assert events[-2].finish_reason == "stop"


async def test_events_come_when_they_are_sent_and_not_at_the_end(bench: Bench):
    began, first = time.monotonic(), 0.0
    async for _ in bench.provider.stream(bench.call(script={"tokens": 20, "chunk_interval_ms": 100})):
        first = first or time.monotonic() - began
    assert first < (time.monotonic() - began) / 2


# ---- what is sent ------------------------------------------------------------------------------------------------
BODY = (
    '{"model":"asked/for","messages":[ {"role" : "user","content":"Grüße \\u00e9"} ],"temperature":0.10,"seed": 1e2,'
    '"x_unknown":{ "b":[1, 2.50 ],"a":null},"stream_options":{"x_mine":[ 1 ]},"tools":[]}'
).encode()
UNTOUCHED = [
    '[ {"role" : "user","content":"Grüße \\u00e9"} ]',
    "0.10",
    "1e2",
    '{ "b":[1, 2.50 ],"a":null}',
    "[]",
]


async def test_only_the_model_and_the_stream_options_change_on_the_way(passing: Bench):
    await passing.events(passing.call(body=BODY))
    sent = passing.upstream.last()[1].decode()
    names = ["messages", "temperature", "seed", "x_unknown", "tools"]
    for name, value in zip(names, UNTOUCHED, strict=True):
        assert f'"{name}":{value}' in sent
    assert '"stream_options":{"x_mine":[ 1 ],"include_usage":true}' in sent
    assert '"model":"scripted-ok"' in sent
    assert '"stream":true' in sent
    assert sent.index('"messages"') < sent.index('"temperature"') < sent.index('"x_unknown"'), (
        "in their order"
    )


async def test_a_whole_answer_is_asked_for_without_stream_options(passing: Bench):
    await passing.provider.complete(passing.call(body=BODY.replace(b'"tools"', b'"stream":true,"tools"')))
    sent = msgspec.json.decode(passing.upstream.last()[1])
    assert "stream" not in sent
    assert "stream_options" not in sent
    assert '{ "b":[1, 2.50 ],"a":null}' in passing.upstream.last()[1].decode()


async def test_our_headers_and_the_models_go_along(bench: Bench):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    ours = {"x-request-id": "id-1", "traceparent": trace}
    await bench.provider.complete(bench.call(headers=ours, model_headers={"X-Region": "eu"}))
    sent = bench.upstream.last()[0]
    assert (sent["x-request-id"], sent["traceparent"], sent["x-region"]) == ("id-1", trace, "eu")
    assert sent["content-type"] == "application/json"


async def test_without_a_credential_none_is_sent(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-of-the-environment")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-environment")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Custom: of-the-environment")
    await bench.provider.complete(bench.call())
    headers, body = bench.upstream.last()
    assert "authorization" not in headers
    assert "of-the-environment" not in str(headers) + body.decode()


async def test_the_credential_is_sent_as_bearer_and_nowhere_else(
    passing: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OF_TEST_API_KEY", "sk-canary-4711")
    asked = passing.call(credential="env:OF_TEST_API_KEY", model_headers={"authorization": "Bearer other"})
    await passing.provider.complete(asked)
    headers, body = passing.upstream.last()
    assert headers.pop("authorization") == "Bearer sk-canary-4711"
    assert "sk-canary-4711" not in str(headers) + body.decode()


@pytest.mark.parametrize("how", ["json", "stream"])
async def test_a_credential_that_the_upstream_repeats_is_masked(
    bench: Bench, how: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OF_TEST_API_KEY", "sk-canary-4711")
    error, _ = await bench.error(bench.call("scripted-echo-key", credential="env:OF_TEST_API_KEY"), how)
    assert type(error) is errors.UpstreamAuth
    assert "Incorrect API key provided: ****." in (error.detail or "")
    assert "sk-canary-4711" not in repr(vars(error)) + str(error) + str(error.__cause__) + str(
        error.__context__
    )


async def test_a_credential_that_is_missing_is_named_but_nothing_is_called(bench: Bench):
    before = bench.upstream.stats()["calls"]
    error, _ = await bench.error(bench.call(credential="env:NO_SUCH_API_KEY"), "json")
    assert type(error) is errors.UpstreamAuth
    assert "env:NO_SUCH_API_KEY" in (error.detail or "")
    assert bench.upstream.stats()["calls"] == before


# ---- bad answers -------------------------------------------------------------------------------------------------
# For each failure: the error of a whole answer, that of a stream, and the events that come before it. None: it is fine.
Ends = tuple[type[errors.GatewayError] | None, type[errors.GatewayError] | None, int]
ENDS: dict[str, Ends] = {
    "broken-json": (errors.UpstreamMalformed, errors.UpstreamMalformed, 2),
    "close-mid-stream": (errors.UpstreamBroken, errors.UpstreamBroken, 2),
    "connect-refused": (errors.UpstreamUnavailable, errors.UpstreamUnavailable, 0),
    "content-filter": (errors.ContentFiltered, errors.ContentFiltered, 0),
    "context-too-long": (errors.ContextTooLong, errors.ContextTooLong, 0),
    "cut-json": (errors.UpstreamBroken, errors.UpstreamBroken, 2),
    "cut-utf8": (errors.UpstreamBroken, errors.UpstreamBroken, 2),
    "echo-key": (errors.UpstreamAuth, errors.UpstreamAuth, 0),
    "empty": (errors.UpstreamMalformed, errors.UpstreamBroken, 0),
    "error-event": (None, errors.UpstreamBroken, 2),
    "error-reply": (errors.UpstreamUnavailable, errors.UpstreamUnavailable, 0),
    "half-event": (errors.UpstreamBroken, errors.UpstreamBroken, 2),
    "hang": (errors.UpstreamTimeout, errors.UpstreamTimeout, 0),
    "hang-mid-stream": (errors.UpstreamTimeout, errors.UpstreamTimeout, 2),
    "html": (errors.UpstreamMalformed, errors.UpstreamMalformed, 0),
    "no-done": (errors.UpstreamBroken, errors.UpstreamBroken, 9),
    "quota": (errors.UpstreamAuth, errors.UpstreamAuth, 0),
    "redirect": (errors.UpstreamMalformed, errors.UpstreamMalformed, 0),
    "reset": (errors.UpstreamUnavailable, errors.UpstreamUnavailable, 0),
    "reset-mid-stream": (errors.UpstreamBroken, errors.UpstreamBroken, 2),
    "slow-drip": (errors.UpstreamTimeout, errors.UpstreamTimeout, 0),
}


def test_every_failure_of_a_script_has_its_line():
    assert set(ENDS) == FAILURES


@pytest.mark.parametrize("how", ["json", "stream"])
@pytest.mark.parametrize("failure", sorted(ENDS))
async def test_a_failure_is_told_by_its_class_and_never_tried_again(bench: Bench, failure: str, how: str):
    whole, streamed, before = ENDS[failure]
    kind = whole if how == "json" else streamed
    request_id = f"{failure}-{how}-{id(bench)}"
    timeouts = within(first_byte=0.3, total=0.6) if kind is errors.UpstreamTimeout else within()
    asked = bench.call(f"scripted-{failure}", headers={"x-request-id": request_id}, timeouts=timeouts)
    if kind is None:
        await bench.provider.complete(asked)
        return
    began = time.monotonic()
    error, events = await bench.error(asked, how)
    assert type(error) is kind
    expected = before if how == "stream" else 0
    # Some events of another wire say nothing that chat has a chunk for.
    assert len(events) == expected or (bench.translates and 0 < len(events) < expected)
    assert time.monotonic() - began < 20
    assert bench.upstream.calls(request_id) == 1
    for word in ("upstream-page", "scripted", "127.0.0.1", "nginx"):
        assert word not in error.message, "the upstream's words are for operators"


@pytest.mark.parametrize(
    "failure", ["close-mid-stream", "half-event", "cut-utf8", "error-event", "reset-mid-stream"]
)
async def test_a_stream_that_breaks_before_its_first_event_can_go_elsewhere(bench: Bench, failure: str):
    error, events = await bench.error(bench.call(script={"failure": failure, "after": 0}), "stream")
    assert type(error) is errors.UpstreamBroken
    assert error.retryable
    assert events == []


STATUSES: dict[int, type[errors.GatewayError]] = {
    400: errors.UpstreamRejected,
    401: errors.UpstreamAuth,
    402: errors.UpstreamAuth,
    403: errors.UpstreamAuth,
    404: errors.UpstreamNotFound,
    405: errors.UpstreamRejected,
    408: errors.UpstreamTimeout,
    409: errors.UpstreamRejected,
    413: errors.UpstreamRejected,
    415: errors.UpstreamRejected,
    422: errors.UpstreamRejected,
    429: errors.UpstreamRateLimited,
    500: errors.UpstreamUnavailable,
    502: errors.UpstreamUnavailable,
    503: errors.UpstreamUnavailable,
    504: errors.UpstreamUnavailable,
    529: errors.UpstreamUnavailable,
}


@pytest.mark.parametrize("how", ["json", "stream"])
@pytest.mark.parametrize("status", STATUSES)
async def test_a_status_is_told_by_its_class_and_never_tried_again(bench: Bench, status: int, how: str):
    request_id = f"{status}-{how}-{id(bench)}"
    error, events = await bench.error(
        bench.call(f"scripted-{status}", headers={"x-request-id": request_id}), how
    )
    assert type(error) is STATUSES[status]
    assert (error.status, events) == (status, [])
    assert f"scripted failure {status}" in (error.detail or "")
    assert bench.upstream.calls(request_id) == 1


async def test_a_conflict_that_may_be_tried_again_is_one_of_availability(bench: Bench):
    error, _ = await bench.error(bench.call("scripted-409?should_retry=true"), "json")
    assert type(error) is errors.UpstreamUnavailable


async def test_an_upstream_that_forbids_a_retry_is_heard(bench: Bench):
    error, _ = await bench.error(bench.call("scripted-503?should_retry=false"), "json")
    assert type(error) is errors.UpstreamUnavailable
    assert error.retryable is False
    assert errors.UpstreamUnavailable.retryable is True


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after": "0.25"}, 0.25),
        ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5),
        ({"retry_after": "-5"}, 0),
        ({"retry_after": "1e300"}, 86400),
        ({"retry_after_ms": "soon", "retry_after": "3"}, 3),
    ],
)
async def test_the_wait_that_the_upstream_asks_for_is_kept(bench: Bench, said: dict[str, str], wait: float):
    error, _ = await bench.error(bench.call(script={"failure": "status:429", **said}), "json")
    assert error.retry_after == timedelta(seconds=wait)


@pytest.mark.parametrize("said", ["", "soon", "nan", "tomorrow, 12:00", "Wed, 99 Foo 2026 00:00:00 GMT"])
async def test_a_wait_that_says_nothing_is_none(bench: Bench, said: str):
    error, _ = await bench.error(bench.call(script={"failure": "status:429", "retry_after": said}), "json")
    assert error.retry_after is None


async def test_the_wait_may_be_a_date(bench: Bench):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    error, _ = await bench.error(bench.call(script={"failure": "status:503", "retry_after": date}), "json")
    assert error.retry_after is not None
    assert timedelta(seconds=25) < error.retry_after <= timedelta(seconds=30)


@pytest.mark.parametrize(
    ("said", "kept"), [("messages[0].content", "messages[0].content"), ("a b<script>", None)]
)
async def test_the_field_that_the_upstream_names_is_kept_if_it_can_be_one(
    passing: Bench, said: str, kept: str | None
):
    complaint = {"message": "No", "type": "invalid_request_error", "param": said, "code": None}
    error, _ = await passing.error(passing.call(script={"failure": "status:400", "error": complaint}), "json")
    assert error.param == kept


async def test_what_the_upstream_says_is_kept_to_a_bound(bench: Bench):
    complaint = {"message": "é" * 100_000}
    error, _ = await bench.error(bench.call(script={"failure": "status:500", "error": complaint}), "json")
    assert 1000 < len(error.detail or "") <= 2048


async def test_a_redirect_is_not_followed_and_takes_the_credential_nowhere(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OF_TEST_API_KEY", "sk-canary-4711")
    async with saying(sized(b"{}")) as elsewhere:
        script = {"failure": "redirect", "location": f"{elsewhere.base_url}/chat/completions"}
        error, _ = await bench.error(bench.call(script=script, credential="env:OF_TEST_API_KEY"), "json")
        assert type(error) is errors.UpstreamMalformed
        assert elsewhere.connections == 0


async def test_the_first_calls_fail_and_the_next_does_not(bench: Bench):
    asked = bench.call(f"scripted-503?fail_first=2&tokens={id(bench) % 1000}")
    for _ in range(2):
        assert type((await bench.error(asked, "json"))[0]) is errors.UpstreamUnavailable
    assert (await bench.provider.complete(asked)).finish_reason == "stop"


# ---- time and size -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["json", "stream"])
async def test_an_answer_that_drips_ends_with_the_time_for_all_of_it(bench: Bench, how: str):
    asked = bench.call(script={"failure": "slow-drip", "chunk_interval_ms": 10}, timeouts=within(total=0.5))
    began = time.monotonic()
    error, _ = await bench.error(asked, how)
    assert type(error) is errors.UpstreamTimeout
    assert 0.4 < time.monotonic() - began < 9


# ---- closing -----------------------------------------------------------------------------------------------------
async def test_closing_a_stream_early_closes_the_upstreams_connection(bench: Bench):
    before = bench.upstream.stats()
    asked = bench.call(script={"tokens": 1000, "chunk_interval_ms": 10})
    async with aclosing(bench.provider.stream(asked)) as events:  # type: ignore[type-var]
        async for _ in events:
            break
    await until(lambda: bench.upstream.stats()["cancelled"] == before["cancelled"] + 1)
    assert bench.upstream.stats()["in_flight"] == before["in_flight"]


@pytest.mark.parametrize("how", ["json", "stream"])
@pytest.mark.parametrize("failure", ["hang", "hang-mid-stream"])
async def test_cancelling_a_call_closes_the_upstreams_connection(bench: Bench, failure: str, how: str):
    before = bench.upstream.stats()
    asked = bench.call(script={"failure": failure})
    running = asyncio.ensure_future(bench.provider.complete(asked) if how == "json" else bench.events(asked))
    await until(lambda: bench.upstream.stats()["in_flight"] == before["in_flight"] + 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: bench.upstream.stats()["cancelled"] == before["cancelled"] + 1)


async def test_a_stream_that_nobody_reads_makes_no_call(bench: Bench):
    before = bench.upstream.stats()["calls"]
    await bench.provider.stream(bench.call()).aclose()  # type: ignore[attr-defined]
    assert bench.upstream.stats()["calls"] == before


async def test_many_calls_at_once_do_not_mix(bench: Bench):
    async def one(number: int) -> str:
        said = f"number {number} " * 5
        asked = bench.call(script={"text": said, "chunk_interval_ms": 1})
        heard = "".join([event.text async for event in bench.provider.stream(asked)])
        return "same" if heard == said else heard

    assert set(await asyncio.gather(*map(one, range(30)))) == {"same"}
