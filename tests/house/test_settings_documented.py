"""config/reference.conf holds every key with its default and a comment, and nothing else."""

import re

from gateway.settings import CONFIG, ROOT, Settings, read_document
from gateway.settings.model import Section
from gateway.settings.scan import scan
from gateway.settings.sources import Given, Variables, known_keys, reading, section_of

REFERENCE = CONFIG / "reference.conf"


def test_every_key_of_the_code_stands_in_the_reference_and_every_key_there_is_known():
    outline = scan(REFERENCE.read_text("utf-8"))
    written = {definition.path for definition in outline.definitions if not definition.path[-1].isdigit()}
    known = set(known_keys(Settings))
    assert written - known == set(), "the code knows no such keys"
    assert known - written == set(), "config/reference.conf lacks these"


def test_keys_stand_in_the_order_of_their_classes():
    written = [definition.path for definition in scan(REFERENCE.read_text("utf-8")).definitions]
    assert [key for key in written if not key[-1].isdigit()] == list(known_keys(Settings))


def test_every_key_is_written_once_with_a_comment_above_it():
    text = REFERENCE.read_text("utf-8")
    definitions = [each for each in scan(text).definitions if not each.path[-1].isdigit()]
    lines = text.splitlines()
    bare = [".".join(each.path) for each in definitions if not lines[each.line - 2].lstrip().startswith("# ")]
    assert bare == [], "these have no comment above them"
    assert len(definitions) == len({each.path for each in definitions})


def test_the_defaults_in_the_code_are_those_of_the_reference():
    with reading(Given(read_document(REFERENCE, {}), Variables())):
        written = Settings()
    for key, info in known_keys(Settings).items():
        if not section_of(info):
            assert (key, _value(written, key)) == (key, _value(Settings(), key))


def test_every_section_says_what_it_is():
    assert all(section.__doc__ for section in Section.__subclasses__())


def test_every_variable_in_our_files_is_explained():
    explained = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    used = {
        name
        for path in CONFIG.rglob("*.conf")
        for name in re.findall(r"\$\{\??(GATEWAY_\w+)\}", path.read_text("utf-8"))
    }
    assert {name for name in used if f"`{name}`" not in explained} == set(), (
        "docs/configuration.md lacks these"
    )


def _value(settings, key):
    value = settings
    for part in key:
        value = getattr(value, part)
    return value
