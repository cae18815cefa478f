"""A rule text's plain values → a `RuleSet`, or all that is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.domain.rules.actions import ACTIONS, Rank, read_action
from gateway.domain.rules.actions.terms import read_terms
from gateway.domain.rules.conditions import Condition, read_condition
from gateway.domain.rules.decision import Hedge, Shadow, Terms
from gateway.domain.rules.matching import MODEL, NAME
from gateway.domain.rules.reading import (
    DURATION,
    SHARE,
    USD,
    Compile,
    Key,
    Kind,
    Mistake,
    Reader,
    RulesMistaken,
    Shared,
    Unfit,
    shown,
    word_of,
)
from gateway.domain.rules.rule import MAX_AGE, Rule, RuleSet

_RULE_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_MOST_RULES = 1000
_PERCENTILE = "p95"


def _no_expressions(_text: str, _about_model: bool) -> Any:  # noqa: FBT001  the shape of `Compile`
    raise Unfit("expressions are not read here")


def parse(tree: Mapping[str, Any], version: str = "none", compile_: Compile = _no_expressions) -> RuleSet:
    """Read a whole rule set. Raises RulesMistaken with every mistake that was found.

    `tree` has plain values as HOCON or JSON give them; durations may be timedeltas.
    """
    shared = Shared(compile_)
    top = Reader(tree, (), shared)
    rules = _read_rules(top, shared)
    shared.rule = ""
    terms = read_terms(top.child("fallback"), also=False) if "fallback" in top else Terms()
    hedge, hedge_when = _read_hedge(top.child("hedge")) if "hedge" in top else (None, None)
    shadow, shadow_when = _read_shadow(top.child("shadow")) if "shadow" in top else (None, None)
    max_age = MAX_AGE
    if "facts" in top:
        facts = top.child("facts")
        max_age = facts.value("max_age", DURATION, MAX_AGE)
        facts.finish("max_age")
    top.finish("rules", "fallback", "hedge", "shadow", "facts")
    if shared.mistakes:
        raise RulesMistaken(shared.mistakes)
    return RuleSet(version, rules, terms, hedge, hedge_when, shadow, shadow_when, max_age, top.said)


def _read_rules(top: Reader, shared: Shared) -> tuple[Rule, ...]:
    raw = top.raw("rules")
    if raw is None and "rules" not in top:
        return ()
    if not isinstance(raw, list):
        top.wrong("rules", f"needs a list of rules [ {{ name = … }} ]; got {shown(raw)}")
        return ()
    if len(raw) > _MOST_RULES:
        top.wrong("rules", f"needs at most {_MOST_RULES} rules; got {len(raw)}")
        return ()
    found: list[Rule] = []
    said: list[Mapping[str, Any]] = []
    asked: dict[Condition, Condition] = {}
    for number, entry in enumerate(raw):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        shared.rule = name if isinstance(name, str) else f"number {number + 1}"
        shared.above = 2
        reader = Reader(entry, ("rules", str(number)), shared)
        rule = _read_rule(reader, asked)
        said.append(reader.said)
        if rule is not None:
            _check(rule, found, reader)
            found.append(rule)
    shared.above = 0
    top.said["rules"] = said
    return tuple(found)


def _read_rule(reader: Reader, asked: dict[Condition, Condition]) -> Rule | None:
    name = reader.required("name", _NAMED, "")
    when: Condition | None = None
    if "when" in reader:
        when = read_condition(reader.child("when"))
        # Rules that hang on the same are given the same condition: then a decision asks it once.
        when = asked.setdefault(when, when)
    applies = False
    if "when_unknown" in reader:
        applies = reader.value("when_unknown", word_of("skip", "apply"), "skip") == "apply"
        if when is None:
            reader.wrong("when_unknown", "goes with when; there is none")
    action = read_action(reader)
    reader.finish("name", "when", "when_unknown", "on_unknown", *ACTIONS)
    if action is None:
        return None
    return Rule(name, action, when, applies, action.live or (when is not None and when.live))


def _check(rule: Rule, before: list[Rule], reader: Reader) -> None:
    """What no rule can see by itself: a name that stands twice, a ranking that can never count."""
    if any(each.name == rule.name for each in before):
        reader.wrong("name", f"needs to be a name of its own; {rule.name} stands twice")
    if isinstance(rule.action, Rank) and rule.when is None:
        earlier = [each.name for each in before if isinstance(each.action, Rank)]
        if earlier:
            text = f"would always take the place of {earlier[-1]}, since the last rank counts: "
            text += "put it before that one, or give it a when"
            reader.wrong("rank", text)


def _read_hedge(reader: Reader) -> tuple[Hedge, Condition | None]:
    """`hedge { after = p95, max_extra = 1, max_extra_cost_usd = 0.05, when { … } }`."""
    after = reader.required("after", _AFTER, None)
    extra = reader.value("max_extra", _EXTRA, 1)
    cost = reader.optional("max_extra_cost_usd", USD)
    when = read_condition(reader.child("when")) if "when" in reader else None
    reader.finish("after", "max_extra", "max_extra_cost_usd", "when")
    return Hedge(after, extra, cost), when


def _read_shadow(reader: Reader) -> tuple[Shadow, Condition | None]:
    """`shadow { model = "candidate-x", share = 2%, when { … } }`."""
    model = reader.required("model", NAME, "")
    share = reader.required("share", _SOME_SHARE, 0.0)
    when = read_condition(reader.child("when")) if "when" in reader else None
    reader.finish("model", "share", "when")
    if model and not MODEL.fullmatch(model):
        reader.wrong("model", f"needs the name of one model; got {model}")
    return Shadow(model, share), when


def _read_after(raw: Any) -> Any:
    return None if raw == _PERCENTILE else DURATION.read(raw)


def _read_extra(raw: Any) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int) or not 1 <= raw <= 3:
        raise ValueError("not from 1 to 3")
    return raw


def _read_share(raw: Any) -> float:
    found = SHARE.read(raw)
    if not 0 < found <= 1:
        raise ValueError("not a part of all")
    return found


def _read_name(raw: Any) -> str:
    if not isinstance(raw, str) or not _RULE_NAME.fullmatch(raw.strip()):
        raise ValueError("not a name")
    return raw.strip()


_NAMED = Kind("a text of one line and at most 100 characters", _read_name, str)
_AFTER: Kind[Any] = Kind(
    f"{_PERCENTILE} or a duration such as 2s",
    _read_after,
    lambda after: _PERCENTILE if after is None else DURATION.show(after),
)
_EXTRA = Kind("a number of extra attempts from 1 to 3", _read_extra, int)
_SOME_SHARE = Kind("a share above 0% and at most 100% such as 2%", _read_share, SHARE.show)

__all__ = ["Compile", "Key", "Mistake", "RulesMistaken", "parse"]
