"""`python -m tests.faults.account [--seconds 600] [--rate 15]`: jobs while all is killed -9 at random, and an account.

Every accepted job must have come to one terminal state, one result, and at least one delivery with one stable id by
each channel that it named; our ledger and the upstream's own count must agree, but for calls that were interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import nats
import nats.errors
from typing_extensions import override

from tests.e2e.person import Person, Upstream, canary
from tests.e2e.stack import Stack, until
from tests.faults.stacks import a_stack
from tests.servers import Servers

MODELS = ("quick", "one-second", "fallback", "ok")
VICTIMS = ("api", "worker", "temporal", "postgres", "nats")
SUBJECT = "agents.accountant.done"
_SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
_PATIENCE = 90.0  # seconds in which a job must be taken, retries included
_HANDS = 48
_TELLING = 420.0  # seconds for all to be told; a worker that died with a delivery costs a minute and a half
_LINGER = 600.0  # seconds for all jobs to end after the last was taken


class Hook(ThreadingHTTPServer):
    """A receiver that refuses every tenth event at first, and notes which ids came for which job."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.came: dict[str, Counter[str]] = defaultdict(Counter)
        self.number = 0
        self.noting = threading.Lock()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection whose other end was killed is no news here."""

    @contextmanager
    def listening(self) -> Generator[Hook]:
        """It, answering."""
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Hook  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.noting:
            self.server.number += 1
            refused = self.server.number % 10 == 0
            if not refused:
                self.server.came[body["data"]["id"]][self.headers["webhook-id"]] += 1
        self.send_response(503 if refused else 204)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the standard library's name
        """Say nothing."""


class Load:
    """Jobs that are handed over until they are taken, each under a key of its own."""

    def __init__(self, stack: Stack, secret: str, hook: str) -> None:
        self.accepted: dict[str, str] = {}
        self.by_nats: set[str] = set()
        self.lost: list[str] = []
        self.refusals: Counter[str] = Counter()
        self._stack = stack
        self._secret = secret
        self._hook = hook
        self._own = threading.local()

    def hand_over(self, key: str, model: str, *, nats_too: bool) -> None:
        """Ask again with the same key until the job is taken."""
        deliver: dict[str, Any] = {"webhook": {"url": self._hook, "secret": _SECRET}}
        if nats_too:
            deliver["nats"] = {"subject": SUBJECT}
        ends = time.monotonic() + _PATIENCE
        while time.monotonic() < ends:
            try:
                answer = self._person.hand_over(model, key, key=key, deliver=deliver)
            except httpx2.TransportError as e:
                self.refusals[type(e).__name__] += 1
            else:
                if answer.status_code == 202:
                    self.accepted[key] = answer.json()["id"]
                    if nats_too:
                        self.by_nats.add(answer.json()["id"])
                    return
                self.refusals[f"{answer.status_code} {answer.json().get('code', '')}"] += 1
                if answer.status_code != 503:
                    break
            time.sleep(0.5)
        self.lost.append(key)

    @property
    def _person(self) -> Person:
        if not hasattr(self._own, "person"):
            self._own.person = Person(self._stack.rest, self._secret, timeout=15)
        return self._own.person


class Killer:
    """Kills one process after another, as often as the supervisor will start them again."""

    def __init__(self, stack: Stack, rng: random.Random) -> None:
        self.killed: Counter[str] = Counter()
        self.over = threading.Event()
        self._stack = stack
        self._rng = rng

    def go_on(self) -> None:
        """Kill until told to stop."""
        while not self.over.wait(self._rng.uniform(4, 9)):
            alive = [name for name in VICTIMS if self._stack.pid(name) and self._stack.may_kill(name)]
            if alive:
                name = self._rng.choice(alive)
                self._stack.kill(name)
                self.killed[name] += 1


@dataclass
class Account:
    """What became of all jobs, and what is wrong with it."""

    seed: int
    taken: int
    killed: Counter[str]
    refusals: Counter[str]
    states: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    webhooks: int = 0
    messages: int = 0
    by_nats: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The account, a line each."""
        made = self.attempts.total() - self.attempts["interrupted"]
        cut = f"{self.calls - made} of the {self.attempts['interrupted']} that were interrupted"
        lines = [
            f"seed        {self.seed}",
            f"killed -9   {_told(self.killed)}",
            f"refused     {_told(self.refusals)} (each tried again with its key)",
            f"accepted    {self.taken} jobs",
            f"ended       {_told(self.states)}",
            f"attempts    {_told(self.attempts)}",
            f"upstream    {self.calls} calls by its own count: {made} whose end the ledger knows, {cut}",
            f"webhooks    {self.webhooks} events for {self.taken} jobs",
            f"nats        {self.messages} messages for {self.by_nats} jobs",
            f"wrong       {len(self.wrong)}",
            *(f"            {each}" for each in self.wrong[:20]),
        ]
        return "\n".join(lines)


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def run(stack: Stack, upstream: Upstream, *, seconds: float, rate: float, seed: int | None = None) -> Account:
    """Hand jobs over for some time while processes die, wait until all have ended, and account for them."""
    seed = random.randrange(2**32) if seed is None else seed  # noqa: S311  told, so that it can be given again
    rng = random.Random(seed)  # noqa: S311
    made = stack.run("api", "keys", "create", "--caller", "accountant", "--right", "infer")
    with Hook().listening() as hook, ThreadPoolExecutor(_HANDS) as hands:
        load, killer = Load(stack, made.stdout.strip(), hook.url), Killer(stack, rng)
        killing = hands.submit(killer.go_on)
        ends, due = time.monotonic() + seconds, time.monotonic()
        while (now := time.monotonic()) < ends:
            if now < due:
                time.sleep(due - now)
            due += 1 / rate
            hands.submit(load.hand_over, canary(), rng.choice(MODELS), nats_too=rng.random() < 0.5)
        killer.over.set()
        killing.result()
        hands.shutdown(wait=True)
        stack.wait_ready(120)
        account = Account(seed, len(load.accepted), killer.killed, load.refusals)
        account.wrong += [f"never taken: {key}" for key in load.lost]
        ids = sorted(set(load.accepted.values()))
        if len(ids) != len(load.accepted):
            account.wrong.append(f"{len(load.accepted)} keys have {len(ids)} jobs")
        _wait_for_ends(stack, ids)
        _count_books(stack, upstream, ids, account)
        _count_results(stack, load.accepted, account)
        _count_deliveries(stack, hook, load, account)
    return account


