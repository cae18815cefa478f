"""Rule texts that mean harm: each is refused in time, and the next text is read as if nothing had been."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.rules.problems import RuleProblem
from gateway.rules.texts import LONGEST, RuleTexts
from gateway.rules.worker import answer
from gateway.settings import SettingsError

GOOD = 'rules = [{ name = "home", keep { tagged { location = on-prem } } }]'


def rule(rest: str, name: str = "x") -> str:
    return f'rules = [{{ name = "{name}", {rest} }}]'


def expr(text: str) -> str:
    return rule(f'drop {{ expr = """{text}""" }}')


# What each text tries, the text, and a word of the answer.
REFUSED = {
    "reads a file": ('include "/etc/passwd"', "include"),
    "reads a file in a rule": ('rules = [{ include "secrets.conf" }]', "include"),
    "reads a url": ('include url("http://127.0.0.1/x.conf")', "include"),
    "reads a package": ('include package("os:path")', "include"),
    "needs a file": ('include required(file("/etc/shadow"))', "include"),
    "includes as a value": ("rules = include x", "include"),
    "reads the environment": ("rules = ${HOME}", "${HOME}"),
    "reads the environment if it is there": ("rules = ${?DATABASE_URL}", "${DATABASE_URL}"),
    "reads the environment in a rule": (rule("refuse = ${GATEWAY_KEY}"), "${GATEWAY_KEY}"),
    "reads the environment inside a text": (rule("refuse = my ${GATEWAY_KEY}"), "${GATEWAY_KEY}"),
    "adds to a list": (GOOD + "\nrules += { name = y }", "+="),
    "goes in a circle": ("a = ${b}\nb = ${a}", "circle"),
    "goes in a circle by itself": ("a { b = ${a} }", "circle"),
    "doubles itself": ("a = x\n" + "".join("a = ${a}${a}\n" for _ in range(40)), "a"),
    "laughs": (
        "a0 = lol\n" + "".join(f"a{n + 1} = [${{a{n}}} ${{a{n}}} ${{a{n}}}]\n" for n in range(30)),
        "a",
    ),
    "is nested deep in objects": ("a { " * 500 + "}" * 500, "levels"),
    "is nested deep in lists": ("a = " + "[" * 10_000, "levels"),
    "is nested deep by dots": (".".join("a" * 5_000) + " = 1", "simpler"),
    "is nested deep in conditions": (rule("when { " + "not { " * 100 + "}" * 100 + " }, drop {}"), "levels"),
    "never ends a text": ('rules = "', "closes"),
    "never ends a long text": ('rules = """', "closes"),
    "never ends an object": ("rules = [{ ", "closes"),
    "closes what is not open": ("}", "closes nothing"),
    "holds control characters": ("rules = \x00", "control"),
    "holds half a character": ("rules = \ud800", "halves"),
    "hides a code": (rule(r'refuse = "\u0000"'), "code"),
    "is too long": ("#" * (LONGEST + 1), "bytes"),
    "is too long in bytes": ("é" * (LONGEST // 2 + 1), "bytes"),
    "is only a list": ("[1, 2]", "list"),
    "names a rule by a novel": (rule("refuse = no", name="x" * 101), "100 characters"),
    "names a rule over two lines": (rule("refuse = no", name="a\\nb"), "one line"),
    "has a rule of numbers": ("rules = [1, 2, 3]", "needs an object"),
    "expects a match to take for ever": (expr("request.model.matches('(a+)+$') && x"), "there is no x"),
    "loops in a loop": (expr("[1,2].all(x, [1,2].all(y, x == y))"), "inside each other"),
    "hides a loop in a loop": (expr("[1].all(x, [1].all(y, r'\\' == '' + 'x' ))"), "without r or b"),
    "writes a long expression": (expr("1 == 1 || " * 400 + "true"), "characters"),
    "nests an expression deep": (expr("(" * 200 + "true" + ")" * 200), "deep"),
    "calls what is not there": (expr("open('/etc/passwd')"), "no open"),
    "reaches for Python": (expr("model.__class__.__name__ == 'x'"), "model"),
    "compares a thousand types": (expr("[1, 'a', 2.0, null, true] == 3"), "does not go"),
    "escapes a tag": (rule('keep { tagged { "a,b" = "c|d" } }'), "tag"),
    "tags by a thousand terms": (rule('keep { tagged = "' + ",".join("a" * 100) + '" }'), "32"),
    "splits to a path": (rule('split { "../../x" = 1 }'), "name of a model"),
    "asks for a window of its own": (rule("drop { error_rate { over = 1%, window = 99999d } }"), "window"),
    "waits for a century": ("fallback { deadline = 99999999999999d }", "simpler"),
    "waits for a century in quotes": ('fallback { deadline = "99999999999999d" }', "duration"),
    "waits for less than nothing": ('fallback { deadline = "-5s" }', "duration"),
    "spends without end": ("fallback { cost_limit_usd = 1e999 }", "dollars"),
    "spends what is no number": ('fallback { cost_limit_usd = "NaN" }', "dollars"),
    "tries for ever": ("fallback { attempts = 100000 }", "attempts"),
    "counts to infinity": (rule("rank { cost = 1e400 }"), "number"),
    "sets a zone by a path": (
        rule('when { schedule { days = mon, zone = "../../etc/passwd" } }, refuse = no'),
        "zone",
    ),
}


BEFORE_READING = ("is too long", "is too long in bytes", "holds half a character")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", [name for name in REFUSED if name not in BEFORE_READING])
def test_a_hostile_text_is_refused_with_what_is_wrong(name):
    text, word = REFUSED[name]
    told = answer({"text": text, "name": "draft"})
    said = " ".join(each["text"] for each in told["problems"])
    assert word in said
    assert "root:" not in said


@pytest.fixture
async def texts():
    made = RuleTexts(seconds=2)
    yield made
    await made.close()


async def test_a_text_that_is_too_long_or_no_text_is_not_even_read(texts):
    for name in BEFORE_READING:
        text, word = REFUSED[name]
        with pytest.raises(SettingsError, match=word):
            await texts.read(text, "draft")
    assert texts._process is None


async def test_a_text_that_takes_too_long_is_given_up_and_the_next_is_read(texts):
    slow = "a = [" + "1," * 100_000 + "]"
    with pytest.raises(SettingsError, match="takes longer"):
        await texts.read(slow, "draft")
    assert (await texts.read(GOOD, "draft")).rules[0].name == "home"
    # It may have been the machine's fault: that is not held against the text.
    texts._seconds = 0.0005
    with pytest.raises(SettingsError, match="takes longer"):
        await texts.read(GOOD + "\n", "draft")
    texts._seconds = 10
    assert (await texts.read(GOOD + "\n", "draft")).rules[0].name == "home"


async def test_a_text_that_was_read_is_known(texts):
    await texts.read(GOOD, "draft")
    mistaken = GOOD.replace("keep", "kep")
    with pytest.raises(SettingsError, match="Did you mean keep"):
        await texts.read(mistaken, "draft")
    await texts.close()
    assert (await texts.read(GOOD, "draft")).rules[0].name == "home"
    with pytest.raises(SettingsError, match=r"version 3:1: .*Did you mean keep"):
        await texts.read(mistaken, "version 3")
    assert texts._process is None


async def test_a_process_that_dies_of_a_text_takes_nothing_with_it(texts):
    await texts.read(GOOD, "draft")
    texts._process.kill()
    await texts._process.wait()
    assert (await texts.read(GOOD + "\n", "draft")).rules[0].name == "home"


async def test_the_process_has_nothing_that_is_secret(texts, monkeypatch):
    monkeypatch.setenv("GATEWAY_CANARY", "canary-secret")
    await texts.read(GOOD, "draft")
    with open(f"/proc/{texts._process.pid}/environ", "rb") as environ:  # noqa: ASYNC230, PTH123
        assert b"canary" not in environ.read()


async def test_a_reader_who_leaves_gets_nobody_the_wrong_answer(texts):
    await texts.read(GOOD, "draft")
    leaving = asyncio.create_task(texts.read("a = [" + "1," * 50_000 + "]", "draft"))
    await asyncio.sleep(0.05)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert (await texts.read(GOOD + "\n\n", "draft")).rules[0].name == "home"


async def test_texts_are_read_side_by_side_in_their_own_names(texts):
    read = await asyncio.gather(*(texts.read(GOOD.replace("home", f"r{n}"), "draft") for n in range(4)))
    assert [each.rules[0].name for each in read] == ["r0", "r1", "r2", "r3"]


async def test_what_is_wrong_has_line_rule_key_and_the_nearest_word(texts):
    text = 'rules = [\n  { name = "slow"\n    drop { latncy { p95_over = 8s } } }\n]'
    with pytest.raises(SettingsError) as refused:
        await texts.read(text, "version 12")
    [problem] = refused.value.problems
    assert isinstance(problem, RuleProblem)
    assert (problem.place.line, problem.rule, problem.nearest) == (3, "slow", "latency")
    assert problem.key == "rules.0.drop.latncy"
    assert str(problem).startswith('version 12:3: rule "slow": latncy is not known here')


async def test_the_same_rules_have_the_same_version_however_they_are_written(texts):
    one = await texts.read(GOOD, "draft")
    other = await texts.read(
        json.dumps({"rules": [{"name": "home", "keep": {"tagged": "location=on-prem"}}]}), "draft"
    )
    assert one == other
    assert one.version == other.version
    assert (await texts.read(GOOD, "draft", version="12")).version == "12"
