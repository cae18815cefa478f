"""Several replicas on one PostgreSQL know the same within two seconds, also after one was cut off or began anew."""

import asyncio
import random
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from gateway.domain import errors
from gateway.domain.breaker import BreakerPolicy
from gateway.domain.health import Breaker, ModelHealth, Window
from gateway.domain.identity import Budget, Period
from gateway.domain.inference import Failure, settle
from gateway.domain.secret import Secret
from gateway.live.beat import Beat
from gateway.live.budgets import Budgets
from gateway.live.clock import SharedClock
from gateway.live.counts import CallerCounts, ModelCounts
from gateway.live.delta import Delta, encode
from gateway.live.vitals import Vitals
from gateway.settings import Postgres
from gateway.storage.ports import Entry, Told
from gateway.storage.postgres.store import open_store
from tests.builders import a_caller, a_failed_attempt, a_request, an_attempt
from tests.waits import until

pytestmark = pytest.mark.slow

POLICY = BreakerPolicy(failures=3, cool_down=timedelta(seconds=3))


class Replica:
    """A process that counts, as far as live facts go."""

    def __init__(self, name, store):
        self.store = store
        clock = SharedClock()
        self.budgets = Budgets(store.requests, clock)
        self.vitals = Vitals(name, POLICY, clock=clock, budgets=self.budgets)
        self.beat = Beat(self.vitals, store.live, self.budgets)

    def happened(self, *attempts, caller="agent-1"):
        for attempt in attempts:
            self.vitals.settle(attempt, a_request(caller=caller), probe=self.vitals.begin(attempt.model))

    @property
    def facts(self):
        return self.vitals.facts()

    def requests(self, window=Window.HOUR, model="good"):
        windows = self.facts.models.get(model, ModelHealth()).windows
        return windows[window].requests if window in windows else 0

    def breaker(self, model="good"):
        return self.facts.models.get(model, ModelHealth()).breaker


@pytest.fixture
async def opened():
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def replica(opened, database_url):
    async def replica(name, url=database_url):
        return await opened.enter_async_context(one(name, url))

    return replica


@asynccontextmanager
async def one(name, url):
    settings = Postgres(
        url=Secret(url), connect_timeout=timedelta(seconds=2), statement_timeout=timedelta(seconds=2)
    )
    store = await open_store(settings)
    replica = Replica(name, store)
    replica.beat.start()
    try:
        yield replica
    finally:
        await replica.beat.close()
        await store.close()


async def test_three_replicas_soon_know_the_same(replica):
    replicas = []
    for name in "abc":
        replicas.append(await replica(name))
        await asyncio.sleep(0.27)  # each at its own moment
    total = 0
    for _ in range(4):
        for each in replicas:
            count = random.randrange(1, 5)  # noqa: S311
            each.happened(*[an_attempt()] * count)
            total += count
        await until(lambda total=total: all(each.requests() == total for each in replicas))
        await asyncio.sleep(random.random() / 2)  # noqa: S311
    seen = [
        (each.facts.models["good"].windows[Window.HOUR], each.facts.callers, each.facts.replicas)
        for each in replicas
    ]
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][2] == ("a", "b", "c")
    for each in replicas:
        await until(lambda each=each: each.facts.age(datetime.now(UTC)) < timedelta(seconds=2))


async def test_what_one_is_at_the_others_know_until_it_is_gone(replica, database_url):
    first = await replica("a")
    async with one("b", database_url) as second:
        second.vitals.begin("good")
        await until(lambda: first.facts.models.get("good", ModelHealth()).in_flight == 1)
        assert first.facts.replicas == ("a", "b")
    await until(lambda: first.facts.replicas == ("a",))
    assert first.facts.models.get("good", ModelHealth()).in_flight == 0


async def test_a_breaker_that_opens_on_one_is_open_on_all_and_closes_on_all(replica):
    first, second = await replica("a"), await replica("b")
    await until(lambda: first.facts.replicas == second.facts.replicas == ("a", "b"))
    failing = a_failed_attempt(failure=Failure.of(errors.UpstreamUnavailable()))
    first.happened(failing, failing, failing)
    assert first.breaker() is Breaker.OPEN
    await until(lambda: second.breaker() is Breaker.OPEN)
    await until(lambda: second.breaker() is Breaker.HALF_OPEN)
    second.happened(an_attempt())
    assert second.breaker() is Breaker.CLOSED
    await until(lambda: first.breaker() is Breaker.CLOSED)


async def test_a_process_that_ends_in_order_loses_nothing_and_a_fresh_one_has_the_hour(replica, database_url):
    async with one("b", database_url) as before:
        before.happened(*[an_attempt()] * 7)
    fresh = await replica("c")
    await until(lambda: fresh.requests() == 7)
    assert fresh.facts.callers["agent-1"][Window.HOUR].requests == 7


async def test_a_process_that_is_killed_loses_at_most_its_last_second(replica, database_url):
    store = await open_store(Postgres(url=Secret(database_url)))
    killed = Replica("killed", store)
    for _ in range(5):
        killed.happened(an_attempt())
        await killed.beat.beat()
    killed.happened(an_attempt())  # after the last beat
    await store.close()
    fresh = await replica("fresh")
    await until(lambda: fresh.requests() == 5)


