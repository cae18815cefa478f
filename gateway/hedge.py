"""Asking a second model beside a slow one: the first usable answer wins, the others are cancelled and paid for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from gateway import telemetry
from gateway.attempt import Attempts, Stream, Try
from gateway.domain.errors import HedgeLost
from gateway.domain.health import LiveFacts, Window
from gateway.domain.inference import Attempt, Choice, Failure, InferenceRequest, Mode, Outcome, in_order
from gateway.domain.rules import Hedge
from gateway.providers.ports import Reply

_SETTLED_WITHIN: Final = (
    0.02  # seconds that an answer waits for those that lost to be closed; nearly always none
)
_SOONEST: Final = timedelta(milliseconds=10)
_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom to ask beside a model, best first, one after each time `after` without an answer."""

    after: timedelta
    models: tuple[str, ...]


class Hedges:
    """Plans by what is known of the models at this moment."""

    def __init__(self, live: Callable[[], LiveFacts]) -> None:
        """`live` gives the facts in force, from memory."""
        self._live = live

    def plan(
        self, hedge: Hedge, request: InferenceRequest, number: int, model: str, tried: Collection[str]
    ) -> Plan | None:
        """The plan for attempt `number` at a model; None where there is nobody to ask, or no time to ask at is known.

        All attempts together stay within the request's bounds. At a model of unknown price nobody is asked beside where
        cost is bounded: it cannot be shown to stay within.
        """
        most = min(hedge.max_extra, request.limits.attempts - number)
        after = hedge.after or self._usual(request.mode, model)
        if most <= 0 or after is None:
            return None
        budget = _least(hedge.max_extra_cost_usd, _left(request, model, tried))
        chosen: list[str] = []
        for name in request.candidates:
            if name == model or name in tried or len(chosen) == most:
                continue
            if budget is not None:
                cost = request.estimates.get(name)
                if cost is None or cost > budget:
                    continue
                budget -= cost
            chosen.append(name)
        return Plan(max(after, _SOONEST), tuple(chosen)) if chosen else None

    def _usual(self, mode: Mode, model: str) -> timedelta | None:
        """In which time a model has nearly always answered, in the last five minutes."""
        health = self._live().models.get(model)
        window = None if health is None else health.windows.get(Window.FIVE_MINUTES)
        if window is None:
            return None
        usual = window.first_token_p95_ms if mode is Mode.STREAM else window.p95_ms
        return None if usual is None else timedelta(milliseconds=usual)


def _left(request: InferenceRequest, model: str, tried: Collection[str]) -> Decimal | None:
    """What the request's own cost limit leaves for models beside this one."""
    if request.limits.cost_usd is None:
        return None
    return request.limits.cost_usd - sum(
        (request.estimates.get(name, _NOTHING) for name in (*tried, model)), _NOTHING
    )


def _least(*bounds: Decimal | None) -> Decimal | None:
    return min((bound for bound in bounds if bound is not None), default=None)


