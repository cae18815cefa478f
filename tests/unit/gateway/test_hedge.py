"""Asking a second model beside a slow one: the first usable answer wins, the others are cancelled and paid for."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from time import monotonic

import pytest

from gateway.attempt import Stream
from gateway.domain.errors import Cancelled, HedgeLost
from gateway.domain.health import Live, LiveFacts, ModelHealth, Window
from gateway.domain.inference import Choice, Failure, Mode, Outcome, Status, settle, telling
from gateway.domain.rules import Hedge
from gateway.drive import drive
from gateway.exchange import Exchange, Exchanges
from gateway.hedge import Hedges, Plan
from gateway.providers.ports import Reply
from gateway.recorder import Recorder
from gateway.storage.memory import MemoryStore
from tests.builders import QUICK, a_failed_attempt, a_request, an_attempt, raw
from tests.waits import until

SLOW, GOOD, DOWN = (Choice(name, "first choice") for name in ("slow", "good", "down"))
SOON = timedelta(milliseconds=30)


@pytest.fixture
def hedged(attempts):
    """Make a request whose caller waits here, with models to be asked beside the first."""

    def hedged(*models, after=SOON, **changes):
        request = a_request(**changes)
        plan = Plan(after, models)
        return Exchange(
            request, raw(request.body), attempts, plan=lambda number, *_: plan if number == 1 else None
        )

    return hedged


def told(attempts):
    return [(a.number, a.model, a.outcome.value, a.failure and a.failure.code) for a in attempts]


# ---- who wins ----------------------------------------------------------------------------------------------------
async def test_a_model_that_answers_in_time_is_the_only_one_that_is_asked(hedged, provider):
    waiting = hedged("slow", after=timedelta(seconds=5))
    attempt = await waiting.attempt(1, GOOD)
    assert told([attempt]) == [(1, "good", "succeeded", None)]
    assert waiting.beside(1) == ()
    assert provider.upstream.numbered == 1


@pytest.mark.parametrize("mode", [Mode.SYNC, Mode.STREAM])
async def test_the_first_usable_answer_wins_and_the_loser_is_cancelled_and_paid_for(hedged, provider, mode):
    waiting = hedged("good", mode=mode)
    began = monotonic()
    task = waiting.begin(1, SLOW)
    opened = await waiting.opened
    assert monotonic() - began < 10
    if isinstance(opened, Stream):
        assert [event async for event in opened.events()]
    else:
        assert isinstance(opened, Reply)
    won = await task
    (lost,) = waiting.beside(1)
    assert told([lost, won]) == [(1, "slow", "cancelled", "hedge_lost"), (2, "good", "succeeded", None)]
    assert won.reason == "hedge: slow had not answered after 0.03 s"
    assert lost.reason == "first choice"
    assert lost.usage.estimated
    assert lost.cost_usd > 0
    assert provider.upstream.in_flight == 0, "its connection is closed"
    assert (waiting.models, waiting.provider) == (("slow", "good"), "scripted")


async def test_the_first_model_may_still_win(hedged, models, provider):
    models["good"] = replace(models["good"], upstream_model="scripted-ok?latency_ms=600")
    waiting = hedged("slow")
    won = await waiting.attempt(1, GOOD)
    assert told([won, *waiting.beside(1)]) == [
        (1, "good", "succeeded", None),
        (2, "slow", "cancelled", "hedge_lost"),
    ]
    assert waiting.models == ("slow", "good"), "the one that answered comes last"
    assert provider.upstream.in_flight == 0


async def test_what_both_cost_is_known_when_the_answer_is_handed_over(hedged):
    waiting = hedged("good")
    waiting.begin(1, SLOW)
    await waiting.opened
    assert [a.cost_usd is not None for a in waiting.finished] == [True, True]


async def test_several_are_asked_one_after_each_time(hedged, models, provider):
    models["slower"] = replace(models["slow"], name="slower")
    waiting = hedged("slower", "good")
    won = await waiting.attempt(1, SLOW)
    assert told([*waiting.beside(1), won]) == [
        (1, "slow", "cancelled", "hedge_lost"),
        (2, "slower", "cancelled", "hedge_lost"),
        (3, "good", "succeeded", None),
    ]
    assert won.reason == "hedge: slow had not answered after 0.06 s"


# ---- failures ----------------------------------------------------------------------------------------------------
async def test_a_model_that_fails_in_time_is_left_to_the_fallback(hedged, provider):
    waiting = hedged("good", after=timedelta(seconds=5))
    attempt = await waiting.attempt(1, DOWN)
    assert told([attempt]) == [(1, "down", "failed", "upstream_unavailable")]
    assert waiting.beside(1) == ()
    assert not waiting.opened.done()


async def test_one_that_fails_leaves_the_race_to_the_other(hedged, models):
    models["good"] = replace(models["good"], upstream_model="scripted-ok?latency_ms=150")
    waiting = hedged("down")
    won = await waiting.attempt(1, GOOD)
    assert told([won, *waiting.beside(1)]) == [
        (1, "good", "succeeded", None),
        (2, "down", "failed", "upstream_unavailable"),
    ]


async def test_where_all_fail_the_request_goes_on_after_all_their_numbers(hedged, models):
    models["late"] = replace(models["good"], name="late", upstream_model="scripted-503?latency_ms=100")
    waiting = hedged("down")
    last = await waiting.attempt(1, Choice("late", "first choice"))
    both = (*waiting.beside(1), last)
    assert told(sorted(both, key=lambda a: a.number)) == [
        (1, "late", "failed", "upstream_unavailable"),
        (2, "down", "failed", "upstream_unavailable"),
    ]
    assert not waiting.opened.done()
    assert (await waiting.attempt(3, GOOD)).outcome is Outcome.SUCCEEDED


async def test_a_stream_that_won_and_breaks_is_what_the_request_ends_by(hedged):
    waiting = hedged("breaks", mode=Mode.STREAM)
    task = waiting.begin(1, SLOW)
    await waiting.finish_unread()
    broken = await task
    settlement = settle(waiting.request, (*waiting.beside(1), broken), broken.started_at)
    assert told([broken]) == [(2, "breaks", "broken", "upstream_broken")]
    assert settlement.failure == broken.failure


# ---- leaving -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", [Mode.SYNC, Mode.STREAM])
async def test_leaving_cancels_all_that_were_asked(hedged, models, provider, mode):
    models["slower"] = replace(models["slow"], name="slower")
    waiting = hedged("slower", mode=mode)
    task = waiting.begin(1, SLOW)
    await until(lambda: provider.upstream.in_flight == 2)
    await waiting.leave()
    attempt = await task
    both = sorted((attempt, *waiting.beside(1)), key=lambda a: a.number)
    assert told(both) == [(1, "slow", "cancelled", "cancelled"), (2, "slower", "cancelled", "cancelled")]
    assert provider.upstream.in_flight == 0
    assert settle(waiting.request, tuple(both), both[0].started_at).status is Status.CANCELLED


async def test_leaving_a_stream_that_won_settles_it(hedged):
    waiting = hedged("dripping", mode=Mode.STREAM)
    task = waiting.begin(1, SLOW)
    await waiting.opened
    await waiting.leave()
    assert told([await task, *waiting.beside(1)]) == [
        (2, "dripping", "cancelled", "cancelled"),
        (1, "slow", "cancelled", "hedge_lost"),
    ]


# ---- the whole story ---------------------------------------------------------------------------------------------
async def test_all_attempts_stand_in_the_ledger_and_the_winner_served(hedged, provider, router):
    store, exchanges = MemoryStore(), Exchanges("here")
    recorder = Recorder(store.requests, store.claims, exchanges, log_content=True, content_limit=1000)
    waiting = hedged("good", candidates=("slow", "good"))
    exchanges.open(waiting)
    first, second = await asyncio.gather(drive(waiting, recorder, router), drive(waiting, recorder, router))
    assert first == second
    record = await store.requests.get(waiting.request.id, with_text=True)
    assert told(record.settlement.attempts) == [
        (1, "slow", "cancelled", "hedge_lost"),
        (2, "good", "succeeded", None),
    ]
    assert record.settlement.status is Status.COMPLETED
    assert record.settlement.served.model == "good"
    assert record.settlement.cost_usd == sum(a.cost_usd or 0 for a in record.settlement.attempts)
    assert "café" in record.answer
    assert provider.upstream.numbered == 2


async def test_after_a_race_that_all_lost_the_next_number_is_free(hedged, models, router):
    models["late"] = replace(models["good"], name="late", upstream_model="scripted-503?latency_ms=100")
    store, exchanges = MemoryStore(), Exchanges("here")
    recorder = Recorder(store.requests, store.claims, exchanges, log_content=True, content_limit=1000)
    waiting = hedged("down", candidates=("late", "down", "good"))
    exchanges.open(waiting)
    settlement = await drive(waiting, recorder, router)
    assert [(a.number, a.model) for a in settlement.attempts] == [(1, "late"), (2, "down"), (3, "good")]
    assert settlement.status is Status.COMPLETED


def test_the_attempt_that_tells_is_the_one_after_which_nothing_is_tried_else_the_last():
    failed, answered = a_failed_attempt(2), an_attempt(1)
    lost = an_attempt(3, outcome=Outcome.CANCELLED, failure=Failure.of(HedgeLost()))
    left = an_attempt(1, outcome=Outcome.CANCELLED, failure=Failure.of(Cancelled()))
    assert telling(()) is None
    assert telling((answered, failed)) is answered
    assert telling((left, failed, lost)) is left
    assert telling((a_failed_attempt(1), failed)) is failed
    assert telling((failed, lost)) is failed


# ---- the plan ----------------------------------------------------------------------------------------------------
def live(**p95):
    window = Live(requests=100, p95_ms=p95.get("p95"), first_token_p95_ms=p95.get("first"))
    return LiveFacts(models={"slow": ModelHealth({Window.FIVE_MINUTES: window})})


def plan(hedge=None, facts=None, number=1, tried=(), **changes):
    request = a_request(**{"candidates": ("slow", "good", "dear"), **changes})
    hedges = Hedges(lambda: facts or LiveFacts())
    return hedges.plan(hedge or Hedge(timedelta(seconds=2)), request, number, "slow", tried)


def test_the_next_candidate_is_asked_after_the_time_that_was_set():
    assert plan() == Plan(timedelta(seconds=2), ("good",))


@pytest.mark.parametrize(
    ("mode", "after"), [(Mode.SYNC, timedelta(seconds=4)), (Mode.STREAM, timedelta(seconds=0.5))]
)
def test_without_a_time_it_is_the_models_own_of_the_last_five_minutes(mode, after):
    assert plan(Hedge(), live(p95=4000.0, first=500.0), mode=mode) == Plan(after, ("good",))


def test_a_model_whose_time_nobody_knows_is_left_alone():
    assert plan(Hedge()) is None
    assert plan(Hedge(), live(p95=None)) is None


def test_as_many_are_asked_as_were_set_and_the_attempts_allow():
    hedge = Hedge(timedelta(seconds=2), max_extra=2)
    assert plan(hedge).models == ("good", "dear")
    assert plan(hedge, limits=replace(QUICK, attempts=2)).models == ("good",)
    assert plan(hedge, limits=replace(QUICK, attempts=1)) is None
    assert plan(hedge, number=2, limits=replace(QUICK, attempts=3)).models == ("good",)


def test_what_was_tried_is_not_asked_again():
    assert plan(tried=("good",)).models == ("dear",)
    assert plan(tried=("good", "dear")) is None


def test_more_than_may_be_spent_beside_is_not_asked():
    hedge = Hedge(timedelta(seconds=2), max_extra=2, max_extra_cost_usd=Decimal("0.05"))
    costs = {"slow": Decimal(1), "good": Decimal("0.06"), "dear": Decimal("0.05")}
    assert plan(hedge, estimates=costs).models == ("dear",)
    assert plan(hedge, estimates={**costs, "good": Decimal("0.01")}).models == ("good",)
    assert plan(hedge) is None, "what it would cost is not known"


def test_the_cost_limit_of_the_request_holds_for_all_together():
    limits = replace(QUICK, cost_usd=Decimal("0.10"))
    costs = {"slow": Decimal("0.06"), "good": Decimal("0.05"), "dear": Decimal("0.04")}
    assert plan(limits=limits, estimates=costs).models == ("dear",)
