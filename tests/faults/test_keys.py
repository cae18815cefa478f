"""Requests with an Idempotency-Key while processes die or are replaced: a retry with the same key cures every error."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx2

from tests.e2e.person import Person, Upstream, canary
from tests.e2e.stack import Stack, until
from tests.faults.ledger import outcomes, row_of, settled

_PATIENCE = 60.0


def test_the_key_of_a_process_that_was_killed_is_free_again_and_the_retry_is_answered(
    stack: Stack, admin: Person, upstream: Upstream, pool: ThreadPoolExecutor
):
    with stack.replica() as replica:
        doomed, other = Person(replica.rest, stack.admin_key), admin
        key = canary()
        headers = {"idempotency-key": key}
        asked = pool.submit(settled, lambda: doomed.ask("three-seconds", key, headers))
        until(lambda: stack.rows("SELECT 1 FROM idempotency WHERE state = 'running'"))
        time.sleep(0.5)
        running = other.ask("three-seconds", key, headers)
        assert (running.status_code, running.json()["error"]["code"]) == (409, "request_in_progress")
        assert 1 <= int(running.headers["retry-after"]) <= 120
        replica.process.send_signal(signal.SIGKILL)
        assert asked.result() is None
        began = time.monotonic()
        answer = until(lambda: _answered(other, key, headers), _PATIENCE, every=0.5)
        waited = time.monotonic() - began
    assert answer.status_code == 200
    assert waited < 55, f"the key was free after {waited:.0f} s"
    again = other.ask("three-seconds", key, headers)
    assert again.content == answer.content
    assert again.headers["x-request-id"] == answer.headers["x-request-id"]
    assert again.headers["x-gateway-replayed"] == "true"
    row = row_of(admin, answer.headers["x-request-id"])
    assert outcomes(row) == ["succeeded"]
    assert upstream.calls(row["id"]) == 1


def _answered(person: Person, key: str, headers: dict[str, str]) -> httpx2.Response | None:
    answer = person.ask("three-seconds", key, headers)
    return None if answer.status_code == 409 else answer


@dataclass
class Callers:
    """Callers who ask whichever replica there is, and ask again with the same key until they are answered."""

    secret: str
    replicas: list[str]
    answers: dict[str, httpx2.Response] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    over: threading.Event = field(default_factory=threading.Event)

    def go_on(self) -> None:
        """Ask until told to stop; what was begun is brought to its end."""
        while not self.over.is_set():
            self._ask(canary(), stream=random.random() < 0.3)  # noqa: S311  no secret

    def _ask(self, key: str, *, stream: bool) -> None:
        ends = time.monotonic() + _PATIENCE
        while time.monotonic() < ends:
            person = Person(random.choice(self.replicas), self.secret)  # noqa: S311
            with person.http:
                try:
                    answer = person.ask("quick", key, {"idempotency-key": key}, stream=stream)
                except httpx2.TransportError as e:
                    self.errors[type(e).__name__] += 1
                else:
                    if answer.status_code == 200 and (not stream or answer.text.endswith("[DONE]\n\n")):
                        self.answers[key] = answer
                        return
                    self.errors[str(answer.status_code)] += 1
            time.sleep(0.3)
        raise AssertionError(f"{key} was never answered: {self.errors}")


def test_a_rolling_restart_of_all_replicas_loses_nothing(
    stack: Stack, admin: Person, upstream: Upstream, pool: ThreadPoolExecutor
):
    with ExitStack() as replicas:
        old = [replicas.enter_context(stack.replica()) for _ in range(2)]
        callers = Callers(stack.admin_key, [each.rest for each in old])
        asking = [pool.submit(callers.go_on) for _ in range(8)]
        jobs = [admin.hand_over("one-second", key=canary()) for _ in range(10)]
        for each in old:
            callers.replicas.append(replicas.enter_context(stack.replica()).rest)
            each.process.terminate()
            assert each.process.wait(30) == 0
            callers.replicas.remove(each.rest)
        stack.kill("worker", by=signal.SIGTERM)
        time.sleep(2)
        callers.over.set()
        for each in asking:
            each.result()
    stack.wait_ready()
    assert len(callers.answers) > 50, callers.errors
    for key, answer in callers.answers.items():
        row = row_of(admin, answer.headers["x-request-id"])
        assert row["status"] == "completed", f"{key}: {row}"
        assert upstream.calls(row["id"]) == 1
    assert [job.status_code for job in jobs] == [202] * 10
    for job in jobs:
        ended = admin.ended(job.json()["id"], within=60)
        assert ended["status"] == "completed"
        assert outcomes(row_of(admin, ended["id"])) == ["succeeded"]
    ids = [answer.headers["x-request-id"] for answer in callers.answers.values()]
    assert len(set(ids)) == len(ids)
