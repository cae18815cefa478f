"""What waits to be told: nothing is lost, nothing is told in two ways, and it does not grow without end."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.live.counts import CallerCounts, ModelCounts
from gateway.live.delta import Delta, decode, no_delta
from gateway.live.outbox import AT_ONCE, Outbox

START = 1_800_000_000.0


def something(requests=1):
    return Delta({"good": ModelCounts(requests)}, {"agent-1": CallerCounts(requests)}, {}, {})


def requests_in(rows):
    return sum(decode(row.facts).models["good"].requests for row in rows)


def test_rows_are_told_in_order_until_they_are_acknowledged():
    outbox = Outbox()
    for number in range(3):
        outbox.put(something(), START + number)
    rows = outbox.next()
    assert [(row.first, row.number) for row in rows] == [(1, 1), (2, 2), (3, 3)]
    assert outbox.next() == rows
    outbox.acknowledge(2)
    assert [row.number for row in outbox.next()] == [3]
    assert outbox.told_up_to == 2
    outbox.acknowledge(3)
    assert (outbox.next(), outbox.told_up_to) == ([], 3)


def test_nothing_is_told_only_now_and_then_as_a_sign_of_life():
    outbox = Outbox()
    for beat in range(100):
        outbox.put(no_delta(), START + beat * 0.8)
    assert 14 <= len(outbox) <= 17


def test_a_minute_is_told_once_it_is_over_and_all_its_rows_are():
    outbox = Outbox()
    for second in range(61):
        outbox.put(something(), START + second)
        outbox.acknowledge(second)
    assert [(each.first, each.number) for each in outbox.next_minutes(60)] == [(1, 60)]
    assert requests_in(outbox.next_minutes(60)) == 60
    assert outbox.next_minutes(59) == []
    outbox.acknowledge(61, outbox.next_minutes(61))
    assert outbox.next_minutes(61) == []


def test_in_an_hour_without_a_database_nothing_is_lost_and_little_is_kept():
    outbox = Outbox()
    for beat in range(4000):
        outbox.put(something(), START + beat * 0.8)
    assert len(outbox) <= 120 + AT_ONCE + 60
    told, numbers = 0, []
    while rows := outbox.next():
        told += requests_in(rows)
        numbers += [(row.first, row.number) for row in rows]
        outbox.acknowledge(rows[-1].number)
    assert told == 4000
    assert all(first == before + 1 for (_, before), (first, _) in pairwise(numbers))


def test_what_is_older_than_an_hour_is_let_go():
    outbox = Outbox()
    for beat in range(12_000):
        outbox.put(something(), START + beat)
    assert all(at >= START + 12_000 - 3602 for at, _ in outbox.waiting)
    assert len(outbox) <= 120 + AT_ONCE + 61


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=12))
def test_a_row_that_was_sent_is_never_told_as_part_of_another(story):
    """Each time some seconds pass, and the store may have kept what it was sent without our hearing of it."""
    outbox, now, kept, put = Outbox(), START, {}, 0
    for seconds, acknowledged in story:
        for _ in range(seconds):
            outbox.put(something(), now)
            now, put = now + 1, put + 1
        rows = outbox.next()
        for row in rows:
            kept.setdefault(row.number, row)
        if acknowledged and rows:
            outbox.acknowledge(rows[-1].number)
    while rows := outbox.next():
        for row in rows:
            kept.setdefault(row.number, row)
        outbox.acknowledge(rows[-1].number)
    assert requests_in(kept.values()) == put
    spans = sorted((row.first, row.number) for row in kept.values())
    assert all(first == before + 1 for (_, before), (first, _) in pairwise(spans))
