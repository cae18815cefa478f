"""How long a decision takes: 100 models under 50 rules, in one process, without a server.

`python -m bench.decide [--models N] [--rules N]`. The rules are those that people write (tags, prices, latency, error
rates, loads, schedules, a split, a ranking), over and over until there are enough; in `all apply` each of them holds
and looks at every candidate, in `as usual` half of them hang on a condition that does not hold. `first` is a decision
that remembers nothing, as the first one by new rules; `next` is as the door makes them, with live facts that are new
each time and windows that change with every hundredth.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import thread_time
from typing import Any

from bench.options import show
from bench.report import Report, Table, machine
from bench.stats import percentile
from gateway.domain.health import Live, LiveFacts, ModelHealth, Window
from gateway.domain.prices import Price
from gateway.domain.registry import Capability, Model, ModelLimits
from gateway.domain.rules import Asked, Asking, Decision, Facts, Memory, RuleSet, decide, parse
from gateway.rules.cel import compile_cel

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ROUNDS = 1_000
_BEAT = 100  # decisions in a second, after which all windows are new
_MANY = 1_000


@dataclass(frozen=True, slots=True)
class Shape:
    """How many models, rules and rounds."""

    models: int = 100
    rules: int = 50
    rounds: int = ROUNDS


def models(count: int) -> tuple[Model, ...]:
    """Models of all sorts."""
    return tuple(
        Model(
            name=f"model-{n:03}",
            provider="openai" if n % 3 else "compatible",
            base_url="http://127.0.0.1:1/v1",
            upstream_model=f"m{n}",
            tags={"location": "cloud" if n % 2 else "on-prem", "team": f"t{n % 7}", "tier": "gold"},
            context_window=32_000 * (1 + n % 4),
            max_output=4_096,
            capabilities=frozenset([Capability.TOOLS, Capability.STREAMING]),
            size=("small", "medium", "large")[n % 3],
            quality=(n % 10) / 10,
            limits=ModelLimits(concurrency=50),
        )
        for n in range(count)
    )


def health(number: int) -> ModelHealth:
    """What a model did: none is sick, all differ."""
    live = Live(
        requests=500 + number,
        errors={"upstream_timeout": number % 5},
        p50_ms=400.0 + number,
        p95_ms=900.0 + 3 * number,
        p99_ms=2_000.0 + number,
        first_token_p50_ms=100.0 + number,
        tokens_per_second=40.0 + number % 9,
        tokens=100_000,
        cost_usd=Decimal("0.25"),
    )
    return ModelHealth(dict.fromkeys(Window, live), in_flight=number % 40)


_LOOK: tuple[dict[str, Any], ...] = (
    {"keep": {"tagged": {"tier": "gold"}}},
    {"drop": {"error_rate": {"over": "25%", "window": "1m"}}},
    {"drop": {"latency": {"p95_over": "8s", "window": "5m"}}},
    {"keep": {"price": {"output_usd_per_mtok_under": "100.00"}}},
    {"prefer": {"tagged": {"location": "on-prem"}}},
    {"drop": {"load": {"over": "95%"}}},
    {"keep": {"any": {"size": ["small", "medium"], "quality": {"over": 0.1}, "provider": "compatible"}}},
    {"prefer": {"throughput": {"tokens_per_second_over": 45}}},
    {"keep": {"capability": "tools", "context_window": {"over": "16k"}}},
    {"drop": {"not": {"tagged": "location=on-prem|cloud,!preview"}}},
)
_HOLD: tuple[dict[str, Any], ...] = (
    {"request": {"tags": {"env": "prod"}}},
    {"caller": {"budget_used": {"under": "80%"}}},
    {"schedule": {"days": "mon-fri", "from": "08:00", "to": "18:00", "zone": "Europe/Bratislava"}},
    {"request": {"input_tokens": {"over": 100}}, "caller": {"kind": "agent"}},
)
_LAST: tuple[dict[str, Any], ...] = (
    {"name": "limit", "throttle": {"rate": "100/s", "burst": 200}},
    {"name": "canary", "split": {"model-001": 5, "model-002": 95, "sticky_by": "caller"}},
    {"name": "rank", "rank": {"cost": 0.4, "latency": 0.3, "quality": 0.2, "load": 0.1}},
)


def rules(count: int, *, idle: bool) -> RuleSet:
    """So many rules; with `idle` every second one hangs on a condition that does not hold."""
    made: list[dict[str, Any]] = []
    for number in range(count - len(_LAST)):
        rule = {"name": f"rule {number}", "when": _HOLD[number % len(_HOLD)], **_LOOK[number % len(_LOOK)]}
        if idle and number % 2:
            rule["when"] = {"request": {"tags": {"team": f"nobody-{number}"}}}
        made.append(rule)
    return parse({"rules": [*made, *_LAST]}, compile_=compile_cel)


def facts(count: int) -> Facts:
    """A request of an agent for `auto`, to which all models are admitted."""
    made = models(count)
    prices = {m.name: Price(Decimal("0.15") + n, Decimal("0.60") + n) for n, m in enumerate(made)}
    live = LiveFacts(
        NOW - timedelta(seconds=1),
        {model.name: health(n) for n, model in enumerate(made)},
        budget_used={"agent-1": 0.5},
    )
    asked = Asked(
        "auto", tags={"env": "prod"}, input_tokens=1_500, max_output=500, needs=frozenset([Capability.TOOLS])
    )
    return Facts(asked, made, NOW, Asking("agent-1", "agent-1"), prices=prices, live=live, roll=0.37)


def timed(
    ruleset: RuleSet, given: Facts, rounds: int, *, remembers: bool = True
) -> tuple[list[float], Decision]:
    """Seconds of CPU of each decision. Facts differ from one to the next, as those of requests do."""
    memory = Memory(ruleset) if remembers else None
    decision = decide(ruleset, given, brief=True, memory=memory)
    taken: list[float] = []
    gc.collect()
    for one in _following(given, rounds):
        began = thread_time()
        decision = decide(ruleset, one, brief=True, memory=memory)
        taken.append(thread_time() - began)
    return taken, decision


def _following(given: Facts, rounds: int) -> Iterator[Facts]:
    """The facts of later requests: each time another model is at one more, and after a beat all have new windows."""
    models = dict(given.live.models)
    names = list(models)
    for number in range(rounds):
        if number % _BEAT == 0:
            models = {name: replace(each, windows=dict(each.windows)) for name, each in models.items()}
        name = names[number % len(names)]
        busier = {**models, name: replace(models[name], in_flight=models[name].in_flight + 1)}
        yield replace(given, roll=number / rounds, live=replace(given.live, models=busier))


def measure(shape: Shape) -> Report:
    """Each set of rules over the same facts."""
    given = facts(shape.models)
    idle = rules(shape.rules, idle=True)
    sets: Sequence[tuple[str, RuleSet, Facts]] = (
        ("all apply", rules(shape.rules, idle=False), given),
        ("as usual", idle, given),
        (f"{_MANY:,} models", idle, facts(_MANY)),
        ("an alias of 3 models", idle, facts(3)),
        ("no rules", RuleSet(), given),
    )
    report = Report()
    rows: list[list[str]] = []
    for name, ruleset, one in sets:
        rounds = max(1, shape.rounds * shape.models // max(shape.models, len(one.candidates)))
        first, _ = timed(ruleset, one, max(1, rounds // 5), remembers=False)
        taken, decision = timed(ruleset, one, rounds)
        p50, p99 = (percentile(sorted(taken), share) * 1000 for share in (0.5, 0.99))
        key = name.replace(" ", "_").replace(",", "")
        report.facts[f"decide.{key}.p50_ms"] = p50
        sizes = (len(one.candidates), len(ruleset.rules), len(decision.ranked))
        alone = percentile(sorted(first), 0.5) * 1000
        rows.append([name, *map(str, sizes), f"{alone:.3f}", f"{p50:.3f}", f"{p99:.3f}"])
    columns = (
        *("rules", "models", "rules in the set", "models left"),
        *("first: CPU p50 ms", "next: CPU p50 ms", "next: CPU p99 ms"),
    )
    report.tables.append(Table("One decision", columns, rows))
    return report


def run() -> None:
    """Measure and print."""
    made = argparse.ArgumentParser(prog="python -m bench.decide", description=__doc__)
    made.add_argument("--models", type=int, default=Shape().models)
    made.add_argument("--rules", type=int, default=Shape().rules)
    made.add_argument("--rounds", type=int, default=ROUNDS)
    made.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    asked = made.parse_args()
    before = machine()
    report = measure(Shape(asked.models, asked.rules, asked.rounds))
    show(report.tables, before, as_markdown=asked.markdown)


if __name__ == "__main__":
    run()
