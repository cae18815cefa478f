"""A part of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows in their order, and the id to ask the next ones `after`; None when there are no more."""

    rows: tuple[T, ...]
    next_after: str | None = None
