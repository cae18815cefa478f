"""A rule text → a `RuleSet`: HOCON by `gateway.settings`, then the domain's own reading, then expressions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from gateway.domain.rules import RuleSet, RulesMistaken, parse
from gateway.rules.problems import placed
from gateway.settings import Document, SettingsError, read_document


def load_rules(path: Path, version: str | None = None) -> RuleSet:
    """Read the rules of an operator's own file, includes and variables of the environment and all.

    Raises SettingsError, whose problems name file, line, rule, key and what would be right. Without a `version` it is
    a digest of what the rules say.
    """
    return rules_of(read_document(path), version)


def rules_of(document: Document, version: str | None = None) -> RuleSet:
    """The rules of a text that was read. Raises SettingsError."""
    try:
        found = parse(document.tree)
    except RulesMistaken as error:
        raise SettingsError(placed(error.mistakes, document.place)) from None
    return named(found, version)


def named(rules: RuleSet, version: str | None) -> RuleSet:
    """The same rules under a version, or under a digest of what they say."""
    return replace(rules, version=version or digest_of(rules.said))


def digest_of(said: Mapping[str, Any]) -> str:
    """Twelve characters that are the same for all texts that say the same."""
    return sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:12]
