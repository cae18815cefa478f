"""A `RuleSet` → its text, in the one canonical way: reading it again gives the same set."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.domain.rules import RuleSet

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_UNIT = re.compile(r"\d+(?:\.\d+)?(?:%|/[smhd]|ms|s|m|h|d)")
_DOTTED = frozenset(["request", "caller", "gateway"])
# What HOCON would read as something else than a text.
_WORDS = frozenset(["true", "false", "null", "yes", "no", "on", "off", "include"])


def write_json(rules: RuleSet) -> str:
    """The set as JSON, which is HOCON too."""
    return json.dumps(rules.said, ensure_ascii=False, indent=2)


def write_hocon(rules: RuleSet) -> str:
    """The set as HOCON, as a person would lay it out."""
    parts: list[str] = []
    listed = rules.said.get("rules")
    if listed is not None:
        said = "\n\n".join("\n".join(_rule(each)) for each in listed)
        parts.append(f"rules = [\n{said}\n]" if listed else "rules = []")
    parts += [f"{name} {_object(value)}" for name, value in rules.said.items() if name != "rules"]
    return "\n".join(parts) + "\n"


def _rule(rule: Mapping[str, Any]) -> Iterator[str]:
    """One rule: its name on the first line, then a line for each thing that it says."""
    lines = [f"name = {json.dumps(rule['name'], ensure_ascii=False)}"]
    lines += [_member(name, value) for name, value in rule.items() if name != "name"]
    for number, line in enumerate(lines):
        before = "  { " if number == 0 else "    "
        yield before + line + (" }" if number == len(lines) - 1 else "")


def _member(name: str, value: Any) -> str:
    if name in _DOTTED and isinstance(value, Mapping) and len(value) == 1:
        [(below, each)] = value.items()
        return f"{name}.{_member(below, each)}"
    return (
        f"{_key(name)} {_object(value)}" if isinstance(value, Mapping) else f"{_key(name)} = {_value(value)}"
    )


def _object(value: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(_member(name, each) for name, each in value.items()) + " }" if value else "{}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return _text(value) if isinstance(value, str) else str(value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) and name not in _WORDS else _text(name)


def _text(value: str) -> str:
    if (_BARE.fullmatch(value) and value not in _WORDS) or _UNIT.fullmatch(value):
        return value
    if '"' in value and '"""' not in value and not value.endswith('"') and "\\" not in value:
        # An expression, mostly: as it was typed.
        return f'"""{value}"""'
    return json.dumps(value, ensure_ascii=False)
