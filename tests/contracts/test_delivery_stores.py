"""The ledger of deliveries and callers' secrets: the same in memory and in a database."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.delivery import Delivery, DeliveryOutcome, SigningSecret
from gateway.domain.errors import WebhookSecretExists, WebhookSecretNotFound
from gateway.domain.inference import Settlement, Status
from gateway.domain.jobs import job_of
from gateway.ids import new_id
from gateway.storage.ports import Entry
from tests.builders import a_caller, a_job, an_attempt

NOW = datetime(2026, 11, 25, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_try(job_id: str, number: int = 1, **changes) -> Delivery:
    usual = Delivery(
        job_id,
        "webhook",
        "run-1",
        number,
        NOW + number * HOUR,
        "https://agent.example.org/hook",
        DeliveryOutcome.FAILED,
        took_ms=12.5,
        status=500,
        code="receiver_refused",
        message="The receiver answered 500.",
        next_at=NOW + (number + 1) * HOUR,
    )
    return replace(usual, **changes)


def a_secret(caller: str = "agent-1", **changes) -> SigningSecret:
    usual = SigningSecret(new_id(), caller, b"\x00closed\xff", "k1", "abcd", NOW)
    return replace(usual, **changes)


# ---- tries -------------------------------------------------------------------------------------------------------
async def test_tries_come_back_whole_the_first_one_first(store):
    job = new_id()
    last = a_try(job, 2, outcome=DeliveryOutcome.DELIVERED, status=204, code=None, message=None, next_at=None)
    by_hand = a_try(job, 1, run="run-2", by_hand=True, at=NOW + 9 * HOUR)
    other = a_try(job, 1, channel="nats", status=None, at=NOW)
    for each in (last, by_hand, a_try(job), other, a_try(new_id())):
        await store.deliveries.note(each)
    assert await store.deliveries.of(job) == (other, a_try(job), last, by_hand)


async def test_the_same_try_again_changes_nothing(store):
    job = new_id()
    await store.deliveries.note(a_try(job))
    await store.deliveries.note(a_try(job, outcome=DeliveryOutcome.INTERRUPTED))
    assert await store.deliveries.of(job) == (a_try(job),)


async def test_what_no_database_takes_is_marked(store):
    job = new_id()
    await store.deliveries.note(a_try(job, message="a\0b"))
    (kept,) = await store.deliveries.of(job)
    assert kept.message == "a\N{REPLACEMENT CHARACTER}b"


async def test_no_job_s_id_has_no_tries(store):
    assert await store.deliveries.of("x") == ()


async def test_tries_go_with_their_job_and_not_before(store):
    request = a_job()
    await store.jobs.accept(job_of(request))
    await store.deliveries.note(a_try(request.id))
    late = NOW + timedelta(days=30)
    await store.expire(late)
    assert await store.deliveries.of(request.id), "its job has not ended"
    ended = Settlement(request.id, Status.COMPLETED, NOW + HOUR, (an_attempt(),))
    await store.requests.settle(Entry(request, ended))
    while await store.expire(late):
        pass
    assert await store.jobs.get(request.id) is None
    assert await store.deliveries.of(request.id) == ()


# ---- secrets -----------------------------------------------------------------------------------------------------
async def test_a_secret_comes_back_whole(store):
    secret = a_secret()
    await store.webhook_secrets.create(secret, actor="ann")
    await store.webhook_secrets.create(a_secret("agent-2"), actor="ann")
    assert await store.webhook_secrets.valid("agent-1", NOW) == (secret,)
    assert await store.webhook_secrets.valid("agent-3", NOW) == ()


async def test_there_is_one_first_secret(store):
    await store.webhook_secrets.create(a_secret(), actor="ann")
    with pytest.raises(WebhookSecretExists):
        await store.webhook_secrets.create(a_secret(), actor="ann")


async def test_there_is_nothing_to_rotate_before_the_first(store):
    with pytest.raises(WebhookSecretNotFound):
        await store.webhook_secrets.rotate(a_secret(), NOW, actor="ann")
    assert await store.webhook_secrets.valid("agent-1", NOW) == ()


async def test_rotated_the_old_one_signs_until_its_end(store):
    old, new = a_secret(), a_secret(created_at=NOW + HOUR)
    await store.webhook_secrets.create(old, actor="ann")
    await store.webhook_secrets.rotate(new, NOW + 3 * HOUR, actor="ann")
    ending = replace(old, ends_at=NOW + 3 * HOUR)
    assert await store.webhook_secrets.valid("agent-1", NOW + 2 * HOUR) == (new, ending)
    assert await store.webhook_secrets.valid("agent-1", NOW + 3 * HOUR) == (new,)


async def test_rotated_twice_an_end_only_comes_nearer(store):
    first, second, third = (a_secret(created_at=NOW + n * HOUR) for n in range(3))
    await store.webhook_secrets.create(first, actor="ann")
    await store.webhook_secrets.rotate(second, NOW + 5 * HOUR, actor="ann")
    await store.webhook_secrets.rotate(third, NOW + 9 * HOUR, actor="ann")
    ends = {s.id: s.ends_at for s in await store.webhook_secrets.valid("agent-1", NOW)}
    assert ends == {third.id: None, second.id: NOW + 9 * HOUR, first.id: NOW + 5 * HOUR}


async def test_many_who_rotate_at_once_leave_one_newest(store):
    await store.webhook_secrets.create(a_secret(), actor="ann")
    rotations = (store.webhook_secrets.rotate(a_secret(), NOW + HOUR, actor="ann") for _ in range(5))
    await asyncio.gather(*rotations)
    valid = await store.webhook_secrets.valid("agent-1", NOW)
    assert [each.ends_at is None for each in valid] == [True, *[False] * 5]


async def test_who_changed_a_secret_is_audited_without_it(store):
    old, new = a_secret(last_four="old4"), a_secret(last_four="new4")
    await store.webhook_secrets.create(old, actor="ann")
    await store.webhook_secrets.rotate(new, NOW + HOUR, actor="bob")
    rotated, created = (await store.audit.find(noun="webhooks", name="agent-1", limit=5)).rows
    assert (created.actor, created.action, created.before) == ("ann", "create", None)
    assert created.after == {"id": old.id, "last_four": "old4", "ends_at": None}
    assert (rotated.actor, rotated.action) == ("bob", "rotate")
    assert rotated.before is not None
    assert rotated.before["last_four"] == "old4"
    assert rotated.before["ends_at"]
    assert rotated.after == {"id": new.id, "last_four": "new4", "ends_at": None}


async def test_a_secret_is_sealed_anew_in_place(store):
    secret = a_secret()
    await store.webhook_secrets.create(secret, actor="ann")
    await store.webhook_secrets.reseal(secret.id, b"anew", "k2")
    (kept,) = await store.webhook_secrets.valid("agent-1", NOW)
    assert kept == replace(secret, secret=b"anew", key_id="k2")


# ---- subjects ----------------------------------------------------------------------------------------------------
async def test_a_caller_comes_back_with_its_subjects(store):
    caller = a_caller(id=new_id(), name="search", subjects=("results.>", "shared.*.done"))
    assert await store.keys.add_caller(caller) == caller
    assert await store.keys.set_subjects("search", ["b.>", "a.>"])
    assert (await store.keys.add_caller(caller)).subjects == ("a.>", "b.>")
    assert not await store.keys.set_subjects("nobody", [])
