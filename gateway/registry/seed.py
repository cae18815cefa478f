"""The seed of a fresh install: models and aliases read from a file in HOCON."""

from __future__ import annotations

from pathlib import Path

from gateway.registry.checks import Checks
from gateway.registry.entries import Entries, read_entries
from gateway.settings import Place, place_of, read_hocon


def load_seed(path: Path, checks: Checks) -> Entries:
    """Read models and aliases. Raises SettingsError with file, line, key and what was expected, for all mistakes."""
    return read_entries(read_hocon(path), checks, lambda key: place_of(path, key) or Place(path))
