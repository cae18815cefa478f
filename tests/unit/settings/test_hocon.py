"""HOCON files come as plain values with places; one that cannot be read says where."""

import os
from contextlib import suppress
from datetime import timedelta

import pytest
import zig_hocon
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.units import parse_duration
from gateway.settings import CONFIG, SettingsError, line_of, load, place_of, read_hocon


def test_a_list_grows_by_naming_itself(write_own):
    own = 'api.allowed_hosts = ${api.allowed_hosts} ["a"]\napi.allowed_hosts = ${api.allowed_hosts} [\n"b" # last\n]'
    assert load(write_own(own), {}).api.allowed_hosts == ("*", "a", "b")


def test_an_object_grows_by_naming_itself(write):
    path = write("a { b = 1 }\na.c = 2\na = ${a} { d = 3 }\ne = ${?e} [1]\nf = ${?f}\n")
    assert read_hocon(path, {}) == {"a": {"b": 1, "c": 2, "d": 3}, "e": [1]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("api {\n port = 1", "own.conf:1: api: expected a } that closes this {, got the end of the file"),
        ("a = 1\n}", "own.conf:2: expected a key, got a } that closes nothing"),
        ("a = [1\nb = 2\n", "own.conf:2: a.1: expected text with = in it to stand in quotes"),
        ("a = [1, 2", "own.conf:1: a: expected a ] that closes this [, got the end of the file"),
        ('\na = "x\nb = 1', 'own.conf:2: a: expected a " that closes this text, got the end of the line'),
        ('a = """x', 'own.conf:1: a: expected a """ that closes this text, got the end of the file'),
        ("a b", "own.conf:1: a b: expected = or { after this key"),
        ("a =", "own.conf:1: a: expected a value, got none"),
        ("a = x@y", "own.conf:1: a: expected text with @ in it to stand in quotes"),
        ("a = ${b", "own.conf:1: a: expected ${name} or ${?name}, or quotes round text with $ in it"),
        ("a += 1", "own.conf:1: a: expected `key = ${key} [ … ]` to add to a list, got +="),
        ('a = "\\u0041"', "own.conf:1: a: expected the character itself in place of its \\u code"),
        ('a."b.c" = 1', 'own.conf:1: expected key { "quoted key" = … } in place of key."quoted key"'),
        ("a = x { b = 1 }", "own.conf:1: expected values of one kind side by side, got text beside a section or a list"),  # noqa: E501
        ("[1, 2]", "own.conf:1: expected keys with values, got a list"),
        ("a {" * 30, "own.conf:1: " + "a." * 12 + "a: expected at most 12 levels of { and ["),
        ("a = ${b}\n\nb = ${a}", ("own.conf:1: a: expected ${b} to lead to a value, got a circle of substitutions\n"
                                 "own.conf:3: b: expected ${a} to lead to a value, got a circle of substitutions")),
        (
            "api.port = 1\nx = ${api.prt}",
            ("own.conf:2: x: expected ${api.prt} to name a key of these files or a variable, found neither. "
            "Did you mean ${api.port}?"),
        ),
        ('include "nope.conf"', 'own.conf:1: expected a file to include, found none at "nope.conf"'),
        (
            '\napi { include "owm.conf" }',
            'own.conf:2: api: expected a file to include, found none at "owm.conf"',
        ),
        ('a = include "b.conf"', "own.conf:1: a: expected include as the first word of its line, or text in quotes"),
        ('include "own.conf"', 'own.conf:1: expected files without a circle, got include "own.conf"'),
        ('include url("http://x/y")', 'own.conf:1: expected include "file.conf", got include url(…)'),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_where(write, text, said, refusal):
    assert refusal(write(text)) == said


def test_a_missing_include_names_the_file_that_was_probably_meant(write, refusal):
    write("", "reference.conf")
    assert refusal(write('include "refrence.conf"')).endswith('Did you mean include "reference.conf"?')


# Pieces that pyhocon by itself goes round in for ever.
_TANGLED = [
    "1",
    "${a}",
    "${?b}",
    "${a} [2]",
    "[1, ${?b}]",
    "${?a} { x = 1 }",
    "{ b = ${a} }",
    "{ c { d = ${a} } }",
    "{ a = 1 }",
    '"s"${?E}',
    "${c.d}",
]


@pytest.mark.timeout(30)
@settings(max_examples=300, deadline=timedelta(seconds=30))
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c.d", "a.b", '"q.r"']), st.sampled_from(_TANGLED)), max_size=6
    )
)
def test_any_tangle_of_names_is_resolved_or_refused(tmp_path_factory, pairs):
    path = tmp_path_factory.getbasetemp() / "tangle.conf"
    path.write_text("\n".join(f"{key} = {value}" for key, value in pairs), "utf-8")
    with suppress(SettingsError):
        assert isinstance(read_hocon(path, {"E": "v"}), dict)


