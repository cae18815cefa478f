"""Choosing models by their tags."""

from __future__ import annotations

import pytest

from gateway.domain.tags import parse_tags

TAGS = {"location": "on-prem", "size": "small", "gpu": ""}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("", True),
        ("gpu", True),
        ("location=on-prem", True),
        ("location=on-prem, size=small|medium", True),
        ("location=on-prem,!preview", True),
        ("location=cloud", False),
        ("preview", False),
        ("!gpu", False),
        ("!size=small|tiny", False),
        ("!size=large", True),
        ("location=on-prem,size=large", False),
    ],
)
def test_an_expression_holds_when_every_term_does(text: str, holds: bool):
    expression = parse_tags(text)
    assert expression.holds(TAGS) is holds
    assert (expression.failing(TAGS) is None) is holds


@pytest.mark.parametrize("text", ["location=on-prem,!preview", "size=small|medium", "gpu"])
def test_an_expression_is_written_as_it_was_read(text: str):
    assert str(parse_tags(text)) == text
    assert parse_tags(str(parse_tags(text))) == parse_tags(text)


@pytest.mark.parametrize(
    "text", ["=x", "a,,b", "a=", "a=b|", "!", "a b", "a=\u2028", ",".join("abcdefghijk" * 3)]
)
def test_a_wrong_expression_says_what_would_be_right(text: str):
    with pytest.raises(ValueError, match=r"expected|at most"):
        parse_tags(text)
