"""Deciding again: what the workflow asks when an attempt has failed, and for a job before its first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio import activity

from gateway.domain.inference import Attempt, InferenceRequest
from gateway.domain.retries import Route
from gateway.router import Router


@dataclass(frozen=True, slots=True)
class Look:
    """What a decision is to be made about: a request without its text, and what was tried for it."""

    request: InferenceRequest
    attempts: tuple[Attempt, ...] = ()


class RoutingActivities:
    """Decides by what this process knows at this moment."""

    def __init__(self, router: Router) -> None:
        """`router` works on snapshots in memory."""
        self._router = router

    @activity.defn(name="route")
    async def route(self, look: Look) -> Route:
        """Decide without what failed: here and not in the workflow, since rules and facts are no part of a history."""
        return self._router.route(look.request, look.attempts, datetime.now(UTC))
