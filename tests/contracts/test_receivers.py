"""Webhooks: signed so that receivers' own packages verify them, and sent with care to whoever fails in whatever way."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from time import perf_counter
from typing import Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from gateway.delivery.ports import Notice
from gateway.delivery.seals import Seals, new_secret
from gateway.delivery.webhook import Webhooks
from gateway.domain.delivery import Destination
from gateway.domain.errors import (
    DestinationSealed,
    GatewayError,
    ReceiverForbidden,
    ReceiverGone,
    ReceiverInsecure,
    ReceiverRefused,
    ReceiverTimeout,
    ReceiverUnreachable,
)
from gateway.domain.secret import Secret
from gateway.net.guard import by_the_system
from gateway.ring import KeyRing
from gateway.settings import DeliverySettings, WebhookSettings
from gateway.storage.memory import MemoryStore
from infra.local.component import free_port
from tests.contracts.receivers import SECRET, Answer, a_certificate, receiving
from tests.contracts.test_channels import SEALS, an_event

LOCAL = WebhookSettings(https_only=False, allow_private_networks=True)


@asynccontextmanager
async def channel(store=None, seals=SEALS, look_up=by_the_system, **own: Any):
    settings = DeliverySettings(timeout=timedelta(seconds=1), webhook=LOCAL.model_copy(update=own))
    made = Webhooks(settings, seals, (store or MemoryStore()).webhook_secrets, look_up)
    try:
        yield made
    finally:
        await made.close()


async def tell(
    made: Webhooks, url: str, secret: str | None = SECRET, event=None, **changes: Any
) -> int | None:
    event = event or an_event()
    box = None if secret is None else Secret(secret)
    to = changes.pop("to", None) or SEALS.seal(url.partition("?")[0], url, box, event.job.id)
    return await made.deliver(Notice(event, to, "agent-1", datetime.now(UTC), **changes))


async def failure(made: Webhooks, url: str, **changes: Any) -> GatewayError:
    with pytest.raises(GatewayError) as failed:
        await tell(made, url, **changes)
    return failed.value


# ---- what arrives ------------------------------------------------------------------------------------------------
async def test_what_arrives_is_verified_by_the_package_that_receivers_use():
    event = an_event()
    async with receiving() as receiver, channel() as made:
        assert await tell(made, receiver.url, event=event, traceparent="00-aa-bb-01") == 204
    (arrived,) = receiver.arrived
    assert arrived.verified()["data"]["id"] == event.job.id
    assert arrived.headers["webhook-id"] == event.id
    assert abs(int(arrived.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 5
    assert arrived.headers["content-type"] == "application/json"
    assert arrived.headers["traceparent"] == "00-aa-bb-01"
    assert arrived.headers["user-agent"].startswith("llm-gateway/")
    with pytest.raises(WebhookVerificationError):
        arrived.verified(new_secret().reveal())


async def test_a_url_s_query_is_sent_and_shown_to_nobody():
    async with receiving() as receiver, channel() as made:
        url = receiver.url + "?token=t0p"
        to = SEALS.seal(receiver.url, url, Secret(SECRET), (event := an_event()).job.id)
        await tell(made, url, event=event, to=to)
    assert receiver.arrived[0].target == "/hook?token=t0p"
    assert "t0p" not in repr(to)
    assert "t0p" not in to.target + to.sealed


async def test_while_a_secret_is_rotated_out_both_sign():
    store, now = MemoryStore(), datetime.now(UTC)
    old, new = new_secret(), new_secret()
    await store.webhook_secrets.create(SEALS.seal_secret(old, "agent-1", now - timedelta(1)), actor="a")
    until = now + timedelta(hours=1)
    await store.webhook_secrets.rotate(SEALS.seal_secret(new, "agent-1", now), until, actor="a")
    async with receiving() as receiver, channel(store) as made:
        await tell(made, receiver.url, to=Destination(receiver.url))
    (arrived,) = receiver.arrived
    assert len(arrived.headers["webhook-signature"].split(" ")) == 2
    assert arrived.verified(old.reveal()) == arrived.verified(new.reveal())


async def test_a_secret_that_has_ended_signs_no_more():
    store, now = MemoryStore(), datetime.now(UTC)
    old, new = new_secret(), new_secret()
    await store.webhook_secrets.create(SEALS.seal_secret(old, "agent-1", now - timedelta(1)), actor="a")
    await store.webhook_secrets.rotate(SEALS.seal_secret(new, "agent-1", now), now, actor="a")
    async with receiving() as receiver, channel(store) as made:
        await tell(made, receiver.url, to=Destination(receiver.url))
    assert receiver.arrived[0].verified(new.reveal())
    with pytest.raises(WebhookVerificationError):
        receiver.arrived[0].verified(old.reveal())


async def test_the_secret_of_a_job_goes_before_its_caller_s():
    store = MemoryStore()
    own = SEALS.seal_secret(new_secret(), "agent-1", datetime.now(UTC))
    await store.webhook_secrets.create(own, actor="a")
    async with receiving() as receiver, channel(store) as made:
        await tell(made, receiver.url)
    assert receiver.arrived[0].verified()
    assert " " not in receiver.arrived[0].headers["webhook-signature"]


async def test_without_a_secret_nothing_is_sent():
    async with receiving() as receiver, channel() as made:
        failed = await failure(made, receiver.url, to=Destination(receiver.url))
    assert isinstance(failed, DestinationSealed)
    assert not receiver.arrived


async def test_a_secret_under_an_old_key_is_sealed_anew_when_it_signs():
    keys = {name: Secret("A" * 42 + name + "=") for name in "AE"}
    store, text = MemoryStore(), new_secret()
    old = Seals(KeyRing("A", keys)).seal_secret(text, "agent-1", datetime.now(UTC))
    await store.webhook_secrets.create(old, actor="a")
    async with receiving() as receiver, channel(store, Seals(KeyRing("E", keys))) as made:
        await tell(made, receiver.url, to=Destination(receiver.url))
    assert receiver.arrived[0].verified(text.reveal())
    (kept,) = await store.webhook_secrets.valid("agent-1", datetime.now(UTC))
    assert kept.key_id == "E"
    assert Seals(KeyRing("E", {"E": keys["E"]})).open_secret(kept) == text


async def test_a_destination_that_was_sealed_for_another_job_stays_closed():
    async with receiving() as receiver, channel() as made:
        to = SEALS.seal(receiver.url, receiver.url, Secret(SECRET), "another job")
        assert isinstance(await failure(made, receiver.url, to=to), DestinationSealed)
    assert not receiver.arrived


# ---- the eight ways to fail --------------------------------------------------------------------------------------
async def test_a_receiver_that_refuses_connections_is_tried_again():
    async with channel() as made:
        failed = await failure(made, f"http://127.0.0.1:{free_port()}/hook")
    assert isinstance(failed, ReceiverUnreachable)
    assert failed.retryable


@pytest.mark.parametrize("answer", [Answer(hangs=True), Answer(drips=True)], ids=["hangs", "drips"])
async def test_a_receiver_that_hangs_or_drips_is_left_in_time(answer):
    async with receiving() as receiver, channel() as made:
        receiver.answers.append(answer)
        began = perf_counter()
        failed = await failure(made, receiver.url)
    assert isinstance(failed, ReceiverTimeout)
    assert failed.retryable
    assert 0.9 < perf_counter() - began < 20


async def test_a_receiver_that_hangs_up_is_tried_again():
    async with receiving() as receiver, channel() as made:
        receiver.answers.append(Answer(hangs_up=True))
        assert isinstance(await failure(made, receiver.url), ReceiverUnreachable)


async def test_a_receiver_that_fails_is_tried_again():
    async with receiving() as receiver, channel() as made:
        receiver.answers.append(Answer(500))
        failed = await failure(made, receiver.url)
    assert isinstance(failed, ReceiverRefused)
    assert (failed.retryable, failed.status) == (True, 500)
    assert "500" in failed.message


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("120", 120, 120),
        ("a date in ten minutes", 500, 600),
        ("999999999", 86400, 86400),
    ],
)
async def test_a_receiver_that_asks_for_patience_is_given_it(said, least, most):
    if said.startswith("a date"):  # made here: it would be past when the tests before this one take long
        said = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    async with receiving() as receiver, channel() as made:
        receiver.answers.append(Answer(429, {"retry-after": said}))
        failed = await failure(made, receiver.url)
    assert failed.status == 429
    assert failed.retryable
    assert failed.retry_after is not None
    assert least <= failed.retry_after.total_seconds() <= most


async def test_a_receiver_that_is_gone_is_left_alone():
    async with receiving() as receiver, channel() as made:
        receiver.answers.append(Answer(410))
        failed = await failure(made, receiver.url)
    assert isinstance(failed, ReceiverGone)
    assert (failed.retryable, failed.status) == (False, 410)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status):
    async with receiving() as receiver, receiving() as other, channel() as made:
        receiver.answers.append(Answer(status, {"location": other.url}))
        failed = await failure(made, receiver.url)
    assert isinstance(failed, ReceiverRefused)
    assert "not followed" in failed.message
    assert not other.arrived


@pytest.mark.parametrize("host", ["127.0.0.1", "other.example.org"], ids=["unknown issuer", "wrong name"])
async def test_a_receiver_with_a_wrong_certificate_is_told_nothing(tmp_path, host):
    tls, certificate = a_certificate(tmp_path, host)
    trusted = str(certificate) if host != "127.0.0.1" else ""
    async with receiving(tls) as receiver, channel(tls_ca=trusted) as made:
        failed = await failure(made, receiver.url)
    assert isinstance(failed, ReceiverInsecure)
    assert failed.retryable
    assert not receiver.arrived


async def test_a_receiver_with_a_certificate_of_one_s_own_is_trusted_by_setting(tmp_path):
    tls, certificate = a_certificate(tmp_path)
    async with receiving(tls) as receiver, channel(tls_ca=str(certificate)) as made:
        assert await tell(made, receiver.url) == 204
    assert receiver.arrived[0].verified()


# ---- where nothing is sent ---------------------------------------------------------------------------------------
FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data",
    "http://127.0.0.1:9/",
    "http://10.0.0.7/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[fd00:ec2::254]/",
    "http://0.0.0.0/",
    "http://100.64.0.1/",
    "http://192.168.0.1/",
    "http://metadata.google.internal/",
    "http://[64:ff9b::7f00:1]/",
]


@pytest.mark.parametrize("url", FORBIDDEN)
async def test_private_addresses_are_not_called_unless_allowed(url):
    async with channel(allow_private_networks=False) as made:
        failed = await failure(made, url)
    assert isinstance(failed, ReceiverForbidden)
    assert not failed.retryable
    assert "169" not in failed.message, "where it led is for operators"


@pytest.mark.parametrize("url", [FORBIDDEN[0], FORBIDDEN[5], FORBIDDEN[6], FORBIDDEN[9]])
async def test_metadata_services_are_never_called(url):
    async with channel(allow_private_networks=True) as made:
        assert isinstance(await failure(made, url), ReceiverForbidden)


async def test_a_name_that_leads_inside_is_not_called_even_if_it_led_elsewhere_before():
    asked = 0

    async def rebinding(host: str, port: int):
        nonlocal asked
        asked += 1
        address = "93.184.216.34" if asked == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async with receiving() as receiver, channel(look_up=rebinding, allow_private_networks=False) as made:
        await rebinding("receiver.example.org", receiver.port)
        failed = await failure(made, f"http://receiver.example.org:{receiver.port}/hook")
    assert isinstance(failed, ReceiverForbidden)
    assert not receiver.arrived


async def test_the_connection_goes_to_the_very_address_that_was_checked():
    async def here(host: str, port: int):
        assert host == "receiver.example.org"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async with receiving() as receiver, channel(look_up=here) as made:
        await tell(made, f"http://receiver.example.org:{receiver.port}/hook")
    assert receiver.arrived[0].headers["host"] == f"receiver.example.org:{receiver.port}"


async def test_plain_http_is_not_sent_once_the_setting_forbids_it():
    async with receiving() as receiver, channel(https_only=True) as made:
        assert isinstance(await failure(made, receiver.url), ReceiverForbidden)
    assert not receiver.arrived


async def test_proxies_of_the_environment_are_not_used(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    async with receiving() as receiver, channel() as made:
        assert await tell(made, receiver.url) == 204
