"""Copies of requests for a model on trial: in the background, answered to nobody, billed to a line of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from gateway import telemetry
from gateway.attempt import Attempts, Try
from gateway.domain.errors import EngineUnavailable
from gateway.domain.inference import (
    SHADOW_CALLER,
    Choice,
    Durability,
    InferenceRequest,
    Mode,
    Outcome,
    telling,
)
from gateway.domain.rules import Shadow
from gateway.drive import drive
from gateway.exchange import Exchange, Exchanges
from gateway.ids import moment_of, new_id
from gateway.providers.ports import Attachment, Body
from gateway.recorder import Recorder
from gateway.router import Router

SHADOW_OF = "shadow_of"
"""The metadata of a copy that names the request it was made of."""
_LONGEST = timedelta(minutes=10)


class Starts(Protocol):
    """The engine, as far as shadows need it."""

    @property
    def crowded(self) -> bool:
        """Whether as many starts are in flight as may be."""
        ...

    async def start(self, request: InferenceRequest) -> bool:
        """Commit the start of a request's workflow. Raises EngineUnavailable."""
        ...


class Shadows:
    """Makes copies, a bounded number at once; where there is no room for one, it is dropped."""

    def __init__(
        self,
        *,
        router: Router,
        attempts: Attempts,
        exchanges: Exchanges,
        recorder: Recorder,
        engine: Starts,
        most: int,
    ) -> None:
        """`most` run at once in this process."""
        self._router = router
        self._attempts = attempts
        self._exchanges = exchanges
        self._recorder = recorder
        self._engine = engine
        self._most = most
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    def send(
        self,
        request: InferenceRequest,
        body: Body,
        shadow: Shadow,
        files: tuple[Attachment, ...] = (),
    ) -> None:
        """Send a copy of a request that has begun to a model; returns at once, and nothing of it is ever raised."""
        if self._closed or len(self._running) >= self._most or self._engine.crowded:
            telemetry.SHADOWS.labels("dropped").inc()
            return
        task = asyncio.create_task(
            self._logged(self._copy(request, body, shadow.model, files)), name="shadow"
        )
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Take no more, and end those that run: they are settled as cancelled."""
        self._closed = True
        for exchange in self._exchanges:
            if exchange.aside:
                await exchange.leave()

    async def _copy(
        self, request: InferenceRequest, body: Body, model: str, files: tuple[Attachment, ...]
    ) -> None:
        # What the rules take a model out for (where its data may go, above all) holds for copies too.
        refusal = self._router.why_not(request, model, datetime.now(UTC))
        if refusal is not None:
            telemetry.log.info("shadow_kept_back", request_id=request.id, model=model, reason=refusal)
            telemetry.SHADOWS.labels("kept_back").inc()
            return
        copy = copy_of(request, model, self._exchanges.origin)
        choice = Choice(model, f"shadow of {request.id}")
        admitted = await self._attempts.admit(Try(copy, body, 1, choice, files=files))
        if not isinstance(admitted, Try):
            telemetry.SHADOWS.labels("dropped").inc()
            return
        exchange = Exchange(copy, body, self._attempts, first=admitted, aside=True, files=files)
        self._exchanges.open(exchange)
        exchange.begin(1, choice)
        reading = asyncio.create_task(exchange.finish_unread())
        try:
            await self._engine.start(copy)
        except EngineUnavailable:
            exchange.request = replace(copy, durability=Durability.DEGRADED)
            await drive(exchange, self._recorder, self._router)
        await reading
        await exchange.settled.wait()
        last = telling(exchange.finished)
        answered = last is not None and last.outcome is Outcome.SUCCEEDED
        telemetry.SHADOWS.labels("answered" if answered else "failed").inc()

    async def _logged(self, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001  nobody waits for it: its end must be seen in the log
            telemetry.SHADOWS.labels("failed").inc()
            telemetry.log.exception("shadow_failed")


def copy_of(request: InferenceRequest, model: str, origin: str) -> InferenceRequest:
    """The same request for another model: of its own id and caller, tried once, delivered to nobody."""
    copy_id = new_id()
    at = moment_of(copy_id)
    return replace(
        request,
        id=copy_id,
        origin=origin,
        mode=Mode.SYNC if request.mode is Mode.JOB else request.mode,
        caller=f"{SHADOW_CALLER}{request.caller}",
        model=model,
        accepted_at=at,
        deadline=min(request.deadline, at + _LONGEST),
        durability=Durability.OVERLAPPED,
        candidates=(model,),
        limits=replace(request.limits, attempts=1, cost_usd=None),
        metadata={**request.metadata, SHADOW_OF: request.id},
        deliver={},
        client_request_id=None,
        fingerprint="",
        decision="",
        estimates={},
    )
