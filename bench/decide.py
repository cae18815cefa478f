"""How long a decision takes: 100 models under 50 rules, in one process, without a server.

`python -m bench.decide [--models N] [--rules N]`. The rules are those that people write (tags, prices, latency, error
rates, loads, schedules, a split, a ranking), over and over until there are enough; in `all apply` each of them holds
and looks at every candidate, in `as usual` half of them hang on a condition that does not hold.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Sequence
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
from gateway.domain.rules import Asked, Asking, Decision, Facts, RuleSet, decide, parse
from gateway.rules.cel import compile_cel

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ROUNDS = 1_000


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


def timed(ruleset: RuleSet, given: Facts, rounds: int) -> tuple[list[float], Decision]:
    """Seconds of CPU of each decision. Facts differ from one to the next, as those of requests do."""
    each = [replace(given, roll=n / rounds) for n in range(rounds)]
    decision = decide(ruleset, each[0])
    taken: list[float] = []
    gc.collect()
    for one in each:
        began = thread_time()
        decision = decide(ruleset, one)
        taken.append(thread_time() - began)
    return taken, decision


def measure(shape: Shape) -> Report:
    """Each set of rules over the same facts."""
    given = facts(shape.models)
    sets: Sequence[tuple[str, RuleSet, Facts]] = (
        ("all apply", rules(shape.rules, idle=False), given),
        ("as usual", rules(shape.rules, idle=True), given),
        ("an alias of 5 models", rules(shape.rules, idle=True), facts(5)),
        ("no rules", RuleSet(), given),
    )
    report = Report()
    rows: list[list[str]] = []
    for name, ruleset, one in sets:
        taken, decision = timed(ruleset, one, shape.rounds)
        p50, p99 = (percentile(sorted(taken), share) * 1000 for share in (0.5, 0.99))
        key = name.replace(" ", "_")
        report.facts[f"decide.{key}.p50_ms"] = p50
        sizes = (len(one.candidates), len(ruleset.rules), len(decision.ranked))
        rows.append([name, *map(str, sizes), f"{p50:.3f}", f"{p99:.3f}"])
    columns = ("rules", "models", "rules in the set", "models left", "CPU p50 ms", "CPU p99 ms")
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
