"""Hiding the models that a reader may not know, wherever they stand in what is shown of a request."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from gateway.domain.identity import Caller, Right
from gateway.domain.rules import Decision, Step
from gateway.storage.ports import Record

HIDDEN = "another model"
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")


def veiled(record: Record, reader: Caller, models: Collection[str]) -> Record:
    """The record as its reader may see it; `models` are all that there are.

    With the right `requests.read`, or a grant for every model, that is all of it. Else its reader may know the models
    it may ask for by name, and those that were called for this request.
    """
    if reader.models is None or reader.may(Right.REQUESTS_READ):
        return record
    known = {*reader.models, record.request.model, *(a.model for a in record.settlement.attempts)}
    veil = _Veil({*models, *_named(record)} - known)
    return replace(
        record,
        request=replace(record.request, candidates=veil.names(record.request.candidates)),
        settlement=replace(
            record.settlement, decision=tuple(veil.text(line) for line in record.settlement.decision)
        ),
        decisions=tuple(veil.decision(each) for each in record.decisions),
    )


class _Veil:
    """Takes some names out of lists and texts."""

    def __init__(self, hidden: Collection[str]) -> None:
        self._hidden = hidden

    def names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if name not in self._hidden)

    def text(self, text: str) -> str:
        return _WORD.sub(self._word, text)

    def decision(self, decision: Decision) -> Decision:
        shadow, refused = decision.shadow, decision.refused
        return replace(
            decision,
            ranked=self.names(decision.ranked),
            passed_over=self._told(decision.passed_over),
            steps=tuple(self._step(step) for step in decision.steps),
            scores={name: score for name, score in decision.scores.items() if name not in self._hidden},
            refused=refused if refused is None else replace(refused, message=self.text(refused.message)),
            shadow=None if shadow is None or shadow.model in self._hidden else shadow,
        )

    def _step(self, step: Step) -> Step:
        return Step(step.rule, self.text(step.effect), self._told(step.removed), self._told(step.reasons))

    def _told(self, told: Mapping[str, str]) -> dict[str, str]:
        return {name: self.text(why) for name, why in told.items() if name not in self._hidden}

    def _word(self, found: re.Match[str]) -> str:
        word = found[0]
        if word in self._hidden:
            return HIDDEN
        bare = word.rstrip("._:/@+-")  # the end of a sentence is no part of a name
        return HIDDEN + word[len(bare) :] if bare in self._hidden else word


def _named(record: Record) -> set[str]:
    """Every model that stands in a record as a name: some may have left the registry since."""
    found = set(record.request.candidates)
    for decision in record.decisions:
        found.update(decision.ranked, decision.passed_over, decision.scores)
        for step in decision.steps:
            found.update(step.removed, step.reasons)
        if decision.shadow is not None:
            found.add(decision.shadow.model)
    return found
