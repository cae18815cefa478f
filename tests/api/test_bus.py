"""NATS as a door: what is published becomes one job, and what cannot is told to its sender; with a real nats-server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import nats
import nats.errors
import nats.js.errors
import pytest

from api.bus.door import BusDoor
from api.service.ask import Hints
from api.service.forms.job import job_ask
from gateway.delivery.bus import Bus
from gateway.delivery.inbox import Inbox, Letter, PutOff, Refused, Taken
from gateway.domain.errors import RateLimited
from gateway.settings import Nats, NatsRequests, Settings
from gateway.storage.ports import JobFilter
from tests.api.world import ADMIN, CALLERS, KEY, OTHER, POWERLESS, World, a_world

pytestmark = pytest.mark.slow

JOB = {
    "endpoint": "/v1/chat/completions",
    "body": {"model": "good", "messages": [{"role": "user", "content": "Hi"}]},
}
MINE = CALLERS[KEY]


@dataclass
class Sender:
    """An agent with nats-py, and a gateway that reads what it sends."""

    world: World
    inbox: Inbox
    client: Any
    requests: NatsRequests

    async def send(self, body: Any = JOB, *, to: str = MINE.name, key: str = KEY, **headers: str) -> None:
        """Publish a request; names of headers are given with `_` for `-`."""
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        subject = f"{self.requests.subject}.{to}"
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        await self.client.jetstream().publish(subject, data, headers={**authorization, **told})

    async def until_read(self) -> None:
        """Wait until the queue is empty."""
        async with asyncio.timeout(60):
            while (await self.state()).messages:  # noqa: ASYNC110  the server tells nobody
                await asyncio.sleep(0.05)

    async def state(self) -> Any:
        """The queue's own numbers."""
        return (await self.client.jetstream().stream_info(self.requests.stream)).state

    async def jobs(self) -> list[Any]:
        """All jobs there are."""
        page = await self.world.jobs.find(CALLERS[ADMIN], JobFilter(), limit=50, after=None)
        return list(page.rows)


@asynccontextmanager
async def a_sender(url: str, world: World | None = None, **changes: Any) -> AsyncGenerator[Sender]:
    name = f"r{id(changes)}"
    requests = NatsRequests(
        subject=f"{name}.requests", stream=name, consumer="gateway", max_bytes=2**20, **changes
    )
    world = world or a_world(Settings(nats=Nats(url=url, requests=requests)))
    bus = Bus(Nats(url=url), "test")
    bus.start()
    async with asyncio.timeout(60):
        while not bus.up:  # noqa: ASYNC110  it connects in the background
            await asyncio.sleep(0.02)
    door = BusDoor(world.identity, world.jobs, world.settings)
    inbox = Inbox(bus, requests, door.take)
    inbox.start()
    client = await nats.connect(url)
    sender = Sender(world, inbox, client, requests)
    try:
        async with asyncio.timeout(60):
            while not await _made(client, name):  # noqa: ASYNC110  it is made in the background
                await asyncio.sleep(0.05)
        yield sender
    finally:
        await inbox.close()
        await client.jetstream().delete_stream(name)
        await client.close()
        await bus.close()
        await world.engine.close()


async def _made(client: Any, stream: str) -> bool:
    try:
        await client.jetstream().consumer_info(stream, "gateway")
    except nats.js.errors.NotFoundError:
        return False
    return True


@pytest.fixture
async def sender(nats_url: str) -> AsyncGenerator[Sender]:
    async with a_sender(nats_url) as made:
        yield made


@asynccontextmanager
async def hearing(sender: Sender, subject: str) -> AsyncGenerator[Any]:
    """What is told at a subject from now on."""
    heard = await sender.client.subscribe(subject)
    await sender.client.flush()
    yield heard
    await heard.unsubscribe()


async def test_a_request_becomes_a_job_of_its_sender_s(sender: Sender):
    await sender.send({**JOB, "metadata": {"run": "7"}}, Nats_Msg_Id="one")
    await sender.until_read()
    (job,) = await sender.jobs()
    assert (job.caller, job.endpoint, job.metadata) == (MINE.id, "/v1/chat/completions", {"run": "7"})


async def test_the_id_of_the_caller_stands_for_its_name(sender: Sender):
    await sender.send(to=MINE.id)
    await sender.until_read()
    assert len(await sender.jobs()) == 1


