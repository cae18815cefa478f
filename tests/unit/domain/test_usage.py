"""Which roll-ups a question reads, and what a period is cut into."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.tags import parse_tags
from gateway.domain.usage import (
    CUTS,
    MOST_BUCKETS,
    Bucket,
    Kept,
    NotKept,
    Percentiles,
    Sums,
    TooManyBuckets,
    UnevenZone,
    UsageFilter,
    ceiling,
    cut_of,
    floor,
    period_of,
    starts_of,
)

NOW = datetime(2026, 11, 24, 15, 40, 12, tzinfo=UTC)
KEPT = Kept(datetime(2026, 9, 24, tzinfo=UTC), datetime(2025, 10, 20, tzinfo=UTC))
UTC_ZONE = ZoneInfo("UTC")


def at(month, day=1, hour=0, year=2026):
    return datetime(year, month, day, hour, tzinfo=UTC)


def spans(since, until, bucket=None, *, now=NOW, local=False):
    period = period_of(since, until, now, KEPT, bucket=bucket, local=local)
    return [(span.grain.value, span.since, span.until) for span in period.spans]


# ---- periods -----------------------------------------------------------------------------------------------------
def test_a_short_period_is_read_from_hours_at_its_ends_and_days_between():
    assert spans(at(11, 10, 5), at(11, 14, 3)) == [
        ("hour", at(11, 10, 5), at(11, 11)),
        ("day", at(11, 11), at(11, 14)),
        ("hour", at(11, 14), at(11, 14, 3)),
    ]


def test_a_long_period_is_read_from_days_at_its_ends_and_months_between():
    assert spans(at(7, 20), at(10, 5)) == [
        ("day", at(7, 20), at(8)),
        ("month", at(8), at(10)),
        ("day", at(10), at(10, 5)),
    ]


def test_a_year_until_now_ends_in_the_month_that_is_under_way():
    since = NOW - timedelta(days=365)
    assert spans(since, NOW) == [
        ("day", at(11, 24, year=2025), at(12, year=2025)),
        ("month", at(12, year=2025), at(12)),
    ]
    assert period_of(since, NOW, NOW, KEPT, bucket=None, local=False).until == at(11, 25)


def test_within_one_hour_the_hour_is_read():
    assert spans(at(11, 10, 5) + timedelta(minutes=10), at(11, 10, 5) + timedelta(minutes=20)) == [
        ("hour", at(11, 10, 5), at(11, 10, 6))
    ]


@pytest.mark.parametrize(
    ("bucket", "grains"),
    [
        (Bucket.HOUR, {"hour"}),
        (Bucket.DAY, {"hour", "day"}),
        (Bucket.MONTH, {"hour", "day"}),
        (None, {"hour", "day"}),
    ],
)
def test_no_roll_up_is_longer_than_a_bucket(bucket, grains):
    assert {grain for grain, _, _ in spans(at(11, 2, 5), at(11, 20, 3), bucket)} == grains


def test_hours_that_are_kept_no_more_widen_the_period_to_days_and_days_to_months():
    assert spans(at(9, 23, 5), at(9, 25, 3)) == [("day", at(9, 23), at(9, 26))]
    assert spans(at(10, 19, 5, year=2025), at(12, 25, 3, year=2025)) == [
        ("month", at(10, year=2025), at(1, year=2026))
    ]


def test_buckets_that_are_kept_no_more_are_refused():
    with pytest.raises(NotKept) as raised:
        spans(at(9, 23, 23), NOW, Bucket.HOUR)
    assert (raised.value.grain, raised.value.since) == (Bucket.HOUR, KEPT.hours_since)
    with pytest.raises(NotKept) as raised:
        spans(at(10, 19, year=2025), NOW, Bucket.DAY)
    assert (raised.value.grain, raised.value.since) == (Bucket.DAY, KEPT.days_since)
    with pytest.raises(NotKept):
        spans(at(9, 23), NOW, Bucket.MONTH, local=True)
    assert spans(at(10, 1, year=2020), NOW, Bucket.MONTH)


moments = st.datetimes(datetime(2025, 1, 1), datetime(2026, 11, 24), timezones=st.just(UTC))  # noqa: DTZ001


@given(moments, moments, st.sampled_from([None, *Bucket]), st.booleans())
def test_the_spans_of_a_period_are_one_after_the_other_and_whole(one, other, bucket, local):
    since, until = sorted((one, other))
    if since == until:
        return
    ever = Kept(at(1, year=2020), at(1, year=2020))
    period = period_of(since, until, NOW, ever, bucket=bucket, local=local)
    assert period.since <= since < until <= period.until
    assert period.spans[0].since == period.since
    assert period.spans[-1].until == period.until
    for before, after in zip(period.spans, period.spans[1:], strict=False):
        assert before.until == after.since
    for span in period.spans:
        assert span.since < span.until
        assert floor(span.since, span.grain) == span.since
        assert floor(span.until, span.grain) == span.until
        if bucket is not None:
            assert list(Bucket).index(span.grain) <= list(Bucket).index(bucket)


def test_moments_are_floored_and_ceiled_in_utc():
    moment = datetime(2026, 1, 1, 0, 30, tzinfo=ZoneInfo("Europe/Bratislava"))
    assert [floor(moment, grain) for grain in Bucket] == [
        at(12, 31, 23, 2025),
        at(12, 31, 0, 2025),
        at(12, 1, 0, 2025),
    ]
    assert [ceiling(moment, grain) for grain in Bucket] == [at(1), at(1), at(1)]
    assert ceiling(at(2), Bucket.MONTH) == at(2)
    assert ceiling(at(1, 31, 12), Bucket.MONTH) == at(2)


# ---- buckets -----------------------------------------------------------------------------------------------------
def test_buckets_begin_at_the_hours_days_and_months_of_utc():
    assert starts_of(at(3, 1, 22), at(3, 2, 1), Bucket.HOUR, UTC_ZONE) == (
        at(3, 1, 22),
        at(3, 1, 23),
        at(3, 2),
    )
    assert starts_of(at(2, 28, 22), at(3, 1, 1), Bucket.DAY, UTC_ZONE) == (at(2, 28), at(3, 1))
    assert starts_of(at(11, 28), at(2, 1, year=2027), Bucket.MONTH, UTC_ZONE) == (
        at(11),
        at(12),
        at(1, year=2027),
    )


def test_days_of_a_zone_begin_at_its_midnight_in_summer_and_in_winter():
    zone = ZoneInfo("Europe/Bratislava")
    assert starts_of(at(10, 24, 22), at(10, 26, 23), Bucket.DAY, zone) == (at(10, 24, 22), at(10, 25, 23))
    assert starts_of(at(10, 25), at(11, 5), Bucket.MONTH, zone) == (at(9, 30, 22), at(10, 31, 23))


def test_a_zone_whose_days_begin_between_two_hours_is_refused_and_its_hours_are_not():
    zone = ZoneInfo("Asia/Kolkata")
    with pytest.raises(UnevenZone):
        starts_of(at(3), at(3, 2), Bucket.DAY, zone)
    assert len(starts_of(at(3), at(3, 2), Bucket.HOUR, zone)) == 24


def test_a_period_is_not_cut_into_more_pieces_than_anybody_reads():
    assert len(starts_of(at(1), at(1) + timedelta(hours=MOST_BUCKETS), Bucket.HOUR, UTC_ZONE)) == MOST_BUCKETS
    for bucket, length in ((Bucket.HOUR, 1 / 24), (Bucket.DAY, 1), (Bucket.MONTH, 31)):
        with pytest.raises(TooManyBuckets):
            starts_of(at(1, year=2000), at(1, year=2000) + timedelta(days=length * 1001.5), bucket, UTC_ZONE)


# ---- roll-ups ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("keys", "filters", "cut"),
    [
        ((), {}, "total"),
        (("kind", "status", "code"), {"kinds": frozenset({"chat"})}, "total"),
        (("model",), {}, "model"),
        (("provider", "status"), {"models": frozenset({"a"})}, "model"),
        (("caller",), {}, "caller"),
        ((), {"callers": frozenset({"a"})}, "caller"),
        (("tag:team", "tag:env", "kind"), {}, "tags"),
        ((), {"tags": parse_tags("team=a")}, "tags"),
        (("model", "tag:team"), {}, "model_tags"),
        (("caller", "model"), {}, "all"),
        (("tag:team",), {"callers": frozenset({"a"})}, "all"),
    ],
)
def test_a_question_reads_the_roll_up_with_the_fewest_rows(keys, filters, cut):
    assert cut_of(keys, UsageFilter(**filters)) == cut


def test_every_question_has_a_roll_up():
    assert CUTS["all"] >= frozenset().union(*CUTS.values())


# ---- what is not known -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("attempts", "unknown", "cost"),
    [(0, 0, Decimal(0)), (3, 0, Decimal("1.5")), (3, 1, Decimal("1.5")), (3, 3, None)],
)
def test_a_cost_of_which_nothing_is_known_is_none_and_never_nothing(attempts, unknown, cost):
    known = Decimal("1.5") if attempts > unknown else Decimal(0)
    assert Sums(attempts=attempts, cost_unknown=unknown, known_cost_usd=known).cost_usd == cost


def test_percentiles_of_nothing_are_none():
    assert Percentiles.of({}) == Percentiles(None, None, None)
