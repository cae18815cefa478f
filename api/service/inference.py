"""Answering callers who wait: the model call starts at once, its workflow beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from api.service.accept import Terms, accept, limits_of
from api.service.admission import Admission, is_estimated
from api.service.ask import Ask
from api.service.opened import OpenStream
from api.service.served import RequestFailed, Served
from gateway import telemetry
from gateway.attempt import Stream
from gateway.domain.errors import (
    DeadlineExceeded,
    EngineUnavailable,
    GatewayError,
    Overloaded,
    ShuttingDown,
    StorageUnavailable,
)
from gateway.domain.identity import Caller, Right
from gateway.domain.inference import Durability, Failure, InferenceRequest, Mode
from gateway.drive import drive
from gateway.exchange import Exchange, Exchanges
from gateway.providers.ports import Event, Reply
from gateway.recorder import Recorder
from gateway.router import Router
from gateway.settings import Inference

_RETRY_SOON = timedelta(seconds=1)
_LAST = timedelta(seconds=5)  # for answers that are still to be kept when all else has ended
_PATIENCE = (
    1.0  # seconds that a request waits for others to be settled; then the bound on all in flight must do
)


class StartsWorkflows(Protocol):
    """The engine, as far as requests need it."""

    @property
    def up(self) -> bool:
        """Whether it answered last time."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether as many starts are in flight as may be: then a request waits for its own."""
        ...

    async def start(self, request: InferenceRequest) -> bool:
        """Commit the start of a request's workflow. Raises EngineUnavailable."""
        ...