def _wait_for_ends(stack: Stack, ids: list[str]) -> None:
    open_ = "SELECT count(*) FROM jobs WHERE id = ANY(%s::uuid[]) AND status IN ('queued', 'in_progress')"
    until(lambda: stack.rows(open_, ids) == [(0,)], within=_LINGER, every=1)


def _count_books(stack: Stack, upstream: Upstream, ids: list[str], account: Account) -> None:
    """One state, one row, attempts without a gap, one answer; and the upstream counts the same calls."""
    for job_id, status, attempts in stack.rows(
        "SELECT id::text, status, attempts FROM jobs WHERE id = ANY(%s::uuid[])", ids
    ):
        account.states[status] += 1
        if status != "completed":
            account.wrong.append(f"{job_id} is {status} after {attempts} attempts")
    if account.states.total() != len(ids):
        account.wrong.append(f"{len(ids) - account.states.total()} jobs are not there")
    rows = dict(
        stack.rows("SELECT id::text, count(*) FROM requests WHERE id = ANY(%s::uuid[]) GROUP BY id", ids)
    )
    account.wrong += [
        f"{each} has {rows.get(each, 0)} rows in the ledger" for each in ids if rows.get(each) != 1
    ]
    answers = dict(
        stack.rows(
            "SELECT request_id::text, count(*) FROM claims WHERE request_id = ANY(%s::uuid[])"
            " AND answer IS NOT NULL GROUP BY request_id",
            ids,
        )
    )
    account.wrong += [f"{each} has {answers.get(each, 0)} results" for each in ids if answers.get(each) != 1]
    ended: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for job_id, number, outcome in stack.rows(
        "SELECT request_id::text, number, outcome FROM attempts WHERE request_id = ANY(%s::uuid[]) ORDER BY number",
        ids,
    ):
        ended[job_id].append((number, outcome))
        account.attempts[outcome] += 1
    for job_id in ids:
        outcomes = [outcome for _, outcome in ended[job_id]]
        numbers = [number for number, _ in ended[job_id]]
        if numbers != list(range(1, len(numbers) + 1)) or outcomes.count("succeeded") != 1:
            account.wrong.append(f"{job_id} has the attempts {ended[job_id]}")
        calls, unknown = upstream.calls(job_id), outcomes.count("interrupted")
        account.calls += calls
        if not len(outcomes) - unknown <= calls <= len(outcomes):
            account.wrong.append(f"{job_id} was called {calls} times; the ledger says {outcomes}")


