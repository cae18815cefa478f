"""`python -m api rules …`: for rules that are kept in files: checks one, and explains what it makes of a request."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from api.service.ask import Hints, tags_of
from api.service.forms import read_chat
from gateway.domain.errors import GatewayError
from gateway.domain.health import LiveFacts
from gateway.domain.identity import AGENT_RIGHTS, Caller, CallerKind
from gateway.domain.inference import Mode
from gateway.domain.registry import Registry
from gateway.domain.rules import Decision, GatewayLoad, RuleSet
from gateway.providers.catalogue import MANUALS
from gateway.registry.checks import Checks
from gateway.registry.seed import load_seed
from gateway.router import Router, asked_of
from gateway.rules.load import load_rules
from gateway.settings import SettingsError, load

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

FileArgument = Annotated[Path, typer.Argument(help="A file of rules.", dir_okay=False)]


@app.command()
def check(file: FileArgument) -> None:
    """Say all that is wrong with a file of rules, each with its line and what would be right; else how many it has."""
    rules = _rules(file)
    count = len(rules.rules)
    sys.stdout.write(f"{file}: {count} rule{'' if count == 1 else 's'}, digest {rules.version}\n")


@app.command()
def explain(
    file: FileArgument,
    *,
    body: Annotated[Path, typer.Option(help="A chat request as JSON, or - for standard input.")],
    models: Annotated[
        Path | None, typer.Option(help="A file of models; that of the settings, unless said.")
    ] = None,
    tags: Annotated[str, typer.Option(help="Tags of the request, as x-gateway-tags has them.")] = "",
    caller: Annotated[str, typer.Option(help="The caller's name.")] = "somebody",
    caller_kind: Annotated[CallerKind, typer.Option(help="What the caller is.")] = CallerKind.AGENT,
    caller_tags: Annotated[str, typer.Option(help="The caller's tags, written as --tags.")] = "",
    roll: Annotated[float, typer.Option(help="The dice, from 0 to 1.", min=0, max=0.999999)] = 0.0,
) -> None:
    """Say what a file of rules makes of a request, rule by rule, without live facts; calls no model."""
    rules = _rules(file)
    try:
        # What a file of models says is looked at, not called: which credentials may be named does not matter here.
        entries = load_seed(models or load().registry.seed, Checks(MANUALS, lambda _: None))
        registry = Registry(entries.models, entries.aliases, "file")
        raw = sys.stdin.buffer.read() if str(body) == "-" else body.read_bytes()
        ask = read_chat(raw, Hints(tags=tags_of(tags)), door="rest")
        asking = Caller("", caller, caller_kind, AGENT_RIGHTS, tags=tags_of(caller_tags))
    except (SettingsError, OSError) as e:
        _give_up(str(e))
    except GatewayError as e:
        _give_up(f"{body}: {e.message}")
    router = Router(lambda: registry, lambda: rules, LiveFacts, GatewayLoad)
    asked = asked_of(ask, Mode.STREAM if ask.stream else Mode.SYNC, ask.traits)
    decision = router.decide(asked, asking, datetime.now(UTC), roll=roll)
    sys.stdout.write("\n".join(_told(decision)) + "\n")
    if decision.refused is not None:
        raise typer.Exit(3)


def _told(decision: Decision) -> list[str]:
    lines: list[str] = []
    for step in decision.steps:
        lines.append(f"{step.rule}: {step.effect}")
        lines += [f"  - {name}: {why}" for name, why in step.removed.items()]
        lines += [f"    {name}: {why}" for name, why in step.reasons.items()]
    if decision.refused is not None:
        return [*lines, f"refused: {decision.refused.code}: {decision.refused.message}"]
    for place, name in enumerate(decision.ranked, start=1):
        score = f"  ({decision.scores[name]:.3f})" if name in decision.scores else ""
        lines.append(f"{place}. {name}{score}")
    return [*lines, f"decided by: {decision.rule}"]


def _rules(file: Path) -> RuleSet:
    try:
        return load_rules(file)
    except SettingsError as e:
        _give_up(str(e))


def _give_up(why: str) -> NoReturn:
    sys.stderr.write(f"{why}\n")
    raise typer.Exit(1)
