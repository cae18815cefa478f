"""Idempotency-Keys in every store: one run at a time, and the answer of the one that came to something."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.ids import new_id
from gateway.storage.ports import KeyClaim, KeyState

LONG, SHORT = timedelta(minutes=1), timedelta(milliseconds=40)


@pytest.fixture
def keys(store):
    return store.idempotency


def a_claim(**changes):
    return replace(KeyClaim(new_id(), "agent-1", "what is asked", LONG, LONG), **changes)


async def test_the_first_runs_and_the_others_see_it_run(keys):
    wanted = a_claim()
    first, second = await keys.claim(wanted), await keys.claim(wanted)
    assert (first.mine, first.run, first.state) == (True, 1, KeyState.RUNNING)
    assert (second.mine, second.run, second.token) == (False, 1, first.token)


async def test_of_many_at_once_one_runs(keys):
    wanted = a_claim()
    held = await asyncio.gather(*(keys.claim(wanted) for _ in range(20)))
    assert [each.mine for each in held].count(True) == 1
    assert len({each.token for each in held}) == 1


async def test_an_answer_is_found_by_whoever_asks_again(keys):
    wanted = a_claim()
    held = await keys.claim(wanted)
    assert await keys.keep(wanted.id, held.token, b"\x00\xffbytes", LONG)
    assert await keys.keep(wanted.id, held.token, b"\x00\xffbytes", LONG) in (True, False)
    found = await keys.claim(wanted)
    assert (found.mine, found.state, found.answer) == (False, KeyState.ANSWERED, b"\x00\xffbytes")


async def test_an_answer_that_is_too_large_leaves_the_key_used(keys):
    wanted = a_claim()
    held = await keys.claim(wanted)
    assert await keys.keep(wanted.id, held.token, None, LONG)
    found = await keys.claim(wanted)
    assert (found.mine, found.state, found.answer) == (False, KeyState.UNKEPT, None)


async def test_a_freed_key_is_run_anew_by_the_same_request_alone(keys):
    wanted = a_claim()
    held = await keys.claim(wanted)
    await keys.free(wanted.id, held.token)
    other = await keys.claim(replace(wanted, fingerprint="something else"))
    assert (other.mine, other.fingerprint) == (False, "what is asked")
    again = await keys.claim(wanted)
    assert (again.mine, again.run) == (True, 2)
    assert again.token != held.token
    await keys.free(wanted.id, held.token)  # by the one before, too late
    assert not (await keys.claim(wanted)).mine


async def test_whoever_gives_no_sign_of_life_loses_its_key_and_can_keep_nothing(keys):
    wanted = a_claim(lease=SHORT)
    held = await keys.claim(wanted)
    await asyncio.sleep(0.06)
    taken = await keys.claim(replace(wanted, lease=LONG))
    assert (taken.mine, taken.run) == (True, 2)
    assert not await keys.renew(wanted.id, held.token, LONG)
    assert not await keys.keep(wanted.id, held.token, b"late", LONG)
    assert (await keys.claim(wanted)).state is KeyState.RUNNING


async def test_a_sign_of_life_keeps_the_key(keys):
    wanted = a_claim(lease=timedelta(seconds=1))
    held = await keys.claim(wanted)
    assert await keys.renew(wanted.id, held.token, LONG)
    await asyncio.sleep(1.05)
    assert not (await keys.claim(wanted)).mine


async def test_past_its_retention_a_key_is_new_for_anybody(keys):
    wanted = a_claim()
    held = await keys.claim(wanted)
    await keys.keep(wanted.id, held.token, b"answer", SHORT)
    await asyncio.sleep(0.06)
    other = await keys.claim(replace(wanted, fingerprint="something else"))
    assert (other.mine, other.run, other.answer) == (True, 2, None)


async def test_a_running_key_is_not_new_however_short_its_retention(keys):
    wanted = a_claim(retention=SHORT)
    await keys.claim(wanted)
    await asyncio.sleep(0.06)
    assert not (await keys.claim(wanted)).mine


async def test_a_key_of_a_job_stays_a_jobs(keys):
    wanted = a_claim(state=KeyState.JOB)
    assert (await keys.claim(wanted)).mine
    again = await keys.claim(wanted)
    assert (again.mine, again.state) == (False, KeyState.JOB)


async def test_what_is_past_its_retention_is_swept_and_what_runs_is_not(store, keys):
    old, running, kept = a_claim(), a_claim(retention=SHORT), a_claim()
    held = await keys.claim(old)
    await keys.keep(old.id, held.token, b"answer", SHORT)
    first = await keys.claim(running)
    held = await keys.claim(kept)
    await keys.keep(kept.id, held.token, b"answer", LONG)
    await asyncio.sleep(0.06)
    assert await store.expire(datetime.now(UTC) - timedelta(days=7)) == 1
    assert (await keys.claim(old)).run == 1
    assert (await keys.claim(running)).token == first.token
    assert (await keys.claim(kept)).answer == b"answer"
