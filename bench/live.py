"""What live facts cost a process: counting a request, reading the facts for it, and the beat that all of it shares.

`python -m bench.live [--rate N] [--replicas N] [--models N] [--callers N] [--postgres URL]`. Traffic is made up, and
only one process is counted: its own requests, and what the other replicas tell it. Time is not waited for, unless there
is a migrated database to measure with: then the beats go over a real connection, whose client side is counted too.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import mean
from time import thread_time, time

import uvloop

from bench.options import show
from bench.report import Report, Table, machine
from gateway.domain.errors import UpstreamUnavailable
from gateway.domain.health import LiveFacts, Window
from gateway.domain.inference import (
    Attempt,
    Durability,
    Failure,
    InferenceRequest,
    Kind,
    Mode,
    Outcome,
    Usage,
)
from gateway.domain.secret import Secret
from gateway.live.beat import EVERY, Beat
from gateway.live.budgets import Budgets
from gateway.live.clock import SharedClock
from gateway.live.vitals import Vitals
from gateway.settings import Postgres, Settings, Storage
from gateway.storage.catalogue import open_store
from gateway.storage.ports import Heard, News, Store, Told

PATH_MS = 8.0
"""CPU of a whole request, by the target of `python -m bench` (gateway CPU a request)."""
_NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Shape:
    """The traffic: requests a second of each process, and over how many of what they are spread."""

    rate: int = 100
    replicas: int = 3
    models: int = 20
    callers: int = 1_000
    seconds: int = 120


def requests(shape: Shape) -> list[tuple[InferenceRequest, Attempt]]:
    """Requests with the attempts that became of them: most succeed, by latencies as wide apart as models' are."""
    dice = random.Random(7)
    made: list[tuple[InferenceRequest, Attempt]] = []
    for number in range(2_000):
        model, total = f"model-{dice.randrange(shape.models)}", dice.lognormvariate(7, 0.8)
        request = InferenceRequest(
            id=f"r{number}",
            kind=Kind.CHAT,
            mode=Mode.STREAM,
            endpoint="/v1/chat/completions",
            door="rest",
            caller=f"caller-{dice.randrange(shape.callers)}",
            model=model,
            body="",
            accepted_at=_NOW,
            deadline=_NOW + timedelta(minutes=2),
            durability=Durability.OVERLAPPED,
        )
        attempt = Attempt(
            number=1,
            model=model,
            provider="openai",
            upstream_model=model,
            reason="first choice",
            outcome=Outcome.SUCCEEDED,
            started_at=_NOW,
            total_ms=total,
            first_token_ms=total / 5,
            usage=Usage(dice.randrange(4_000), dice.randrange(2, 800)),
            cost_usd=Decimal(dice.randrange(100_000)) / 10**8,
        )
        if dice.random() < 0.01:
            failure = Failure.of(UpstreamUnavailable())
            attempt = replace(attempt, outcome=Outcome.FAILED, failure=failure, first_token_ms=None)
        made.append((request, attempt))
    return made


class Traffic:
    """Requests of one process, one after the other."""

    def __init__(self, beat: Beat, made: list[tuple[InferenceRequest, Attempt]]) -> None:
        self.beat = beat
        self._made = made
        self._next = 0

    def happen(self, count: int) -> None:
        """So many requests begin, are decided upon, and end."""
        vitals = self.beat.vitals
        for _ in range(count):
            request, attempt = self._made[self._next % len(self._made)]
            self._next += 1
            vitals.settle(attempt, request, probe=vitals.begin(attempt.model))

    def read(self, count: int) -> None:
        """So many decisions read the facts, each after another attempt has begun."""
        vitals = self.beat.vitals
        for number in range(count):
            _, attempt = self._made[number % len(self._made)]
            vitals.begin(attempt.model)
            known = vitals.facts().models[attempt.model].windows.get(Window.MINUTE)
            if known is not None:
                _ = known.p95_ms


def cpu(work: Callable[[], None]) -> float:
    """Seconds of CPU that something takes."""
    began = thread_time()
    work()
    return thread_time() - began


