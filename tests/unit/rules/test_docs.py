"""docs/rules.md: every example on the page is run on the models of its table, and does what stands behind it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from gateway.domain.health import Live, LiveFacts, ModelHealth, Window
from gateway.domain.prices import Price
from gateway.domain.registry import Capability, ModelLimits
from gateway.domain.rules import Asked, Asking, Facts, GatewayLoad, decide
from gateway.domain.rules.actions import ACTIONS
from gateway.domain.rules.actions.rank import MEASURES
from gateway.domain.rules.conditions import CONDITIONS, caller, request
from gateway.domain.rules.predicates import PREDICATES
from gateway.domain.rules.predicates.latency import PERCENTILES
from gateway.domain.rules.scene import Scene
from gateway.rules.cel import NAMES
from gateway.rules.load import rules_of
from gateway.settings import ROOT, read_text
from tests.builders import a_model

PAGE = (ROOT / "docs" / "rules.md").read_text("utf-8")
BLOCKS = re.findall(r"```hocon\n(.*?)```", PAGE, re.DOTALL)
ONE_LINE = re.compile(rf"^((?:when|{'|'.join(ACTIONS)}) .*?) {{2,}}# (→ )?(.*)$", re.MULTILINE)
NOW = datetime(2026, 7, 1, 10, tzinfo=UTC)


def table():
    """The models of the page's table, with what is known of them."""
    rows = [
        re.split(r"\s*\|\s*", row.strip("| "))
        for row in re.findall(r"^\| (?:home|swift|sage|weary) .*$", PAGE, re.MULTILINE)
    ]
    for (
        name,
        provider,
        tags,
        size,
        quality,
        window,
        able,
        dollars_in,
        dollars_out,
        errors,
        p95,
        speed,
        load,
    ) in rows:
        in_flight, _, limit = load.partition(" of ")
        model = a_model(
            name,
            provider=provider,
            tags=dict(tag.split("=") for tag in tags.split()),
            size=size,
            quality=float(quality),
            context_window=int(window),
            capabilities=frozenset(Capability(each) for each in able.split()),
            limits=ModelLimits(int(limit)),
        )
        did = Live(
            requests=100,
            errors={"upstream_timeout": int(errors.rstrip("%"))},
            p50_ms=float(p95) / 2,
            p95_ms=float(p95),
            tokens_per_second=float(speed),
            tokens=10_000,
        )
        yield (
            model,
            Price(Decimal(dollars_in), Decimal(dollars_out)),
            ModelHealth(dict.fromkeys(Window, did), int(in_flight)),
        )


MODELS = list(table())
FACTS = Facts(
    Asked(
        "assistant",
        endpoint="/v1/chat/completions",
        tags={"data": "confidential"},
        input_tokens=20_000,
        max_output=1_000,
        needs=frozenset([Capability.TOOLS]),
    ),
    tuple(model for model, _, _ in MODELS),
    NOW,
    Asking("c-7", "crawler-7", "agent", {"tier": "batch", "team": "search"}),
    prices={model.name: price for model, price, _ in MODELS},
    live=LiveFacts(
        NOW - timedelta(seconds=1),
        {model.name: health for model, _, health in MODELS},
        budget_used={"c-7": 0.85},
    ),
    gateway=GatewayLoad(100, 1_000),
    roll=0.5,
)


def loaded(text):
    document = read_text(text, "docs/rules.md")
    return rules_of(document.tree, document.place)


def made_of(decision):
    return f"refused: {decision.refused.message}" if decision.refused else ", ".join(decision.ranked)


LINES = [match.groups() for block in BLOCKS for match in ONE_LINE.finditer(block)]
WHOLE = [block for block in BLOCKS if not ONE_LINE.search(block)]


def test_the_page_has_its_models_and_its_examples():
    assert [model.name for model, _, _ in MODELS] == ["home", "swift", "sage", "weary"]
    assert len(LINES) > 60
    assert len(WHOLE) > 8
    assert made_of(decide(loaded(""), FACTS)) == "home, swift, sage, weary"


@pytest.mark.parametrize(("text", "arrow", "said"), LINES, ids=[text for text, _, _ in LINES])
def test_an_example_of_one_line_does_what_it_says(text, arrow, said):
    if arrow:
        assert made_of(decide(loaded(f'rules = [{{ name = "x"\n{text} }}]'), FACTS)) == said
        return
    rules = loaded(f'rules = [{{ name = "x"\n{text}\nrefuse = no }}]')
    answer = {"yes": True, "no": False}[said.partition(":")[0].strip()]
    assert rules.rules[0].when.holds(Scene(FACTS, rules.max_age)) is answer


@pytest.mark.parametrize("text", WHOLE, ids=[" ".join(text.split())[:60] for text in WHOLE])
def test_a_whole_example_does_what_stands_behind_it(text):
    [said] = re.findall(r"^# → (.*)$", text, re.MULTILINE)
    rules = loaded(f"rules = [\n{text}]" if text.startswith("{") else text)
    assert made_of(decide(rules, FACTS)) == said


def test_every_word_of_the_language_has_an_example():
    examples = "\n".join(BLOCKS)
    words = [*ACTIONS, *PREDICATES, *CONDITIONS, *MEASURES]
    words += [f"request.{word}" for word in request.PARTS] + [f"caller.{word}" for word in caller.PARTS]
    assert [word for word in words if not re.search(rf"\b{re.escape(word)}\b", examples + _tables())] == []


def test_every_percentile_and_variable_is_named():
    assert [name for name in (*PERCENTILES, *NAMES) if f"`{name}" not in PAGE] == []


def _tables():
    return "\n".join(line for line in PAGE.splitlines() if line.startswith("| `"))


def test_the_mistakes_that_are_shown_are_told_so():
    shown = re.findall(r"^rules\.conf:\d+: (.*)$", PAGE, re.MULTILINE)
    assert len(shown) == 2
    for text, said in zip(("drop { latency { p95_over = 8 } }", "splt { a = 1 }"), shown, strict=True):
        name = re.search(r'rule "([^"]*)"', said)
        with pytest.raises(Exception, match="rule") as refused:
            loaded(f'rules = [{{ name = "{name[1] if name else ""}"\n{text} }}]')
        begins, _, ends = said.partition("…")
        assert begins in str(refused.value)
        assert ends in str(refused.value)
