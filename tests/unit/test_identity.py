"""Who a token stands for, what is remembered of it, and what happens while the store is away."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.errors import StorageUnavailable, Unauthenticated
from gateway.identity import KeyIdentity, digest_of, new_key
from gateway.storage.memory import MemoryKeys
from tests.builders import a_caller

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CACHE = timedelta(seconds=2)
STALE = timedelta(minutes=5)


class CountedKeys(MemoryKeys):
    """Keys that count questions, and may be away or slow."""

    def __init__(self):
        super().__init__()
        self.questions = 0
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def caller(self, digest, now):
        self.questions += 1
        await self.gate.wait()
        if self.away:
            raise StorageUnavailable(retry_after=timedelta(seconds=2))
        return await super().caller(digest, now)


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now

    def forward(self, by):
        self.now += by


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keys():
    return CountedKeys()


@pytest.fixture
def identity(keys, clock):
    return KeyIdentity(keys, CACHE, STALE, clock)


@pytest.fixture
async def token(keys):
    await keys.add_caller(a_caller())
    secret, key = new_key(a_caller().id, NOW)
    await keys.add_key(key)
    return secret.reveal()


def test_a_key_is_256_bits_of_which_only_the_digest_is_kept():
    secret, key = new_key("agent-1", NOW, note="why")
    assert re.fullmatch(r"gw_[A-Za-z0-9_-]{43}", secret.reveal())
    assert key.digest == digest_of(secret.reveal())
    assert secret.reveal().endswith(key.last_four)
    assert secret.reveal() not in f"{key!r} {secret!r}"
    assert new_key("agent-1", NOW)[0] != secret


async def test_a_known_token_is_its_caller_by_its_key(identity, token):
    caller = await identity.identify(token)
    assert (caller.name, bool(caller.key_id)) == ("agent-1", True)


@pytest.mark.parametrize(
    "token",
    ["", "gw_", "sk-123", "gw_" + "a" * 42, "gw_" + "a" * 44, "gw_" + "é" * 43, "gw_" + "a" * 42 + "\n"],
)
async def test_what_cannot_be_a_key_is_refused_without_asking(identity, keys, token):
    with pytest.raises(Unauthenticated):
        await identity.identify(token)
    assert keys.questions == 0


async def test_the_store_is_asked_once_in_a_while(identity, keys, clock, token):
    for _ in range(5):
        await identity.identify(token)
    assert keys.questions == 1
    clock.forward(CACHE)
    await identity.identify(token)
    assert keys.questions == 2


async def test_a_revoked_key_ends_within_the_caches_time(identity, keys, clock, token):
    caller = await identity.identify(token)
    await keys.revoke_key(caller.key_id, clock())
    clock.forward(CACHE)
    with pytest.raises(Unauthenticated):
        await identity.identify(token)


async def test_a_stranger_is_remembered_as_one_for_a_while(identity, keys, clock, token):
    secret, key = new_key(a_caller().id, NOW)
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await identity.identify(secret.reveal())
    assert keys.questions == 1
    await keys.add_key(key)
    clock.forward(CACHE)
    assert (await identity.identify(secret.reveal())).key_id == key.id


async def test_many_who_come_at_once_ask_once(identity, keys, token):
    keys.gate.clear()
    waiting = [asyncio.create_task(identity.identify(token)) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    keys.gate.set()
    told = await asyncio.gather(*waiting[1:])
    assert waiting[0].cancelled()
    assert {caller.name for caller in told} == {"agent-1"}
    assert keys.questions == 1


async def test_while_the_store_is_away_a_known_caller_stays_known_for_so_long(identity, keys, clock, token):
    await identity.identify(token)
    keys.away = True
    clock.forward(STALE)
    assert (await identity.identify(token)).name == "agent-1"
    clock.forward(timedelta(microseconds=1))
    with pytest.raises(StorageUnavailable):
        await identity.identify(token)
    keys.away = False
    assert (await identity.identify(token)).name == "agent-1"


async def test_a_store_that_is_away_is_not_asked_at_every_request(identity, keys, clock, token):
    await identity.identify(token)
    keys.away = True
    clock.forward(CACHE)
    for _ in range(5):
        await identity.identify(token)
    assert keys.questions == 2


async def test_nobody_is_called_a_stranger_because_the_store_is_away(identity, keys, clock, token):
    keys.away = True
    stranger = new_key("x", NOW)[0].reveal()
    for each in (token, stranger):
        with pytest.raises(StorageUnavailable) as raised:
            await identity.identify(each)
        assert raised.value.retry_after == timedelta(seconds=2)
    keys.away = False
    with pytest.raises(Unauthenticated):
        await identity.identify(stranger)
    keys.away = True
    clock.forward(CACHE)
    with pytest.raises(StorageUnavailable):
        await identity.identify(stranger)


async def test_what_is_remembered_is_bounded_and_strangers_push_nobody_out(keys, clock, token):
    identity = KeyIdentity(keys, CACHE, STALE, clock, most=3)
    await identity.identify(token)
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            await identity.identify(new_key("x", NOW)[0].reveal())
    asked = keys.questions
    await identity.identify(token)
    assert keys.questions == asked
    assert len(identity._strangers) == 3


async def test_the_token_is_kept_nowhere(identity, token):
    await identity.identify(token)
    assert token not in repr(vars(identity))
    with pytest.raises(Unauthenticated) as raised:
        await identity.identify(token[:-1] + ("a" if token[-1] != "a" else "b"))
    assert token[:-1] not in f"{raised.value!r} {raised.value.detail}"


# ---- who else is told --------------------------------------------------------------------------------------------
async def test_who_a_caller_is_is_told_each_time_that_the_store_said_so_and_not_of_strangers(keys, clock):
    told = []

    async def known(caller):
        told.append(caller.id)

    identity = KeyIdentity(keys, CACHE, STALE, clock, known=known)
    await keys.add_caller(a_caller())
    secret, key = new_key("agent-1", NOW)
    await keys.add_key(key)
    for _ in range(3):
        await identity.identify(secret.reveal())
    assert told == ["agent-1"]
    clock.forward(CACHE)
    await identity.identify(secret.reveal())
    assert told == ["agent-1", "agent-1"]
    with pytest.raises(Unauthenticated):
        await identity.identify(new_key("agent-1", NOW)[0].reveal())
    assert told == ["agent-1", "agent-1"]
