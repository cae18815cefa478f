"""A request's story told without the engine: the same decisions as the workflow's, in this process alone."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.domain.inference import Attempt, Failure, Settlement, in_order, settle, told
from gateway.domain.retries import Now, Route, next_choice, reason_to_stop
from gateway.exchange import Exchange
from gateway.recorder import Recorder
from gateway.router import Router

_AGAIN_FIRST = 0.2
_AGAIN_MOST = 5.0


async def drive(exchange: Exchange, recorder: Recorder, router: Router) -> Settlement:
    """Attempt, decide again, attempt …, and record; what the workflow does while the engine can be reached.

    Attempts that have begun are joined, so it is safe to do beside a workflow that may exist after all.
    """
    request = exchange.request
    attempts: tuple[Attempt, ...] = ()
    decisions: tuple[str, ...] = ()
    refused: Failure | None = None
    route = Route.first(request)
    while True:
        roll = random.random()  # noqa: S311  jitter, no secret
        estimates = {**request.estimates, **route.estimates}
        now = Now(route.candidates, datetime.now(UTC), roll, estimates, route.rule)
        choice = next_choice(now, attempts, request.limits, request.deadline)
        if isinstance(choice, str):
            break
        number = len(attempts) + 1
        attempts = in_order((*attempts, await exchange.attempt(number, choice), *exchange.beside(number)))
        if reason_to_stop(attempts, request.limits) is None:
            route = router.route(request, attempts, datetime.now(UTC))
            decisions, refused = (*decisions, route.decision), route.refused
    settlement = settle(
        request,
        attempts,
        datetime.now(UTC),
        overhead_ms=exchange.overhead_ms,
        decision=told(request, choice),
        decisions=decisions,
        refused=refused,
    )
    if settlement.served is None:
        exchange.give_up(settlement.failure)
    return await record_at_last(recorder, exchange, settlement)


async def record_at_last(recorder: Recorder, exchange: Exchange, settlement: Settlement) -> Settlement:
    """Record, waiting out a database that is away; cancelling it is the only way it ends without a row."""
    wait = _AGAIN_FIRST
    while True:
        try:
            return await recorder.record(exchange.request, settlement)
        except StorageUnavailable:
            telemetry.log.warning("ledger_waits", request_id=exchange.request.id, again_s=wait)
            await asyncio.sleep(wait)
            wait = min(wait * 2, _AGAIN_MOST)
