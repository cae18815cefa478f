"""What requests would do under other rules, summed up; several tallies add up to one, and one makes the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from itertools import chain, islice
from typing import Final

import msgspec

from gateway.domain.prices import Price
from gateway.domain.rules import Decision
from gateway.domain.simulation import Example, Logged, Move, Report
from gateway.domain.sketch import bucket_of, merged, percentile

MOVES: Final = 50
"""So many kinds of moves are listed, the largest first."""
EXAMPLES: Final = 20
_EACH: Final = 5  # examples kept of each kind of move: of the largest, all may be shown
_NOTHING: Final = Decimal(0)
_SECOND: Final = Decimal(1000)
_NO_TIME: Final = timedelta(0)


class Sums(msgspec.Struct):
    """Costs of requests whose cost is known both ways; `by_second` is USD for each second of the chosen model."""

    requests: int = 0
    usd: Decimal = _NOTHING
    estimated_usd: Decimal = _NOTHING
    by_second: Decimal = _NOTHING

    def add(self, other: Sums) -> None:
        """Add others to these."""
        self.requests += other.requests
        self.usd += other.usd
        self.estimated_usd += other.estimated_usd
        self.by_second += other.by_second


class Kind(msgspec.Struct):
    """Requests that went to one model and would go to one model.

    `timed` are those whose new cost hangs on how long the model takes: that is known at the end. `latency` is a sketch
    of how long they took, of those that were answered.
    """

    requests: int = 0
    plain: Sums = msgspec.field(default_factory=Sums)
    timed: Sums = msgspec.field(default_factory=Sums)
    latency: dict[int, int] = msgspec.field(default_factory=dict[int, int])
    examples: list[Example] = msgspec.field(default_factory=list[Example])

    def add(self, other: Kind) -> None:
        """Add others to these."""
        self.requests += other.requests
        self.plain.add(other.plain)
        self.timed.add(other.timed)
        self.latency = merged((self.latency, other.latency))
        self.examples = (self.examples + other.examples)[:_EACH]

    def costs(self, seconds: Decimal | None) -> Sums:
        """What is known of the costs, given how long the chosen model takes."""
        found = Sums()
        found.add(self.plain)
        if seconds is not None and self.timed.requests:
            found.add(self.timed)
            found.estimated_usd += self.timed.by_second * seconds
        return found


class Tally(msgspec.Struct):
    """All kinds of moves by the model that was called first and the one that would be; the same model is none.

    `latency` holds for each model a sketch of how long its answers took.
    """

    kinds: dict[str, dict[str, Kind]] = msgspec.field(default_factory=dict[str, dict[str, Kind]])
    latency: dict[str, dict[int, int]] = msgspec.field(default_factory=dict[str, dict[int, int]])

    def count(self, logged: Logged, decision: Decision, price: Price | None) -> None:
        """Count a request and what the draft decides about it; `price` is the chosen model's."""
        source, target = logged.first_model, decision.model or ""
        kind = self.kinds.setdefault(source, {}).setdefault(target, Kind())
        kind.requests += 1
        took = logged.took_ms
        if took is not None:
            _note(kind.latency, took)
        answer = logged.answer
        if answer is not None:
            _note(self.latency.setdefault(answer.model, {}), answer.total_ms)
        _count_cost(kind, logged, target, price)
        if source != target and len(kind.examples) < _EACH:
            why = _why(decision, source)
            kind.examples.append(Example(logged.request.id, source, target, decision.rule, why))

    def add(self, other: Tally) -> None:
        """Add another one to this."""
        for source, target, kind in other.each():
            self.kinds.setdefault(source, {}).setdefault(target, Kind()).add(kind)
        for model, sketch in other.latency.items():
            self.latency[model] = merged((self.latency.get(model, {}), sketch))

    def each(self) -> Iterator[tuple[str, str, Kind]]:
        """Every kind, with its models."""
        for source, targets in self.kinds.items():
            for target, kind in targets.items():
                yield source, target, kind

    def report(self) -> Report:
        """What came of it."""
        medians = {model: percentile(sketch, 0.5) for model, sketch in self.latency.items()}
        total = Sums()
        moves: list[tuple[Move, Sequence[Example]]] = []
        was: dict[int, int] = {}
        would: dict[int, int] = {}
        requests = refused = compared = 0
        for source, target, kind in self.each():
            requests += kind.requests
            median = medians.get(target)
            costs = kind.costs(None if median is None else Decimal(repr(median)) / _SECOND)
            total.add(costs)
            if source == target:
                would = merged((would, kind.latency))
                compared += _in(kind.latency)
            elif median is not None:
                answered = _in(kind.latency)
                would = merged((would, {bucket_of(median): answered}))
                compared += answered
            if source == target or median is not None:
                was = merged((was, kind.latency))
            refused += 0 if target else kind.requests
            if source != target:
                move = Move(
                    source,
                    target,
                    kind.requests,
                    costs.usd,
                    costs.estimated_usd,
                    kind.requests - costs.requests,
                )
                moves.append((move, kind.examples))
        moves.sort(key=lambda each: (-each[0].requests, each[0].source, each[0].target))
        return Report(
            requests=requests,
            moved=sum(move.requests for move, _ in moves if move.target),
            refused=refused,
            cost_usd=total.usd,
            estimated_cost_usd=total.estimated_usd,
            cost_unknown=requests - total.requests,
            p50_ms=percentile(was, 0.5),
            estimated_p50_ms=percentile(would, 0.5),
            latency_unknown=requests - compared,
            moves=tuple(move for move, _ in moves[:MOVES]),
            moves_left=max(0, len(moves) - MOVES),
            examples=_shown([examples for _, examples in moves]),
        )


def _count_cost(kind: Kind, logged: Logged, target: str, price: Price | None) -> None:
    cost = logged.cost_usd
    if cost is None:
        return
    if not target:
        kind.plain.add(Sums(1, cost, _NOTHING))  # nothing is called, nothing is paid
        return
    if target == logged.first_model:
        kind.plain.add(Sums(1, cost, cost))  # where nothing changes, what happened is the best estimate
        return
    usage = None if logged.answer is None else logged.answer.usage
    if price is None or usage is None:
        return
    by_second = price.gpu_second_usd
    would = price.cost(usage, _NO_TIME)
    if would is not None:
        (kind.plain if by_second is None else kind.timed).add(Sums(1, cost, would, by_second or _NOTHING))


def _why(decision: Decision, source: str) -> str:
    if decision.refused is not None:
        return decision.refused.message
    if source in decision.passed_over:
        return f"{source} {decision.passed_over[source]}"
    if source not in decision.ranked:
        return f"{source} is no candidate any more" if source else "no model was called"
    return next((step.effect for step in reversed(decision.steps) if step.rule == decision.rule), "")


def _shown(each: Sequence[Sequence[Example]]) -> tuple[Example, ...]:
    """One example of each kind of move, the largest first; then the second of each, as long as there is room."""
    turns = ([some[turn] for some in each if turn < len(some)] for turn in range(_EACH))
    return tuple(islice(chain.from_iterable(turns), EXAMPLES))


def _note(sketch: dict[int, int], value: float) -> None:
    number = bucket_of(value)
    sketch[number] = sketch.get(number, 0) + 1


def _in(sketch: Mapping[int, int]) -> int:
    return sum(sketch.values())
