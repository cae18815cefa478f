"""`POST /v1/chat/completions` as a stream, over real sockets: its form, its ends, and callers who leave."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

import api.rest.inference
from gateway.domain.inference import Mode, Outcome, Status
from tests.api.rest import a_quick_world, body, error_of, request_bytes, script, serving, told
from tests.api.rpc import a_day
from tests.waits import until

_MANY = 400
_FLOOD = {
    "text": f"{'x' * 40_000} " * _MANY,
    "chunk_interval_ms": 0.001,
}  # more than all buffers on the way take


@pytest.fixture
def world():
    return a_quick_world()


@pytest.fixture
async def rest(world):
    async with serving(world) as rest:
        yield rest


async def streamed(rest, asked=None):
    async with rest.streaming(asked) as response:
        await response.aread()
    return response, told(response.text)


@asynccontextmanager
async def opened(rest, asked, **options):
    """A bare connection on which a stream has been asked for, and which is closed in the middle of it."""
    async with rest.raw(**options) as (reader, writer):
        writer.write(request_bytes(json.dumps({**asked, "stream": True}).encode()))
        yield reader


async def settlement(world):
    await until(lambda: world.upstream.in_flight == 0 and not len(world.exchanges))
    return (await world.store.requests.find(a_day(), limit=1)).rows[0].settlement


# ---- the form ----------------------------------------------------------------------------------------------------
async def test_a_stream_has_its_headers_its_chunks_and_its_end(rest):
    response, said = await streamed(rest)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["x-gateway-model"] == "good"
    assert response.headers["x-gateway-attempts"] == "1"
    assert float(response.headers["x-gateway-overhead-ms"]) >= 0
    text = "".join(c["delta"].get("content") or "" for chunk in said.data for c in chunk["choices"])
    assert text == "A café, a € sign, 漢字 and a "
    assert said.done
    assert response.text.endswith("data: [DONE]\n\n")


async def test_the_last_comment_says_what_is_known_only_at_the_end(rest):
    response, said = await streamed(rest, body("assistant"))
    kind, _, rest_of_it = said.comments[-1].partition(" ")
    assert kind == "gateway"
    assert json.loads(rest_of_it) == {
        "request_id": response.headers["x-request-id"],
        "model": "good",
        "attempts": 2,
        "cost_usd": "0.000027",
        "durability": "overlapped",
    }
    assert "x-gateway-cost-usd" not in response.headers, "it was not known when the headers went out"


@pytest.mark.parametrize(
    ("options", "told_usage"),
    [(None, 0), ({}, 0), ({"include_usage": False}, 0), ({"include_usage": True}, 1)],
)
async def test_the_usage_chunk_comes_only_to_who_asked_but_is_always_counted(
    rest, world, options, told_usage
):
    response, said = await streamed(rest, body() if options is None else body(stream_options=options))
    assert sum("usage" in chunk for chunk in said.data) == told_usage
    if told_usage:
        assert said.data[-1]["choices"] == []
        assert said.data[-1]["usage"]["total_tokens"] == 19
    assert json.loads(world.upstream.last[1])["stream_options"]["include_usage"] is True
    attempt = (await rest.settled(response)).settlement.attempts[0]
    assert (attempt.usage.input, attempt.usage.output, attempt.usage.estimated) == (11, 8, False)
    assert attempt.first_token_ms is not None


async def test_other_stream_options_reach_the_provider_as_they_are(rest, world):
    await streamed(rest, body(stream_options={"x_odd": 1.0}))
    assert json.loads(world.upstream.last[1])["stream_options"] == {"x_odd": 1.0, "include_usage": True}


async def test_the_chunks_are_the_models_own_bytes(rest):
    async with rest.streaming(body("tools")) as response:
        raw = await response.aread()
    assert 'Zü"'.encode() in raw
    events = [line for line in raw.split(b"\n\n") if line.startswith(b"data: {")]
    assert all(event.startswith(b'data: {"id":"chatcmpl-') for event in events)
    record = await rest.settled(response)
    call = json.loads(record.answer)["choices"][0]["message"]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"city": "Zürich"}
    assert record.request.mode is Mode.STREAM


async def test_a_silent_stream_is_kept_alive_by_comments():
    world = a_quick_world(api={"keepalive": timedelta(milliseconds=50)})
    async with serving(world) as rest:
        _, said = await streamed(rest, script(tokens=2, chunk_interval_ms=130))
    assert said.comments.count("keep-alive") >= 2
    assert said.done
    assert len(said.data) >= 4


# ---- failures ----------------------------------------------------------------------------------------------------
async def test_a_failure_before_the_first_event_is_an_error_like_any_other(rest):
    response, _ = await streamed(rest, body("down"))
    assert (response.status_code, error_of(response)["code"]) == (502, "upstream_unavailable")
    assert response.headers["content-type"] == "application/json"
    assert (response.headers["x-gateway-model"], response.headers["x-gateway-attempts"]) == ("down", "3")
    assert response.headers["x-should-retry"] == "false"


_BROKEN = {
    "broken-json": "upstream_malformed",
    "close-mid-stream": "upstream_broken",
    "cut-json": "upstream_broken",
    "cut-utf8": "upstream_broken",
    "error-event": "upstream_broken",
    "half-event": "upstream_broken",
    "no-done": "upstream_broken",
    "reset-mid-stream": "upstream_broken",
    "hang-mid-stream": "upstream_timeout",
}


@pytest.mark.parametrize("failure", sorted(_BROKEN))
async def test_a_stream_that_breaks_ends_with_its_error_and_without_done(rest, world, failure):
    own = {"deadline_s": 0.5} if "hang" in failure else {}
    response, said = await streamed(rest, script(failure=failure) | {"gateway": own})
    assert response.status_code == 200
    error = said.data[-1]["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert error["code"] == _BROKEN[failure]
    assert not said.done
    assert "scripted" not in response.text.replace("fp_scripted", "").replace("scripted-ok", "")
    settled = await settlement(world)
    assert (settled.status, settled.attempts[0].outcome) == (Status.FAILED, Outcome.BROKEN)
    assert world.upstream.calls.total() == 1, "after the first byte nothing is tried again"


async def test_a_stream_that_ends_without_done_but_well_is_whole(rest, world):
    _, said = await streamed(rest, script(done=False))
    assert said.done
    assert (await settlement(world)).status is Status.COMPLETED


# ---- callers who leave, or do not read ---------------------------------------------------------------------------
async def test_leaving_a_stream_closes_the_upstream_and_settles_by_estimate(rest, world):
    async with opened(rest, body("dripping")) as reader:
        await reader.readuntil("café".encode())
    settled = await settlement(world)
    assert world.upstream.cancelled == 1
    assert (settled.status, settled.attempts[0].outcome) == (Status.CANCELLED, Outcome.CANCELLED)
    assert settled.attempts[0].usage.estimated
    assert settled.attempts[0].usage.output >= 1
    assert settled.cost_usd > 0


async def test_leaving_before_the_first_event_closes_the_upstream_too(rest, world):
    async with opened(rest, body("slow")):
        await until(lambda: world.upstream.in_flight == 1)
    assert (await settlement(world)).status is Status.CANCELLED
    assert world.upstream.cancelled == 1


@pytest.mark.parametrize("latency", [0, 300])
async def test_with_finish_a_stream_is_read_to_its_end_without_its_caller(latency):
    world = a_quick_world(on_disconnect="finish")
    async with serving(world) as rest:
        async with opened(rest, script(tokens=10, chunk_interval_ms=20, latency_ms=latency)) as reader:
            if latency:
                await until(lambda: world.upstream.in_flight == 1)
            else:
                await reader.readuntil(b"data: ")
        settled = await settlement(world)
    assert (settled.status, world.upstream.completed) == (Status.COMPLETED, 1)
    assert settled.attempts[0].usage.output == 10


async def test_a_caller_who_does_not_read_holds_the_upstream_back(rest, world):
    async with opened(rest, script(**_FLOOD), receive_buffer=4096) as reader:
        await reader.readuntil(b"data: ")
        stream = next(iter(world.exchanges))._stream
        read = [-1, 0]
        async with asyncio.timeout(30):
            while read[-2] != read[-1]:
                await asyncio.sleep(0.2)
                read.append(len(stream._texts))
        assert read[-1] < _MANY, "all events were read although nobody took them"
        assert world.upstream.in_flight == 1
    assert (await settlement(world)).status is Status.CANCELLED


async def test_a_caller_who_never_reads_is_cut_off_after_the_deadline(rest, world, monkeypatch):
    monkeypatch.setattr(api.rest.inference, "_LATE", 0.1)
    asked = script(**_FLOOD) | {"gateway": {"deadline_s": 1}}
    async with opened(rest, asked, receive_buffer=4096) as reader:
        await reader.readuntil(b"data: ")
        assert (await settlement(world)).status is Status.CANCELLED
        assert b"[DONE]" not in await asyncio.wait_for(reader.read(), 30)


async def test_the_end_of_a_process_settles_streams_that_outlive_their_grace(rest, world):
    async with opened(rest, body("dripping")) as reader:
        await reader.readuntil("café".encode())
        assert await world.inference.close(timedelta(milliseconds=50)) == 0
        assert (await settlement(world)).status is Status.CANCELLED


async def test_at_the_end_of_a_process_new_requests_are_refused_and_running_ones_finish(rest, world):
    running = asyncio.create_task(rest.chat(script(latency_ms=200)))
    await until(lambda: world.upstream.in_flight == 1)
    closing = asyncio.create_task(world.inference.close(timedelta(seconds=5)))
    await until(lambda: world.inference._closing)
    refused = await rest.chat()
    assert (refused.status_code, error_of(refused)["code"]) == (503, "shutting_down")
    assert refused.headers["retry-after"] == "1"
    assert (await running).status_code == 200
    assert await closing == 0
