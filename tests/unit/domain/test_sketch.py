"""Percentiles of what was measured, over any number of replicas."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.sketch import ACCURACY, bucket_of, merged, percentile, value_of

VALUES = st.lists(st.floats(0.01, 1e7), min_size=1, max_size=200)


def exact(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


@given(values=VALUES, share=st.floats(0, 1))
def test_a_percentile_is_off_by_two_percent_at_most(values: list[float], share: float):
    counts = Counter(bucket_of(value) for value in values)
    assert percentile(counts, share) == pytest.approx(exact(values, share), rel=ACCURACY * 1.001)


@given(one=VALUES, other=VALUES)
def test_two_sketches_merge_into_the_sketch_of_all(one: list[float], other: list[float]):
    sketches = [Counter(bucket_of(value) for value in values) for values in (one, other)]
    assert merged(sketches) == Counter(bucket_of(value) for value in one + other)


def test_nothing_measured_has_no_percentile():
    assert percentile({}, 0.5) is None
    assert percentile({3: 0}, 0.5) is None


def test_what_is_next_to_nothing_has_a_bucket_too():
    assert value_of(bucket_of(0.0)) == pytest.approx(0.001, rel=0.05)
