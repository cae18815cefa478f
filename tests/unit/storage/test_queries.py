"""Named queries: what a file may look like, and what is said of one that does not."""

import copy

import pytest

from gateway.storage.postgres.named import Q
from gateway.storage.queries import QueryError, load, parse

GOOD = """-- About this noun.

-- name: spent_since
-- What a caller has spent
-- since a moment.
SELECT sum(cost_usd) FROM attempts
  -- a comment inside belongs to nobody
 WHERE at >= %(since)s;

-- name: all
-- Everything.
SELECT 1;
"""


def test_a_query_is_found_by_its_noun_and_name(tmp_path):
    (tmp_path / "attempts.sql").write_text(GOOD)
    queries = load(tmp_path)
    assert list(queries) == ["attempts"]
    assert list(queries.attempts) == ["spent_since", "all"]
    assert queries.attempts.all == "SELECT 1"
    assert queries.attempts.spent_since.startswith("SELECT sum(cost_usd) FROM attempts\n")
    assert queries.attempts.spent_since.endswith("WHERE at >= %(since)s")
    assert queries.attempts.purposes["spent_since"] == "What a caller has spent since a moment."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELECT 1;", r"x.sql:1: a query begins with"),
        ("-- name: a\nSELECT 1;", "a does not say what it is for"),
        ("-- name: a\n-- Why.\n", "a is empty"),
        (
            "-- name: a\n-- Why.\nSELECT 1;\n-- name: a\n-- Why.\nSELECT 2;",
            "x.sql:4: the query a stands twice",
        ),
        ("-- name: Not-So\n-- Why.\nSELECT 1;", "Not-So is no name"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_refused_by_line(text, said):
    with pytest.raises(QueryError, match=said):
        parse("x.sql", text)


def test_a_query_that_is_not_there_is_named_with_its_nearest(tmp_path):
    (tmp_path / "attempts.sql").write_text(GOOD)
    queries = load(tmp_path)
    with pytest.raises(
        QueryError, match=r"attempts.sql has no query spend_since; did you mean spent_since\?"
    ):
        _ = queries.attempts.spend_since
    with pytest.raises(QueryError, match=r"has no attempt.sql; did you mean attempts\?"):
        _ = queries.attempt.all


def test_a_folder_without_queries_is_a_mistake(tmp_path):
    with pytest.raises(QueryError, match="no queries"):
        load(tmp_path)


def test_queries_can_be_copied_and_asked_for_their_nature(tmp_path):
    (tmp_path / "attempts.sql").write_text(GOOD)
    assert copy.copy(load(tmp_path)).attempts.all == "SELECT 1"


_SELDOM = {
    "usage.roll"
}  # once in seconds, for thousands of requests at once: reading it again costs nothing there


def test_every_query_is_short_enough_for_the_drivers_memory():
    # psycopg parses the parameters of a longer query anew each time (psycopg._queries.MAX_CACHED_STATEMENT_LENGTH).
    assert {f"{noun}.{name}": len(getattr(getattr(Q, noun), name)) for noun in Q for name in getattr(Q, noun)}
    assert not [
        f"{noun}.{name}"
        for noun in Q
        for name in getattr(Q, noun)
        if len(getattr(getattr(Q, noun), name)) > 4096 and f"{noun}.{name}" not in _SELDOM
    ]
