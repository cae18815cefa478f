import pytest

from bench.stats import Line, Spread, percentile


def test_a_percentile_lies_between_its_neighbours():
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5


def test_the_percentile_of_nothing_is_zero():
    assert percentile([], 0.99) == 0.0


def test_a_spread_sorts_for_itself():
    spread = Spread.of([float(n) for n in reversed(range(101))])
    assert (spread.count, spread.p50, spread.p95, spread.p99, spread.worst) == (101, 50.0, 95.0, 99.0, 100.0)


def test_the_spread_of_nothing_is_zero():
    assert Spread.of([]) == Spread(0, 0.0, 0.0, 0.0, 0.0)


def test_a_line_finds_the_slope_of_what_grows():
    line = Line.through([(n, 100.0 + 3.0 * n) for n in range(10)])
    assert line.slope == pytest.approx(3.0)
    assert line.start == pytest.approx(100.0)


@pytest.mark.parametrize("points", [[], [(1.0, 5.0)], [(1.0, 5.0), (1.0, 7.0)]])
def test_points_that_say_nothing_about_growth_make_a_flat_line(points):
    assert Line.through(points).slope == 0.0