class Shelf:
    """The port `LiveFeed` without a database, for one hour that is not waited for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[str, list[Told]] = {}

    async def exchange(
        self,
        replica: str,
        told: Sequence[Told],
        minutes: Sequence[Told],
        *,
        heard: Mapping[str, int],
        since: datetime | None,
    ) -> News:
        """Keep what a replica tells, and return what the others told."""
        self._rows.setdefault(replica, []).extend(told)
        found = (
            Heard(name, row)
            for name, rows in self._rows.items()
            if name != replica
            for row in rows[heard.get(name, 0) :]
        )
        return News(datetime.fromtimestamp(self._clock.now, UTC), tuple(found))

    async def history(self) -> News:
        """Nothing was told before."""
        return News(datetime.fromtimestamp(self._clock.now, UTC), ())

    async def tidy(self) -> int:
        """The hour ends with the program."""
        return 0


class Clock:
    """A clock that is moved on, or (by a database) the real one."""

    def __init__(self, *, real: bool) -> None:
        self.now = time()
        self._real = real

    def __call__(self) -> float:
        """Seconds of the epoch."""
        return time() if self._real else self.now

    async def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        if self._real:
            await asyncio.sleep(seconds)


async def measure(shape: Shape, url: str) -> Report:
    """Counting, reading and beats."""
    async with AsyncExitStack() as stack:
        clock, made = Clock(real=bool(url)), requests(shape)
        store = await _store(url, stack)
        feed = store.live if url else Shelf(clock)

        def process(number: int) -> Traffic:
            shared = SharedClock(clock)
            budgets = Budgets(store.requests, shared)
            vitals = Vitals(f"r{number}", clock=shared, budgets=budgets)
            return Traffic(Beat(vitals, feed, budgets), made)

        own, *others = [process(number) for number in range(shape.replicas)]
        spent = Spent()
        count = int(shape.rate * EVERY)
        for _ in range(int(shape.seconds / EVERY)):
            for other in others:
                other.happen(count)
                await other.beat.beat()
            spent.counting.append(cpu(lambda: own.happen(count)) / count)
            spent.reading.append(cpu(lambda: own.read(20)) / 20)
            began = thread_time()
            await own.beat.beat()
            spent.beats.append(thread_time() - began)
            await clock.wait(EVERY)
        known = own.beat.vitals.facts()
    return _report(shape, spent, known, "over a real connection" if url else "without a database")


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of CPU: of a request's counting, of a decision's reading, and of each beat."""

    counting: list[float] = field(default_factory=list[float])
    reading: list[float] = field(default_factory=list[float])
    beats: list[float] = field(default_factory=list[float])


def _report(shape: Shape, spent: Spent, known: LiveFacts, where: str) -> Report:
    # What the windows hold has filled up by half of the time.
    half = len(spent.beats) // 2
    beats = spent.beats[half:]
    counted, read = (mean(each[half:]) * 1e6 for each in (spent.counting, spent.reading))
    shared = mean(beats) * 1e6 / (shape.rate * EVERY)
    total = counted + read + shared
    rows = [
        ["counting its beginning and its end", f"{counted:.1f}", _share(counted)],
        ["reading the facts for its decision", f"{read:.1f}", _share(read)],
        ["its share of the beats", f"{shared:.1f}", _share(shared)],
        ["all", f"{total:.1f}", _share(total)],
    ]
    report = Report()
    report.facts |= {"live.us": total, "live.percent": total / PATH_MS / 10}
    report.tables.append(
        Table(
            f"Live facts: CPU of a request, at {shape.rate}/s on each of {shape.replicas} processes",
            ("", "µs", f"% of {PATH_MS:g} ms"),
            rows,
            (
                f"{len(known.models)} models and {len(known.callers)} callers known; {where}",
                f"a beat ({EVERY:g} s): {mean(beats) * 1000:.2f} ms, at most {max(beats) * 1000:.2f} ms, with pauses",
            ),
        )
    )
    return report


async def _store(url: str, stack: AsyncExitStack) -> Store:
    backend = "postgres" if url else "memory"
    storage = Storage(**dict.fromkeys(Storage.model_fields, backend))
    store = await open_store(Settings(storage=storage, postgres=Postgres(url=Secret(url))))
    stack.push_async_callback(store.close)
    return store


def _share(microseconds: float) -> str:
    return f"{microseconds / PATH_MS / 10:.2f}"


def run() -> None:
    """Measure and print."""
    shape = Shape()
    made = argparse.ArgumentParser(prog="python -m bench.live", description=__doc__)
    made.add_argument("--rate", type=int, default=shape.rate, help="requests a second of each (%(default)s)")
    made.add_argument("--replicas", type=int, default=shape.replicas, help="processes (%(default)s)")
    made.add_argument("--models", type=int, default=shape.models, help="that serve (%(default)s)")
    made.add_argument("--callers", type=int, default=shape.callers, help="that ask (%(default)s)")
    made.add_argument("--seconds", type=int, default=shape.seconds, help="of traffic (%(default)s)")
    made.add_argument("--postgres", default="", help="a migrated database")
    made.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    given = made.parse_args()
    before = machine()
    shape = Shape(given.rate, given.replicas, given.models, given.callers, given.seconds)
    found = uvloop.run(measure(shape, given.postgres))
    show(found.tables, before, as_markdown=given.markdown)


if __name__ == "__main__":
    run()
