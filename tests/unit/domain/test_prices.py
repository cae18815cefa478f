"""Prices are exact and dated, add up, and never take what nobody knows for nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.inference import Outcome, Usage
from gateway.domain.prices import (
    PARTS,
    TOKEN_PARTS,
    DatedPrice,
    Price,
    PriceBook,
    Tier,
    cost_of,
    cost_of_attempt,
)
from gateway.domain.registry import Registry
from tests.builders import a_failed_attempt, a_model, an_attempt

D = Decimal
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = Price(D(2), D(8))


# ---- what is not known -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("price", "usage", "unknown"),
    [
        (TEXT, Usage(100, 10, audio_input=50), ("audio_input_usd",)),
        (TEXT, Usage(100, 10, audio_output=5), ("audio_output_usd",)),
        (TEXT, Usage(100, 10, cache_write=50), ("cache_write_usd",)),
        (TEXT, Usage(100, 10, image_output=5), ("image_output_usd",)),
        (replace(TEXT, cache_write_usd=D(3)), Usage(9, 1, cache_write=5, cache_write_1h=5), ("cache_write_1h_usd",)),
        (Price(D(2)), Usage(100, 10), ("output_usd",)),
        (Price(None, D(8)), Usage(100, 10), ("input_usd",)),
        (TEXT, Usage(input=20, images=1), ("image_usd",)),
        (TEXT, Usage(seconds=3.5), ("audio_hour_usd",)),
        (TEXT, Usage(characters=40), ("million_characters_usd",)),
        (TEXT, Usage(input=9, characters=40), ()),
        (TEXT, Usage(search_units=1), ("search_unit_usd",)),
        (TEXT, Usage(input=9, search_units=1), ()),
        (Price(request_usd=D("0.002")), Usage(input=9, search_units=1, characters=40), ()),
        (Price(search_unit_usd=D("0.002")), Usage(input=9), ("input_usd",)),
        (Price(image_usd=D("0.04")), Usage(input=20), ("input_usd",)),
        (Price(gpu_second_usd=D("0.001")), Usage(10, 5), ("gpu_second_usd",)),
        (Price(), Usage(10, 5), ("input_usd",)),
        (Price(request_usd=D(1), output_usd=D(1)), Usage(0, 1, images=1, reasoning=1), ()),
    ],
)  # fmt: skip
def test_a_part_whose_price_nobody_knows_makes_the_cost_unknown(
    price: Price, usage: Usage, unknown: tuple[str, ...]
):
    bill = price.bill(usage)
    assert bill.unknown == unknown
    assert (bill.usd is None) == bool(unknown)


def test_an_unknown_price_or_usage_is_an_unknown_cost():
    assert cost_of(None, Usage(1, 1)) is None
    assert cost_of(TEXT, None) is None
    assert cost_of(TEXT, Usage()) == 0


def test_what_has_another_parts_price_is_charged_at_it():
    assert TEXT.cost(Usage(100, 10, cached=100)) == TEXT.cost(Usage(100, 10))
    assert TEXT.cost(Usage(100, 10, reasoning=10)) == TEXT.cost(Usage(100, 10))
    assert TEXT.cost(Usage(100, 10, image_input=60)) == TEXT.cost(Usage(100, 10))


def test_time_and_requests_stand_for_what_has_no_price_of_its_own():
    took = timedelta(seconds=2)
    assert Price(gpu_second_usd=D(1)).cost(Usage(10, 5, images=2, seconds=1.5), took) == 2
    assert Price(request_usd=D(1)).cost(Usage(10, 5, images=2)) == 1
    assert Price(gpu_second_usd=D(1), image_usd=D(3)).cost(Usage(images=2), took) == 8


def test_a_refused_attempt_costs_nothing_and_an_empty_answer_costs_its_fee():
    fee = Price(D(1), D(1), request_usd=D("0.005"))
    assert cost_of_attempt(fee, a_failed_attempt()) == 0
    assert cost_of_attempt(None, a_failed_attempt()) == 0
    assert cost_of_attempt(fee, an_attempt(usage=Usage())) == D("0.005")
    assert cost_of_attempt(fee, an_attempt(outcome=Outcome.BROKEN, usage=Usage(10, 0))) == D("0.00501")
    assert cost_of_attempt(fee, an_attempt(usage=None)) is None


def test_an_attempt_by_gpu_time_costs_the_time_it_took():
    price = Price(gpu_second_usd=D("0.0011"))
    assert cost_of_attempt(price, an_attempt(total_ms=3250.5)) == D("0.00357555")


# ---- tiers -------------------------------------------------------------------------------------------------------
def test_a_tier_holds_for_the_whole_request_and_says_only_what_changes():
    price = replace(TEXT, cached_input_usd=D("0.5"), tiers=(Tier(100, input_usd=D(4)), Tier(10, D(3), D(9))))
    assert price.cost(Usage(10, 1)) == D("0.000028")
    assert price.cost(Usage(11, 1)) == D("0.000042")
    assert price.cost(Usage(101, 1, cached=1)) == D("0.0004085")


# ---- dates -------------------------------------------------------------------------------------------------------
def row(model: str, price: Price, said: int = 0) -> DatedPrice:
    return DatedPrice(f"p-{said}", model, price, "test", "ada", NEW_YEAR + timedelta(seconds=said))


def test_the_price_in_force_is_the_last_one_that_has_begun():
    always, later = Price(D(1), D(1)), Price(D(2), D(2), since=NEW_YEAR)
    book = PriceBook.of([row("m", later), row("m", always)])
    assert book.at("m", NEW_YEAR - timedelta(microseconds=1)) == always
    assert book.at("m", NEW_YEAR) == later
    assert book.at("other", NEW_YEAR) is None


def test_a_price_that_ended_is_unknown_even_if_the_registry_has_one():
    book = PriceBook.of([row("good", Price(D(1), D(1))), row("good", Price(since=NEW_YEAR))])
    model = a_model(price=Price(D(9), D(9)))
    registry = Registry({"good": model}, {}, "test", book)
    assert registry.price(model, NEW_YEAR - timedelta(days=1)) == Price(D(1), D(1))
    assert registry.price(model, NEW_YEAR) is None
    assert Registry({"good": model}, {}, "test").price(model, NEW_YEAR) == model.price


def test_of_two_prices_for_one_moment_the_later_said_holds_whatever_their_order():
    rows = [row("m", Price(D(n), D(n), since=NEW_YEAR), said=n) for n in (1, 2, 3)]
    for order in permutations(rows):
        assert PriceBook.of(order).at("m", NEW_YEAR) == Price(D(3), D(3), since=NEW_YEAR)


# ---- for any price and usage -------------------------------------------------------------------------------------
amounts = st.decimals(0, 10_000, places=6)
counts = st.integers(0, 10**7)


@st.composite
def prices(draw: st.DrawFn) -> Price:
    """A price that knows every part."""
    known: Any = {part: draw(amounts) for part in PARTS}
    return Price(**known)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """A usage whose parts fit into it, any of them empty."""
    cached, write, audio, image = (draw(counts) for _ in range(4))
    reasoning, spoken, drawn = (draw(counts) for _ in range(3))
    return Usage(
        input=cached + write + audio + image + draw(counts),
        output=reasoning + spoken + drawn + draw(counts),
        cached=cached,
        reasoning=reasoning,
        cache_write=write,
        audio_input=audio,
        audio_output=spoken,
        images=draw(st.integers(0, 100)),
        seconds=draw(st.integers(0, 10**6)) / 4,
        characters=draw(counts),
        search_units=draw(st.integers(0, 100)),
        cache_write_1h=draw(st.integers(0, write)),
        image_input=image,
        image_output=drawn,
    )


TOOK = timedelta(seconds=1.25)


def known(price: Price, usage: Usage) -> Decimal:
    cost = price.cost(usage, TOOK)
    assert cost is not None
    return cost


def once(price: Price) -> Decimal:
    """What of a cost is there once for each call."""
    return known(price, Usage())


@given(prices(), usages())
def test_a_cost_is_an_exact_decimal_and_never_negative(price: Price, usage: Usage):
    cost = price.cost(usage, TOOK)
    assert isinstance(cost, Decimal)
    assert cost >= 0
    # A million millionths of a millionth: whatever tokens cost is a whole number of these, or something was rounded.
    tokens = replace(usage, images=0, seconds=0.0, search_units=0)
    scaled = (known(price, tokens) - once(price)) * 10**12
    assert scaled == scaled.to_integral_value()


@given(prices(), usages(), usages())
def test_two_usages_cost_together_what_they_cost_apart(price: Price, one: Usage, other: Usage):
    together = known(price, one.plus(other)) + once(price)
    # An hour of audio does not divide by 3600 without a rest.
    assert abs(together - known(price, one) - known(price, other)) < D("1e-15")


@given(
    prices(),
    usages(),
    st.sampled_from(["input", "output", "images", "seconds", "characters", "search_units"]),
    counts,
)
def test_more_never_costs_less(price: Price, usage: Usage, part: str, more: int):
    larger = replace(usage, **{part: getattr(usage, part) + more})
    assert known(price, larger) >= known(price, usage)


@given(prices(), usages(), st.sampled_from(TOKEN_PARTS), amounts)
def test_a_dearer_part_never_costs_less(price: Price, usage: Usage, part: str, more: Decimal):
    dearer = replace(price, **{part: getattr(price, part) + more})
    assert known(dearer, usage) >= known(price, usage)


@given(usages(), st.sampled_from(PARTS))
def test_what_is_unknown_is_said_by_its_own_name(usage: Usage, part: str):
    everything: Any = dict.fromkeys(PARTS, D(1))
    bill = Price(**everything | {part: None}).bill(usage, TOOK)
    assert set(bill.unknown) <= {part}


@given(st.builds(Usage, *[st.integers(0, 50)] * 4, st.just(value=False), *[st.integers(0, 50)] * 4))
def test_a_usage_whose_parts_do_not_fit_is_charged_for_no_more_than_it_has(usage: Usage):
    everything: Any = dict.fromkeys(TOKEN_PARTS, D(1_000_000))
    assert Price(**everything).cost(replace(usage, images=0)) == usage.input + usage.output