class Race:
    """One model asked first, others beside it while it does not answer."""

    def __init__(self, attempts: Attempts, first: Try, plan: Plan) -> None:
        """`first` has been let in by its model's limits; those beside it are let in when they are asked."""
        self._attempts = attempts
        self._first = first
        self._plan = plan
        self._tries: dict[int, Try] = {}
        self._tasks: dict[int, asyncio.Task[tuple[Attempt | Stream, Reply | None]]] = {}
        self._asking: asyncio.Task[Try | Attempt] | None = None
        self._skipped: dict[int, Attempt] = {}
        self._won: int | None = None

    async def run(self) -> tuple[Attempt, Reply] | Stream | None:
        """The first usable answer; None if nobody gives one, or if this is cancelled: then all calls are."""
        clock = asyncio.get_running_loop().time
        after, beside = self._plan.after.total_seconds(), list(self._plan.models)
        self._call(self._first)
        ask_at, answer = clock() + after, None
        try:
            while answer is None and (pending := self._pending()):
                timeout = max(0.0, ask_at - clock()) if beside and self._asking is None else None
                await asyncio.wait(pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                answer = self._answer()
                self._let_in()
                if answer is None and beside and self._asking is None and clock() >= ask_at and self._runs():
                    self._ask(beside.pop(0))
                    ask_at = clock() + after
            self._drop()
            if losing := [task for task in self._tasks.values() if not task.done()]:
                # Mostly at once: then what it cost is known when the answer's headers are written.
                await asyncio.wait(losing, timeout=_SETTLED_WITHIN)
        except asyncio.CancelledError:
            # Whoever cancels wants all of it settled, as a single attempt does.
            self._drop()
        return answer

    @property
    def ended(self) -> tuple[Attempt, ...]:
        """The attempts that have ended by now, but for the one that won."""
        ended = (self._settled(n) for n, task in self._tasks.items() if n != self._won and task.done())
        return tuple(attempt for attempt in ended if attempt is not None)

    async def end(self) -> tuple[Attempt, ...]:
        """All attempts but the one that won, in order, when the last of them has ended."""
        others = [task for number, task in self._tasks.items() if number != self._won]
        if others:
            await asyncio.wait(others)
        for task in others:
            if not task.cancelled() and isinstance(late := task.result()[0], Stream):
                await late.close()
        if len(self._tasks) > 1:
            telemetry.HEDGES.labels(self._outcome()).inc()
        return in_order(self.ended)

    # ---- one after the other -------------------------------------------------------------------------------------
    def _call(self, wanted: Try) -> None:
        self._tries[wanted.number] = wanted
        self._tasks[wanted.number] = asyncio.create_task(
            self._called(wanted), name=f"attempt {wanted.number} {wanted.request.id}"
        )

    async def _called(self, wanted: Try) -> tuple[Attempt | Stream, Reply | None]:
        if wanted.request.mode is Mode.STREAM:
            return await self._attempts.stream(wanted), None
        return await self._attempts.complete(wanted)

    def _ask(self, model: str) -> None:
        """See whether a model's limits let the call in."""
        first, number = self._first, max(self._tasks) + 1
        waited = (number - first.number) * self._plan.after
        reason = f"hedge: {first.choice.model} had not answered after {waited.total_seconds():.3g} s"
        wanted = Try(first.request, first.body, number, Choice(model, reason), beside=True, files=first.files)
        self._asking = asyncio.create_task(self._attempts.admit(wanted))

    def _let_in(self) -> None:
        if self._asking is None or not self._asking.done():
            return
        asked, self._asking = self._asking.result(), None
        if isinstance(asked, Try) and self._won is None:
            self._call(asked)
        elif isinstance(asked, Try):
            asked.entry.leave(None)
        # One that is at its limit is left alone: it would be no attempt.

    def _pending(self) -> list[asyncio.Task[Any]]:
        pending: list[asyncio.Task[Any]] = [task for task in self._tasks.values() if not task.done()]
        if self._asking is not None:
            pending.append(self._asking)
        return pending

    def _runs(self) -> bool:
        return any(not task.done() for task in self._tasks.values())

    def _answer(self) -> tuple[Attempt, Reply] | Stream | None:
        for number, task in sorted(self._tasks.items()):
            if task.done() and not task.cancelled():
                opened, reply = task.result()
                if isinstance(opened, Stream):
                    self._won = number
                    return opened
                if reply is not None:
                    self._won = number
                    return opened, reply
        return None

    # ---- the end -------------------------------------------------------------------------------------------------
    def _drop(self) -> None:
        for number, task in self._tasks.items():
            if number != self._won:
                task.cancel()
        if self._asking is not None:
            self._asking.cancel()
            self._asking.add_done_callback(_leave)

    def _settled(self, number: int) -> Attempt | None:
        task = self._tasks[number]
        if task.cancelled():  # before its first step
            self._skipped.setdefault(number, self._attempts.skip(self._tries[number]))
        attempt = self._skipped.get(number) or task.result()[0]
        if isinstance(attempt, Stream):
            if not attempt.attempt.done():
                return None
            attempt = attempt.attempt.result()
        lost = self._won is not None and attempt.outcome in (Outcome.SUCCEEDED, Outcome.CANCELLED)
        if not lost:
            return attempt
        return replace(attempt, outcome=Outcome.CANCELLED, failure=Failure.of(HedgeLost()))

    def _outcome(self) -> str:
        if self._won is None:
            return "failed"
        return "lost" if self._won == self._first.number else "won"


def _leave(asking: asyncio.Task[Try | Attempt]) -> None:
    """What was let in just when it was needed no more leaves again."""
    with suppress(asyncio.CancelledError):
        asked = asking.result()
        if isinstance(asked, Try):
            asked.entry.leave(None)
