"""A price in the wrong unit is doubted, with the unit that it looks like."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.domain.price_checks import doubts
from gateway.domain.prices import Price, Tier

D = Decimal
USUAL = Price(D("2.50"), D("10.00"), D("1.25"))


def test_a_usual_price_is_not_doubted():
    assert doubts(USUAL) == ()
    assert doubts(USUAL, before=USUAL, elsewhere=USUAL) == ()
    assert doubts(Price(D(0), D(0))) == (), "a model may be free"
    assert doubts(Price()) == (), "and a price may end"


@pytest.mark.parametrize(
    ("price", "part", "words"),
    [
        (Price(D("0.0000025"), D(10)), "input_usd", "did you mean 2.5? (0.0000025 looks like USD per token)"),
        (Price(D("0.00015"), D(10)), "input_usd", "did you mean 150? (0.00015 looks like USD per token)"),
        (Price(D(15_000), D(10)), "input_usd", "more than anything costs (at most 10000); did you mean 150?"),
        (Price(D(2), D(1_000_000)), "output_usd", "1000000 USD per million tokens is more than anything costs"),
        (Price(image_usd=D(400)), "image_usd", "did you mean 4? (400 looks like USD in cents)"),
        (Price(request_usd=D("0.00000001")), "request_usd", "per request is less than anything costs"),
        (Price(gpu_second_usd=D("2.49")), "gpu_second_usd", "did you mean 0.0006917? (2.49 looks like USD per hour)"),
        (Price(audio_hour_usd=D("0.0001")), "audio_hour_usd", "did you mean 0.36? (0.0001 looks like USD per second)"),
        (Price(D(2), D(8), D(4)), "cached_input_usd", "costs more than input at 2: are they exchanged?"),
        (Price(D(2), tiers=(Tier(9, D("0.000004")),)), "tiers.0.input_usd", "but 2 below the tier; did you mean 4?"),
    ],
)  # fmt: skip
def test_a_price_beyond_all_bounds_is_doubted_with_its_unit(price: Price, part: str, words: str):
    [doubt] = doubts(price)
    assert doubt.part == part
    assert words in doubt.why


@pytest.mark.parametrize("factor", ["100", "0.01", "1000000", "0.000001", "0"])
def test_a_price_far_from_what_it_was_is_doubted(factor: str):
    assert USUAL.input_usd is not None
    new = Price(USUAL.input_usd * D(factor), USUAL.output_usd)
    [doubt] = doubts(new, before=USUAL)
    assert doubt.part == "input_usd"
    assert "but 2.50 before" in doubt.why
    assert "but 2.50 by the published price" in doubts(new, elsewhere=USUAL)[0].why


@pytest.mark.parametrize("factor", ["99", "0.0101", "2", "0.5"])
def test_a_price_that_only_changed_is_not_doubted(factor: str):
    assert USUAL.output_usd is not None
    assert doubts(Price(USUAL.input_usd, USUAL.output_usd * D(factor)), before=USUAL) == ()


def test_what_was_free_may_cost_something():
    assert doubts(USUAL, before=Price(D(0), D(0))) == ()


def test_what_is_known_of_a_model_counts_for_more_than_the_general_bounds():
    dear = Price(D(20_000), D(30_000))
    assert [doubt.part for doubt in doubts(dear)] == ["input_usd", "output_usd"]
    assert doubts(dear, before=Price(D(19_000), D(29_000))) == ()


@pytest.mark.parametrize(
    ("wrong", "right"), [("0.0025", "2.5"), ("0.0000025", "2.5"), ("250", "2.5")]
)  # fmt: skip
def test_the_unit_is_guessed_from_what_is_known(wrong: str, right: str):
    [doubt] = doubts(Price(D(wrong)), elsewhere=Price(D("2.50")))
    assert f"did you mean {right}?" in doubt.why
