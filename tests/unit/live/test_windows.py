"""Sliding windows give what counting everything again would give."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.health import Window
from gateway.domain.sketch import bucket_of, merged, percentile, percentiles
from gateway.live.counts import CallerCounts, ModelCounts
from gateway.live.windows import Windows

WIDTHS = {
    Window.TEN_SECONDS: (1, 10),
    Window.MINUTE: (1, 60),
    Window.FIVE_MINUTES: (5, 60),
    Window.HOUR: (60, 60),
}
START = 1_800_000_000.0

counts = st.builds(
    ModelCounts,
    requests=st.integers(1, 5),
    errors=st.dictionaries(st.sampled_from(["upstream_timeout", "upstream_broken"]), st.integers(1, 3)),
    latency=st.dictionaries(st.integers(-20, 300), st.integers(1, 9), max_size=5),
    first_token=st.dictionaries(st.integers(-20, 300), st.integers(1, 9), max_size=3),
    speed=st.dictionaries(st.integers(-20, 300), st.integers(1, 9), max_size=3),
    tokens=st.integers(0, 10_000),
    cost_usd=st.decimals(0, 10, places=9),
)
# What happens: time passes, or something is counted, in time or late.
steps = st.lists(
    st.one_of(
        st.floats(0, 20),
        st.floats(0, 4000),
        st.tuples(st.sampled_from(["a", "b", "c"]), counts, st.floats(0, 400)),
    ),
    max_size=40,
)


def in_window(at, now, window):
    width, slices = WIDTHS[window]
    return at // width > now // width - slices


def total(added, key, window, now):
    found = ModelCounts()
    for name, what, at in added:
        if name == key and in_window(at, now, window):
            found.add(what)
    return found


@settings(max_examples=150)
@given(steps)
def test_each_window_is_the_sum_of_what_happened_in_it(story):
    now, added, windows = START, [], Windows(ModelCounts, most=10)
    windows.advance(now)
    for step in story:
        if isinstance(step, float):
            now += step
            windows.advance(now)
        else:
            key, what, late = step
            windows.add(key, what, now - late)
            added.append((key, what, now - late))
        for key in "abc":
            sums = windows.sums(key)
            for window in Window:
                assert sums.get(window, ModelCounts()) == total(added, key, window, now)


@settings(max_examples=50)
@given(steps, st.floats(0, 100))
def test_since_a_moment_is_what_came_in_later_slices(story, ago):
    now, added, windows = START, [], Windows(ModelCounts, most=10)
    windows.advance(now)
    for step in story:
        if isinstance(step, float):
            now += step
            windows.advance(now)
        else:
            windows.add(step[0], step[1], now - step[2])
            added.append((step[0], step[1], now - step[2]))
    later = [each for each in added if each[2] // 1 > (now - ago) // 1]
    assert windows.since("a", Window.MINUTE, now - ago) == total(later, "a", Window.MINUTE, now)


def test_what_changed_is_told_once_and_told_again_when_it_leaves_a_window():
    windows = Windows(CallerCounts, most=10)
    windows.advance(START)
    windows.add("a", CallerCounts(1), START)
    assert set(windows.take_changed()) == {"a"}
    assert set(windows.take_changed()) == set()
    windows.advance(START + 9)
    assert set(windows.take_changed()) == set()
    windows.advance(START + 10)
    assert set(windows.take_changed()) == {"a"}
    assert set(windows.sums("a")) == {Window.MINUTE, Window.FIVE_MINUTES, Window.HOUR}


def test_after_an_hour_nothing_is_left_of_it():
    windows = Windows(CallerCounts, most=10)
    windows.advance(START)
    windows.add("a", CallerCounts(1, 2, Decimal("0.1")), START)
    windows.advance(START + 3600)
    assert (windows.sums("a"), len(windows), windows._held) == ({}, 0, 0)


def test_the_keys_counted_least_lately_are_forgotten():
    windows = Windows(CallerCounts, most=100)
    windows.advance(START)
    windows.add("regular", CallerCounts(1), START)
    for number in range(10_000):
        windows.advance(START + number / 100)
        windows.add(f"caller-{number}", CallerCounts(1), START + number / 100)
        windows.add("regular", CallerCounts(1), START + number / 100)
    assert len(windows) == 100
    assert windows.sums("regular")[Window.HOUR].requests == 10_001
    assert "caller-1" not in {key for slice_ in windows._levels[2].slices.values() for key in slice_}


def test_no_more_slices_are_held_than_said_and_none_leaks():
    windows = Windows(CallerCounts, most=1000, most_slices=500)
    for number in range(3000):
        now = START + number
        windows.advance(now)
        for caller in range(5):
            windows.add(f"caller-{(number + caller) % 50}", CallerCounts(1), now)
        held = sum(
            len(slice_) for level in windows._levels for slice_ in (*level.slices.values(), level.open)
        )
        assert held == windows._held <= 500


def test_a_clock_that_goes_back_a_little_is_waited_for_and_much_begins_anew():
    windows = Windows(CallerCounts, most=10)
    windows.advance(START)
    windows.add("a", CallerCounts(1), START)
    windows.advance(START - 3)
    windows.add("a", CallerCounts(1), START - 3)
    assert windows.sums("a")[Window.TEN_SECONDS].requests == 2
    windows.advance(START - 100)
    windows.add("a", CallerCounts(1), START - 100)
    assert windows.sums("a")[Window.TEN_SECONDS].requests == 1


def test_what_comes_from_a_clock_ahead_counts_as_of_now():
    windows = Windows(CallerCounts, most=10)
    windows.advance(START)
    windows.add("a", CallerCounts(1), START + 3)
    windows.advance(START + 10)
    assert Window.TEN_SECONDS not in windows.sums("a")


@given(st.dictionaries(st.integers(-100, 400), st.integers(0, 50), max_size=30))
def test_percentiles_in_one_pass_are_those_that_are_asked_for_one_by_one(counts):
    shares = (0.0, 0.5, 0.95, 0.99, 1.0)
    assert percentiles(counts, shares) == [percentile(counts, share) for share in shares]


def test_percentiles_over_replicas_are_those_of_all_measurements():
    slow, quick = ModelCounts(), ModelCounts()
    slow.requests, slow.latency = 10, {bucket_of(5000.0): 10}
    quick.requests, quick.latency = 90, {bucket_of(100.0): 90}
    both = ModelCounts()
    both.add(slow)
    both.add(quick)
    assert both.latency == merged([slow.latency, quick.latency])
    live = both.live()
    assert live.p50_ms is not None
    assert abs(live.p50_ms - 100) <= 2
    assert live.p95_ms is not None
    assert abs(live.p95_ms - 5000) <= 100
