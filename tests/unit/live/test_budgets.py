"""How much of its budget a caller has used: read once, kept up by what is counted, and the same on all replicas."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from gateway.domain.errors import StorageUnavailable
from gateway.domain.identity import Budget, Period
from gateway.live.budgets import Budgets
from gateway.live.clock import SharedClock
from gateway.live.delta import Report
from gateway.live.vitals import Vitals
from tests.builders import a_caller, a_request, an_attempt

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = Budget(Decimal(10), Period.DAY)
MONTH = Budget(Decimal(100), Period.MONTH)


class Clock:
    def __init__(self):
        self.now = NOON.timestamp()

    def __call__(self):
        return self.now


class Ledger:
    """Says what was spent, by the day on which each span begins, and remembers what it was asked."""

    def __init__(self, **spent):
        self.spent_by = {name: Decimal(usd) for name, usd in spent.items()}
        self.asked = []
        self.down = False

    async def spent(self, spans):
        self.asked += spans
        if self.down:
            raise StorageUnavailable
        return [self.spent_by.get(f"d{span.since.day}", Decimal(0)) for span in spans]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ledger():
    return Ledger(d1="30", d22="2", d23="4")


@pytest.fixture
def make(clock, ledger):
    def make():
        return Budgets(ledger, SharedClock(clock))

    return make


@pytest.fixture
def budgets(make):
    return make()


def shares(budgets):
    return budgets.take_shares()


def agent(budget: Budget | None = DAY, **changes):
    return a_caller(budget=budget, **changes)


async def test_a_caller_without_a_budget_is_not_followed(budgets, ledger):
    await budgets.know(a_caller())
    budgets.add("agent-1", Decimal(1), NOON.timestamp())
    assert (shares(budgets), ledger.asked) == (None, [])


async def test_what_was_spent_today_is_read_once_and_kept_up_by_what_is_counted(budgets, ledger, clock):
    await budgets.know(agent())
    assert shares(budgets) == {"agent-1": 0.4}
    assert [span.since for span in ledger.asked] == [NOON.replace(hour=0)]
    clock.now += 10
    budgets.add("agent-1", Decimal("0.5"), clock.now)
    await budgets.know(agent())
    assert shares(budgets) == {"agent-1": 0.45}
    assert shares(budgets) is None
    assert len(ledger.asked) == 1


async def test_of_a_month_what_is_settled_for_good_is_read_once(budgets, ledger, clock):
    await budgets.know(agent(MONTH))
    assert shares(budgets) == {"agent-1": 0.32}
    assert [(span.since.day, span.until.day) for span in ledger.asked] == [(1, 22), (22, 24)]
    clock.now += 100
    budgets.add("agent-1", Decimal(1), clock.now)
    await budgets._read(budgets._due())
    assert [(span.since.day, span.until.day) for span in ledger.asked[2:]] == [(22, 24)]


async def test_after_some_hours_all_of_the_month_is_read_again_since_it_may_have_been_priced_anew(
    budgets, ledger, clock
):
    await budgets.know(agent(MONTH))
    ledger.spent_by["d1"] = Decimal(60)
    clock.now += 6 * 3600 + 1
    await budgets._read(["agent-1"])
    assert shares(budgets) == {"agent-1": 0.62}


async def test_only_callers_that_spend_are_read_again_and_no_more_than_once_a_minute(budgets, ledger, clock):
    await budgets.know(agent())
    await budgets.know(agent(id="quiet"))
    clock.now += 30
    budgets.add("agent-1", Decimal(1), clock.now)
    assert budgets._due() == []
    clock.now += 50
    assert budgets._due() == ["agent-1"]


async def test_what_the_ledger_may_not_have_yet_is_counted_on_top(budgets, clock):
    await budgets.know(agent())
    clock.now += 100
    budgets.add("agent-1", Decimal(1), clock.now - 10)
    budgets.add("agent-1", Decimal(2), clock.now - 1)
    assert shares(budgets) == {"agent-1": 0.7}
    await budgets._read(["agent-1"])
    assert shares(budgets) == {"agent-1": 0.6}, "the ledger has the first, and maybe not the second"


async def test_while_the_ledger_is_away_nothing_is_known_of_a_new_caller_and_all_of_others(
    budgets, ledger, clock
):
    await budgets.know(agent())
    ledger.down = True
    await budgets.know(agent(id="new"))
    clock.now += 100
    budgets.add("agent-1", Decimal(1), clock.now)
    budgets.add("new", Decimal(1), clock.now)
    await budgets._read(budgets._due())
    assert shares(budgets) == {"agent-1": 0.5}
    ledger.down = False
    await budgets._read(budgets._due())
    assert shares(budgets) == {"agent-1": 0.5, "new": 0.5}


async def test_with_the_day_a_new_period_begins(budgets, ledger, clock):
    await budgets.know(agent())
    await budgets.know(agent(MONTH, id="monthly"))
    clock.now += 12 * 3600
    budgets.add("agent-1", Decimal(3), clock.now - 5)
    budgets.roll_over()
    assert shares(budgets) == {"agent-1": 0.0, "monthly": 0.32}
    budgets.add("agent-1", Decimal(1), clock.now + 1)
    budgets.add("agent-1", Decimal(5), clock.now - 1)  # told late, of yesterday
    assert shares(budgets)["agent-1"] == 0.1


async def test_a_budget_that_is_changed_or_taken_away_holds_at_once(budgets, ledger):
    await budgets.know(agent())
    await budgets.know(agent(Budget(Decimal(4), Period.DAY)))
    assert shares(budgets) == {"agent-1": 1.0}
    await budgets.know(agent(MONTH))
    assert shares(budgets) == {"agent-1": 0.32}
    await budgets.know(agent(None))
    assert shares(budgets) == {}


async def test_a_budget_of_nothing_is_used_up(budgets):
    await budgets.know(agent(Budget(Decimal(0), Period.DAY)))
    assert shares(budgets) == {"agent-1": 1.0}


async def test_callers_that_are_silent_for_an_hour_are_let_go_and_their_number_is_bounded(
    ledger, clock, budgets
):
    await budgets.know(agent())
    clock.now += 3700
    budgets._forget()
    assert shares(budgets) == {}
    few = Budgets(ledger, SharedClock(clock), most=3)
    for number in range(10):
        await few.know(agent(id=f"agent-{number}"))
    assert set(shares(few) or ()) == {"agent-7", "agent-8", "agent-9"}


async def test_many_counts_between_two_readings_take_little_room(budgets, clock):
    await budgets.know(agent())
    for _ in range(5000):
        clock.now += 1
        budgets.add("agent-1", Decimal("0.001"), clock.now)
    assert len(budgets._accounts["agent-1"].later) <= 300
    assert shares(budgets) == {"agent-1": pytest.approx(0.9)}


# ---- replicas ----------------------------------------------------------------------------------------------------
async def test_one_replica_reads_for_all(make, ledger, clock):
    one, other = make(), make()
    await one.know(agent())
    asked = len(ledger.asked)
    for caller, told in one.take_untold().items():
        other.hear(caller, told)
    assert shares(other) == shares(one) == {"agent-1": 0.4}
    await other.know(agent())
    assert len(ledger.asked) == asked
    clock.now += 10
    other.add("agent-1", Decimal(1), clock.now)
    assert shares(other) == {"agent-1": 0.5}


async def test_what_was_read_earlier_or_in_another_period_does_not_replace_what_is_known(make, ledger, clock):
    one, other = make(), make()
    await one.know(agent())
    old = one.take_untold()["agent-1"]
    clock.now += 12 * 3600 + 60
    await other.know(agent())
    ours = shares(other)
    other.hear("agent-1", old)
    assert shares(other) in (None, ours)


async def test_a_budget_that_was_taken_away_is_gone_on_all(make):
    one, other = make(), make()
    await one.know(agent())
    other.hear("agent-1", one.take_untold()["agent-1"])
    await one.know(agent(None))
    other.hear("agent-1", one.take_untold()["agent-1"])
    assert shares(other) == {}


async def test_what_attempts_cost_is_in_the_facts(make, clock):
    def vitals(name, budgets):
        return Vitals(name, clock=SharedClock(clock), budgets=budgets)

    one, other = make(), make()
    here, there = vitals("a", one), vitals("b", other)
    await one.know(agent())
    assert here.facts().budget_used == {"agent-1": 0.4}, "at once"
    clock.now += 5
    here.settle(an_attempt(cost_usd=Decimal(1)), a_request(), probe=here.begin("good"))
    told = here.tick()
    assert here.facts().budget_used == {"agent-1": 0.5}
    for _ in there.hear([Report("a", clock.now, told)]):
        pass
    assert there.facts().budget_used == {"agent-1": 0.5}
    there.begin_anew()
    for _ in there.hear([Report("a", clock.now, told)]):
        pass
    assert there.facts().budget_used == {"agent-1": 0.5}, "told again, it is not counted twice"


@pytest.mark.parametrize(
    ("period", "moment", "start"),
    [
        (Period.DAY, datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
        (Period.MONTH, datetime(2026, 12, 31, 0, 0, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
def test_periods_are_days_and_months_of_utc(period, moment, start):
    assert period.start(moment) == start
    assert period.start(start) == start
    assert period.start(start - timedelta(microseconds=1)) < start
