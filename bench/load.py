"""Callers that ask again and again, and what they saw."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Self

from bench.subjects import Subject
from bench.wire import Answer, Caller, Lost


@dataclass(slots=True)
class Load:
    """What many requests came to; times in seconds, `told_ms` the gateway's own word on what it added."""

    totals: list[float] = field(default_factory=list[float])
    firsts: list[float] = field(default_factory=list[float])
    told_ms: list[float] = field(default_factory=list[float])
    faults: Counter[str] = field(default_factory=Counter[str])
    bodies: list[bytes] = field(default_factory=list[bytes])
    seconds: float = 0.0

    @property
    def answered(self) -> int:
        """How many requests had a good answer."""
        return len(self.totals)

    def take(self, answer: Answer, *, stream: bool, keep: bool) -> None:
        """Count an answer."""
        fault = answer.fault(stream=stream)
        if fault is not None:
            self.faults[fault] += 1
            return
        self.totals.append(answer.total)
        self.firsts.append(answer.first_byte)
        told = answer.headers.get(b"x-gateway-overhead-ms")
        if told is not None:
            self.told_ms.append(float(told))
        if keep:
            self.bodies.append(answer.body)

    def add(self, other: Self) -> None:
        """Take what another turn came to."""
        self.totals += other.totals
        self.firsts += other.firsts
        self.told_ms += other.told_ms
        self.faults += other.faults
        self.bodies += other.bodies
        self.seconds += other.seconds

    def faults_told(self) -> str:
        """The errors in words, "0" for none."""
        return ", ".join(f"{count} × {name}" for name, count in self.faults.most_common()) or "0"


class Crowd:
    """Callers of one subject, whose connections stay open from turn to turn."""

    def __init__(self, subject: Subject, callers: int) -> None:
        """Nobody has called yet."""
        self.subject = subject
        self._callers = [Caller(subject.host, subject.port) for _ in range(callers)]

    async def ask(
        self,
        request: bytes,
        *,
        count: int | None = None,
        seconds: float | None = None,
        spread: float = 0.0,
        stream: bool = False,
        keep: bool = False,
        load: Load | None = None,
    ) -> Load:
        """All callers ask, each the next thing as soon as it has its answer, `count` times in all or for `seconds`.

        They begin within `spread` seconds of each other. A `load` that is given can be read meanwhile.
        """
        load = Load() if load is None else load
        left = iter(range(count)) if count is not None else None
        begun = perf_counter()
        until = begun + seconds if seconds is not None else None

        async def go_on(caller: Caller, after: float) -> None:
            if after:
                await asyncio.sleep(after)
            while until is None or perf_counter() < until:
                if left is not None and next(left, None) is None:
                    return
                try:
                    answer = await caller.ask(request)
                except (Lost, OSError, TimeoutError) as error:
                    load.faults[type(error).__name__] += 1
                    await asyncio.sleep(0.05)  # a server that is gone must not turn this into a busy loop
                else:
                    load.take(answer, stream=stream, keep=keep)

        step = spread / len(self._callers)
        await asyncio.gather(*(go_on(caller, n * step) for n, caller in enumerate(self._callers)))
        load.seconds += perf_counter() - begun
        return load

    def close(self) -> None:
        """Hang up."""
        for caller in self._callers:
            caller.close()


@contextmanager
def crowd(subject: Subject, callers: int) -> Generator[Crowd]:
    """Callers who hang up in the end."""
    made = Crowd(subject, callers)
    try:
        yield made
    finally:
        made.close()


async def warm(subjects: tuple[Subject, ...], seconds: float) -> None:
    """Let everyone meet their first requests, which load modules and open connections, before anything counts."""
    for subject in subjects:
        with crowd(subject, 8) as callers:
            await callers.ask(subject.chat(), seconds=seconds)
            await callers.ask(subject.chat("bench-first", stream=True), count=16, stream=True)
        if subject.site is not None and subject.site.backlog is not None:
            await subject.site.backlog.empty(within=60)