class _Streaming:
    """A stream under way."""

    def __init__(self, exchange: Exchange, stream: Stream, served: Served, *, usage: bool) -> None:
        """`usage` says whether the caller asked for the closing usage chunk."""
        self.served = served
        self.deadline = exchange.request.deadline
        self._exchange = exchange
        self._stream = stream
        self._usage = usage
        self.media_type = stream.media_type

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield the events that the caller is to see. Raises RequestFailed when the stream breaks.

        Closing the iterator early cancels the request.
        """
        events = self._stream.events()
        try:
            async for event in events:
                if not event.usage_only or self._usage:
                    yield event
        except GatewayError as e:
            raise RequestFailed(e, self.served) from e
        finally:
            await events.aclose()
            _note(self.served, self._exchange)

    async def close(self) -> None:
        """Close the upstream, whether `events` was ever begun or not; what has not ended is settled as cancelled."""
        await self._stream.close()


class InferenceService:
    """Takes requests, picks a model, has it called, and sees to it that each is settled."""

    def __init__(
        self,
        *,
        router: Router,
        admission: Admission,
        exchanges: Exchanges,
        recorder: Recorder,
        engine: StartsWorkflows,
        storage_up: Callable[[], bool],
        settings: Inference,
        max_in_flight: int,
    ) -> None:
        """`storage_up` tells whether the database answered last time."""
        self._router = router
        self._admission = admission
        self._exchanges = exchanges
        self._recorder = recorder
        self._engine = engine
        self._storage_up = storage_up
        self._settings = settings
        self._max_in_flight = max_in_flight
        self._closing = False
        self._beside: set[asyncio.Task[None]] = set()

    @property
    def finishes(self) -> bool:
        """Whether an answer is read to its end when its caller has left."""
        return self._settings.on_disconnect == "finish"

    def finishing(self, ask: Ask) -> bool:
        """The same of one request's stream."""
        del ask
        return self.finishes

    async def answer(self, caller: Caller, ask: Ask) -> tuple[Reply, Served]:
        """The whole answer. Raises GatewayError before anything was called, RequestFailed after.

        With an Idempotency-Key it is the one that was given before, if there is one: see `idempotency.Once`.
        """
        caller.require(Right.INFER)
        if ask.hints.idempotency_key is not None:
            return await self._admission.once.answer(caller, ask, self._answer, finishes=self.finishes)
        return await self._answer(caller, ask)

    async def stream(self, caller: Caller, ask: Ask) -> OpenStream:
        """The answer as it comes, once its first event is there. Raises as `answer` does."""
        caller.require(Right.INFER)
        if ask.hints.idempotency_key is not None:
            return await self._admission.once.stream(caller, ask, self._stream)
        return await self._stream(caller, ask)

    async def _answer(self, caller: Caller, ask: Ask) -> tuple[Reply, Served]:
        exchange, served = await self._begin(caller, ask, Mode.SYNC)
        opened = await self._opened(exchange, served)
        if not isinstance(opened, Reply):
            raise TypeError("a stream came for a request that asked for none")
        _note(served, exchange)
        served.dropped, served.estimated = opened.dropped, opened.estimated
        return opened, served

    async def _stream(self, caller: Caller, ask: Ask) -> OpenStream:
        exchange, served = await self._begin(caller, ask, Mode.STREAM)
        opened = await self._opened(exchange, served)
        if not isinstance(opened, Stream):
            raise TypeError("a whole answer came for a request that asked for a stream")
        _note(served, exchange)
        served.dropped = opened.dropped
        return _Streaming(exchange, opened, served, usage=ask.wants_usage)

    def refuse(self) -> None:
        """Take no more requests; those that were taken go on."""
        self._closing = True

    async def close(self, grace: timedelta) -> int:
        """Take no more requests and wait until all are settled; returns how many could not be."""
        self.refuse()
        await self._admission.shadows.close()
        try:
            async with asyncio.timeout(grace.total_seconds()):
                await self._exchanges.idle()
        except TimeoutError:
            for exchange in self._exchanges:
                await exchange.leave()
            drives = [asyncio.create_task(drive(e, self._recorder, self._router)) for e in self._exchanges]
            if drives:
                _, late = await asyncio.wait(drives, timeout=5)
                for task in late:
                    task.cancel()
        await self._admission.once.close(_LAST)
        for exchange in self._exchanges:
            telemetry.log.error("unsettled", request_id=exchange.request.id)
        return len(self._exchanges)

    async def sweep(self) -> None:
        """Settle requests here whose workflow does not come back: the engine went away after their start."""
        for exchange in self._exchanges:
            if exchange.stale(timedelta(seconds=30)):
                telemetry.log.warning("settled_without_engine", request_id=exchange.request.id)
                self._run_beside(self._drive(exchange))

    # ---- how a request begins ------------------------------------------------------------------------------------
    async def _begin(self, caller: Caller, ask: Ask, mode: Mode) -> tuple[Exchange, Served]:
        self._admit()
        terms = Terms(
            mode=mode,
            durability=Durability(self._settings.durability),
            deadline=self._settings.deadline,
            max_deadline=self._settings.max_deadline,
            limits=limits_of(self._settings.fallback),
            origin=self._exchanges.origin,
        )
        request, decision = accept(caller, ask, self._router, terms)
        self._admission.attempts.promise(request.candidates[0])
        served = Served(
            request_id=request.id,
            trace_id=request.trace_id,
            durability=request.durability.value,
            rule=decision.rule,
            rules_version=decision.rules_version,
            registry_version=decision.registry_version,
            workflow_id=request.id,
            private=not (self._settings.log_content if request.log_content is None else request.log_content),
        )
        taken = await self._admission.take(decision, served)
        try:
            if self._engine.up and self._storage_up():
                await self._exchanges.room(_PATIENCE)
                if self._closing:
                    raise ShuttingDown(retry_after=_RETRY_SOON)
            first = await self._admission.first(request, ask.body, served, ask.files)
        except BaseException:
            self._admission.limiter.give_back(taken)
            raise
        plan = self._admission.planner(decision, request)
        exchange = Exchange(
            request, ask.body, self._admission.attempts, first=first, plan=plan, files=ask.files
        )
        if is_estimated(taken):
            self._run_beside(self._admission.correct(exchange, taken))
        if request.durability is Durability.START_FIRST or self._engine.crowded:
            await self._start_first(exchange, served)
        else:
            self._call_first(exchange)
            self._run_beside(self._start_beside(exchange, served))
        self._admission.shadow(decision, request, ask.body, ask.files)
        return exchange, served

    def _admit(self) -> None:
        if self._closing:
            raise ShuttingDown(retry_after=_RETRY_SOON)
        if len(self._exchanges) >= self._max_in_flight:
            raise Overloaded(retry_after=_RETRY_SOON)
        if self._settings.storage_down == "refuse" and not self._storage_up():
            raise StorageUnavailable(retry_after=_RETRY_SOON)
        if self._settings.engine_down == "refuse" and not self._engine.up:
            raise EngineUnavailable(retry_after=_RETRY_SOON)

    def _call_first(self, exchange: Exchange) -> None:
        self._exchanges.open(exchange)
        if exchange.first is not None:
            exchange.begin(1, exchange.first.choice)

    async def _start_beside(self, exchange: Exchange, served: Served) -> None:
        try:
            await self._engine.start(exchange.request)
        except EngineUnavailable as e:
            if self._settings.engine_down == "refuse" and not exchange.opened.done():
                exchange.give_up(Failure.of(e))
                await exchange.leave()
            self._degrade(exchange, served)
            await self._drive(exchange)

    async def _start_first(self, exchange: Exchange, served: Served) -> None:
        # The workflow may begin to run before this returns: it must find the exchange.
        self._exchanges.open(exchange)
        try:
            await self._engine.start(exchange.request)
        except EngineUnavailable as e:
            if self._settings.engine_down == "refuse":
                await exchange.leave()
                self._run_beside(self._drive(exchange))
                raise RequestFailed(e, served) from e
            self._degrade(exchange, served)
            self._call_first(exchange)
            self._run_beside(self._drive(exchange))
            return
        except BaseException:
            # The start may have been committed: the workflow finds a caller who has left, or a settled request.
            await exchange.leave()
            self._run_beside(self._drive(exchange))
            raise
        self._call_first(exchange)

    def _degrade(self, exchange: Exchange, served: Served) -> None:
        telemetry.DEGRADED.labels(exchange.request.kind.value).inc()
        exchange.request = replace(exchange.request, durability=Durability.DEGRADED)
        served.durability = Durability.DEGRADED.value
        served.workflow_id = ""

    async def _drive(self, exchange: Exchange) -> None:
        await drive(exchange, self._recorder, self._router)

    def _run_beside(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(_logged(work))
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    # ---- how it is waited for ------------------------------------------------------------------------------------
    async def _opened(self, exchange: Exchange, served: Served) -> Reply | Stream:
        left = (exchange.request.deadline - datetime.now(UTC)).total_seconds()
        try:
            # A little more than the deadline: the attempt ends itself then, and says better why.
            async with asyncio.timeout(max(left, 0) + 0.5):
                return await asyncio.shield(exchange.opened)
        except TimeoutError as e:
            await exchange.leave()
            _note(served, exchange)
            raise RequestFailed(DeadlineExceeded(), served) from e
        except asyncio.CancelledError:
            if self.finishes:
                self._run_beside(exchange.finish_unread())
            else:
                await exchange.leave()
            raise
        except GatewayError as e:
            _note(served, exchange)
            raise RequestFailed(e, served) from e


def _note(served: Served, exchange: Exchange) -> None:
    """Tell in the headers what has become of the attempts so far."""
    models = exchange.models
    served.attempts = len(models)
    served.model = models[-1] if models else ""
    served.provider = exchange.provider
    served.rule = exchange.rule or served.rule
    done = exchange.finished
    if done and len(done) == len(models):
        costs = [a.cost_usd for a in done]
        known = [c for c in costs if c is not None]
        served.cost_usd = sum(known, Decimal(0)) if len(known) == len(costs) else None
    served.overhead_ms = exchange.overhead_ms if served.overhead_ms is None else served.overhead_ms


async def _logged(work: Coroutine[object, object, None]) -> None:
    try:
        await work
    except Exception:  # noqa: BLE001  nobody waits for it: its end must be seen in the log
        telemetry.log.exception("background_work_failed")
