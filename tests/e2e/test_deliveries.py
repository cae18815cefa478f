"""Jobs that tell their callers, on the running stack: by webhook and by NATS, whoever is away meanwhile."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from time import sleep
from typing import Any

import nats
import nats.errors
import pytest
from standardwebhooks import Webhook

from tests.e2e.person import Person, chat
from tests.e2e.stack import Stack, until

pytestmark = pytest.mark.slow

SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


class Hook(ThreadingHTTPServer):
    """A receiver in a process of its own kind: the standard library's, which answers 204 when `answers` are used up."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int] = []
        self.arrived: list[tuple[dict[str, str], bytes]] = []
        self.hangs, self.hung = Event(), Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/hook?token=t0p"


class _Handler(BaseHTTPRequestHandler):
    server: Hook  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.server.hangs.is_set():
            self.server.hung.set()
            sleep(60)
            return
        self.server.arrived.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the standard library's name
        """Say nothing."""


@pytest.fixture
def hook() -> Generator[Hook]:
    made = Hook()
    made.daemon_threads = True
    thread = Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def told(
    person: Person, job_id: str, channel: str, outcome: str = "delivered", within: float = 30.0
) -> list[dict[str, Any]]:
    """The tries by a channel, once the last of them ended so."""

    def over() -> list[dict[str, Any]] | None:
        tries = [each for each in person.job(job_id)["deliveries"] if each["channel"] == channel]
        return tries if tries and tries[-1]["outcome"] == outcome else None

    return until(over, within, every=0.2)


async def _read(url: str, subject: str) -> list[Any]:
    client = await nats.connect(url)
    consumer = await client.jetstream().subscribe(subject, ordered_consumer=True)
    found: list[Any] = []
    try:
        while True:
            found.append(await consumer.next_msg(timeout=1))
    except nats.errors.TimeoutError:
        return found
    finally:
        await client.close()


def messages(stack: Stack, subject: str) -> list[Any]:
    return asyncio.run(_read(stack.environment()["GATEWAY__NATS__URL"], subject))


def test_a_job_tells_its_caller_by_webhook_and_by_nats(agent: Person, stack: Stack, hook: Hook):
    deliver = {
        "webhook": {"url": hook.url, "secret": SECRET},
        "nats": {"subject": "agents.agent.done", "trace_id": "run-7"},
    }
    made = agent.hand_over("ok", deliver=deliver)
    assert made.status_code == 202, made.text
    job = agent.ended(made.json()["id"])
    (first,) = told(agent, job["id"], "webhook")
    assert (first["number"], first["status"], first["target"]) == (1, 204, hook.url.partition("?")[0])
    ((headers, body),) = hook.arrived
    event = Webhook(SECRET).verify(body, headers)
    assert event["type"] == "job.completed"
    assert event["data"]["result"] == job["result"]
    assert headers["webhook-id"] == event["id"] == "evt_" + job["id"].replace("-", "")
    told(agent, job["id"], "nats")
    (message,) = [m for m in messages(stack, "agents.agent.done") if m.headers["Nats-Msg-Id"] == event["id"]]
    assert message.headers["X-Trace-Id"] == "run-7"
    assert job["trace_id"] in message.headers["traceparent"]
    assert message.data == body, "the same bytes on every channel"


@pytest.mark.slow
def test_a_chat_tells_of_its_end_with_a_secret_of_the_caller_s_own(
    neighbour: Person, stack: Stack, hook: Hook
):
    done = stack.run("api", "webhooks", "secret", "--caller", "neighbour")
    secret = done.stdout.strip()
    assert secret not in done.stderr
    assert neighbour.http.get("/api/v1/webhooks/secret").json()["data"][0]["last_four"] == secret[-4:]
    deliver = {"webhook": {"url": hook.url}}
    answer = neighbour.http.post(
        "/v1/chat/completions",
        json=chat("ok", gateway={"deliver": deliver}),
        headers={"prefer": "respond-async"},
    )
    assert answer.status_code == 202, answer.text
    told(neighbour, answer.json()["id"], "webhook")
    assert Webhook(secret).verify(hook.arrived[0][1], hook.arrived[0][0])
    rotated = stack.run("api", "webhooks", "rotate", "--caller", "neighbour", "--keep", "1h").stdout.strip()
    answer = neighbour.hand_over("ok", deliver=deliver)
    told(neighbour, answer.json()["id"], "webhook")
    headers, body = hook.arrived[1]
    for each in (secret, rotated):
        assert Webhook(each).verify(body, headers)


