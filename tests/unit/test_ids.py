"""Ids: new ones say when they were made, derived ones are always the same."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ids import derive_id, moment_in, moment_of, new_id, parse_id


def test_a_new_id_says_when_it_was_made():
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = new_id()
    assert before <= moment_of(made) <= datetime.now(UTC)
    assert UUID(made).version == 7


def test_new_ids_sort_by_time_and_differ():
    made = [new_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert [moment_of(each) for each in made] == sorted(moment_of(each) for each in made)


def test_the_moment_of_rfc_9562s_example():
    assert moment_of("017F22E2-79B0-7CC3-98C4-DC0C0C07398F") == datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)


@given(st.lists(st.text()), st.lists(st.text()))
def test_a_derived_id_stands_for_its_parts_and_no_others(one, other):
    assert derive_id(*one) == derive_id(*one)
    assert (derive_id(*one) == derive_id(*other)) == (one == other)


def test_a_derived_id_is_a_uuid_that_does_not_say_when():
    derived = UUID(derive_id("agent-1", "key"))
    assert (derived.version, derived.variant) == (8, "specified in RFC 4122")
    assert moment_in(derived) is None
    with pytest.raises(ValueError, match="UUIDv7"):
        moment_of(str(derived))


@pytest.mark.parametrize("text", ["", "x", "{%s}", "urn:uuid:%s", "%s ", "\0"])
def test_only_the_usual_form_is_an_id(text):
    assert parse_id(text.replace("%s", new_id())) is None


def test_an_id_in_the_usual_form_is_read():
    made = new_id()
    assert str(parse_id(made)) == made
