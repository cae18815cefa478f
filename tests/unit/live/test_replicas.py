"""The other replicas: each row is heard once, also when it becomes visible late."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.live.counts import ModelCounts
from gateway.live.delta import Delta, encode
from gateway.live.replicas import Replicas
from gateway.storage.ports import Heard, News, Told

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def row(replica, number, at=0, first=None, in_flight=None, *, leaving=False, facts=None):
    delta = Delta({"good": ModelCounts(1)}, {}, in_flight or {}, {}, leaving)
    return Heard(replica, Told(first or number, number, NOW + at * SECOND, facts or encode(delta)))


def news(*rows, at=0):
    return News(NOW + at * SECOND, rows)


def begun(replicas, *rows):
    return [report for some in replicas.begin(news(*rows)) for report in some]


@pytest.fixture
def replicas():
    made = Replicas("me")
    begun(made, row("a", 1), row("me", 1))
    return made


def numbers(reports):
    return [(report.replica, round(report.at - NOW.timestamp())) for report in reports]


def test_the_hour_holds_ones_own_rows_too_and_they_are_not_asked_for_again():
    made = Replicas("me")
    assert made.since is None
    assert numbers(begun(made, row("a", 1), row("me", 1), row("a", 2, 3))) == [
        ("a", 0),
        ("me", 0),
        ("a", 3),
    ]
    assert made.heard == {"a": 2}
    assert made.since == NOW - 5 * SECOND


def test_what_was_heard_is_not_heard_again(replicas):
    assert numbers(replicas.take(news(row("a", 1), row("a", 2, 1), row("b", 1, 1)))) == [("a", 1), ("b", 1)]
    assert replicas.take(news(row("a", 2, 1))) == []


def test_a_row_that_is_missing_is_looked_for_before_those_after_it_are_taken(replicas):
    assert replicas.take(news(row("a", 3, 3), row("a", 4, 4), row("b", 1, 4), at=4))[0].replica == "b"
    assert replicas.since < NOW - 60 * SECOND
    late = news(row("a", 2, 2), row("a", 3, 3), row("a", 4, 4), at=5)
    assert numbers(replicas.take(late)) == [("a", 2), ("a", 3), ("a", 4)]
    assert replicas.since == NOW


def test_a_row_that_is_nowhere_is_done_without(replicas):
    replicas.take(news(row("a", 3, 3)))
    assert numbers(replicas.take(news(row("a", 3, 3), row("a", 4, 4)))) == [("a", 3), ("a", 4)]


def test_a_row_that_spans_several_follows_on_the_one_before(replicas):
    assert numbers(replicas.take(news(row("a", 9, 9, first=2)))) == [("a", 9)]
    assert replicas.heard == {"a": 9}


def test_what_the_others_are_at_ends_with_their_sign_of_life(replicas):
    replicas.take(news(row("a", 2, 1, in_flight={"good": 2}), row("b", 1, 1, in_flight={"good": 1, "x": 1})))
    now = NOW.timestamp()
    assert replicas.in_flight(now + 10) == {"good": 3, "x": 1}
    assert set(replicas.there(now + 10)) == {"a", "b"}
    assert (replicas.in_flight(now + 14), replicas.there(now + 14)) == ({}, ())


def test_one_that_leaves_is_gone_at_once(replicas):
    replicas.take(news(row("a", 2, 1, in_flight={"good": 2})))
    replicas.take(news(row("a", 3, 2, leaving=True)))
    assert (replicas.in_flight(NOW.timestamp() + 2), replicas.there(NOW.timestamp() + 2)) == ({}, ())


def test_what_is_not_understood_is_passed_over(replicas):
    told = news(row("a", 2, facts=b"\xc1"), row("a", 3, 3))
    assert numbers(replicas.take(told)) == [("a", 3)]
    assert replicas.heard == {"a": 3}


def test_a_later_version_may_tell_more(replicas):
    later = encode([{"good": [1, {}, {}, {}, {}, 0, "0", "new"]}, {}, {}, {}, False, {}, {}, {"new": 1}])
    (report,) = replicas.take(news(row("a", 2, facts=later)))
    assert report.delta.models["good"].requests == 1


def test_those_who_have_been_silent_for_long_are_forgotten(replicas):
    replicas.forget(NOW.timestamp() + 1000)
    assert replicas.heard == {}