async def test_a_fresh_process_has_a_busy_hour(replica, database_url):
    """Three replicas that served 10 models and 300 callers a minute, by the minute and by the second."""
    store = await open_store(Postgres(url=Secret(database_url)))
    now = datetime.now(UTC)
    for name in "abc":
        minutes = [
            Told(n * 75 + 1, n * 75 + 75, now - timedelta(minutes=60 - n, seconds=1), encode(busy(60)))
            for n in range(53)
        ]
        seconds = [
            Told(n, n, now - timedelta(seconds=400 - 0.8 * (n - 4000)), encode(busy(1)))
            for n in range(4000, 4500)
        ]
        await store.live.exchange(name, seconds, minutes, heard={}, since=None)
    await store.close()
    fresh = await replica("fresh")
    await until(lambda: fresh.requests(model="m7") > 0)
    assert fresh.requests(Window.TEN_SECONDS, "m7") > 0
    assert len(fresh.facts.callers) == 300


def busy(seconds):
    sketch = dict(zip(range(100, 130), [seconds] * 30, strict=True))
    models = {f"m{n}": ModelCounts(30 * seconds, {}, sketch, sketch, sketch, 1000) for n in range(10)}
    callers = {f"caller-{n}": CallerCounts(1, 100) for n in range(min(300, 5 * seconds))}
    return Delta(models, callers, {}, {})


async def test_one_that_is_cut_off_goes_on_with_its_last_facts_says_their_age_and_catches_up(
    replica, wire, through
):
    home, away = await replica("home"), await replica("away", through)
    home.happened(an_attempt())
    await until(lambda: away.requests() == 1)
    await wire.cut()
    cut_at = datetime.now(UTC)
    for _ in range(4):
        home.happened(an_attempt())
        away.happened(an_attempt(), caller="agent-2")
        await asyncio.sleep(0.6)
    await until(lambda: away.requests() == 5)  # what it had heard, and its own
    age = away.facts.age(datetime.now(UTC))
    assert timedelta(seconds=2) < age < datetime.now(UTC) - cut_at + timedelta(seconds=10)
    assert away.beat.age > timedelta(seconds=2)
    assert home.requests() == 5
    await wire.mend()
    await until(lambda: home.requests() == away.requests() == 9)
    assert home.facts.callers == away.facts.callers
    await until(lambda: away.facts.age(datetime.now(UTC)) < timedelta(seconds=2))


async def test_one_whose_database_falls_silent_beats_on(replica, wire, through):
    away = await replica("away", through)
    await until(lambda: away.facts.as_of is not None)
    wire.silence()
    for total in range(1, 4):
        away.happened(an_attempt())
        await until(lambda total=total: away.requests() == total)
    await wire.cut()
    await wire.mend()
    await until(lambda: away.facts.age(datetime.now(UTC)) < timedelta(seconds=1))
    assert away.requests() == 3


async def test_one_that_was_cut_off_for_long_reads_the_hour_anew_and_counts_nothing_twice(
    replica, wire, through
):
    home, away = await replica("home"), await replica("away", through)
    home.happened(an_attempt())
    away.happened(an_attempt())
    await until(lambda: home.requests() == away.requests() == 2)
    await wire.cut()
    home.happened(an_attempt())
    away.happened(an_attempt())
    await asyncio.sleep(1)
    away.beat._heard_at -= 1000  # as if it had been a quarter of an hour
    away.happened(an_attempt())
    await wire.mend()
    await until(lambda: home.requests() == away.requests() == 5)
    await asyncio.sleep(1)
    assert home.requests() == away.requests() == 5


async def test_what_a_caller_has_used_of_its_budget_is_known_on_all_also_where_it_never_was(replica):
    home, worker = await replica("home"), await replica("worker")
    caller = a_caller(budget=Budget(Decimal(10), Period.MONTH))
    request = a_request(caller=caller.id)
    spent = an_attempt(cost_usd=Decimal("2.5"))
    await home.store.requests.settle(Entry(request, settle(request, (spent,), datetime.now(UTC))))
    await home.budgets.know(caller)
    assert home.facts.budget_used == {"agent-1": 0.25}
    await until(lambda: worker.facts.budget_used == {"agent-1": 0.25})
    worker.happened(an_attempt(cost_usd=Decimal("1.5")))
    await until(lambda: home.facts.budget_used == worker.facts.budget_used == {"agent-1": 0.4})
    fresh = await replica("fresh")
    await until(lambda: fresh.facts.budget_used == {"agent-1": 0.4})


async def test_a_machine_whose_clock_is_wrong_counts_in_the_same_seconds_as_the_others(replica, opened):
    right = await replica("right")
    wrong = await replica("wrong")
    wrong.vitals.clock._ahead += 600.0  # until it next hears the database
    wrong.happened(an_attempt())
    right.happened(an_attempt())
    await until(
        lambda: wrong.requests(Window.TEN_SECONDS) == 2 and right.requests(Window.TEN_SECONDS) == 2, 4.0
    )
