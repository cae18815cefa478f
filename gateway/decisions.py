"""A decision as it is kept: one JSON text, in the request's workflow and in the ledger, of bounded length.

It is the decision itself, so that whoever reads it later sees what was seen then. One that would be too long (a
thousand models under fifty rules) is cut to the best of the ranking and the first that each rule removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice

import msgspec

from gateway.domain.rules import Decision, Step

LONGEST = 16_384  # bytes; the typical decision has a tenth of it
_KEPT_STEPS = 64
_CUTS = ((24, 200), (8, 120), (3, 80), (1, 40), (0, 20))  # models of each list, characters of each text

_decoder = msgspec.json.Decoder(Decision)


def tell(decision: Decision) -> str:
    """The decision as JSON, cut where it is too long."""
    told = msgspec.json.encode(decision)
    for models, words in _CUTS:
        if len(told) <= LONGEST:
            break
        told = msgspec.json.encode(_cut(decision, models, words))
    return told.decode()


def read(told: str) -> Decision | None:
    """The decision of such a text; None for one that another version of the gateway kept and this one cannot read."""
    try:
        return _decoder.decode(told)
    except (msgspec.DecodeError, ValueError):
        return None


def of_texts(told: Iterable[str]) -> tuple[Decision, ...]:
    """The decisions of such texts; those that are empty, or that this version cannot read, are left out."""
    return tuple(decision for each in told if each and (decision := read(each)) is not None)


def of_values(told: Iterable[object]) -> tuple[Decision, ...]:
    """The decisions of JSON values; those that this version cannot read are left out."""
    return tuple(decision for each in told if (decision := _converted(each)) is not None)


def _converted(value: object) -> Decision | None:
    try:
        return msgspec.convert(value, Decision)
    except (msgspec.ValidationError, ValueError):
        return None


def _cut(decision: Decision, models: int, words: int) -> Decision:
    more = len(decision.ranked) - models
    steps = tuple(_cut_step(step, models, words) for step in decision.steps[:_KEPT_STEPS])
    if more > 0:
        steps = (*steps, Step("kept", f"{more} more models were ranked behind these"))
    return replace(
        decision,
        ranked=decision.ranked[:models],
        passed_over=_first(decision.passed_over, models, words),
        steps=steps,
        scores={name: decision.scores[name] for name in decision.ranked[:models] if name in decision.scores},
        throttles=decision.throttles[:models],
    )


def _cut_step(step: Step, models: int, words: int) -> Step:
    removed = _first(step.removed, models, words)
    left = len(step.removed) - len(removed)
    effect = step.effect if len(step.effect) <= words else f"{step.effect[:words]}…"
    if left > 0:
        effect = f"{effect} (and {left} more)"
    return Step(step.rule, effect, removed, _first(step.reasons, models, words))


def _first(told: Mapping[str, str], models: int, words: int) -> dict[str, str]:
    return {name: why[:words] for name, why in islice(told.items(), models)}
