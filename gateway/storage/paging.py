"""Keyset paging: rows stand in the order of their moments, a page ends with an id, and the next one begins after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from gateway.domain.errors import InvalidRequest
from gateway.domain.inference import InferenceRequest
from gateway.ids import moment_in, parse_id
from gateway.storage.ports import Page

T = TypeVar("T")

_LONGEST = 18  # digits that every store's whole numbers hold


def page_of(rows: Sequence[T], limit: int, id_of: Callable[[T], str]) -> Page[T]:
    """Return the page of at most `limit` of these rows: there is a next one if they are more."""
    shown = tuple(rows[:limit])
    return Page(shown, id_of(shown[-1]) if shown and len(rows) > limit else None)


def line_after(after: str | None) -> int | None:
    """The number of the line that a page ended with. Raises InvalidRequest for what cannot be one."""
    if after is None:
        return None
    if not (after.isascii() and after.isdecimal() and len(after) <= _LONGEST):
        raise no_such_page()
    return int(after)


def no_such_page() -> InvalidRequest:
    """The error of an `after` that is no row's id."""
    return InvalidRequest("`after` is not the end of a page of this list.", param="after")


def filed_at(request: InferenceRequest) -> datetime:
    """The moment a request is filed under: its id's, where that says one, so that the id alone leads to its row."""
    uuid = parse_id(request.id)
    return (None if uuid is None else moment_in(uuid)) or request.accepted_at
