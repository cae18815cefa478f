"""What a reader may not know stands nowhere in what is shown: neither as a name nor within a text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from api.service.veil import HIDDEN, veiled
from gateway.domain.identity import AGENT_RIGHTS, Right
from gateway.domain.inference import Settlement, Status
from gateway.domain.rules import Decision, Refused, Shadow, Step
from gateway.storage.ports import Record
from tests.builders import a_caller, a_request, an_attempt

SECRET, GONE = "secret-model.v2", "gone/model"
DECISION = Decision(
    ranked=("good", SECRET),
    passed_over={GONE: f"slower than {SECRET}", "tried": f"dearer than {SECRET}."},
    rule="canary",
    steps=(Step("canary", f"chooses {SECRET} (5 of 100)", {GONE: "slow"}, {"good": f"beats {SECRET}: 3 s"}),),
    scores={"good": 0.5, SECRET: 0.25},
    refused=Refused("no_model_fits", f"only {SECRET} is left"),
    shadow=Shadow(SECRET, 0.1),
)
REQUEST = a_request(candidates=("good", SECRET, "tried"), model="assistant")
RECORD = Record(
    REQUEST,
    Settlement(
        REQUEST.id,
        Status.COMPLETED,
        datetime(2026, 1, 1, tzinfo=UTC),
        (an_attempt(1, "tried"), an_attempt(2, "good")),
        decision=(f"assistant goes to good, {SECRET}, tried", "attempt 2 succeeded"),
    ),
    decisions=(DECISION,),
)
NARROW = a_caller(models=frozenset({"assistant"}))


def test_a_reader_with_a_narrow_grant_learns_of_no_other_model():
    shown = veiled(RECORD, NARROW, (SECRET, "unrelated"))
    told = msgspec.json.encode(shown).decode()
    assert SECRET not in told
    assert GONE not in told
    assert shown.request.candidates == ("good", "tried")
    assert shown.settlement.decision[0] == f"assistant goes to good, {HIDDEN}, tried"
    (decision,) = shown.decisions
    assert (decision.ranked, decision.scores, decision.shadow) == (("good",), {"good": 0.5}, None)
    assert decision.passed_over == {"tried": f"dearer than {HIDDEN}."}
    assert decision.steps == (
        Step("canary", f"chooses {HIDDEN} (5 of 100)", {}, {"good": f"beats {HIDDEN}: 3 s"}),
    )
    assert (decision.rule, decision.roll) == (DECISION.rule, DECISION.roll)


def test_a_text_may_name_a_model_that_no_list_holds():
    record = replace(RECORD, decisions=(replace(DECISION, steps=(Step("r", "prefers unrelated, too"),)),))
    (decision,) = veiled(record, NARROW, (SECRET, "unrelated")).decisions
    assert decision.steps[0].effect == f"prefers {HIDDEN}, too"


@pytest.mark.parametrize(
    "reader",
    [a_caller(), a_caller(models=frozenset({"assistant"}), rights=AGENT_RIGHTS | {Right.REQUESTS_READ})],
    ids=["may use every model", "may read every request"],
)
def test_who_may_know_all_models_is_shown_all(reader):
    assert veiled(RECORD, reader, (SECRET,)) is RECORD
