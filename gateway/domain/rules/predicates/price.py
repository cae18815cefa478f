"""`price { output_usd_per_mtok_under = 1.00 }`: what the candidate costs."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from gateway.domain.inference import Usage
from gateway.domain.prices import MILLION, Price
from gateway.domain.registry import Model
from gateway.domain.rules.bounds import Measure, Measured, read_bounds
from gateway.domain.rules.facts import Asked
from gateway.domain.rules.known import Basis
from gateway.domain.rules.reading import USD, Reader
from gateway.domain.rules.scene import Scene

KIND = "price"
USUAL_OUTPUT = 1024
"""The tokens of an answer whose request sets no bound, for estimating what it will cost."""


def estimate(price: Price | None, asked: Asked, model: Model) -> Decimal | None:
    """About what a request costs at a model: its answer is taken to be as long as it may be, or of the usual length."""
    if price is None:
        return None
    output = asked.max_output
    if not output:
        output = USUAL_OUTPUT if model.max_output is None else min(USUAL_OUTPUT, model.max_output)
    by_input, by_output = price.input_usd, price.output_usd
    plain = not price.tiers and price.request_usd is None and price.gpu_second_usd is None
    if plain and by_input is not None and by_output is not None:
        # What most prices come to, ten times as fast: a ranking asks this of every candidate.
        return (asked.input_tokens * by_input + output * by_output) / MILLION
    return price.cost(Usage(input=asked.input_tokens, output=output))


def _input(scene: Scene) -> Sequence[Decimal | None]:
    return [None if price is None else price.input_usd for price in scene.prices]


def _output(scene: Scene) -> Sequence[Decimal | None]:
    return [None if price is None else price.output_usd for price in scene.prices]


def _request(scene: Scene) -> Sequence[Decimal | None]:
    asked = scene.facts.asked
    alike, which = scene.keep("prices alike", _alike, Basis.PRICES)
    costs = [estimate(price, asked, model) for price, model in alike]
    return list(map(costs.__getitem__, which))


def _alike(scene: Scene) -> tuple[list[tuple[Price | None, Model]], list[int]]:
    """The different prices, each with a model that has it, and which of them is each candidate's.

    Many models have the same one: what a request costs at it is worked out once.
    """
    numbers: dict[tuple[Price | None, int | None], int] = {}
    alike: list[tuple[Price | None, Model]] = []
    which: list[int] = []
    for price, model in zip(scene.prices, scene.models, strict=True):
        number = numbers.setdefault((price, model.max_output), len(alike))
        if number == len(alike):
            alike.append((price, model))
        which.append(number)
    return alike, which


def _unpriced(_scene: Scene, _at: int) -> str:
    return "has no known price"


INPUT = Measure(
    "price.input", _input, lambda usd: f"costs ${usd} a million input tokens", _unpriced, basis=Basis.PRICES
)
OUTPUT = Measure(
    "price.output",
    _output,
    lambda usd: f"costs ${usd} a million output tokens",
    _unpriced,
    basis=Basis.PRICES,
)
REQUEST = Measure("price.request", _request, lambda usd: f"would cost about ${usd:.6f}", _unpriced)


def read(reader: Reader) -> Measured:
    """Over or under US dollars: a million tokens in or out, or this request as estimated."""
    mine = reader.child(KIND)
    found = read_bounds(
        mine,
        {
            "input_usd_per_mtok": (INPUT, USD),
            "output_usd_per_mtok": (OUTPUT, USD),
            "request_usd": (REQUEST, USD),
        },
    )
    mine.finish()
    return found
