"""An event stream says the same however its bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.sse import EventStream, EventTooLong, Sent

# Each way to end a line, comments, names, a byte order mark, data of several lines, and characters of 2, 3 and 4 bytes.
GOLDEN = (
    "\ufeff: hello\n"
    'data: {"delta":"café"}\n\n'
    'event: thinking\r\ndata: {"delta":"漢字"}\r\n\r\n'
    "id: 7\rretry: 10\rdata:first\rdata: second\rdata:  third \rdata\r\r"
    "event: ping\n\n"
    ": keep-alive\n\n"
    'data: {"delta":"🦊\u2028\u0085"}\n\n'
    "data: [DONE]\n\n"
).encode()
EVENTS: list[Sent] = [
    (b"", '{"delta":"café"}'.encode()),
    (b"thinking", '{"delta":"漢字"}'.encode()),
    (b"", b"first\nsecond\n third \n"),
    (b"", '{"delta":"🦊\u2028\u0085"}'.encode()),
    (b"", b"[DONE]"),
]


def read(chunks: list[bytes], limit: int = 1 << 20) -> list[Sent]:
    stream = EventStream(limit)
    return [event for chunk in chunks for event in stream.feed(chunk)] + stream.close()


def test_the_whole_is_read():
    assert read([GOLDEN]) == EVENTS


@pytest.mark.parametrize("at", range(len(GOLDEN) + 1))
def test_a_cut_at_any_byte_changes_nothing(at: int):
    assert read([GOLDEN[:at], GOLDEN[at:]]) == EVENTS


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_pieces_of_any_size_change_nothing(size: int):
    assert read([GOLDEN[i : i + size] for i in range(0, len(GOLDEN), size)]) == EVENTS


def test_an_event_is_given_with_the_byte_that_completes_it():
    stream = EventStream(100)
    assert stream.feed(b"data: a\r\n\r") == [(b"", b"a")], "and not only with the next event"
    assert stream.feed(b"\ndata: b\n") == []
    assert stream.feed(b"\n") == [(b"", b"b")]


@pytest.mark.parametrize("end", ["", "\n", "\r", "\r\n"])
def test_the_last_event_may_lack_its_empty_line(end: str):
    assert read([b"data: a\n\ndata: b" + end.encode()]) == [(b"", b"a"), (b"", b"b")]


def test_an_event_without_data_is_none_and_names_no_other():
    assert read([b"event: ping\n\ndata: a\n\n"]) == [(b"", b"a")]


def test_a_byte_order_mark_is_one_at_the_start_only():
    assert read([b"data: a\n\n\xef\xbb\xbfdata: b\n\n"]) == [(b"", b"a")]


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: " + b"x" * 200],
        [b"data: ", *[b"x"] * 200],
        [b"data: xxxxxxxxx\n"] * 20,
        [b"data:\n" * 200],
        [b"data\n" * 200],
        [b": " + b"x" * 200],
        [b"data: a\n\n" + b"y" * 101],
    ],
)
def test_an_event_longer_than_its_bound_is_refused(chunks: list[bytes]):
    with pytest.raises(EventTooLong):
        read(chunks, limit=100)


def test_many_short_events_never_reach_the_bound():
    assert len(read([b"data: xxxxxxxxx\n\nda", b"ta: yyyyyyyy\n\n"] * 100, limit=30)) == 200


def test_a_long_line_in_small_chunks_is_not_copied_with_each():
    stream = EventStream(1 << 24)
    for _ in range(100_000):
        assert stream.feed(b"x" * 100) == []
    assert stream.feed(b"\n\n") == []


lines = st.sampled_from(["data: a", "data:é漢", "data", "event: e", ": c", "id: 1", "x", "", "", "data: 🦊 "])
ends = st.sampled_from(["\n", "\r", "\r\n"])


@given(st.lists(st.tuples(lines, ends), max_size=20), st.data())
def test_any_text_cut_anywhere_reads_like_the_whole(text: list[tuple[str, str]], data: st.DataObject):
    whole = "".join(line + end for line, end in text).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert read(chunks) == read([whole]) == by_the_book(whole.decode())


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_no_bytes_at_all_break_it_and_cuts_never_matter(noise: bytes, cuts: list[int]):
    edges = [0, *sorted(min(cut, len(noise)) for cut in cuts), len(noise)]
    assert read([noise[a:b] for a, b in pairwise(edges)]) == read([noise])


def by_the_book(text: str) -> list[Sent]:
    """The specification's own algorithm, line by line, as a second opinion."""
    found: list[Sent] = []
    name, data = "", list[str]()
    for line in [*text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), ""]:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                found.append((name.encode(), "\n".join(data).encode()))
            name, data = "", []
        elif field == "data":
            data.append(value)
        elif field == "event":
            name = value
    return found
