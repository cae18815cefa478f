"""The queries of this backend."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.storage import queries

Q: Final = queries.load(Path(__file__).parent / "queries")