async def test_the_subject_to_answer_at_is_the_job_s_own(sender: Sender):
    await sender.send(Reply_To="agents.agent-1.answers", X_Trace_Id="run-7")
    await sender.until_read()
    (job,) = await sender.jobs()
    assert job.deliver["nats"].target == "agents.agent-1.answers"
    assert job.deliver["nats"].trace_id == "run-7"


async def test_what_the_body_says_of_delivery_goes_before_the_header(sender: Sender):
    body = {**JOB, "deliver": {"nats": {"subject": "agents.agent-1.elsewhere"}}}
    await sender.send(body, Reply_To="agents.agent-1.answers")
    await sender.until_read()
    (job,) = await sender.jobs()
    assert job.deliver["nats"].target == "agents.agent-1.elsewhere"


async def test_the_same_message_id_is_the_same_job_however_often_it_comes(sender: Sender):
    for _ in range(3):
        await sender.send(Nats_Msg_Id="once")
        await asyncio.sleep(0.2)  # beyond the window in which the server itself forgets copies
    await sender.until_read()
    assert len(await sender.jobs()) == 1


async def test_a_message_id_is_the_idempotency_key_of_the_other_doors(sender: Sender):
    ask = job_ask(json.dumps(JOB).encode(), Hints(idempotency_key="shared"), door="rest")
    before = await sender.world.jobs.create(MINE, ask)
    await sender.send(Nats_Msg_Id="shared")
    await sender.until_read()
    assert [job.id for job in await sender.jobs()] == [before.id]


async def test_two_without_ids_are_two_jobs(sender: Sender):
    await sender.send()
    await sender.send()
    await sender.until_read()
    assert len(await sender.jobs()) == 2


async def test_who_died_after_accepting_and_before_acknowledging_leaves_one_job(nats_url: str):
    async with a_sender(nats_url) as sender:
        await sender.inbox.close()
        await sender.send(Nats_Msg_Id="unacknowledged")
        # Another process takes it, makes its job, and is gone before it could say so.
        queue = await sender.client.jetstream().pull_subscribe_bind(
            durable="gateway", stream=sender.requests.stream
        )
        (message,) = await queue.fetch(1, timeout=30)
        ask = job_ask(message.data, Hints(idempotency_key="unacknowledged"), door="nats")
        first = await sender.world.jobs.create(MINE, ask)
        await message.nak()  # what the server does itself after its patience
        sender.inbox.start()
        await sender.until_read()
        assert [job.id for job in await sender.jobs()] == [first.id]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": "sk-wrong"}, "invalid_api_key"),
        ({"key": ""}, "invalid_api_key"),
        ({"key": OTHER, "to": "agent-1"}, "permission_denied"),
        ({"key": POWERLESS, "to": "agent-3"}, "permission_denied"),
        ({"body": b"{"}, "invalid_json"),
        ({"body": {**JOB, "endpoint": "/v1/nowhere"}}, "invalid_request"),
        ({"body": {**JOB, "body": {"model": "unknown", "messages": []}}}, "invalid_request"),
        ({"body": {**JOB, "deliver": {"nats": {"subject": "agents.agent-2.x"}}}}, "invalid_request"),
    ],
    ids=["wrong key", "no key", "another's subject", "no right", "no JSON", "endpoint", "body", "deliver"],
)
async def test_what_is_refused_is_told_to_its_sender_and_never_comes_again(
    sender: Sender, changes: dict[str, Any], code: str
):
    part = "agent-2" if changes.get("key") == OTHER else changes.get("to", "agent-1")
    async with hearing(sender, f"agents.{part}.answers") as heard:
        await sender.send(**{"Reply_To": f"agents.{part}.answers", "Nats_Msg_Id": "bad", **changes})
        message = await heard.next_msg(timeout=30)
    told = json.loads(message.data)
    assert (told["type"], told["data"]["message_id"]) == ("request.refused", "bad")
    assert told["data"]["error"]["code"] == code
    assert message.headers["In-Reply-To"] == "bad"
    await sender.until_read()
    assert await sender.jobs() == []
    assert KEY not in message.data.decode()


