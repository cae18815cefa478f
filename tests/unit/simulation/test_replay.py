"""What a draft would have made of requests that were logged."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from gateway.domain.breaker import BreakerPolicy
from gateway.domain.inference import Attempt, Mode, Traits, Usage
from gateway.domain.prices import Price, PriceBook
from gateway.domain.registry import ModelState, Registry
from gateway.domain.rules import parse
from gateway.domain.simulation import Example, Logged, Move, Report
from gateway.rules.cel import compile_cel
from gateway.simulation.replay import Replay, setting_of
from gateway.simulation.simulator import SimulationBroken, simulate
from gateway.simulation.tally import EXAMPLES, MOVES, Tally
from tests.builders import a_failed_attempt, a_model, a_registry, a_request, an_attempt

D = Decimal
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
CLOSED = BreakerPolicy(enabled=False)


def models(**changes: Any) -> Registry:
    """Two models that share a name; `dear` costs ten times as much, and of `mystery` nobody knows the price."""
    return replace(
        a_registry(
            a_model("dear", price=Price(D(10), D(20)), tags={"location": "cloud"}),
            a_model("cheap", price=Price(D(1), D(2)), tags={"location": "on-prem"}),
            a_model("mystery", price=None),
            a_model("ours", price=Price(gpu_second_usd=D("0.001"))),
            assistant=("dear", "cheap", "mystery", "ours"),
        ),
        **changes,
    )


def logged(
    second: float, *attempts: Attempt, model: str = "assistant", number: int = 0, **changes: Any
) -> Logged:
    """A request so many seconds after noon; its attempts begin as it is accepted."""
    at = NOON + timedelta(seconds=second)
    traits = changes.pop("traits", Traits(input_tokens=10, roll=0.5))
    request = a_request(
        id=str(UUID(int=number or int(second * 1000) + 1)),
        accepted_at=at,
        model=model,
        traits=traits,
        **changes,
    )
    return Logged(request, tuple(replace(each, started_at=at) for each in attempts))


def by(model: str, ms: float = 100.0, **changes: Any) -> Attempt:
    """An answer of a model: 1,000 tokens in, 100 out; it cost a cent."""
    usual = {"usage": Usage(1000, 100), "cost_usd": D("0.01"), "total_ms": ms}
    return an_attempt(1, model, **{**usual, **changes})


def tried(
    rules: Sequence[dict[str, Any]],
    *requests: Logged,
    registry: Registry | None = None,
    breaker: BreakerPolicy = CLOSED,
    before: Sequence[Logged] = (),
) -> Report:
    """What comes out when these rules are tried on these requests."""
    ruleset = parse({"rules": list(rules)}, compile_=compile_cel)
    replay = Replay(setting_of(ruleset, registry or models(), breaker=breaker))
    replay.take(before, decide=False)
    replay.take(requests, decide=True)
    return replay.tally.report()


PREFER_CHEAP = {"name": "cheap first", "prefer": {"name": "cheap"}}
REFUSE_BATCH = {
    "name": "no batch",
    "when": {"request": {"mode": "job"}},
    "refuse": {"message": "Not by day."},
}


# ---- what moves --------------------------------------------------------------------------------------------------
def test_a_draft_that_changes_nothing_says_what_happened():
    report = tried([], logged(1, by("dear", 100)), logged(2, by("dear", 300)), logged(3, by("dear", 200)))
    assert (report.requests, report.moved, report.refused, report.moves, report.examples) == (3, 0, 0, (), ())
    assert report.cost_usd == report.estimated_cost_usd == D("0.03")
    assert report.p50_ms == report.estimated_p50_ms == pytest.approx(200, rel=0.02)
    assert (report.cost_unknown, report.latency_unknown) == (0, 0)


def test_a_draft_that_moves_says_from_where_to_where_and_at_what_cost():
    report = tried([PREFER_CHEAP], logged(1, by("dear")), logged(2, by("cheap", 40)), logged(3, by("dear")))
    assert (report.requests, report.moved, report.refused) == (3, 2, 0)
    # 1,000 tokens at $1 and 100 at $2 a million, twice; the third stays where it was, and costs what it did.
    assert report.moves == (Move("dear", "cheap", 2, D("0.02"), D("0.0024"), 0),)
    assert (report.cost_usd, report.estimated_cost_usd) == (D("0.03"), D("0.0124"))
    assert report.p50_ms == pytest.approx(100, rel=0.02)
    assert report.estimated_p50_ms == pytest.approx(40, rel=0.02)
    first = report.examples[0]
    assert (first.source, first.target, first.rule) == ("dear", "cheap", "cheap first")
    assert first.request_id == str(UUID(int=1001))


def test_the_first_call_counts_and_not_what_answered_after_it():
    fell_back = logged(1, a_failed_attempt(1, "dear", total_ms=50.0), replace(by("cheap"), number=2))
    report = tried([PREFER_CHEAP], fell_back)
    assert [(move.source, move.target) for move in report.moves] == [("dear", "cheap")]
    assert tried([], fell_back).moved == 0


def test_a_draft_that_refuses_says_how_many_and_in_which_words():
    report = tried([REFUSE_BATCH], logged(1, by("dear"), mode=Mode.JOB), logged(2, by("dear")))
    assert (report.requests, report.moved, report.refused) == (2, 0, 1)
    assert report.moves == (Move("dear", "", 1, D("0.01"), D(0), 0),)
    assert (report.cost_usd, report.estimated_cost_usd, report.latency_unknown) == (D("0.02"), D("0.01"), 1)
    assert report.examples == (Example(str(UUID(int=1001)), "dear", "", "no batch", "Not by day."),)


def test_what_was_called_nowhere_before_comes_from_nowhere_and_its_cost_is_unknown():
    report = tried([PREFER_CHEAP], logged(1))
    assert (report.moved, report.refused) == (1, 0)
    assert report.moves == (Move("", "cheap", 1, D(0), D(0), 1),)
    assert (report.cost_unknown, report.latency_unknown) == (1, 1)
    assert report.examples[0].why == "no model was called"


def test_a_model_that_has_gone_since_is_no_candidate_any_more():
    gone = tried([], logged(1, by("gone")))
    assert gone.examples[0].why == "gone is no candidate any more"
    off = models(models={**models().models, "dear": a_model("dear", state=ModelState.DISABLED)})
    moved = tried([], logged(1, by("dear")), registry=off)
    assert [(move.source, move.target) for move in moved.moves] == [("dear", "cheap")]


def test_a_request_is_decided_as_of_its_own_moment_and_as_its_own_caller():
    by_day = {"schedule": {"from": "08:00", "to": "18:00", "zone": "UTC"}}
    ours = {
        "name": "ours",
        "when": {**by_day, "caller": {"tags": {"tier": "batch"}}},
        "keep": {"name": "cheap"},
    }
    batch = Traits(caller_tags={"tier": "batch"}, caller_name="night")
    report = tried(
        [ours],
        logged(1, by("dear"), traits=batch),
        logged(2, by("dear")),
        logged(8 * 3600, by("dear"), traits=batch),  # at eight in the evening
    )
    assert [example.request_id for example in report.examples] == [str(UUID(int=1001))]


def test_a_model_that_its_caller_may_not_use_is_not_chosen_for_it():
    one = Traits(caller_models=("dear",))
    assert tried([PREFER_CHEAP], logged(1, by("dear"), model="auto", traits=one)).moved == 0


# ---- what is not known -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("target", "attempt"),
    [
        ("mystery", by("dear")),
        ("cheap", by("dear", usage=None)),
        ("cheap", by("dear", cost_usd=None)),
        ("cheap", a_failed_attempt(1, "dear")),
        ("ours", by("dear")),  # charged by the second, and never seen at work
    ],
    ids=["no price", "no usage", "no cost before", "no answer", "no time"],
)
def test_an_unknown_cost_is_counted_and_never_nothing(target: str, attempt: Attempt):
    rule = {"name": "there", "prefer": {"name": target}}
    report = tried([rule], logged(1, attempt), logged(2, by(target, 5)) if target != "ours" else logged(2))
    move = next(move for move in report.moves if move.source == "dear")
    assert (move.cost_usd, move.estimated_cost_usd, move.cost_unknown) == (D(0), D(0), 1)
    assert report.cost_unknown >= 1


def test_a_model_charged_by_the_second_costs_what_it_usually_takes():
    ours = {"name": "ours", "prefer": {"name": "ours"}}
    report = tried([ours], logged(1, by("dear")), *(logged(n, by("ours", 2_000)) for n in range(2, 5)))
    (move,) = report.moves
    assert move.cost_unknown == 0
    assert move.estimated_cost_usd == pytest.approx(D("0.002"), rel=D("0.02"))


def test_the_price_is_the_one_of_the_moment_of_the_request():
    book = PriceBook({"cheap": (Price(D(1), D(1)), Price(D(100), D(100), since=NOON + timedelta(minutes=1)))})
    report = tried(
        [PREFER_CHEAP], logged(1, by("dear")), logged(90, by("dear")), registry=models(prices=book)
    )
    assert report.estimated_cost_usd == D("0.0011") + D("0.11")


def test_how_long_a_model_takes_that_never_served_is_unknown():
    report = tried([PREFER_CHEAP], logged(1, by("dear")))
    assert (report.p50_ms, report.estimated_p50_ms, report.latency_unknown) == (None, None, 1)


# ---- the live facts of then --------------------------------------------------------------------------------------
SICK_REST = {"name": "sick rest", "drop": {"error_rate": {"over": "50%", "window": "1m", "min_requests": 5}}}


def failing(seconds: range) -> list[Logged]:
    return [logged(n, a_failed_attempt(1, "dear", total_ms=20.0)) for n in seconds]


def test_a_model_that_fails_in_the_log_rests_as_long_as_the_window_holds_it():
    report = tried([SICK_REST], *failing(range(1, 9)), logged(9, by("dear")), logged(120, by("dear")))
    moved = {example.request_id for example in report.examples}
    assert str(UUID(int=9_001)) in moved
    assert str(UUID(int=120_001)) not in moved
    assert report.examples[0].rule == "sick rest"
    assert "dear fails 100" in report.examples[0].why


def test_what_happened_before_the_period_counts_as_well_and_is_not_decided():
    report = tried([SICK_REST], logged(9, by("dear")), before=failing(range(1, 9)))
    assert (report.requests, report.moved) == (1, 1)
    assert tried([SICK_REST], logged(9, by("dear"))).moved == 0


def test_facts_are_those_of_the_moment_and_know_nothing_of_what_came_later():
    slow = [logged(n, by("dear", 30_000)) for n in (1, 2)]  # they ended half a minute later
    rule = {"name": "slow rest", "drop": {"latency": {"p50_over": "10s", "window": "1m", "min_requests": 1}}}
    report = tried([rule], *slow, logged(20, by("dear")), logged(40, by("dear")))
    assert [example.request_id for example in report.examples] == [str(UUID(int=40_001))]


def test_a_model_that_is_at_its_limit_in_the_log_is_left_alone():
    busy = {"name": "busy rest", "drop": {"load": {"in_flight_over": 1}}}
    report = tried(
        [busy], logged(1, by("dear", 10_000)), logged(2, by("dear", 10_000)), logged(3, by("dear"))
    )
    assert [example.request_id for example in report.examples] == [str(UUID(int=3_001))]


def test_breakers_open_as_they_did():
    policy = BreakerPolicy(failures=3, cool_down=timedelta(seconds=30))
    report = tried([], *failing(range(1, 4)), logged(4, by("cheap")), logged(5, by("dear")), breaker=policy)
    assert [(example.request_id, example.source) for example in report.examples] == [
        (str(UUID(int=5_001)), "dear")
    ]
    assert "breaker open" in report.examples[0].why


def test_copies_for_a_model_on_trial_are_nobodys_requests_and_count_for_its_health():
    copies = [
        replace(each, request=replace(each.request, caller="shadow:agent-1")) for each in failing(range(1, 9))
    ]
    report = tried([SICK_REST], *copies, logged(9, by("dear")))
    assert (report.requests, report.moved) == (1, 1)


def test_budgets_are_not_in_the_log_and_stay_unknown():
    spent = {"name": "spent", "when": {"caller": {"budget_used": {"over": "1%"}}}, "keep": {"name": "cheap"}}
    assert tried([spent], logged(1, by("dear"))).moved == 0


# ---- bounds ------------------------------------------------------------------------------------------------------
def test_the_largest_moves_are_listed_and_each_has_its_example_first():
    registry = a_registry(a_model("to"), all=("to",))
    requests = [
        logged(n + turn / 10, by(f"from-{n:02}"), model="all", number=100 * n + turn + 1)
        for n in range(MOVES + 3)
        for turn in range(2 if n == 7 else 1)
    ]
    report = tried([], *requests, registry=registry)
    assert (len(report.moves), report.moves_left) == (MOVES, 3)
    assert (report.moves[0].source, report.moves[0].requests) == ("from-07", 2)
    assert len(report.examples) == EXAMPLES
    assert len({example.source for example in report.examples}) == EXAMPLES
    assert sum(move.requests for move in report.moves) == report.moved - 3


def test_tallies_of_parts_add_up_to_the_tally_of_the_whole():
    requests = [
        logged(n, by(("dear", "cheap", "ours")[n % 3], 100 + n), mode=Mode.JOB if n % 5 == 0 else Mode.SYNC)
        for n in range(1, 60)
    ]
    rules = [REFUSE_BATCH, {"name": "ours", "prefer": {"name": "ours"}}]
    whole = tried(rules, *requests)
    ruleset = parse({"rules": rules}, compile_=compile_cel)
    total = Tally()
    for part in range(2):
        replay = Replay(setting_of(ruleset, models(), breaker=CLOSED))
        for number in range(0, len(requests), 10):
            replay.take(requests[number : number + 10], decide=number // 10 % 2 == part)
        total.add(replay.tally)
    found = total.report()
    assert replace(found, examples=()) == replace(whole, examples=())
    assert len(found.examples) == len(whole.examples)


# ---- in processes of their own -----------------------------------------------------------------------------------
async def in_processes(
    registry: Registry, pages: Sequence[tuple[bool, Sequence[Logged]]], note: Callable[[int], None]
) -> Report:
    async def told() -> AsyncIterator[tuple[bool, Sequence[Logged]]]:
        for page in pages:
            yield page

    async def progress(done: int) -> None:
        note(done)

    ruleset = parse({"rules": [PREFER_CHEAP, SICK_REST]}, compile_=compile_cel)
    return await simulate(setting_of(ruleset, registry, breaker=CLOSED), told(), progress)


async def test_processes_find_what_one_alone_finds_and_say_how_far_they_are():
    early, requests = failing(range(1, 9)), [logged(n, by("dear", n)) for n in range(10, 70)]
    pages = [(False, early)] + [(True, requests[n : n + 7]) for n in range(0, 60, 7)]
    heard: list[int] = []
    found = await in_processes(models(), pages, heard.append)
    alone = tried([PREFER_CHEAP, SICK_REST], *requests, before=early)
    assert replace(found, examples=()) == replace(alone, examples=())
    assert heard == sorted(heard)
    assert heard[-1] == 60


async def test_a_process_that_ends_ends_the_simulation():
    broken = replace(models(), models={"x": replace(a_model("x"), quality="high")})  # type: ignore[arg-type]
    with pytest.raises(SimulationBroken):
        await in_processes(broken, [(True, [logged(1)])] * 20, lambda _: None)


def test_processes_are_told_no_secrets():
    secret = a_model("good", credential="stored:x", headers={"authorization": "Bearer sk"}, options={"k": 1})
    told = repr(setting_of(parse({"rules": []}, compile_=compile_cel), a_registry(secret)))
    assert "stored:x" not in told
    assert "Bearer" not in told