@given(st.text(alphabet='ab.={}[]",#/\n $?{}\\1s+:', max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "own.conf"
    path.write_text(text, "utf-8")
    try:
        read: object = read_hocon(path, {})
    except SettingsError as error:
        read = str(error)
    assert isinstance(read, dict) or str(read).startswith(str(path))


# Reading other files


def test_hocon_comes_as_plain_values_with_lines(write):
    path = write(
        '# a comment with { and "\n'
        'models = [\n  { name = "gpt-4.1", price { input = "1.10" } }\n'
        "  { name = b, timeout = 90s, n = 1.5 } # another\n]\n"
        '"gpt-4.1" = [a, b]\nnone = null\ntext = """two\n\nlines # kept"""\n',
    )
    assert read_hocon(path, {}) == {
        "models": [
            {"name": "gpt-4.1", "price": {"input": "1.10"}},
            {"name": "b", "timeout": timedelta(seconds=90), "n": 1.5},
        ],
        "gpt-4.1": ["a", "b"],
        "none": None,
        "text": "two\n\nlines # kept",
    }
    assert line_of(path, "models.0.price.input") == 3
    assert line_of(path, "models.1.timeout") == 4
    assert line_of(path, "models.1.missing") == 4
    assert line_of(path, ["gpt-4.1", "1"]) == 6
    assert line_of(path, "nothing") is None
    assert str(place_of(path, "text")).endswith("own.conf:8")


def test_lines_follow_a_file_that_is_written_again(write):
    path = write("a = 1")
    assert line_of(path, "a") == 1
    write("\n\na = 1")
    os.utime(path, (1, 1))
    assert line_of(path, "a") == 3


def test_the_seed_file_has_the_local_model_and_takes_its_address_from_the_environment():
    seed = read_hocon(CONFIG / "seed" / "models.conf", {"GATEWAY_LOCAL_MODEL_URL": "http://127.0.0.1:1/v1"})
    assert seed["models"][0]["base_url"] == "http://127.0.0.1:1/v1"
    assert seed["aliases"] == {"assistant": ["smollm2-135m-instruct"]}


def test_the_commented_examples_of_the_seed_file_are_right_too(write):
    text = (
        (CONFIG / "seed" / "models.conf")
        .read_text("utf-8")
        .replace("\n  # { name", "\n  { name")
        .replace("\n  #   ", "\n    ")
    )
    models = read_hocon(write(text), {})["models"]
    assert len(models) == 6
    for model in models:
        assert {"name", "provider", "base_url", "kind", "tags", "context_window", "price"} <= set(model)
        assert all(isinstance(price, str) for price in model["price"].values())


@pytest.mark.parametrize("name", ["reference", "local", "test", "production", "seed/models"])
def test_another_parser_reads_our_files_alike(name):
    path = CONFIG / f"{name}.conf"
    theirs = zig_hocon.ConfigFactory.parse_file(str(path)).as_dict()
    assert _comparable(read_hocon(path, dict(os.environ))) == _comparable(theirs)


def _comparable(value):
    if isinstance(value, dict):
        return {key: _comparable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_comparable(each) for each in value]
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError:
            return value
    return value