def _count_results(stack: Stack, accepted: dict[str, str], account: Account) -> None:
    """Some of the results, as their callers see them."""
    admin = Person(stack.rest, stack.admin_key)
    for key, job_id in list(accepted.items())[:: max(1, len(accepted) // 100)]:
        job = admin.job(job_id)
        result = admin.http.get(f"/api/v1/jobs/{job_id}/result")
        prompt = admin.request(job_id)["prompt"]["messages"][0]["content"]
        if result.status_code != 200 or result.json() != job["result"] or prompt != key:
            account.wrong.append(f"{job_id} does not show one result of its own request")
    others = "SELECT count(*) FROM jobs WHERE caller <> %s AND id = ANY(%s::uuid[])"
    mine = admin.job(next(iter(accepted.values())))["id"]
    [(caller,)] = stack.rows("SELECT caller FROM jobs WHERE id = %s::uuid", mine)
    if stack.rows(others, caller, list(accepted.values())) != [(0,)]:
        account.wrong.append("a job belongs to somebody else")
    # A job whose 202 was lost on its way is the one that the next try got.
    unknown = "SELECT count(*) FROM jobs WHERE caller = %s AND NOT id = ANY(%s::uuid[])"
    if (found := stack.rows(unknown, caller, list(accepted.values()))) != [(0,)]:
        account.wrong.append(f"{found[0][0]} jobs exist that nobody was told of")


def _count_deliveries(stack: Stack, hook: Hook, load: Load, account: Account) -> None:
    """At least one event by each channel that a job named, all with one id."""
    jobs = set(load.accepted.values())
    until_patient(lambda: jobs <= hook.came.keys(), _TELLING)
    url = stack.environment()["GATEWAY__NATS__URL"]
    published: dict[str, Counter[str]] = defaultdict(Counter)

    def read() -> bool:
        published.clear()
        for job_id, event_id in asyncio.run(_messages(url)):
            published[job_id][event_id] += 1
        return load.by_nats <= published.keys()

    until_patient(read, _TELLING)
    account.by_nats = len(load.by_nats)
    for channel, wanted, came in (("webhook", jobs, hook.came), ("nats", load.by_nats, published)):
        for job_id in wanted:
            ids = came.get(job_id, Counter())
            if len(ids) != 1:
                tries = (
                    "SELECT number, outcome, code, at, next_at FROM deliveries"
                    " WHERE job_id = %s::uuid AND channel = %s"
                )
                said = [tuple(map(str, row)) for row in stack.rows(tries, job_id, channel)]
                account.wrong.append(
                    f"{job_id} was told by {channel} under the ids {dict(ids)}: tries {said}"
                )
    account.webhooks = sum(ids.total() for job_id, ids in hook.came.items() if job_id in jobs)
    account.messages = sum(ids.total() for job_id, ids in published.items() if job_id in load.by_nats)


def until_patient(what: Any, within: float) -> None:
    """Wait until something holds, or has had its time: what does not hold is told in the account."""
    ends = time.monotonic() + within
    while not what() and time.monotonic() < ends:
        time.sleep(1)


async def _messages(url: str) -> Iterable[tuple[str, str]]:
    """The jobs that were told of on the subject, with the ids of the events."""
    client = await nats.connect(url)
    found: list[tuple[str, str]] = []
    try:
        consumer = await client.jetstream().subscribe(SUBJECT, ordered_consumer=True)
        while True:
            message = await consumer.next_msg(timeout=2)
            headers = message.headers or {}
            found.append((json.loads(message.data)["data"]["id"], headers["Nats-Msg-Id"]))
    except nats.errors.TimeoutError:
        return found
    finally:
        await client.close()


def main() -> None:
    """Run it on a stack of its own, and print the account."""
    asked = argparse.ArgumentParser(prog="python -m tests.faults.account", description=__doc__)
    asked.add_argument("--seconds", type=float, default=600.0, help="for how long jobs are handed over")
    asked.add_argument("--rate", type=float, default=15.0, help="jobs a second")
    asked.add_argument("--seed", type=int, help="of the dice, to do the same again")
    given = asked.parse_args()
    servers = Servers()
    try:
        with a_stack(servers).running() as stack:
            upstream = Upstream(servers.scripted_upstream)
            account = run(stack, upstream, seconds=given.seconds, rate=given.rate, seed=given.seed)
    finally:
        servers.close()
    sys.stdout.write(f"{account}\n")
    sys.exit(1 if account.wrong else 0)


if __name__ == "__main__":
    main()
