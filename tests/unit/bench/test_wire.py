import asyncio
from contextlib import asynccontextmanager

import pytest

from bench.load import crowd
from bench.subjects import Subject
from bench.wire import Caller, Lost

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-gateway-overhead-ms: 1.5\r\n\r\n{}"
STREAM = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b"8\r\ndata: 1\n\r\n" + b"%x\r\n" % 14 + b"data: [DONE]\n\n\r\n0\r\n\r\n"
)
CUT = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"


@asynccontextmanager
async def server(*answers: bytes, hang_up_after: int | None = None):
    """Answers each request with the next of `answers`, the last of them for ever; yields its port and its count."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here = 0
        while here != hang_up_after:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.startswith(b"content-length")
                ),
                0,
            )
            seen.append(head + await reader.readexactly(length))
            writer.write(answers[min(len(seen), len(answers)) - 1])
            if answers[min(len(seen), len(answers)) - 1] is CUT:
                break
            here += 1
        writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield running.sockets[0].getsockname()[1], seen
    finally:
        running.close()


async def test_an_answer_tells_status_headers_body_and_times():
    async with server(WHOLE) as (port, _):
        caller = Caller("127.0.0.1", port)
        answer = await caller.ask(b"GET / HTTP/1.1\r\n\r\n")
        caller.close()
    assert (answer.status, answer.body, answer.headers[b"x-gateway-overhead-ms"]) == (200, b"{}", b"1.5")
    assert 0 < answer.first_byte <= answer.total
    assert answer.fault(stream=False) is None


async def test_a_stream_is_good_when_it_says_done():
    async with server(STREAM) as (port, _):
        caller = Caller("127.0.0.1", port)
        answer = await caller.ask(b"GET / HTTP/1.1\r\n\r\n")
        caller.close()
    assert answer.fault(stream=True) is None


async def test_a_whole_answer_is_a_broken_stream():
    async with server(WHOLE) as (port, _):
        caller = Caller("127.0.0.1", port)
        answer = await caller.ask(b"GET / HTTP/1.1\r\n\r\n")
        caller.close()
    assert answer.fault(stream=True) == "broken stream"


async def test_a_connection_that_was_closed_while_idle_is_made_anew():
    async with server(WHOLE, hang_up_after=1) as (port, seen):
        caller = Caller("127.0.0.1", port)
        for _ in range(3):
            assert (await caller.ask(b"GET / HTTP/1.1\r\n\r\n")).status == 200
        caller.close()
    assert len(seen) == 3


async def test_an_answer_that_is_cut_off_is_an_error_and_is_not_asked_for_again():
    async with server(WHOLE, CUT) as (port, seen):
        caller = Caller("127.0.0.1", port)
        await caller.ask(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(Lost):
            await caller.ask(b"GET / HTTP/1.1\r\n\r\n")
        caller.close()
    assert len(seen) == 2


async def test_a_crowd_asks_as_often_as_it_is_told():
    async with server(WHOLE) as (port, seen):
        subject = Subject("here", f"http://127.0.0.1:{port}")
        with crowd(subject, 4) as callers:
            load = await callers.ask(subject.chat(), count=10)
    assert (load.answered, len(seen), load.told_ms[0], load.faults_told()) == (10, 10, 1.5, "0")


async def test_a_crowd_counts_errors_by_what_they_are():
    async with server(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n") as (port, _):
        subject = Subject("here", f"http://127.0.0.1:{port}")
        with crowd(subject, 2) as callers:
            load = await callers.ask(subject.chat(), count=3)
    assert (load.answered, load.faults_told()) == (0, "3 × http 503")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://127.0.0.1:9/", "http://127.0.0.1:9/v1"])
def test_a_subjects_address_may_end_in_v1(url):
    request = Subject("peer", url, "k", {"x-own": "1"}, model="m").chat(stream=True)
    assert request.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:9\r\n")
    assert b"authorization: Bearer k\r\nx-own: 1\r\n" in request
    assert b'"model":"m"' in request
    assert b'"stream":true' in request