@pytest.mark.parametrize("subject", ["agents.agent-2.answers", "$SYS.x", "agents.>", "r.requests.agent-1"])
async def test_a_subject_that_is_not_the_sender_s_is_told_nothing(sender: Sender, subject: str):
    listened = subject.replace(">", "x")
    async with hearing(sender, listened) as heard:
        await sender.send(Reply_To=subject)
        await sender.until_read()
        with pytest.raises(nats.errors.TimeoutError):
            await heard.next_msg(timeout=0.3)
    assert await sender.jobs() == []


async def test_a_stranger_cannot_have_others_told(sender: Sender):
    async with hearing(sender, "agents.agent-2.answers") as heard:
        await sender.send(key="sk-wrong", Reply_To="agents.agent-2.answers")
        await sender.until_read()
        with pytest.raises(nats.errors.TimeoutError):
            await heard.next_msg(timeout=0.3)


async def test_an_engine_that_is_away_is_waited_for(sender: Sender):
    sender.world.engine.up = False
    await sender.send(Nats_Msg_Id="patient")
    await asyncio.sleep(0.5)
    assert (await sender.state()).messages == 1
    sender.world.engine.up = True
    await sender.until_read()
    assert len(await sender.jobs()) == 1


async def test_who_cannot_be_told_apart_for_the_moment_is_waited_for(sender: Sender):
    sender.world.identity.down = True
    await sender.send()
    await asyncio.sleep(0.5)
    assert (await sender.state()).messages == 1
    sender.world.identity.down = False
    await sender.until_read()
    assert len(await sender.jobs()) == 1


async def test_patience_has_an_end(nats_url: str):
    async with a_sender(nats_url, patience=timedelta(seconds=1)) as sender:
        sender.world.engine.up = False
        async with hearing(sender, "agents.agent-1.answers") as heard:
            await sender.send(Reply_To="agents.agent-1.answers")
            told = json.loads((await heard.next_msg(timeout=30)).data)
        assert told["data"]["error"]["code"] == "engine_unavailable"
        await sender.until_read()


@pytest.mark.slow
async def test_a_queue_that_was_deleted_is_made_again(sender: Sender):
    await sender.client.jetstream().delete_stream(sender.requests.stream)
    async with asyncio.timeout(60):
        while not await _made(sender.client, sender.requests.stream):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await sender.send()
    await sender.until_read()
    assert len(await sender.jobs()) == 1


async def test_no_more_are_in_hand_than_the_settings_say(nats_url: str):
    at_once, most, done = 0, 0, 0

    async def slow(_: Letter) -> Taken:
        nonlocal at_once, most, done
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.05)
        at_once -= 1
        done += 1
        return Taken()

    async with a_sender(nats_url, concurrency=3) as sender:
        sender.inbox._read = slow
        for _ in range(12):
            await sender.send()
        await sender.until_read()
    assert (most, done) == (3, 12)


# ---- one letter --------------------------------------------------------------------------------------------------
def a_letter(**changes: Any) -> Letter:
    usual: dict[str, Any] = {
        "subject": "gateway.requests.agent-1",
        "headers": {"authorization": f"Bearer {KEY}"},
        "body": json.dumps(JOB).encode(),
        "id": "one",
        "sent_at": datetime.now(UTC),
        "tries": 1,
    }
    return Letter(**{**usual, **changes})


async def test_a_bug_is_tried_a_few_times_and_then_told():
    world = a_world()

    class Broken:
        async def create(self, *_: Any) -> None:
            raise ZeroDivisionError

    door = BusDoor(world.identity, Broken(), world.settings)  # type: ignore[arg-type]
    assert isinstance(await door.take(a_letter(tries=1)), PutOff)
    refused = await door.take(a_letter(tries=5))
    assert isinstance(refused, Refused)
    assert "ZeroDivisionError" not in refused.body.decode()


async def test_a_limit_is_waited_for_as_long_as_it_says():
    world = a_world()

    class Limited:
        async def create(self, *_: Any) -> None:
            raise RateLimited(retry_after=timedelta(seconds=12))

    door = BusDoor(world.identity, Limited(), world.settings)  # type: ignore[arg-type]
    assert await door.take(a_letter()) == PutOff(timedelta(seconds=12))


async def test_a_body_over_the_limit_is_refused():
    world = a_world(Settings.model_validate({"api": {"grpc_port": 0, "body_limit": 1024}}))
    door = BusDoor(world.identity, world.jobs, world.settings)
    refused = await door.take(a_letter(body=b"x" * 1025))
    assert isinstance(refused, Refused)
    assert b"body_too_large" in refused.body
