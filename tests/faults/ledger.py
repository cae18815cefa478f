"""Reading the books, also while they are away."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import httpx2

from tests.e2e.person import Person
from tests.e2e.stack import until


def row_of(person: Person, request_id: str, within: float = 60.0) -> dict[str, Any]:
    """The request's row, as soon as somebody can show it."""

    def found() -> dict[str, Any] | None:
        try:
            answer = person.http.get(f"/api/v1/requests/{request_id}")
        except httpx2.TransportError:
            return None
        assert answer.status_code in (200, 404, 503), answer.text
        return answer.json() if answer.status_code == 200 else None

    return until(found, within, every=0.2)


def named(person: Person, names: Iterable[str], within: float = 60.0) -> list[dict[str, Any]]:
    """The rows of the requests to which their caller gave these ids of its own, with their attempts."""
    wanted = set(names)

    def found() -> list[dict[str, Any]]:
        rows = person.http.get("/api/v1/requests", params={"limit": 200}).json()["data"]
        mine = [row for row in rows if row["client_request_id"] in wanted]
        return mine if len({row["client_request_id"] for row in mine}) == len(wanted) else []

    return until(found, within, every=0.3)


def outcomes(row: dict[str, Any]) -> list[str]:
    """How its attempts ended."""
    return [attempt["outcome"] for attempt in row["attempts"]]


def settled(ask: Callable[[], httpx2.Response]) -> httpx2.Response | None:
    """An answer, or None where the connection broke."""
    try:
        return ask()
    except httpx2.TransportError:
        return None
