"""A rule set and its text: what is written is read as the same set."""

from __future__ import annotations

import json

import zig_hocon
from hypothesis import given, settings

from gateway.domain.rules import parse
from gateway.rules.cel import compile_cel
from gateway.rules.load import digest_of, rules_of
from gateway.rules.write import write_hocon, write_json
from gateway.settings import read_text
from tests.unit.rules.texts import rule_sets

SLOW = settings(max_examples=20)


def loaded(text):
    document = read_text(text, "draft")
    return rules_of(document.tree, document.place)


@given(rule_sets())
@settings(max_examples=60)
def test_the_canonical_values_of_a_set_are_those_of_the_same_set(tree):
    rules = parse(tree, compile_=compile_cel)
    again = parse(json.loads(write_json(rules)), compile_=compile_cel)
    assert again == rules
    assert digest_of(again.said) == digest_of(rules.said)


@given(rule_sets(most=3))
@SLOW
def test_a_set_written_as_hocon_is_read_as_the_same_set(tree):
    rules = parse(tree, compile_=compile_cel)
    again = loaded(write_hocon(rules))
    assert again.said == rules.said
    assert again.rules == rules.rules


@given(rule_sets(most=3))
@settings(max_examples=60)
def test_another_parser_reads_what_is_written_alike(tree):
    rules = parse(tree, compile_=compile_cel)
    theirs = zig_hocon.ConfigFactory.parse_string(write_hocon(rules)).as_dict()
    assert parse(theirs, compile_=compile_cel).said == rules.said


def test_a_set_is_laid_out_as_a_person_would():
    text = """
    // comments do not stay
    rules = [{ name = "sick models rest", when { request { tags { env = [prod, stage] } } }
               drop { error_rate { over = 25%, window = 60s } } },
             { name = "by expression", keep { expr = "model.tags[\\"size\\"] != \\"small\\" || false" } }]
    fallback { deadline = 120s, cost_limit_usd = 1 }
    """
    assert write_hocon(loaded(text)) == (
        "rules = [\n"
        '  { name = "sick models rest"\n'
        '    when { request.tags = "env=prod|stage" }\n'
        "    drop { error_rate { window = 1m, over = 25% } } }\n"
        "\n"
        '  { name = "by expression"\n'
        '    keep { expr = """model.tags["size"] != "small" || false""" } }\n'
        "]\n"
        'fallback { deadline = 2m, cost_limit_usd = "1.00" }\n'
    )


def test_an_empty_set_is_written_too():
    assert loaded(write_hocon(loaded(""))) == loaded("")
    assert loaded(write_hocon(loaded("rules = []"))) == loaded("rules = []")
