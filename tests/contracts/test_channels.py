"""One suite for every channel of delivery: what a caller may rely on, whichever it chose."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import nats
import nats.errors
import pytest

from gateway.delivery.bus import Bus
from gateway.delivery.catalogue import open_memory
from gateway.delivery.event import Event, event_of
from gateway.delivery.jetstream import JetStream
from gateway.delivery.ports import Channel, Notice
from gateway.delivery.seals import Seals
from gateway.delivery.webhook import Webhooks
from gateway.domain.delivery import Destination
from gateway.domain.errors import BusRefused, BusUnavailable, ReceiverUnreachable
from gateway.domain.inference import Failure, Status, Usage
from gateway.domain.jobs import Job
from gateway.domain.secret import Secret
from gateway.ids import new_id
from gateway.ring import KeyRing
from gateway.settings import DeliverySettings, Nats, StreamSettings, WebhookSettings
from gateway.storage.memory import MemoryStore
from infra.local.component import free_port
from tests.contracts.receivers import SECRET, receiving

pytestmark = pytest.mark.slow

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
RESULT = b'{"id": "chatcmpl-1",  "choices": []}'
SEALS = Seals(KeyRing("k", {"k": Secret(b64encode(bytes(32)).decode())}))


def settings(**changes: Any) -> DeliverySettings:
    local = WebhookSettings(https_only=False, allow_private_networks=True)
    return DeliverySettings(timeout=timedelta(seconds=2), inline_limit=64 * 1024, webhook=local, **changes)


def a_done_job(**changes: Any) -> Job:
    usual = Job(
        id=new_id(),
        caller="agent-1",
        endpoint="/v1/chat/completions",
        kind="chat",
        model="assistant",
        status=Status.COMPLETED,
        created_at=NOW - timedelta(seconds=5),
        deadline=NOW + timedelta(hours=1),
        started_at=NOW - timedelta(seconds=4),
        completed_at=NOW,
        served_model="good",
        attempts=1,
        usage=Usage(10, 5),
        cost_usd=Decimal("0.0000200"),
        metadata={"run": "7"},
        trace_id="a" * 32,
    )
    return replace(usual, **changes)


def an_event(job: Job | None = None, result: bytes | None = RESULT) -> Event:
    return event_of(job or a_done_job(), result, "https://llm.example.org")


@dataclass
class There:
    """A channel and its other end."""

    channel: Channel
    limit: int
    once: bool
    """Whether the other end itself tells a second copy from a second event."""
    destination: Callable[[str], Destination]
    arrived: Callable[[], Any]
    away: type[Exception]

    async def tell(self, event: Event) -> int | None:
        to = self.destination(event.job.id)
        return await self.channel.deliver(Notice(event, to, "agent-1", datetime.now(UTC), "00-ab-cd-01"))


@asynccontextmanager
async def memory(_: Any) -> AsyncGenerator[There]:
    channel = open_memory()
    yield There(
        channel,
        2**62,
        once=False,
        destination=lambda _: Destination("anywhere"),
        arrived=lambda: _now([(n.event.id, n.event.body(2**62)) for n in channel.brought]),
        away=ReceiverUnreachable,
    )


@asynccontextmanager
async def webhook(_: Any) -> AsyncGenerator[There]:
    channel = Webhooks(settings(), SEALS, MemoryStore().webhook_secrets)
    async with receiving() as receiver:
        yield There(
            channel,
            64 * 1024,
            once=False,
            destination=lambda job: SEALS.seal(receiver.url, receiver.url, Secret(SECRET), job),
            arrived=lambda: _now([(a.headers["webhook-id"], a.body) for a in receiver.arrived]),
            away=ReceiverUnreachable,
        )
    await channel.close()


@asynccontextmanager
async def jetstream(request: Any) -> AsyncGenerator[There]:
    url = request.getfixturevalue("nats_url")
    async with a_bus(url) as bus, reading(url) as read:
        subject = f"agents.agent-1.{new_id()}"
        yield There(
            JetStream(settings(), bus),
            bus.client().max_payload - 4096,
            once=True,
            destination=lambda _: Destination(subject, trace_id="mine"),
            arrived=lambda: read(subject),
            away=BusUnavailable,
        )


@asynccontextmanager
async def a_bus(url: str, **changes: Any) -> AsyncGenerator[Bus]:
    bus = Bus(Nats(url=url, **changes), "test")
    bus.start()
    async with asyncio.timeout(60):
        while not bus.up:  # noqa: ASYNC110  it connects in the background
            await asyncio.sleep(0.02)
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def reading(url: str) -> AsyncGenerator[Callable[[str], Any]]:
    """A consumer as agents write it: what a stream kept of a subject."""
    client = await nats.connect(url)

    async def read(subject: str) -> list[tuple[str, bytes]]:
        return [(m.headers["Nats-Msg-Id"], m.data) for m in await messages(client, subject)]

    try:
        yield read
    finally:
        await client.close()


async def messages(client: Any, subject: str) -> list[Any]:
    stream = client.jetstream()
    consumer = await stream.subscribe(subject, ordered_consumer=True)
    found: list[Any] = []
    with suppress(nats.errors.TimeoutError):
        while True:
            found.append(await consumer.next_msg(timeout=2))
    await consumer.unsubscribe()
    return found


async def _now(value: Any) -> Any:
    return value


CHANNELS = {"memory": memory, "webhook": webhook, "nats": jetstream}


# Not an async fixture alone: the server is started on a loop of its own, before this one runs.
@pytest.fixture(params=sorted(CHANNELS))
def opened(request):
    if request.param == "nats":
        request.getfixturevalue("nats_url")
    return CHANNELS[request.param](request)


@pytest.fixture
async def there(opened):
    async with opened as there:
        yield there


# ---- all of them -------------------------------------------------------------------------------------------------
async def test_an_event_arrives_by_its_id_with_the_result_inside(there):
    event = an_event()
    await there.tell(event)
    ((id_, body),) = await there.arrived()
    assert id_ == event.id == "evt_" + event.job.id.replace("-", "")
    said = json.loads(body)
    assert said["id"] == event.id
    assert (said["object"], said["type"], said["created_at"]) == (
        "event",
        "job.completed",
        int(NOW.timestamp()),
    )
    assert said["timestamp"] == "2026-11-25T12:00:00Z"
    data = said["data"]
    assert (data["id"], data["status"], data["cost_usd"]) == (event.job.id, "completed", "0.0000200")
    assert data["result"] == json.loads(RESULT)
    assert data["result_url"] == f"https://llm.example.org/api/v1/jobs/{event.job.id}/result"
    assert RESULT in body, "the model's answer is passed on as the bytes it came in"


async def test_a_second_copy_is_known_by_its_id_and_is_the_same(there):
    event = an_event()
    await there.tell(event)
    await there.tell(event)
    arrived = await there.arrived()
    assert len(arrived) == (1 if there.once else 2)
    assert set(arrived) == {(event.id, event.body(there.limit))}


async def test_two_jobs_are_two_events(there):
    first, second = an_event(), an_event()
    await there.tell(first)
    await there.tell(second)
    assert [id_ for id_, _ in await there.arrived()] == [first.id, second.id]


async def test_a_result_that_is_too_long_is_linked_to(there):
    long = b'{"text": "%s"}' % (b"x" * min(there.limit, 2**21))
    event = an_event(result=long)
    await there.tell(event)
    ((_, body),) = await there.arrived()
    data = json.loads(body)["data"]
    assert data["result_url"].endswith(f"/api/v1/jobs/{event.job.id}/result")
    assert ("result" in data) == (len(long) < there.limit)


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.EXPIRED])
async def test_every_end_is_told(there, status):
    failure = Failure("upstream_timeout", "The model did not answer in time.", param="x", detail="secret")
    event = an_event(a_done_job(status=status, failure=failure, usage=None, cost_usd=None), None)
    await there.tell(event)
    ((_, body),) = await there.arrived()
    said = json.loads(body)
    assert said["type"] == f"job.{status.value}"
    assert said["data"]["error"] == {
        "code": "upstream_timeout",
        "message": "The model did not answer in time.",
        "param": "x",
    }
    assert said["data"]["result_url"] is None
    assert b"secret" not in body, "what an upstream said is for operators"


@pytest.mark.parametrize("result", [b"\xff\xfb\x90audio", b'{"text": "\xff"}', b"{", b""])
async def test_a_result_that_is_no_json_is_linked_to(there, result):
    await there.tell(an_event(result=result))
    ((_, body),) = await there.arrived()
    data = json.loads(body)["data"]
    assert "result" not in data
    assert data["result_url"]


# ---- NATS --------------------------------------------------------------------------------------------------------
async def test_an_agent_finds_its_trace_id_in_the_headers(nats_url):
    event, subject = an_event(), f"agents.agent-1.{new_id()}"
    async with a_bus(nats_url) as bus:
        to = Destination(subject, trace_id="run-7/step-3")
        channel = JetStream(settings(), bus)
        await channel.deliver(Notice(event, to, "agent-1", NOW, "00-" + "a" * 32 + "-" + "b" * 16 + "-01"))
    client = await nats.connect(nats_url)
    (message,) = await messages(client, subject)
    await client.close()
    assert message.headers["X-Trace-Id"] == "run-7/step-3"
    assert message.headers["traceparent"] == "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    assert message.headers["Nats-Msg-Id"] == event.id
    assert message.headers["Content-Type"] == "application/json"


async def test_the_job_s_own_trace_id_stands_where_none_was_given(nats_url):
    event, subject = an_event(), f"agents.agent-1.{new_id()}"
    async with a_bus(nats_url) as bus:
        await JetStream(settings(), bus).deliver(Notice(event, Destination(subject), "agent-1", NOW))
    client = await nats.connect(nats_url)
    (message,) = await messages(client, subject)
    await client.close()
    assert message.headers["X-Trace-Id"] == "a" * 32


async def test_the_stream_is_made_where_it_is_missing_and_left_where_it_is(nats_url):
    name = f"T{new_id()[:8]}{new_id()[-4:]}"
    stream = StreamSettings(
        name=name,
        subjects=(f"{name}.>",),
        max_age=timedelta(hours=2),
        max_bytes=1 << 20,
        duplicate_window=timedelta(hours=1),
    )
    async with a_bus(nats_url) as bus:
        channel = JetStream(settings(stream=stream), bus)
        await channel.deliver(Notice(an_event(), Destination(f"{name}.a"), "agent-1", NOW))
        await channel.deliver(Notice(an_event(), Destination(f"{name}.b"), "agent-1", NOW))
        made = await bus.client().jetstream().stream_info(name)
    assert made.state.messages == 2
    assert made.config.subjects == [f"{name}.>"]
    assert (made.config.max_age, made.config.duplicate_window) == (7200, 3600)


async def test_the_stream_is_made_although_somebody_listens_and_answers_nothing(nats_url):
    name = f"T{new_id()[:8]}{new_id()[-4:]}"
    async with a_bus(nats_url) as bus:
        listening = await bus.client().subscribe(f"{name}.a")
        channel = JetStream(settings(stream=StreamSettings(name=name, subjects=(f"{name}.>",))), bus)
        await channel.deliver(Notice(an_event(), Destination(f"{name}.a"), "agent-1", NOW))
        assert (await bus.client().jetstream().stream_info(name)).state.messages == 1
        await listening.unsubscribe()


async def test_a_subject_that_no_stream_takes_is_refused_and_says_so(nats_url):
    async with a_bus(nats_url) as bus:
        channel = JetStream(settings(), bus)
        with pytest.raises(BusRefused) as refused:
            await channel.deliver(Notice(an_event(), Destination("elsewhere.x"), "agent-1", NOW))
    assert "elsewhere.x" in refused.value.message
    assert refused.value.retryable, "a stream may be made for it"


async def test_a_subject_of_somebody_else_s_stream_is_left_to_it(nats_url):
    name = f"T{new_id()[:8]}{new_id()[-4:]}"
    async with a_bus(nats_url) as bus:
        jetstream = bus.client().jetstream()
        await jetstream.add_stream(name=name, subjects=[f"{name}.>"])
        await JetStream(settings(), bus).deliver(Notice(an_event(), Destination(f"{name}.x"), "agent-1", NOW))
        assert (await jetstream.stream_info(name)).state.messages == 1


async def test_somebody_who_answers_instead_of_a_stream_does_not_count(nats_url):
    client = await nats.connect(nats_url)

    async def answer(message: Any) -> None:
        await message.respond(b"thanks")

    await client.subscribe("plain.x", cb=answer)
    await client.flush()
    async with a_bus(nats_url) as bus:
        with pytest.raises(BusRefused):
            await JetStream(settings(), bus).deliver(
                Notice(an_event(), Destination("plain.x"), "agent-1", NOW)
            )
    await client.close()


async def test_nats_that_was_never_there_is_away_at_once():
    bus = Bus(Nats(url=f"nats://127.0.0.1:{free_port()}"), "test")
    bus.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(bus.close)
        channel = JetStream(settings(), bus)
        async with asyncio.timeout(4):
            with pytest.raises(BusUnavailable) as away:
                await channel.deliver(Notice(an_event(), Destination("agents.a.b"), "agent-1", NOW))
    assert away.value.retryable


@pytest.mark.parametrize("setting", ["credentials_file", "nkey_file", "tls_ca"])
def test_a_file_that_is_not_there_is_named(setting):
    settings = Nats(url="nats://127.0.0.1:1", tls=True).model_copy(update={setting: "/nowhere"})
    bus = Bus(settings, "test")
    with pytest.raises(ValueError, match=r"nats\."):
        bus.start()
