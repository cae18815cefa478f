"""A decision as it is kept: one JSON text, in the request's workflow and in the ledger, of bounded length.

It is the decision itself, so that whoever reads it later sees what was seen then. What is empty is left out, and rules
that did the same to nobody (most keep all, or do not apply) share the words for it. One that would be too long (a
thousand models under fifty rules) is cut to the best of the ranking and the first that each rule removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from typing import Any, Final

import msgspec

from gateway.domain.rules import IDLE, Decision, Step

LONGEST = 16_384  # bytes; the typical decision has a tenth of it
_KEPT_MODELS = 64
_KEPT_STEPS = 64
_CUTS = ((24, 200), (8, 120), (3, 80), (1, 40), (0, 20))  # models of each list, characters of each text


@dataclass(frozen=True, slots=True)
class _Kept(Decision):
    """A decision as it is read: `alike` has effects, each with the rules that had it and their places among the steps.

    Those stood among the steps before there was such a field: then it is empty.
    """

    alike: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


_decoder = msgspec.json.Decoder(_Kept)
_encoder = msgspec.json.Encoder()
_PLAIN: Final = Decision(())
_SELDOM: Final = tuple(each.name for each in fields(Decision) if each.name not in ("ranked", "steps", "roll"))


def tell(decision: Decision) -> str:
    """The decision as JSON, cut where it is too long."""
    told = b""
    if len(decision.ranked) <= _KEPT_MODELS:
        told = _encoder.encode(_told(decision))
    for models, words in _CUTS:
        if told and len(told) <= LONGEST:
            break
        told = _encoder.encode(_told(_cut(decision, models, words)))
    return told.decode()


def read(told: str) -> Decision | None:
    """The decision of such a text; None for one that another version of the gateway kept and this one cannot read."""
    try:
        return _whole(_decoder.decode(told))
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
        return _whole(msgspec.convert(value, _Kept))
    except (msgspec.ValidationError, ValueError):
        return None


def _told(decision: Decision) -> dict[str, Any]:
    """What is kept of a decision: what it would not be without."""
    steps: list[dict[str, Any]] = []
    alike: dict[str, dict[str, int]] = {}
    for place, step in enumerate(decision.steps):
        if not step.removed and not step.reasons:
            places = alike.get(step.effect)
            if places is None:
                alike[step.effect] = {step.rule: place}
                continue
            if step.rule not in places:
                places[step.rule] = place
                continue
        told: dict[str, Any] = {"rule": step.rule, "effect": step.effect}
        if step.removed:
            told["removed"] = step.removed
        if step.reasons:
            told["reasons"] = step.reasons
        steps.append(told)
    kept: dict[str, Any] = {"ranked": decision.ranked, "steps": steps, "roll": decision.roll}
    for name in _SELDOM:
        value = getattr(decision, name)
        if value != getattr(_PLAIN, name):
            kept[name] = value
    if alike:
        kept["alike"] = alike
    return kept


def _whole(kept: _Kept) -> Decision:
    """The decision with each step in its place."""
    steps = list(kept.steps)
    alike = ((place, rule, effect) for effect, rules in kept.alike.items() for rule, place in rules.items())
    for place, rule, effect in sorted(alike):
        steps.insert(place, Step(rule, effect))
    return Decision(
        **{each.name: getattr(kept, each.name) for each in fields(Decision) if each.name != "steps"},
        steps=tuple(steps),
    )


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
    if step.effect == IDLE:
        return step
    removed = _first(step.removed, models, words)
    left = len(step.removed) - len(removed)
    effect = step.effect if len(step.effect) <= words else f"{step.effect[:words]}…"
    if left > 0:
        effect = f"{effect} (and {left} more)"
    return Step(step.rule, effect, removed, _first(step.reasons, models, words))


def _first(told: Mapping[str, str], models: int, words: int) -> dict[str, str]:
    return {name: why[:words] for name, why in islice(told.items(), models)}
