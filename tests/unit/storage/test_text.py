"""Text that every store can keep."""

import json

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.inference import Failure
from gateway.storage.text import storable, storable_all, storable_json

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_what_is_stored_has_no_nul_and_is_utf_8(text):
    kept = storable(text)
    assert "\0" not in kept
    assert kept.encode().decode() == kept


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_what_can_be_stored_stays_as_it_is(text):
    assert storable(text) == text


def test_a_lone_surrogate_is_marked_and_a_pair_is_its_character():
    assert storable("a\ud800b") == "a\N{REPLACEMENT CHARACTER}b"
    assert storable("\ud83d\ude00") == "\N{GRINNING FACE}"


def test_keys_are_texts_too():
    assert storable_all({"a\0": ["\0", 1, None, {"b": "\0"}]}) == {"a�": ["�", 1, None, {"b": "�"}]}


@given(st.dictionaries(ANY_TEXT, ANY_TEXT))
def test_json_is_always_storable(value):
    kept = json.loads(storable_json(value))
    assert set(kept) == {storable(key) for key in value}
    assert set(kept.values()) <= {storable(each) for each in value.values()}


def test_an_escape_in_the_text_is_only_text():
    assert json.loads(storable_json(Failure("x", "\\u0000")))["message"] == "\\u0000"
    assert json.loads(storable_json(Failure("x", "\\\0")))["message"] == "\\�"
