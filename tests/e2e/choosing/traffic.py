"""Requests at a steady rate while something happens, and what became of each of them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.person import Person
from tests.e2e.stack import until


@dataclass(frozen=True)
class Answered:
    """One request: when it was sent and what was told of it."""

    sent_at: float
    status: int
    model: str
    attempts: int
    rules_version: str
    request_id: str
    text: str

    @property
    def chosen(self) -> str:
        """The model that was called first; empty where it failed and another answered."""
        return self.model if self.attempts == 1 else ""


@dataclass
class Traffic:
    """The requests so far, in the order in which they were sent."""

    answers: list[Answered] = field(default_factory=list)

    def since(self, moment: float) -> list[Answered]:
        """Those that were sent after a moment of `time.monotonic`."""
        return sorted((a for a in self.answers if a.sent_at >= moment), key=lambda a: a.sent_at)

    def last(self, count: int) -> list[str]:
        """The models that the last few requests were sent to first."""
        return [answer.chosen for answer in self.since(0.0)[-count:]]

    def turned_to(self, model: str, after: float, within: float, count: int = 10) -> float:
        """Wait until the last few requests all went to a model first; returns how long after a moment that began."""
        until(lambda: set(self.last(count)) == {model} and self.since(after)[count - 1 :], within)
        others = [answer.sent_at for answer in self.since(after) if answer.chosen != model]
        return max(others, default=after) - after

    @property
    def failed(self) -> list[Answered]:
        """Those that were not answered well."""
        return [answer for answer in self.answers if answer.status != 200]


@contextmanager
def flowing(
    people: Sequence[Person], rate: float, body: Callable[[int], dict[str, Any]], hands: int = 48
) -> Generator[Traffic]:
    """Send requests at a rate, to the people's addresses in turn, for as long as the block."""
    traffic, stop = Traffic(), threading.Event()
    pool = ThreadPoolExecutor(hands)
    waiting: list[Future[None]] = []

    def one(person: Person, number: int) -> None:
        at = time.monotonic()
        answer = person.ask(**body(number))
        told = answer.headers
        traffic.answers.append(
            Answered(
                at,
                answer.status_code,
                told.get("x-gateway-model", ""),
                int(told.get("x-gateway-attempts", "0")),
                told.get("x-gateway-rules-version", ""),
                told.get("x-request-id", ""),
                "" if answer.status_code == 200 else answer.text,
            )
        )

    def flow() -> None:
        began = time.monotonic()
        for number, person in enumerate(itertools.cycle(people)):
            if stop.wait(max(0.0, began + number / rate - time.monotonic())):
                return
            waiting.append(pool.submit(one, person, number))

    flowing_now = threading.Thread(target=flow, name="traffic")
    flowing_now.start()
    try:
        yield traffic
    finally:
        stop.set()
        flowing_now.join()
        pool.shutdown(wait=True)
    for each in waiting:
        each.result()
