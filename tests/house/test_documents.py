"""What docs/ shows of the code is what the code says."""

import re

import pytest

from gateway.providers.catalogue import MANUALS
from gateway.providers.compatible.quirks import QUIRKS
from gateway.registry.checks import Checks
from gateway.registry.entries import read_entries
from gateway.settings import Place, read_text
from tests.house.documents import DOCS, TABLES, stands

ENTRIES = re.findall(r"```hocon\n(\{.*?\})\n```", (DOCS / "providers.md").read_text(), re.DOTALL)


@pytest.mark.parametrize(("document", "name"), TABLES)
def test_a_table_is_what_the_code_says(document: str, name: str):
    assert stands(document, name) == TABLES[document, name](), "python -m tests.house.documents writes it"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.split(",")[0])
def test_an_entry_to_paste_is_taken(entry: str):
    document = read_text(f"models = [ {entry} ]", "providers.md")
    entries = read_entries(document.tree, Checks(MANUALS, lambda _: None), lambda _: Place(DOCS))
    assert len(entries.models) == 1


def test_every_flavour_has_an_entry_to_paste():
    shown = set(re.findall(r"flavour = \"?([a-z.-]+)", " ".join(ENTRIES)))
    assert shown == set(QUIRKS)
