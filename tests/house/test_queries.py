"""Each named query is used, each used name is there, and every backend has the same names."""

import re

import pytest

from gateway.storage import queries
from tests.house.sources import ROOT, python_files, shown

# A backend is a folder with queries; `Q.requests.settle` in its Python uses the query `settle` of requests.*.
BACKENDS = sorted(path.parent for path in (ROOT / "gateway" / "storage").glob("*/queries") if path.is_dir())
USE = re.compile(r"\b(?:Q|QUERIES|queries)\.([a-z]\w*)\.([a-z]\w*)\b")
NAME = re.compile(r"^\s*(?:--|//|#)\s*name:\s*(\S+)\s*$", re.MULTILINE)


def named(backend):
    return {
        (path.stem, name)
        for path in sorted((backend / "queries").iterdir())
        for name in NAME.findall(path.read_text("utf-8"))
    }


def used(backend):
    return {
        match
        for path in python_files(str(backend.relative_to(ROOT)))
        for match in USE.findall(path.read_text("utf-8"))
        if match[1] != "purposes"
    }


def test_there_is_a_backend_with_queries():
    assert [backend.name for backend in BACKENDS]


@pytest.mark.parametrize("backend", BACKENDS, ids=shown)
def test_no_query_is_missing_and_none_is_an_orphan(backend):
    assert used(backend) - named(backend) == set(), "the code uses these, and no file has them"
    assert named(backend) - used(backend) == set(), "no code uses these"


@pytest.mark.parametrize("backend", BACKENDS, ids=shown)
def test_every_query_is_read_and_says_what_it_is_for(backend):
    loaded = queries.load(backend / "queries")
    assert {(noun, name) for noun in loaded for name in getattr(loaded, noun)} == named(backend)
    assert all(getattr(loaded, noun).purposes[name] for noun, name in named(backend))


def test_backends_that_serve_a_noun_know_its_queries_by_the_same_names():
    for first in BACKENDS:
        for second in BACKENDS:
            both = {noun for noun, _ in named(first)} & {noun for noun, _ in named(second)}
            assert {each for each in named(first) if each[0] in both} == {
                each for each in named(second) if each[0] in both
            }