def test_a_receiver_that_fails_is_told_later_as_the_same_event(agent: Person, hook: Hook):
    hook.answers = [500, 429]
    made = agent.hand_over("rejects", deliver={"webhook": {"url": hook.url, "secret": SECRET}})
    job = agent.ended(made.json()["id"])
    tries = told(agent, job["id"], "webhook")
    assert [(each["number"], each["outcome"], each["status"]) for each in tries] == [
        (1, "failed", 500),
        (2, "failed", 429),
        (3, "delivered", 204),
    ]
    assert len({headers["webhook-id"] for headers, _ in hook.arrived}) == 1
    assert len({body for _, body in hook.arrived}) == 1
    assert json.loads(hook.arrived[0][1])["type"] == "job.failed"


def test_a_receiver_that_is_gone_is_told_again_when_somebody_asks(agent: Person, hook: Hook):
    hook.answers = [410]
    made = agent.hand_over("ok", deliver={"webhook": {"url": hook.url, "secret": SECRET}})
    job = agent.ended(made.json()["id"])
    (gone,) = told(agent, job["id"], "webhook", "given_up")
    assert (gone["code"], gone["next_at"]) == ("receiver_gone", None)
    assert agent.job(job["id"])["result"] == job["result"], "what was not delivered can be asked for"
    again = agent.http.post(f"/api/v1/jobs/{job['id']}/deliveries")
    assert again.status_code == 202, again.text
    tries = told(agent, job["id"], "webhook")
    assert [(each["outcome"], each["by_hand"]) for each in tries] == [
        ("given_up", False),
        ("delivered", True),
    ]
    assert {headers["webhook-id"] for headers, _ in hook.arrived} == {again.json()["event_id"]}


def test_while_nats_is_away_nothing_is_lost(agent: Person, stack: Stack):
    with stack.down("nats"):
        made = agent.hand_over("ok", deliver={"nats": {"subject": "agents.agent.later"}})
        assert made.status_code == 202, made.text
        job = agent.ended(made.json()["id"])
        assert job["status"] == "completed"
        failed = told(agent, job["id"], "nats", "failed")
        assert {each["code"] for each in failed} == {"bus_unavailable"}
    tries = told(agent, job["id"], "nats")
    assert tries[-1]["number"] == len(tries) >= 2
    arrived = messages(stack, "agents.agent.later")
    assert [m.headers["Nats-Msg-Id"] for m in arrived] == ["evt_" + job["id"].replace("-", "")]


@pytest.mark.slow
def test_a_worker_that_dies_while_it_tells_leaves_it_to_the_next(agent: Person, stack: Stack, hook: Hook):
    hook.hangs.set()
    made = agent.hand_over("ok", deliver={"webhook": {"url": hook.url, "secret": SECRET}})
    assert hook.hung.wait(20)
    stack.kill("worker")
    hook.hangs.clear()
    job = agent.ended(made.json()["id"])
    assert job["status"] == "completed"
    tries = told(agent, job["id"], "webhook", within=60.0)
    assert tries[-1]["status"] == 204
    assert [headers["webhook-id"] for headers, _ in hook.arrived] == ["evt_" + job["id"].replace("-", "")]


def test_no_secret_stands_in_the_database_or_in_a_history(agent: Person, stack: Stack, hook: Hook):
    made = agent.hand_over("ok", deliver={"webhook": {"url": hook.url, "secret": SECRET}})
    job = agent.ended(made.json()["id"])
    told(agent, job["id"], "webhook")
    dumped = str(
        [
            stack.rows("SELECT to_jsonb(j) FROM jobs AS j WHERE id = %s", job["id"]),
            stack.rows("SELECT to_jsonb(r) FROM requests AS r WHERE id = %s", job["id"]),
            stack.rows("SELECT to_jsonb(d) FROM deliveries AS d WHERE job_id = %s", job["id"]),
            stack.rows("SELECT to_jsonb(w) FROM webhook_secrets AS w"),
        ]
    )
    assert SECRET not in dumped
    assert "t0p" not in dumped
    assert not re.search(r"whsec_", dumped)
