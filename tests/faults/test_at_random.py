"""A minute of jobs while processes are killed at random; then the books are compared, ours with the upstream's."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx2
import pytest

from tests.e2e.person import Person, Upstream, canary
from tests.e2e.stack import Stack
from tests.faults.ledger import outcomes, row_of

SECONDS = 70.0
A_SECOND = 5
MODELS = ("quick", "one-second", "fallback", "ok")
VICTIMS = ("api", "worker", "temporal", "postgres")


@dataclass
class Load:
    """Jobs that are handed over until they are taken, each under a key of its own."""

    stack: Stack
    accepted: dict[str, str] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)

    def hand_over(self, key: str, model: str, until: float) -> None:
        """Ask again with the same key until the job is taken."""
        person = Person(self.stack.rest, self.stack.admin_key, timeout=15)
        with person.http:
            while time.monotonic() < until:
                try:
                    answer = person.hand_over(model, key, key=key)
                except httpx2.TransportError as e:
                    self.refusals[type(e).__name__] += 1
                else:
                    if answer.status_code == 202:
                        self.accepted[key] = answer.json()["id"]
                        return
                    assert answer.status_code == 503, answer.text
                    assert int(answer.headers["retry-after"]) >= 1
                    self.refusals["503"] += 1
                time.sleep(0.5)
        raise AssertionError(f"{key} was never taken")


class Killer:
    """Kills one process after another, as often as the supervisor will start them again."""

    def __init__(self, stack: Stack, rng: random.Random) -> None:
        self.killed: Counter[str] = Counter()
        self.over = threading.Event()
        self._stack = stack
        self._rng = rng

    def go_on(self) -> None:
        """Kill until told to stop."""
        while not self.over.wait(self._rng.uniform(3, 6)):
            alive = [name for name in VICTIMS if self._stack.pid(name) and self._stack.may_kill(name)]
            if alive:
                name = self._rng.choice(alive)
                self._stack.kill(name)
                self.killed[name] += 1


@pytest.mark.timeout(420)
def test_every_job_that_was_accepted_ends_once_with_one_result_whatever_dies(
    stack: Stack, upstream: Upstream, pool: ThreadPoolExecutor
):
    if not stack.may_kill(*VICTIMS, times=4):
        stack.stop()
        stack.up()  # with all its lives
    seed = random.randrange(2**32)  # noqa: S311  to be told, so that it can be given again
    rng = random.Random(seed)  # noqa: S311
    load, killer = Load(stack), Killer(stack, rng)
    killing = pool.submit(killer.go_on)
    ends = time.monotonic() + SECONDS
    taking: dict[str, Future[None]] = {}
    while time.monotonic() < ends:
        key = canary()
        taking[key] = pool.submit(load.hand_over, key, rng.choice(MODELS), ends + 60)
        time.sleep(1 / A_SECOND)
    killer.over.set()
    killing.result()
    stack.wait_ready(90)
    for each in taking.values():
        each.result()
    said = f"seed {seed}, {len(taking)} jobs, killed {killer.killed}, refused {load.refusals}"
    assert killer.killed.total() >= 8, said
    assert len(load.accepted) == len(taking) == len(set(load.accepted.values())), said

    admin = Person(stack.rest, stack.admin_key)
    tally: Counter[str] = Counter()
    for key, job_id in load.accepted.items():
        tally.update(_compared(admin, upstream, key, job_id, said))
    assert set(tally) <= {"succeeded", "failed", "interrupted"}, f"{said}, {tally}"
    _counted(stack, list(load.accepted.values()))
    print(f"{said}; attempts {tally}")  # noqa: T201


def _compared(admin: Person, upstream: Upstream, key: str, job_id: str, said: str) -> list[str]:
    """Compare what the job, its row, its result and the upstream say; returns how its attempts ended."""
    job = admin.ended(job_id, within=120)
    row = row_of(admin, job_id)
    told = f"{said}: {job_id} {row}"
    assert job["status"] == row["status"] == "completed", told
    assert job["result"] == admin.http.get(f"/api/v1/jobs/{job_id}/result").json(), told
    assert job["result"]["choices"][0]["message"]["content"], told
    assert row["prompt"]["messages"][0]["content"] == key, told
    ended = outcomes(row)
    assert job["attempts"] == len(ended), told
    assert ended[-1] == "succeeded", told
    assert ended.count("succeeded") == 1, told
    assert [attempt["number"] for attempt in row["attempts"]] == list(range(1, len(ended) + 1)), told
    calls, unknown = upstream.calls(job_id), ended.count("interrupted")
    assert len(ended) - unknown <= calls <= len(ended), f"{calls} calls; {told}"
    return ended


def _counted(stack: Stack, ids: list[str]) -> None:
    """Count in the database itself: a row for each job, and no job that nobody was told of."""
    rows = stack.rows("SELECT id::text, count(*) FROM requests WHERE id = ANY(%s::uuid[]) GROUP BY id", ids)
    assert {count for _, count in rows} == {1}
    assert len(rows) == len(ids)
    kept = stack.rows("SELECT status, count(*) FROM jobs WHERE id = ANY(%s::uuid[]) GROUP BY status", ids)
    assert dict(kept) == {"completed": len(ids)}
    # A job whose 202 was lost on its way is the one that the next try got.
    others = stack.rows(
        "SELECT count(*) FROM jobs WHERE NOT id = ANY(%s::uuid[]) AND created_at > (SELECT min(created_at)"
        " FROM jobs WHERE id = ANY(%s::uuid[]))",
        ids,
        ids,
    )
    assert others == [(0,)]
