"""Callers with tags and budgets, and what they have spent, in every store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256

import pytest

from gateway.domain.identity import Budget, Caller, CallerKind, Key, Period, Right
from gateway.domain.inference import Status
from gateway.domain.repricing import Correction, Place, Repricing, Tally
from gateway.ids import new_id
from gateway.storage.ports import Entry, Span
from tests.builders import a_failed_attempt, a_request, an_attempt
from tests.contracts.test_stores import a_settlement

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
AGENT = Caller(
    "agent-7",
    "seven",
    CallerKind.AGENT,
    frozenset({Right.INFER}),
    tags={"team": "search", "beta": ""},
    budget=Budget(Decimal("12.50"), Period.DAY),
)


@pytest.fixture
async def keys(store):
    await store.keys.add_caller(AGENT)
    await store.keys.add_key(Key("key-1", AGENT.id, sha256(b"1").digest(), "1111", NOW))
    return store.keys


async def known(keys):
    return await keys.caller(sha256(b"1").digest(), NOW)


async def test_a_caller_comes_back_with_its_tags_and_its_budget(keys):
    assert await known(keys) == replace(AGENT, key_id="key-1")
    assert await keys.add_caller(replace(AGENT, id="other", tags={}, budget=None)) == AGENT
    assert [caller for caller, _ in await keys.keys()] == [replace(AGENT, key_id="key-1")]


async def test_its_tags_its_rights_and_its_budget_can_be_changed(keys):
    assert await keys.set_tags("seven", {"team": "ads"})
    assert await keys.set_budget("seven", Budget(Decimal(3), Period.MONTH))
    changed = await known(keys)
    assert (changed.tags, changed.budget) == ({"team": "ads"}, Budget(Decimal(3), Period.MONTH))
    assert await keys.set_budget("seven", None)
    assert (await known(keys)).budget is None
    assert await keys.set_rights("seven", {Right.INFER, Right.RULES_READ})
    assert (await known(keys)).rights == {Right.INFER, Right.RULES_READ}
    assert not await keys.set_rights("nobody", {Right.INFER})
    assert not await keys.set_tags("nobody", {})
    assert not await keys.set_budget("nobody", None)


# ---- what it has spent -------------------------------------------------------------------------------------------
async def settle(store, *costs, caller="agent-7", at=NOW):
    attempts = [
        an_attempt(number, cost_usd=None if cost is None else Decimal(cost))
        for number, cost in enumerate(costs, 1)
    ]
    # Not a UUIDv7: it is filed under the moment that it was accepted.
    request_id = f"00000000-0000-4000-8000-{len(costs):02d}{hash((costs, caller, at)) % 10**10:010d}"
    request = a_request(id=request_id, caller=caller, accepted_at=at)
    await store.requests.settle(Entry(request, a_settlement(request, *attempts)))
    return request


def span(since=-1, until=1, caller="agent-7"):
    return Span(caller, NOW + timedelta(hours=since), NOW + timedelta(hours=until))


async def test_what_a_caller_spent_is_the_cost_of_all_its_attempts_in_the_span(store):
    await settle(store, "0.10", "0.02")
    await settle(store, "1.000000000001")
    await settle(store, "5", at=NOW - timedelta(hours=2))
    await settle(store, "7", caller="agent-8")
    assert await store.requests.spent([span()]) == [Decimal("1.120000000001")]
    assert await store.requests.spent([span(-3, 1), span(), span(caller="agent-8"), span(caller="none")]) == [
        Decimal("6.120000000001"),
        Decimal("1.120000000001"),
        Decimal(7),
        Decimal(0),
    ]
    assert await store.requests.spent([]) == []


async def test_a_span_begins_with_its_first_moment_and_ends_before_its_last(store):
    await settle(store, "1", at=NOW)
    assert await store.requests.spent([span(0, 1), span(-1, 0)]) == [Decimal(1), Decimal(0)]


async def test_an_attempt_whose_cost_is_not_known_leaves_the_others_counted(store):
    await settle(store, "0.5", None)
    await settle(store, None)
    assert await store.requests.spent([span()]) == [Decimal("0.5")]


async def test_a_failed_request_costs_what_its_attempts_cost(store):
    request = a_request(caller="agent-7")
    failed = a_failed_attempt(cost_usd=Decimal("0.3"))
    await store.requests.settle(Entry(request, a_settlement(request, failed, status=Status.FAILED)))
    at = request.accepted_at
    assert await store.requests.spent([Span("agent-7", at, at + timedelta(seconds=1))]) == [Decimal("0.3")]


async def test_what_was_priced_anew_counts_as_it_is_priced_now(store):
    request = await settle(store, "0.5", None)
    for old, new in (("0.5", "2"), ("2", None), (None, "3")):
        await correct(store, request, 1, old, new)
    await correct(store, request, 2, None, "0.25")
    assert await store.requests.spent([span()]) == [Decimal("3.25")]


async def correct(store, request, number, old, new):
    day = timedelta(days=1)
    repricing = await store.repricings.begin(
        Repricing(new_id(), NOW - day, NOW + day, None, dry_run=False, reason="", actor="t", asked_at=NOW)
    )
    place = Place(request.accepted_at, request.id, number)
    old_usd, new_usd = (None if each is None else Decimal(each) for each in (old, new))
    correction = Correction(place, "good", old_usd, new_usd)
    assert await store.repricings.advance(repricing, place, [correction], Tally(1, 1))
    await store.repricings.end(repricing.id, Status.COMPLETED)
