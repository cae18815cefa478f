"""One suite for responses and conversations in every store: kept once, in order, and only for whom they are."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.domain.errors import InvalidRequest
from gateway.ids import new_id
from gateway.storage.ports import Conversation, Item, KeptResponse

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
LATER = NOW + 30 * DAY
ANN, BOB = "ann", "bob"
MUCH = 10**6


@pytest.fixture
def responses(store):
    return store.responses


@pytest.fixture
def talks(store):
    return store.conversations


def a_response(**changes) -> KeptResponse:
    usual = KeptResponse(new_id(), ANN, "completed", NOW, LATER, b"\x00{}")
    return replace(usual, **changes)


def a_talk(**changes) -> Conversation:
    return replace(Conversation(f"conv_{new_id()}", ANN, NOW, LATER, {"a": "b"}), **changes)


def some(*names):
    return tuple(Item(name, b"\x00" + name.encode()) for name in names)


def names(items):
    return [item.id for item in items]


async def history(responses, kept, **more) -> Any:
    found = await responses.history(kept.caller, kept.id, **{"most_bytes": MUCH, "keep_until": LATER, **more})
    return found if found is None or found.items is None or found.missing else names(found.items)


async def said(talks, talk, **more):
    found = await talks.history(talk.caller, talk.id, **{"most_bytes": MUCH, "keep_until": LATER, **more})
    return None if found is None else None if found.items is None else names(found.items)


# ---- responses ---------------------------------------------------------------------------------------------------
async def test_a_response_is_kept_with_its_items(responses):
    kept = a_response(previous=new_id(), conversation="conv_x", background=True, streamed=True)
    assert await responses.keep(kept, some("i1", "i2"), some("o1"))
    assert await responses.get(ANN, kept.id) == kept
    first = a_response()
    await responses.keep(first, some("i1", "i2"), some("o1"))
    assert await history(responses, first) == ["i1", "i2", "o1"]
    assert (await responses.history(ANN, first.id, most_bytes=MUCH, keep_until=LATER)).items[
        0
    ].data == b"\x00i1"


async def test_how_one_under_way_stands_is_kept_until_it_has_ended(responses):
    kept = a_response(status="queued")
    assert await responses.keep(kept, some("i1"))
    assert await responses.keep(replace(kept, status="in_progress", body=b"2"), some("ignored"))
    assert (await responses.get(ANN, kept.id)).body == b"2"
    assert await history(responses, kept) == ["i1"]
    assert await responses.keep(replace(kept, status="failed", body=b"3"), (), some("o1"))
    assert not await responses.keep(replace(kept, status="completed", body=b"4"), (), some("o2"))
    assert not await responses.keep(replace(kept, status="in_progress"))
    ended = await responses.get(ANN, kept.id)
    assert (ended.status, ended.body, ended.ended) == ("failed", b"3", True)
    assert await history(responses, kept) == ["i1", "o1"]


async def test_a_line_of_responses_is_told_from_its_beginning(responses):
    line = [a_response()]
    for _ in range(3):
        line.append(a_response(previous=line[-1].id))
    for number, kept in enumerate(line):
        await responses.keep(kept, some(f"i{number}"), some(f"o{number}"))
    assert await history(responses, line[2]) == ["i0", "o0", "i1", "o1", "i2", "o2"]
    fork = a_response(previous=line[0].id)
    await responses.keep(fork, some("f"), ())
    assert await history(responses, fork) == ["i0", "o0", "f"]


async def test_a_line_with_a_gap_says_so(responses):
    first = a_response()
    last = a_response(previous=first.id)
    for kept in (first, last):
        await responses.keep(kept, some("i"), some("o"))
    await responses.delete(ANN, first.id)
    assert (await history(responses, last)).missing == first.id
    assert await history(responses, first) is None


async def test_too_much_is_not_told(responses, talks):
    kept, talk = a_response(), a_talk()
    await responses.keep(kept, some("i" * 40), some("o"))
    await talks.create(talk, some("i" * 40))
    assert (await history(responses, kept, most_bytes=30)).items is None
    assert await said(talks, talk, most_bytes=30) is None


async def test_what_is_used_is_kept_longer(store, responses):
    first = a_response(kept_until=NOW + DAY)
    last = a_response(previous=first.id, kept_until=NOW + 2 * DAY)
    for kept in (first, last):
        await responses.keep(kept, some("i"), ())
    await history(responses, last)
    assert [(await responses.get(ANN, kept.id)).kept_until for kept in (first, last)] == [LATER, LATER]
    assert await responses.expire(NOW + 3 * DAY) == 0
    assert await responses.expire(LATER + DAY) == 2
    assert await responses.get(ANN, first.id) is None


async def test_nobody_else_has_any_of_it(responses, talks):
    kept, talk = a_response(status="queued"), a_talk()
    await responses.keep(kept, some("i"))
    await talks.create(talk, some("t"))
    assert await responses.get(BOB, kept.id) is None
    assert await responses.history(BOB, kept.id, most_bytes=MUCH, keep_until=LATER) is None
    assert await responses.inputs(BOB, kept.id, limit=9) is None
    assert await responses.items(BOB, ["i", "t"]) == {}
    assert not await responses.delete(BOB, kept.id)
    assert not await responses.keep(replace(kept, caller=BOB, status="completed"), (), some("o"))
    assert await talks.get(BOB, talk.id) is None
    assert await talks.update(BOB, talk.id, {}, LATER) is None
    assert not await talks.add(BOB, talk.id, some("x"), LATER)
    assert await talks.history(BOB, talk.id, most_bytes=MUCH, keep_until=LATER) is None
    assert await talks.page(BOB, talk.id, limit=9) is None
    assert await talks.item(BOB, talk.id, "t") is None
    assert not await talks.remove(BOB, talk.id, "t")
    assert not await talks.delete(BOB, talk.id)
    foreign = a_response(previous=kept.id, caller=BOB)
    await responses.keep(foreign, some("b"), ())
    assert (await history(responses, foreign)).missing == kept.id
    assert (await responses.get(ANN, kept.id)).status == "queued"
    assert await said(talks, talk) == ["t"]


async def test_items_are_found_by_their_ids_the_newest_first(responses, talks):
    await responses.keep(a_response(), some("a", "b"), some("c"))
    await responses.keep(a_response(), (Item("a", b"new"),), ())
    await talks.create(a_talk(), some("t"))
    found = await responses.items(ANN, ["a", "c", "t", "unknown"])
    assert {name: item.data for name, item in found.items()} == {"a": b"new", "c": b"\x00c", "t": b"\x00t"}


@pytest.mark.parametrize("newest_first", [True, False])
async def test_inputs_come_in_pages(responses, newest_first):
    kept = a_response()
    await responses.keep(kept, some(*"abcde"), some("out"))
    order = list("edcba" if newest_first else "abcde")
    told, after, more = [], None, True
    while more:
        page = await responses.inputs(ANN, kept.id, limit=2, after=after, newest_first=newest_first)
        told += names(page.items)
        after, more = told[-1], page.more
    assert told == order
    with pytest.raises(InvalidRequest):
        await responses.inputs(ANN, kept.id, limit=2, after="out")


async def test_an_id_must_be_one_to_be_kept_and_may_be_anything_to_be_asked_for(responses):
    with pytest.raises(ValueError, match="UUID"):
        await responses.keep(a_response(id="no id"))
    assert await responses.get(ANN, "no id") is None
    assert await responses.history(ANN, "no id", most_bytes=1, keep_until=LATER) is None
    assert not await responses.delete(ANN, "no id")


# ---- conversations -----------------------------------------------------------------------------------------------
async def test_a_conversation_is_kept_with_its_items_and_gets_others(talks):
    talk = a_talk()
    for _ in range(2):
        await talks.create(talk, some("a", "b"))
    assert await talks.get(ANN, talk.id) == talk
    assert await talks.add(ANN, talk.id, some("c"), LATER)
    assert await said(talks, talk) == ["a", "b", "c"]
    changed = await talks.update(ANN, talk.id, {"x": "y"}, LATER + DAY)
    assert changed == replace(talk, metadata={"x": "y"}, kept_until=LATER + DAY)
    assert (await talks.item(ANN, talk.id, "b")).data == b"\x00b"
    assert await talks.remove(ANN, talk.id, "b")
    assert not await talks.remove(ANN, talk.id, "b")
    assert await said(talks, talk) == ["a", "c"]


async def test_what_was_answered_in_a_conversation_becomes_part_of_it(responses, talks):
    talk = a_talk()
    await talks.create(talk, some("a"))
    at_once = a_response(conversation=talk.id)
    await responses.keep(at_once, some("i1"), some("o1"))
    slow = a_response(conversation=talk.id, status="queued")
    await responses.keep(slow, some("i2"))
    assert await said(talks, talk) == ["a", "i1", "o1"]
    between = a_response(conversation=talk.id)
    await responses.keep(between, some("i3"), some("o3"))
    await responses.keep(replace(slow, status="incomplete"), (), some("o2"))
    assert await said(talks, talk) == ["a", "i1", "o1", "i3", "o3", "i2", "o2"]
    failed = a_response(conversation=talk.id, status="failed")
    await responses.keep(failed, some("i4"), ())
    assert await said(talks, talk) == ["a", "i1", "o1", "i3", "o3", "i2", "o2"]
    assert await history(responses, between) == ["a", "i1", "o1", "i3", "o3"]


async def test_whichever_goes_first_the_other_keeps_its_items(responses, talks):
    talk = a_talk()
    await talks.create(talk, some("a"))
    one, two = a_response(conversation=talk.id), a_response(conversation=talk.id)
    await responses.keep(one, some("i1"), some("o1"))
    await responses.keep(two, some("i2"), some("o2"))
    assert await responses.delete(ANN, one.id)
    assert await said(talks, talk) == ["a", "i1", "o1", "i2", "o2"]
    assert await talks.remove(ANN, talk.id, "o2")
    assert names((await responses.inputs(ANN, two.id, limit=9)).items) == ["i2"]
    assert await talks.delete(ANN, talk.id)
    assert await talks.get(ANN, talk.id) is None
    assert await history(responses, two) == ["i2", "o2"]
    assert await responses.items(ANN, ["a", "i1", "i2"]) == {"i2": Item("i2", b"\x00i2")}


async def test_an_answer_in_a_conversation_that_is_gone_is_kept_alone(responses, talks):
    kept = a_response(conversation="conv_gone")
    assert await responses.keep(kept, some("i"), some("o"))
    assert await history(responses, kept) == ["i", "o"]


@pytest.mark.parametrize("newest_first", [True, False])
async def test_items_come_in_pages(responses, talks, newest_first):
    talk = a_talk()
    await talks.create(talk, some("a", "b"))
    await responses.keep(a_response(conversation=talk.id), some("c"), some("d"))
    await talks.add(ANN, talk.id, some("e"), LATER)
    order = list("edcba" if newest_first else "abcde")
    told, after, more = [], None, True
    while more:
        page = await talks.page(ANN, talk.id, limit=2, after=after, newest_first=newest_first)
        told += names(page.items)
        after, more = told[-1], page.more
    assert told == order
    with pytest.raises(InvalidRequest):
        await talks.page(ANN, talk.id, limit=2, after="unknown")


async def test_old_ones_go_and_with_the_rest_of_what_was_kept_long_enough(store):
    talk = a_talk(kept_until=NOW - DAY)
    await store.conversations.create(talk, some("a"))
    await store.responses.keep(a_response(kept_until=NOW - DAY), some("i"), ())
    assert await store.expire(NOW - 99 * DAY) == 2
    assert await store.conversations.get(ANN, talk.id) is None
    assert await store.responses.items(ANN, ["a", "i"]) == {}
