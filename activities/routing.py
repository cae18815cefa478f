"""Deciding again: what the workflow asks when an attempt has failed, and for a job before its first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from temporalio import activity

from gateway import telemetry
from gateway.domain.errors import RateLimited
from gateway.domain.inference import Attempt, Failure, InferenceRequest
from gateway.domain.limits import Then
from gateway.domain.retries import Route
from gateway.limiter import Limiter, Wait
from gateway.router import Router


@dataclass(frozen=True, slots=True)
class Look:
    """What a decision is to be made about: a request without its text, and what was tried for it.

    With `admit` the tokens are taken that the decision's throttles ask of a job before its first attempt.
    """

    request: InferenceRequest
    attempts: tuple[Attempt, ...] = ()
    admit: bool = False


class RoutingActivities:
    """Decides by what this process knows at this moment."""

    def __init__(self, router: Router, limiter: Limiter) -> None:
        """Both work on snapshots in memory, the limiter nearly always."""
        self._router = router
        self._limiter = limiter

    @activity.defn(name="route")
    async def route(self, look: Look) -> Route:
        """Decide without what failed: here and not in the workflow, since rules and facts are no part of a history.

        A job over a limit of rate is refused for now, with the time until its turn in the line.
        """
        route = self._router.route(look.request, look.attempts, datetime.now(UTC))
        if not look.admit or not route.candidates:
            return route
        # Those that refuse did so when the job was created.
        queued = [throttle for throttle in route.throttles if throttle.then is Then.QUEUE]
        answer = await self._limiter.take(queued)
        if not isinstance(answer, Wait):
            return route
        telemetry.THROTTLED.labels(Then.QUEUE.value).inc()
        turn = await self._limiter.queue(answer)
        return replace(route, candidates=(), refused=Failure.of(RateLimited(retry_after=turn)))
