"""Files stay readable, folders are those of the house, and nothing installed stands in front of our modules."""

import re
import sys
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.house.sources import DATA, FOLDERS, PACKAGES, ROOT, python_files, shown

LONGEST = 600


def test_no_python_file_is_longer_than_a_person_reads():
    lines_of = {shown(path): len(path.read_text("utf-8").splitlines()) for path in python_files()}
    long = {name: lines for name, lines in lines_of.items() if lines > LONGEST}
    assert long == {}, f"these have more than {LONGEST} lines"


def test_every_top_level_folder_is_one_of_the_house():
    found = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))}
    assert found - FOLDERS == set(), (
        "a new top-level folder needs a page in docs/decisions/, and a name in sources.py"
    )


def test_folders_of_data_are_no_packages():
    assert [folder for folder in sorted(DATA) if list((ROOT / folder).rglob("__init__.py"))] == []


def test_no_installed_distribution_offers_a_module_of_ours():
    offered = packages_distributions()
    assert {name: offered[name] for name in sorted(FOLDERS) if name in offered} == {}


def test_no_module_of_ours_is_pythons_own():
    assert FOLDERS & set(sys.stdlib_module_names) == frozenset()


@pytest.mark.parametrize("name", sorted(each for each in PACKAGES if (ROOT / each).is_dir()))
def test_our_modules_are_found_here(name):
    spec = find_spec(name)
    assert spec is not None
    assert {Path(place).resolve() for place in spec.submodule_search_locations or ()} == {ROOT / name}


def test_nothing_is_left_to_be_done():
    # Spelt so that this file does not find itself.
    mark = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    left = [shown(path) for path in python_files() if mark.search(path.read_text("utf-8"))]
    assert left == [], "finish it, or open an issue"


def test_every_module_says_what_it_is():
    # A test is a sentence already.
    silent = [
        shown(path)
        for path in python_files(*sorted(PACKAGES - {"tests"}))
        if (text := path.read_text("utf-8").lstrip()) and not text.startswith(('"""', 'r"""', "#!"))
    ]
    assert silent == []
