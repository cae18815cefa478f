"""One suite for the rules of every store: versions that never change, and one of them in force."""

import asyncio

import pytest

from gateway.domain.errors import InvalidRequest, VersionConflict

ANN, BOB = "ann", "bob"


@pytest.fixture
def rules(store):
    return store.rules


async def publish(rules, text, **more):
    return await rules.publish(text, f"digest of {text}", actor=ANN, **more)


async def test_there_are_none_at_first(rules):
    assert await rules.current() is None
    assert await rules.get(1) is None
    assert (await rules.find(limit=10)).rows == ()


async def test_what_was_published_is_in_force_and_says_who_why_and_when(rules):
    kept = await publish(rules, "rules = [] # é", note="first")
    assert (kept.number, kept.text, kept.author, kept.note) == (1, "rules = [] # é", ANN, "first")
    assert kept.in_force
    assert kept.since is not None
    assert await rules.current() == kept
    assert await rules.get(1) == kept


async def test_a_newer_version_takes_over_and_the_older_one_stays_as_it_was(rules):
    first = await publish(rules, "a")
    second = await publish(rules, "b")
    assert second.number == 2
    assert (await rules.current()).text == "b"
    again = await rules.get(1)
    assert (again.text, again.in_force, again.since) == ("a", False, first.since)


async def test_the_text_in_force_is_not_published_twice(rules):
    assert await publish(rules, "a") == await publish(rules, "a", note="again")
    assert len((await rules.find(limit=10)).rows) == 1


async def test_an_earlier_version_comes_back_as_itself(rules):
    await publish(rules, "a")
    await publish(rules, "b")
    back = await rules.restore(1, actor=BOB, note="b was wrong")
    assert (back.number, back.author, back.in_force) == (1, ANN, True)
    assert (await rules.current()).number == 1
    third = await publish(rules, "c")
    assert third.number == 3


async def test_what_never_was_cannot_come_back(rules):
    await publish(rules, "a")
    assert await rules.restore(7, actor=BOB) is None
    assert (await rules.current()).number == 1


async def test_a_change_made_from_what_is_no_longer_in_force_is_refused(rules):
    await publish(rules, "a", expected=0)
    await publish(rules, "b", expected=1)
    with pytest.raises(VersionConflict) as refused:
        await publish(rules, "c", expected=1)
    assert refused.value.current == 2
    with pytest.raises(VersionConflict):
        await rules.restore(1, actor=BOB, expected=1)
    assert (await rules.current()).text == "b"


async def test_seeds_are_planted_once(rules):
    assert await rules.plant("seed", "d") is True
    assert await rules.plant("other", "d") is False
    assert (await rules.current()).text == "seed"


async def test_pages_go_from_the_newest_to_the_oldest(rules):
    for number in range(1, 6):
        await publish(rules, f"rules {number}")
    first = await rules.find(limit=2)
    assert [version.number for version in first.rows] == [5, 4]
    second = await rules.find(limit=2, after=first.next_after)
    assert [version.number for version in second.rows] == [3, 2]
    last = await rules.find(limit=2, after=second.next_after)
    assert ([version.number for version in last.rows], last.next_after) == ([1], None)
    with pytest.raises(InvalidRequest):
        await rules.find(limit=2, after="x")


async def test_each_change_is_audited_and_grows_the_revision(store):
    await publish(store.rules, "a")
    await publish(store.rules, "b")
    await store.rules.restore(1, actor=BOB, note="back")
    page = await store.audit.find(noun="rules", limit=10)
    assert [(line.name, line.action, line.actor) for line in page.rows] == [
        ("1", "rollback", BOB),
        ("2", "publish", ANN),
        ("1", "publish", ANN),
    ]
    assert (await store.changes.revisions())["rules"] == 3


async def test_two_who_publish_at_once_are_taken_one_after_the_other(rules):
    results = await asyncio.gather(
        *(publish(rules, f"text {n}", expected=0) for n in range(4)), return_exceptions=True
    )
    assert sum(1 for result in results if isinstance(result, VersionConflict)) == 3
    assert len((await rules.find(limit=10)).rows) == 1
