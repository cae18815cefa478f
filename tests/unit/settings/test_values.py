"""Durations, sizes and addresses, as people write them and as they are shown."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.units import format_duration, format_size, parse_duration, parse_size
from gateway.settings.values import masked

# Values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("200ms", timedelta(milliseconds=200)),
        ("1.5h", timedelta(minutes=90)),
        ("7 days", timedelta(7)),
        ("0s", timedelta(0)),
        ("3w", timedelta(21)),
    ],
)
def test_durations(text, value):
    assert parse_duration(text) == value
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize("text", ["", "5", "-5s", "5 parsecs", "s", "1e3s", "99999999999d"])
def test_not_durations(text):
    with pytest.raises(ValueError, match=r"not a duration|longer than"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("32MiB", 33554432), ("128 KiB", 131072), ("1kB", 1000), ("7", 7), ("1.5K", 1536), ("0B", 0)],
)
def test_sizes(text, value):
    assert parse_size(text) == value
    assert parse_size(format_size(value)) == value


@given(st.timedeltas(timedelta(0), timedelta(3650)))
def test_a_duration_is_read_back_as_it_was_written(value):
    assert abs(parse_duration(format_duration(value)) - value) <= timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:sesame@h/db", "postgresql://u:****@h/db"),
        ("postgresql://u:ses@ame@h/db", "postgresql://u:****@h/db"),
        ("postgresql:///db?host=/tmp&password=sesame", "postgresql:///db?host=/tmp&password=****"),
        ("host=h password=sesame dbname=d", "host=h password=**** dbname=d"),
        ("nats://sesame@h:4222", "nats://****@h:4222"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("http://127.0.0.1:8081/v1", "http://127.0.0.1:8081/v1"),
    ],
)
def test_passwords_in_addresses_are_masked(url, shown):
    assert masked(url) == shown
