"""Replicas that share one store in memory."""

from datetime import timedelta

import pytest

from gateway.domain.limits import Throttle
from gateway.limiter import Concurrency, Limiter
from gateway.settings import LimitSettings
from gateway.storage.memory import MemoryStore
from tests.unit.limiter.stores import Counting

SETTINGS = LimitSettings(lease_expiry=timedelta(seconds=1), slot_expiry=timedelta(seconds=1))


@pytest.fixture
def store():
    return Counting(MemoryStore())


@pytest.fixture
async def replica(store):
    """Make a limiter of one more replica; all are closed in the end."""
    made = []

    def replica(replicas=1, settings=SETTINGS, **changes):
        limiter = Limiter(store, settings.model_copy(update=changes), lambda: replicas)
        limiter.start()
        made.append(limiter)
        return limiter

    yield replica
    for limiter in made:
        await limiter.close()


@pytest.fixture
async def calls(store):
    """Make the concurrency of one more replica; all are closed in the end."""
    made = []

    def calls(name, settings=SETTINGS, **changes):
        one = Concurrency(store, name, settings.model_copy(update=changes))
        one.start()
        made.append(one)
        return one

    yield calls
    for one in made:
        await one.close()


@pytest.fixture
def throttle():
    """Make a throttle that hardly fills while the test runs."""

    def throttle(key="caller-1", rate=0.001, burst=10.0, **changes):
        return Throttle(key, rate, burst, **changes)

    return throttle
