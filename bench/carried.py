"""`python -m bench.carried`: what another dialect at the door costs a request, and whether it holds up streams."""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from bench.options import Bench, main, parser, say
from bench.report import Report, Table, ms
from bench.stack import BenchError
from bench.stats import Spread
from bench.subjects import MODELS, Subject

_WORDS = "A customer writes that the parcel with order number 48213 was left at the wrong door. "
_PROMPT = _WORDS * (4096 // len(_WORDS))
_LONG = "bench-stream"
_TURN = 20
_ENDS = (b"data: [DONE]", b"message_stop", b"response.completed")


@dataclass(frozen=True, slots=True)
class Way:
    """One door of one server, and a body for it."""

    name: str
    subject: Subject
    path: str

    def request(self, model: str, *, stream: bool) -> bytes:
        """A whole request, as bytes."""
        body: dict[str, object] = {"model": model, "stream": stream}
        if self.path.endswith("/responses"):
            body |= {"input": _PROMPT, "store": False}
        else:
            body |= {"messages": [{"role": "user", "content": _PROMPT}]}
        if self.path.endswith("/messages"):
            body["max_tokens"] = 512
        return self.subject.post(self.path, body)


@dataclass(slots=True)
class Pieces(asyncio.Protocol):
    """One stream as it comes: the seconds between its pieces, in the first of which the head is too."""

    request: bytes
    gaps: list[float] = field(default_factory=list[float])
    whole: bool = False
    last: float = 0.0
    tail: bytes = b""
    ended: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Note when it came."""
        now = time.perf_counter()
        if self.last:
            self.gaps.append(now - self.last)
        self.last = now
        self.tail = self.tail[-200:] + data
        if any(end in self.tail for end in _ENDS) and not self.ended.done():
            self.whole = True
            self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes."""
        del exc
        if not self.ended.done():
            self.ended.set_result(None)


async def measure(bench: Bench, arguments: argparse.Namespace) -> Report:
    """Whole answers of one caller in turns, then many streams at once, by each way."""
    if bench.direct is None or not bench.ours:
        raise BenchError("this needs its own gateway and its upstream")
    ours = bench.ours[0]
    chat = "/v1/chat/completions"
    ways = (
        Way("direct", bench.direct, chat),
        Way("chat, passed through", ours, chat),
        Way("messages, carried over chat", ours, "/v1/messages"),
        Way("responses, carried over chat", ours, "/v1/responses"),
    )
    report = Report()
    report.tables.append(await _alone(ways, arguments.requests))
    report.tables.append(await _together(ways, arguments.concurrent, arguments.seconds))
    return report


async def _alone(ways: tuple[Way, ...], requests: int) -> Table:
    say(f"carried: {requests} whole answers by each way")
    took: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(2):
        await _turn(ways[1], took={way.name: [] for way in ways})  # warm
    for _ in range(requests // _TURN):
        for way in ways:
            await _turn(way, took)
    passed = Spread.of(took[ways[1].name]).p50
    rows: list[list[str]] = []
    for way in ways:
        spread = Spread.of(took[way.name])
        more = "" if way in ways[:2] else ms(spread.p50 - passed)
        rows.append([way.name, *(ms(each) for each in (spread.p50, spread.p95, spread.p99)), more])
    return Table(
        f"A prompt of 4 KB, one caller, {requests} requests each in turns of {_TURN}; milliseconds",
        ("", "p50", "p95", "p99", "p50 more than passed through"),
        rows,
    )


async def _turn(way: Way, took: Mapping[str, list[float]]) -> None:
    reader, writer = await asyncio.open_connection(way.subject.host, way.subject.port)
    request = way.request("bench", stream=False)
    try:
        for _ in range(_TURN):
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise BenchError(f"{way.name}: {head[:200]!r}")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            took[way.name].append(time.perf_counter() - began)
    finally:
        writer.close()


async def _together(ways: tuple[Way, ...], concurrent: int, seconds: float) -> Table:
    script = MODELS[_LONG]
    length = script["tokens"] * script["chunk_interval_ms"] / 1000
    rows: list[list[str]] = []
    for way in ways:
        say(f"carried: {concurrent} streams at once, {way.name}")
        gaps: list[float] = []
        broken = [0]
        ends = time.perf_counter() + seconds
        request = way.request(_LONG, stream=True)

        async def ask(
            way: Way = way,
            request: bytes = request,
            gaps: list[float] = gaps,
            ends: float = ends,
            broken: list[int] = broken,
        ) -> int:
            await asyncio.sleep(random.random() * length)
            done = 0
            while time.perf_counter() < ends:
                loop = asyncio.get_running_loop()
                _, stream = await loop.create_connection(
                    lambda: Pieces(request), way.subject.host, way.subject.port
                )
                await stream.ended
                if stream.transport is not None:
                    stream.transport.close()
                gaps += stream.gaps
                broken[0] += not stream.whole
                done += 1
            return done

        done = sum(await asyncio.gather(*(ask() for _ in range(concurrent))))
        spread = Spread.of(gaps)
        stalls = sum(gap > script["chunk_interval_ms"] / 1000 + 0.1 for gap in gaps)
        rows.append(
            [
                way.name,
                str(done),
                str(broken[0]),
                *(ms(each) for each in (spread.p50, spread.p99, max(gaps, default=0.0))),
                str(stalls),
            ]
        )
    return Table(
        f"{concurrent} streams at once, a token each {script['chunk_interval_ms']:g} ms, for {seconds:g} s: the time "
        "between two pieces of a stream; milliseconds",
        ("", "streams", "broken", "p50", "p99", "longest", "over 100 ms more"),
        rows,
    )


def run() -> None:
    """Measure and print."""
    made = parser("bench.carried", __doc__)
    made.set_defaults(modes="overlapped")
    made.add_argument("--requests", type=int, default=400, help="whole answers by each way (%(default)s)")
    made.add_argument("--concurrent", type=int, default=200, help="streams at once (%(default)s)")
    made.add_argument("--seconds", type=float, default=10.0, help="of them, by each way (%(default)s)")
    arguments = made.parse_args()
    main(arguments, lambda bench: measure(bench, arguments))


if __name__ == "__main__":
    run()
