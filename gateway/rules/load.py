"""A rule text → a `RuleSet`: HOCON by `gateway.settings`, then the domain's own reading, with expressions by CEL."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.domain.rules import RuleSet, RulesMistaken, parse
from gateway.domain.rules.reading import Key
from gateway.domain.units import format_duration
from gateway.rules.cel import compile_cel
from gateway.rules.problems import placed
from gateway.settings import Place, SettingsError, read_document


def load_rules(path: Path, version: str | None = None) -> RuleSet:
    """Read the rules of an operator's own file, includes and variables of the environment and all.

    It takes half a second for a hundred rules. Raises SettingsError, whose problems name file, line, rule, key and what
    would be right. Without a `version` it is a digest of what the rules say.
    """
    document = read_document(path)
    return rules_of(document.tree, document.place, version)


def rules_of(tree: Mapping[str, Any], place: Callable[[Key], Place], version: str | None = None) -> RuleSet:
    """The rules of plain values, and where each of them was written. Raises SettingsError."""
    try:
        found = parse(plain(tree), compile_=compile_cel)
    except RulesMistaken as error:
        raise SettingsError(placed(error.mistakes, place)) from None
    return replace(found, version=version or digest_of(found.said))


def digest_of(said: Mapping[str, Any]) -> str:
    """Twelve characters that are the same for all texts that say the same."""
    return sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:12]


def plain(value: Any) -> Any:
    """Values as JSON knows them: a duration, which HOCON has of its own, is text again."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return format_duration(value) if isinstance(value, timedelta) else value
