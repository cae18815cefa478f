"""One suite for prices, repricings and corrections of every store."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from gateway.domain.errors import InvalidRequest, RepricingUnderWay
from gateway.domain.inference import Mode, Settlement, Status
from gateway.domain.prices import PARTS, DatedPrice, Price, PriceBook, Tier
from gateway.domain.repricing import Repricing, Tally, recost
from gateway.domain.secret import Secret
from gateway.feed import Feed
from gateway.ids import new_id
from gateway.prices import PriceTable
from gateway.settings import Postgres
from gateway.storage.ports import Entry, RequestFilter
from gateway.storage.postgres.store import open_store
from tests.builders import a_failed_attempt, a_request, a_usage_of_all, an_attempt

D = Decimal
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
EVER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)


def a_price(model="good", price=None, **changes):
    usual = DatedPrice(new_id(), model, price or Price(D("2.5"), D(10)), "a test", "ann", NEW_YEAR)
    return replace(usual, **changes)


def a_full_price():
    parts = {part: D(number) / 8 for number, part in enumerate(PARTS)}
    tiers = (Tier(128_000, D("0.1"), cached_input_usd=D("1E-7")), Tier(200_000, output_usd=D(3)))
    return Price(**parts, since=NEW_YEAR, tiers=tiers)


def a_repricing(**changes):
    usual = Repricing(new_id(), *EVER, None, dry_run=False, reason="wrong", actor="ann", asked_at=NEW_YEAR)
    return replace(usual, **changes)


async def settled(store, *attempts, **changes):
    """Enter a request with these attempts; returns its id."""
    request = a_request(**changes)
    settlement = Settlement(request.id, Status.COMPLETED, request.accepted_at, attempts or (an_attempt(),))
    await store.requests.settle(Entry(request, settlement))
    return request.id


async def stepped(store, repricing, book, limit):
    """Take one step; returns it as it is then, or None at its end."""
    stretch = await store.repricings.stretch(repricing, limit)
    if stretch.end is None:
        return None
    assert await store.repricings.advance(repricing, stretch.end, *recost(book, stretch.attempts))
    return await store.repricings.get(repricing.id)


async def repriced(store, repricing, book, limit=2):
    """Price its whole period anew; returns it at its end."""
    current = await store.repricings.begin(repricing)
    while (following := await stepped(store, current, book, limit)) is not None:
        current = following
    return await store.repricings.end(current.id, Status.COMPLETED)


# ---- prices ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("price", [Price(D("0.15"), D(0)), a_full_price(), Price(), Price(since=NEW_YEAR)])
async def test_what_was_kept_is_read_back_whole(store, price):
    said = a_price(price=price, upstream="gpt at https://host")
    kept = await store.prices.add(said)
    assert kept == replace(said, created_at=kept.created_at)
    assert await store.prices.get(said.id) == kept
    assert await store.prices.load() == (kept,)
    assert await store.prices.get(new_id()) is None
    assert await store.prices.get("nonsense") is None


async def test_each_row_grows_the_revision_and_stands_in_the_audit(store):
    await store.prices.add(a_price())
    before = (await store.changes.revisions())["prices"]
    said = a_price("other", Price(D("1.25"), tiers=(Tier(9, D(2)),)))
    await store.prices.add(said)
    assert (await store.changes.revisions())["prices"] == before + 1
    [line, _] = (await store.audit.find(noun="prices", limit=5)).rows
    assert (line.name, line.actor, line.action) == ("other", "ann", "create")
    assert line.after["input_usd"] == "1.25"
    assert line.after["tiers"][0]["over"] == 9


async def test_rows_are_found_by_model_newest_first_page_by_page(store):
    rows = [await store.prices.add(a_price(model)) for model in ("a", "b", "a", "a")]
    assert (await store.prices.find(limit=9)).rows == tuple(reversed(rows))
    page = await store.prices.find(model="a", limit=2)
    assert page.rows == (rows[3], rows[2])
    assert page.next_after == rows[2].id
    assert (await store.prices.find(model="a", limit=2, after=page.next_after)).rows == (rows[0],)
    for after in (new_id(), "nonsense"):
        with pytest.raises(InvalidRequest, match="end of a page"):
            await store.prices.find(limit=2, after=after)


async def test_what_was_known_at_a_moment_can_be_asked(store):
    first = await store.prices.add(a_price())
    second = await store.prices.add(a_price())
    assert first.created_at < second.created_at
    assert await store.prices.load(first.created_at) == (first,)
    assert await store.prices.load(second.created_at) == (first, second)


async def test_of_many_who_plant_one_does(store):
    wanted = [[a_price(), a_price(price=Price(D(1), since=NEW_YEAR))] for _ in range(4)]
    done = await asyncio.gather(*(store.prices.plant("good", each, last=None) for each in wanted))
    assert sorted(done) == [False, False, False, True]
    rows = await store.prices.load()
    assert [row.id for row in rows] == [row.id for row in wanted[done.index(True)]]
    assert not await store.prices.plant("good", [a_price()], last=rows[0].id), "it has a newer one"
    assert await store.prices.plant("good", [a_price()], last=rows[1].id)


# ---- repricings --------------------------------------------------------------------------------------------------
BOOK = PriceBook({"good": (Price(D(3), D(3)),)})


async def test_a_period_is_priced_anew_and_the_ledger_stays(store):
    attempts = (a_failed_attempt(1, "down"), an_attempt(2, "good"))
    request_id = await settled(store, *attempts)
    before = await store.requests.settlement(request_id)
    ended = await repriced(store, a_repricing(), BOOK)
    assert (ended.status, ended.progress) == (Status.COMPLETED, 1.0)
    assert ended.tally == Tally(2, 1, 0, D("0.00002"), D("0.000045"))
    record = await store.requests.get(request_id)
    assert record.settlement == before
    assert record.corrected_usd == {2: D("0.000045")}
    assert (record.settlement.cost_usd, record.cost_corrected_usd) == (D("0.00002"), D("0.000045"))
    found = await store.requests.find(RequestFilter(*EVER), limit=5)
    assert [each.cost_corrected_usd for each in found.rows] == [D("0.000045")]
    [correction] = await store.repricings.corrections(ended.id, 5)
    assert (correction.model, correction.old_usd, correction.new_usd) == ("good", D("0.00002"), D("0.000045"))


async def test_what_was_unknown_becomes_known_and_the_other_way_round(store):
    unknown = await settled(store, an_attempt(cost_usd=None))
    known = await settled(store, an_attempt(model="gone"))
    book = PriceBook({**BOOK.prices, "gone": (Price(),)})
    ended = await repriced(store, a_repricing(), book)
    assert ended.tally == Tally(2, 2, 1, D("0.00002"), D("0.000045"))
    assert (await store.requests.get(unknown)).cost_corrected_usd == D("0.000045")
    record = await store.requests.get(known)
    assert (record.corrected_usd, record.cost_corrected_usd) == ({1: None}, None)


async def test_the_last_correction_holds_and_each_says_what_held_before(store):
    request_id = await settled(store)
    await repriced(store, a_repricing(), BOOK)
    dearer = PriceBook({"good": (Price(D(4), D(4)),)})
    ended = await repriced(store, a_repricing(), dearer)
    [correction] = await store.repricings.corrections(ended.id, 5)
    assert (correction.old_usd, correction.new_usd) == (D("0.000045"), D("0.00006"))
    assert (await store.requests.get(request_id)).cost_corrected_usd == D("0.00006")
    again = await repriced(store, a_repricing(), dearer)
    assert (again.tally.changed, await store.repricings.corrections(again.id, 5)) == (0, ())


async def test_all_parts_of_a_usage_are_charged_from_the_ledger(store):
    usage = a_usage_of_all()
    request_id = await settled(store, an_attempt(usage=usage))
    price = replace(a_full_price(), since=None)
    await repriced(store, a_repricing(), PriceBook({"good": (price,)}))
    cost = (await store.requests.get(request_id)).cost_corrected_usd
    assert cost == price.cost(usage, timedelta(milliseconds=10))


async def test_a_dry_run_counts_and_corrects_nothing(store):
    request_id = await settled(store)
    ended = await repriced(store, a_repricing(dry_run=True), BOOK)
    assert (ended.tally.looked_at, ended.tally.changed) == (1, 1)
    assert (await store.requests.get(request_id)).corrected_usd == {}
    assert await store.repricings.corrections(ended.id, 5) == ()


async def test_only_the_models_and_the_period_that_were_asked_for_are_looked_at(store):
    await settled(store, an_attempt(model="other"))
    await asyncio.sleep(0.005)  # an id says when it was made to the millisecond
    request_id = await settled(store)
    accepted = (await store.requests.get(request_id)).request.accepted_at
    ended = await repriced(store, a_repricing(models=("good", "x")), BOOK)
    assert ended.tally.looked_at == 1
    just = await repriced(
        store, a_repricing(since=accepted, until=accepted + timedelta(microseconds=1)), BOOK
    )
    assert just.tally.looked_at == 1
    before = await repriced(store, a_repricing(until=accepted), BOOK)
    assert before.tally.looked_at == 1


async def test_a_step_that_is_taken_twice_counts_once(store):
    for _ in range(3):
        await settled(store, a_failed_attempt(1), an_attempt(2))
    repricing = await store.repricings.begin(a_repricing())
    first = await store.repricings.stretch(repricing, 3)
    places = [each.place for each in first.attempts]
    assert (places, first.end) == (sorted(places), places[-1])
    step = recost(BOOK, first.attempts)
    assert await store.repricings.advance(repricing, first.end, *step)
    assert not await store.repricings.advance(repricing, first.end, *step)
    moved = await store.repricings.get(repricing.id)
    assert (moved.tally.looked_at, moved.place) == (3, first.end)
    rest = await store.repricings.stretch(moved, 9)
    places += [each.place for each in rest.attempts]
    assert (len(set(places)), places, rest.end) == (6, sorted(places), places[-1])
    assert await store.repricings.advance(moved, rest.end, *recost(BOOK, rest.attempts))
    done = await store.repricings.stretch(await store.repricings.get(repricing.id), 9)
    assert (done.attempts, done.end) == ((), None)


async def test_a_stretch_without_attempts_of_its_models_is_passed(store):
    for model in ("other", "other", "other", "good"):
        await settled(store, an_attempt(model=model))
        await asyncio.sleep(0.002)
    repricing = await store.repricings.begin(a_repricing(models=("good",)))
    empty = await store.repricings.stretch(repricing, 2)
    assert empty.attempts == ()
    assert empty.end is not None
    assert await store.repricings.advance(repricing, empty.end, (), Tally())
    moved = await store.repricings.get(repricing.id)
    following = await store.repricings.stretch(moved, 2)
    assert ([each.attempt.model for each in following.attempts], following.end > empty.end) == (
        ["good"],
        True,
    )
    ended = await repriced(store, a_repricing(models=("good",), dry_run=True), BOOK, limit=3)
    assert ended.tally.looked_at == 1


async def test_one_that_has_ended_is_neither_moved_nor_ended_again(store):
    await settled(store)
    repricing = await store.repricings.begin(a_repricing())
    ended = await store.repricings.end(repricing.id, Status.FAILED, "no\0reason")
    assert (ended.status, ended.failure.startswith("no")) == (Status.FAILED, True)
    stretch = await store.repricings.stretch(repricing, 5)
    assert not await store.repricings.advance(repricing, stretch.end, *recost(BOOK, stretch.attempts))
    assert (await store.repricings.end(repricing.id, Status.COMPLETED)).status is Status.FAILED
    assert await store.repricings.end(new_id(), Status.COMPLETED) is None


async def test_two_that_write_do_not_run_at_once(store):
    first = await store.repricings.begin(a_repricing())
    with pytest.raises(RepricingUnderWay):
        await store.repricings.begin(a_repricing())
    assert await store.repricings.begin(first) == first, "asked again, it is the same one"
    dry = await store.repricings.begin(a_repricing(dry_run=True))
    await store.repricings.end(first.id, Status.CANCELLED)
    assert (await store.repricings.begin(a_repricing())).status is Status.IN_PROGRESS
    assert dry.status is Status.IN_PROGRESS


async def test_they_are_listed_newest_first(store):
    made = [await repriced(store, a_repricing(models=("a",)), BOOK) for _ in range(3)]
    page = await store.repricings.find(limit=2)
    assert page.rows == (made[2], made[1])
    assert (await store.repricings.find(limit=2, after=page.next_after)).rows == (made[0],)
    with pytest.raises(InvalidRequest):
        await store.repricings.find(limit=2, after=new_id())


async def test_corrections_are_read_page_by_page(store):
    for _ in range(3):
        await settled(store, mode=Mode.JOB)
    ended = await repriced(store, a_repricing(), BOOK, limit=9)
    first = await store.repricings.corrections(ended.id, 2)
    rest = await store.repricings.corrections(ended.id, 2, first[-1].place)
    assert (len(first), len(rest)) == (2, 1)
    assert [each.place for each in (*first, *rest)] == sorted(each.place for each in (*first, *rest))


# ---- several replicas --------------------------------------------------------------------------------------------
async def test_every_replica_soon_charges_by_a_new_price(database_url):
    stores = [await open_store(Postgres(url=Secret(database_url))) for _ in range(4)]
    books, feeds = {}, []
    for number, opened in enumerate(stores[:3]):
        table = PriceTable(opened.prices, lambda book, number=number: books.update({number: book}))
        feed = Feed(opened.changes)
        feed.follow("prices", table.reload)
        feed.start()
        feeds.append(feed)
    for feed in feeds:
        await feed.complete()
    now = datetime.now(UTC)
    said = await stores[3].prices.add(a_price(price=Price(D(7), D(8))))
    async with asyncio.timeout(30):
        while [book.at("good", now) for book in books.values()] != [said.price] * 3:  # noqa: ASYNC110  no event tells
            await asyncio.sleep(0.01)
    for feed in feeds:
        await feed.close()
    for opened in stores:
        await opened.close()
