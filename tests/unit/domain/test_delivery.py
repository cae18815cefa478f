"""Where to, how often, and to which subjects: decided by values alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.domain.delivery import (
    LONGEST_WAIT,
    TRIES,
    Destination,
    covers,
    event_id,
    may_publish,
    own_subjects,
    parse_receiver,
    pause_after,
    wrong_pattern,
    wrong_subject,
)

FIRST, LONGEST = timedelta(seconds=5), timedelta(hours=8)


def pause(number: int, roll: float = 0.5, asked: timedelta | None = None) -> timedelta:
    return pause_after(number, roll, FIRST, LONGEST, asked)


def test_ten_tries_take_about_a_day():
    for roll in (0.0, 0.5, 1.0):
        total = sum((pause(number, roll) for number in range(1, TRIES)), timedelta())
        assert timedelta(hours=18) < total < timedelta(hours=29)
    assert [pause(n) / timedelta(seconds=1) for n in range(1, TRIES)] == [
        *[5, 20, 80, 320, 1280, 5120, 20480],
        *[28800, 28800],
    ]


@given(some.integers(1, TRIES), some.floats(0, 1))
def test_a_pause_is_spread_and_bounded(number: int, roll: float):
    spread = pause(number, roll) / pause(number)
    assert 0.79 < spread < 1.21
    assert pause(number, roll) <= LONGEST * 1.2 + timedelta(seconds=1)


def test_a_receiver_s_wish_makes_a_pause_longer_and_never_shorter():
    assert pause(1, asked=timedelta(minutes=7)) == timedelta(minutes=7)
    assert pause(9, asked=timedelta(seconds=1)) == pause(9)
    assert pause(1, asked=timedelta(days=400)) == LONGEST_WAIT


def test_an_event_has_the_id_of_its_job_for_ever():
    assert event_id("01a21045-54fa-72d9-9676-a6c05f56fa5b") == "evt_01a2104554fa72d99676a6c05f56fa5b"


def test_what_is_sealed_is_not_shown():
    there = Destination("https://x/", "t", has_secret=True, sealed="closed", key_id="k")
    assert "closed" not in repr(there)
    assert there.shown() == Destination("https://x/", "t", has_secret=True)


# ---- receivers ---------------------------------------------------------------------------------------------------
def test_a_url_is_shown_without_its_query():
    read = parse_receiver("https://agent.example.org:8443/hook/1?token=t0p&x=%20")
    assert (read.shown, read.has_query) == ("https://agent.example.org:8443/hook/1", True)
    assert (read.address.host, read.address.port) == ("agent.example.org", 8443)
    assert not parse_receiver("https://agent.example.org").has_query


@pytest.mark.parametrize(
    "url",
    [
        "",
        "agent.example.org",
        "ftp://agent.example.org/",
        "https://user@agent.example.org/",
        "https://user:pw@agent.example.org/",
        "https://agent.example.org/#x",
        "https://agent.example.org/?a b",
        "https://agent.example.org/?" + "x" * 3000,
        "https://agent.example.org/ä",
        "https://agent.example.org:0/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://good.example.org\\@evil.example.org/",
        "https://[::1%eth0]/",
    ],
)
def test_a_url_with_two_readings_is_refused_without_being_repeated(url):
    with pytest.raises(ValueError, match=r".") as refused:
        parse_receiver(url)
    assert "pw" not in str(refused.value)


# ---- subjects ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("subject", ["a", "agents.search.done", "a-b_c.D9"])
def test_a_plain_subject_is_good(subject):
    assert wrong_subject(subject) is None


@pytest.mark.parametrize(
    "subject",
    [
        *["", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\r\nPUB x", "ä"],
        *["a.*", "a.>", "a.b*", ">", "$JS.API.STREAM.LIST", "$SYS.x", "$KV.b.k", "_INBOX.x", "x" * 256],
    ],
)
def test_wildcards_foreign_letters_and_the_server_s_own_subjects_are_refused(subject):
    assert wrong_subject(subject)


@pytest.mark.parametrize(
    ("pattern", "subject", "does"),
    [
        ("a.>", "a.b", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a.>", "ab.c", False),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
        ("a.*", "a.b.c", False),
        ("a.b", "a.b", True),
        ("a.b", "a.b.c", False),
        (">", "a", True),
    ],
)
def test_a_pattern_covers_whole_parts(pattern, subject, does):
    assert covers(pattern, subject) is does


@pytest.mark.parametrize("pattern", ["", "a.>.b", "a.b*", "a..b", "a >", ">a"])
def test_a_pattern_that_is_none_is_refused(pattern):
    assert wrong_pattern(pattern)


@pytest.mark.parametrize("pattern", ["a", "a.>", "*.b", ">"])
def test_a_pattern_that_is_one_is_taken(pattern):
    assert wrong_pattern(pattern) is None


def test_a_caller_s_own_subjects_are_below_its_name():
    assert own_subjects("search", "id-1") == "agents.search.>"
    assert may_publish("agents.search.done", "agents.search.>", ())
    assert not may_publish("agents.searching.done", "agents.search.>", ())
    assert may_publish("results.x", "agents.search.>", ("results.*",))


@pytest.mark.parametrize(
    "name", ["a.b", "a b", "*", ">", "", "ä", "x" * 65, "01a21045-54fa-72d9-9676-a6c05f56fa5b"]
)
def test_a_name_that_would_reach_into_another_s_subjects_is_replaced_by_the_id(name):
    assert own_subjects(name, "id-1") == "agents.id-1.>"
