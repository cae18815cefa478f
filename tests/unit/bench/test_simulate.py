import json

from bench.decide import models, rules
from bench.simulate import Shape as Simulated
from bench.simulate import _report, registry_text
from gateway.rules.load import rules_of
from gateway.rules.write import write_hocon
from gateway.settings import read_text


def test_the_draft_that_is_tried_is_the_one_whose_decisions_are_timed():
    made = rules(50, idle=True)
    document = read_text(write_hocon(made), "draft")
    assert rules_of(document.tree, document.place).said == made.said


def test_every_model_of_the_ledger_is_registered_with_a_price():
    entries = json.loads(registry_text(models(20)))["models"]
    assert [entry["name"] for entry in entries] == [f"model-{n:03}" for n in range(20)]
    assert all(entry["price"]["input_usd_per_mtok"] for entry in entries)


def test_seconds_are_told_for_a_hundred_thousand_and_what_was_not_decided_is_missed():
    found = {"requests": 4_990, "moved": 10}
    report = _report(Simulated(requests=5_000), found, 2.0, {"worker": 3.0, "postgres": 0.5}, [0.002])
    assert report.facts["simulate.missing"] == 10
    assert 40 < report.facts["simulate.seconds_per_100000"] < 41
