"""Letting requests in by the limits of rate that their decision names, and telling callers how they stand."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Final

from api.service.idempotency import Once
from api.service.served import RequestFailed, Served
from api.service.shadows import Shadows
from gateway import telemetry
from gateway.attempt import Attempts, Try
from gateway.domain.errors import RateLimited
from gateway.domain.inference import Attempt, InferenceRequest, usage_of
from gateway.domain.limits import Then, Unit
from gateway.domain.retries import Now, next_choice
from gateway.domain.rules import Decision
from gateway.exchange import Exchange, Planner
from gateway.hedge import Hedges
from gateway.limiter import Limiter, Taken, Wait
from gateway.providers.ports import Attachment, Body

NOTHING: Final = Taken()
ALWAYS: Final = frozenset(Then)


@dataclass(frozen=True, slots=True)
class Admission:
    """Takes tokens for requests, and the first place at a model; `once` keeps those with a key from being run twice."""

    limiter: Limiter
    attempts: Attempts
    hedges: Hedges
    shadows: Shadows
    once: Once

    async def take(self, decision: Decision, served: Served, then: Collection[Then] = ALWAYS) -> Taken:
        """Take the tokens of those throttles that end so. Raises RequestFailed as RateLimited, having taken none."""
        throttles = tuple(throttle for throttle in decision.throttles if throttle.then in then)
        if not throttles:
            return NOTHING
        taken = await self.limiter.take(throttles)
        served.standings = self.limiter.standings(throttles)
        if isinstance(taken, Wait):
            telemetry.THROTTLED.labels(taken.throttle.then.value).inc()
            served.rule = taken.throttle.rule or served.rule
            raise RequestFailed(_over(taken), served)
        return taken

    async def first(
        self,
        request: InferenceRequest,
        body: Body,
        served: Served,
        files: tuple[Attachment, ...] = (),
    ) -> Try | None:
        """The first attempt, let in by its model's limits; None where nothing may be tried.

        Raises RequestFailed as RateLimited where every candidate is at a limit.
        """
        now = Now(request.candidates, request.accepted_at, estimates=request.estimates)
        choice = next_choice(now, (), request.limits, request.deadline)
        if isinstance(choice, str):
            return None
        others = (name for name in request.candidates if name != choice.model)
        admitted = await self.attempts.admit(Try(request, body, 1, choice, files=files), others)
        if isinstance(admitted, Attempt):
            telemetry.THROTTLED.labels(_AT_A_MODEL).inc()
            failure = admitted.failure
            raise RequestFailed(RateLimited() if failure is None else failure.error(), served)
        return admitted

    def planner(self, decision: Decision, request: InferenceRequest) -> Planner | None:
        """Whom to ask beside a model that does not answer, if the decision says so."""
        hedge = decision.hedge
        return None if hedge is None else partial(self.hedges.plan, hedge, request)

    def shadow(
        self,
        decision: Decision,
        request: InferenceRequest,
        body: Body,
        files: tuple[Attachment, ...] = (),
    ) -> None:
        """Send a copy of a request that has begun, if the decision says so."""
        if decision.shadow is not None:
            self.shadows.send(request, body, decision.shadow, files)

    async def correct(self, exchange: Exchange, taken: Taken) -> None:
        """Correct what was estimated of a request's tokens, when it has ended."""
        await exchange.settled.wait()
        self.limiter.settle(taken.throttles, usage_of(exchange.finished))


_AT_A_MODEL: Final = "model"


def is_estimated(taken: Taken) -> bool:
    """Whether what was taken depends on the tokens that will have been used."""
    return any(throttle.unit is Unit.TOKENS for throttle in taken.throttles)


def _over(wait: Wait) -> RateLimited:
    throttle = wait.throttle
    seconds = max(1, ceil(wait.after.total_seconds()))
    return RateLimited(
        f"Too many {throttle.unit.value}: the limit of the rule `{throttle.rule}` is reached."
        f" Try again in {seconds} s.",
        retry_after=wait.after,
    )
