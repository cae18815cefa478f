"""What a provider promises about connections, addresses and bytes: for those that speak HTTP."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.domain import errors
from gateway.providers.catalogue import open_provider
from gateway.providers.ports import Provider
from gateway.settings import Providers
from tests.contracts.doubles import TRANSLATING
from tests.contracts.upstreams import Seen, Served, call, failing, head, saying, served, sized, within

pytestmark = pytest.mark.slow

OVER_HTTP = ["compatible", "huggingface", "openai"]


@pytest.fixture(scope="session")
def upstream() -> Generator[Served]:
    with served() as running:
        yield running


@dataclass
class Reached:
    """A provider that can be opened, and the upstream that its calls reach."""

    name: str
    base_url: str
    seen: Seen
    asking: int  # connections that a question to the upstream about itself takes

    def open(self, **settings: Any) -> Provider:
        return open_provider(self.name, Providers(**settings))

    @property
    def connections(self) -> int:
        """Those that the upstream has accepted, but for those of our own questions."""
        self._questions += self.asking
        return self.seen.stats()["accepted_connections"] - self._questions

    _questions: int = 0


@pytest.fixture(params=[*OVER_HTTP, *sorted(TRANSLATING)])
async def reached(request: pytest.FixtureRequest, upstream: Served) -> AsyncGenerator[Reached]:
    if request.param not in TRANSLATING:
        yield Reached(request.param, upstream.base_url, upstream, 1)
        return
    async with TRANSLATING[request.param]() as (seen, base_url):
        yield Reached(request.param, base_url, seen, 0)


@pytest.fixture(params=OVER_HTTP)
async def over_http(request: pytest.FixtureRequest) -> AsyncGenerator[Provider]:
    provider = open_provider(request.param, Providers())
    yield provider
    await provider.close()


# ---- size, addresses, connections -----------------------------------------------------------------------------
async def test_an_answer_longer_than_allowed_is_not_read_to_its_end(reached: Reached):
    provider = reached.open(max_answer=2000)
    with pytest.raises(errors.UpstreamMalformed):
        await provider.complete(call("scripted-ok?tokens=1000", base_url=reached.base_url))
    with pytest.raises(errors.UpstreamMalformed):
        async for _ in provider.stream(call(f"scripted-ok?text={'x' * 5000}", base_url=reached.base_url)):
            pass
    # The bound is for each event: a long stream of short ones is fine.
    events = [e async for e in provider.stream(call("scripted-ok?tokens=100", base_url=reached.base_url))]
    assert len(events) == 103
    await provider.close()


async def test_nobody_at_the_address_is_one_of_availability(reached: Reached):
    provider = reached.open()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(errors.UpstreamUnavailable):
            await provider.complete(call(base_url=nobody))
    await provider.close()


async def test_a_host_that_does_not_take_the_connection_is_left_in_time(reached: Reached):
    provider = reached.open()
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        began = time.monotonic()
        asked = call(base_url=f"http://127.0.0.1:{full.getsockname()[1]}/v1", timeouts=within(connect=0.3))
        assert type((await failing(provider, asked, "json"))[0]) is errors.UpstreamTimeout
        assert time.monotonic() - began < 10
        for each in waiting:
            each.close()
    await provider.close()


@pytest.mark.parametrize("address", ["", "upstream/v1", "ftp://upstream/v1", "http://", "http://[::1/v1"])
async def test_an_address_that_is_none_is_an_administrators_affair(reached: Reached, address: str):
    # These have an address of their own where the model says none.
    if not address and reached.name in ("anthropic", "gemini", "openai"):
        return
    provider = reached.open()
    with pytest.raises(errors.UpstreamNotFound):
        await provider.complete(call(base_url=address, timeouts=within(total=1)))
    await provider.close()


async def test_one_connection_serves_one_call_after_another(reached: Reached):
    provider, before = reached.open(), reached.connections
    for model in [
        "scripted-ok",
        "scripted-404",
        "scripted-html",
        "scripted-ok?split=50",
        "scripted-503",
        "scripted-ok",
    ]:
        asked = call(model, base_url=reached.base_url)
        for way in (provider.complete(asked), anext(aiter(provider.stream(asked)))):
            try:
                await way
            except errors.GatewayError:
                continue
        async for _ in provider.stream(call(base_url=reached.base_url)):
            pass
    # One for the calls, and one for each stream that was left after its first event.
    assert reached.connections - before <= 5
    one = reached.connections
    for _ in range(5):
        await provider.complete(call(base_url=reached.base_url))
        async for _event in provider.stream(call(base_url=reached.base_url)):
            pass
    assert reached.connections == one
    await provider.close()


async def test_calls_that_end_badly_use_no_connection_up(reached: Reached):
    provider = reached.open(max_connections=2, keepalive_connections=2)
    short = within(connect=5, first_byte=0.05)
    for failure in [
        "hang",
        "hang-mid-stream",
        "half-event",
        "cut-utf8",
        "reset-mid-stream",
        "500",
        "html",
    ]:
        for how in ("json", "stream"):
            asked = call(f"scripted-{failure}", base_url=reached.base_url, timeouts=short)
            await asyncio.gather(*(failing(provider, asked, how) for _ in range(2)))
    for _ in range(4):
        slow = call("scripted-ok?tokens=100&chunk_interval_ms=20", base_url=reached.base_url)
        async for _event in provider.stream(slow):
            break
        leaving = asyncio.ensure_future(provider.complete(call("scripted-hang", base_url=reached.base_url)))
        await asyncio.sleep(0.02)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
    asked = call(base_url=reached.base_url, timeouts=within(connect=10))
    await asyncio.gather(*(provider.complete(asked) for _ in range(2)))
    await provider.close()


async def test_calls_beyond_the_pool_wait_for_a_connection_and_then_are_one_of_availability(reached: Reached):
    provider = reached.open(max_connections=1)
    running = asyncio.ensure_future(
        provider.complete(call("scripted-ok?latency_ms=2000", base_url=reached.base_url))
    )
    await asyncio.sleep(0.05)
    error, _ = await failing(provider, call(base_url=reached.base_url, timeouts=within(connect=0.1)), "json")
    assert type(error) is errors.UpstreamUnavailable
    await provider.complete(call(base_url=reached.base_url, timeouts=within(connect=30)))
    await running
    await provider.close()


async def test_a_connection_that_was_closed_meanwhile_is_noticed_before_it_is_used(over_http: Provider):
    good = b'{"choices":[{"finish_reason":"stop"}]}'
    async with saying(sized(good)) as server:
        for _ in range(3):
            await over_http.complete(call(base_url=server.base_url))
            await asyncio.sleep(0.05)
        assert len(server.requests) == 3


# ---- what only bytes can say -------------------------------------------------------------------------------------
CHUNK = b'{"choices":[{"index":0,"delta":{"content":"caf\xc3\xa9"},"finish_reason":null}]}'
LAST = b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'


@pytest.mark.parametrize(
    "body",
    [
        b"data: %b\n\ndata: %b\n\ndata: [DONE]\n\n",
        b"data:%b\r\n\r\ndata:%b\r\n\r\ndata:[DONE]\r\n\r\n",
        b"\xef\xbb\xbf: hello\n\ndata: %b\n\n: here\n\nid: 7\nretry: 10\nevent: message\ndata: %b\n\ndata: [DONE]",
        b"data: %b\r\rdata: %b\r\r",
        b"data:\n\ndata: %b\n\ndata:\n\ndata: %b\n\ndata: [DONE] \n\n",
        b": OPENROUTER PROCESSING\n\ndata: %b\n\ndata: %b\n\n: bye\n\n",
    ],
)
async def test_servers_frame_their_events_in_many_ways(over_http: Provider, body: bytes):
    async with saying(head(kind="text/event-stream"), body % (CHUNK, LAST)) as server:
        events = [event async for event in over_http.stream(call(base_url=server.base_url))]
        assert [event.data for event in events] == [CHUNK, LAST]
        assert events[0].text == "café"


async def test_a_server_that_stays_after_its_last_word_holds_nobody_up(over_http: Provider):
    said = b"data: %b\n\ndata: %b\n\ndata: [DONE]\n\n" % (CHUNK, LAST)
    async with saying(head(kind="text/event-stream") + said, close=False) as server:
        began = time.monotonic()
        assert len([event async for event in over_http.stream(call(base_url=server.base_url))]) == 2
        assert time.monotonic() - began < 8


@pytest.mark.parametrize(
    ("tail", "kind"),
    [
        (b'data: {"choices":[{"delta":{"content":"caf\xc3', errors.UpstreamBroken),
        (b'data: {"choices":[{"delta":{}}]}\n\n', errors.UpstreamBroken),
        (b'data: {"choices":[{"delta":{"content":"caf\xc3"}}]}\n\n', errors.UpstreamMalformed),
        (b'data: {"x":"caf\xc3"}\n\n', errors.UpstreamMalformed),
        (b"data: nonsense\n\n", errors.UpstreamMalformed),
        (b"data: []\n\n", errors.UpstreamMalformed),
        (b'data: {"object":"error","message":"out of memory"}\n\n', errors.UpstreamBroken),
        (b'event: error\ndata: {"message":"out of memory"}\n\n', errors.UpstreamBroken),
        (b'data: {"error":"out of memory"}\n\n', errors.UpstreamBroken),
        (b'data: {"error":{"code":"context_length_exceeded"}}\n\n', errors.ContextTooLong),
        (b"data: " + b"[" * 100_000 + b"\n\n", errors.UpstreamMalformed),
    ],
)
async def test_streams_end_badly_in_many_ways(
    over_http: Provider, tail: bytes, kind: type[errors.GatewayError]
):
    async with saying(head(kind="text/event-stream"), b"data: " + CHUNK + b"\n\n" + tail) as server:
        error, seen = await failing(over_http, call(base_url=server.base_url), "stream")
        assert type(error) is kind
        assert [event.data for event in seen][:1] == [CHUNK]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (sized(b"", "204 No Content"), errors.UpstreamMalformed),
        (sized(b"[]"), errors.UpstreamMalformed),
        (sized(b"null"), errors.UpstreamMalformed),
        (sized(b'{"object":"list"}'), errors.UpstreamMalformed),
        (sized(b'{"choices":[{"message":{"content":"caf\xc3"}}]}'), errors.UpstreamMalformed),
        (sized(b'{"choices":"none"}'), errors.UpstreamMalformed),
        (sized(b"[" * 100_000), errors.UpstreamMalformed),
        (sized(b'{"error":{"code":429,"message":"busy"}}'), errors.UpstreamRateLimited),
        (sized(b'{"error":"it is broken"}'), errors.UpstreamUnavailable),
        (b"SSH-2.0-OpenSSH_9.2\r\n", errors.UpstreamUnavailable),
        (b"HTTP/1.1 200 OK\r\ncontent-length: nonsense\r\n\r\n", errors.UpstreamUnavailable),
        (sized(b"<html>no</html>", "503 Busy", "text/html"), errors.UpstreamUnavailable),
        (head("500 Oops", content_length="10000") + b"half of it", errors.UpstreamUnavailable),
    ],
)
async def test_whole_answers_are_bad_in_many_ways(
    over_http: Provider, answer: bytes, kind: type[errors.GatewayError]
):
    async with saying(answer) as server:
        with pytest.raises(errors.GatewayError) as raised:
            await over_http.complete(call(base_url=server.base_url))
        assert type(raised.value) is kind


async def test_an_error_without_end_is_cut(over_http: Provider):
    async with saying(
        head("500 Oops", transfer_encoding="chunked"), *[b"8000\r\n" + b"x" * 0x8000 + b"\r\n"] * 50
    ) as s:
        with pytest.raises(errors.UpstreamUnavailable) as raised:
            await over_http.complete(call(base_url=s.base_url))
        assert len(raised.value.detail or "") == 2048


@pytest.mark.parametrize(
    "answer",
    [
        b'{"choices":[{"message":{"content":[{"type":"text"}]},"finish_reason":7}],"usage":{"prompt_tokens":5}}',
        b'{"choices":[{"finish_reason":null}],"usage":{"prompt_tokens":5,"completion_tokens":"many"},"error":null}',
        b'{"choices":[],"usage":[],"id":5}',
    ],
)
async def test_fields_of_an_unknown_kind_are_the_callers_to_read(over_http: Provider, answer: bytes):
    async with saying(sized(answer)) as server:
        assert (await over_http.complete(call(base_url=server.base_url))).body == answer


async def test_an_answer_packed_though_nobody_asked_is_unpacked(over_http: Provider):
    body = b'{"choices":[{"finish_reason":"stop"}]}'
    async with saying(sized(gzip.compress(body), content_encoding="gzip")) as server:
        assert (await over_http.complete(call(base_url=server.base_url))).body == body


async def test_what_one_answer_sets_does_not_come_with_the_next_request(over_http: Provider):
    async with saying(sized(b'{"choices":[]}', set_cookie="who=me; Path=/"), close=False) as server:
        for _ in range(2):
            await over_http.complete(call(base_url=server.base_url))
        assert len(server.requests) == 2
        assert b"cookie" not in server.requests[1].lower()


async def test_a_base_url_keeps_its_path_and_query(over_http: Provider):
    async with saying(sized(b'{"choices":[]}')) as server:
        await over_http.complete(call(base_url=f"{server.base_url}/deep/"))
        assert server.requests[0].startswith(b"POST /v1/deep/chat/completions HTTP/1.1\r\n")
