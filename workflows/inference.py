"""An inference request, from its acceptance to its last row in the ledger, whatever dies in between."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    TimeoutType,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.exceptions import TimeoutError as ActivityTimeout
from temporalio.workflow import ChildWorkflowCancellationType, ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from activities.delivery import Deliver, DeliveryActivities, Told
    from activities.inference import CallerActivities, JobActivities, JobAttempt, Join, Joined, Recover
    from activities.requests import Begin, Record, RequestActivities
    from activities.routing import Look, RoutingActivities
    from gateway.domain.delivery import delivery_id
    from gateway.domain.errors import Abandoned, RateLimited
    from gateway.domain.inference import (
        KEPT_DECISIONS,
        Attempt,
        Choice,
        Failure,
        InferenceRequest,
        Mode,
        Outcome,
        Settlement,
        in_order,
        settle,
        telling,
        told,
    )
    from gateway.domain.jobs import job_of
    from gateway.domain.limits import Throttle
    from gateway.domain.retries import Now, Route, next_choice, pause, reason_to_stop
    from workflows import policies
    from workflows.delivery import DeliverWorkflow

T = TypeVar("T")
STATUS = SearchAttributeKey.for_keyword("Status")
MODEL = SearchAttributeKey.for_keyword("Model")
CALLER = SearchAttributeKey.for_keyword("Caller")
KIND = SearchAttributeKey.for_keyword("Kind")


@workflow.defn(name="Inference")
class InferenceWorkflow:
    """Route, attempt until one succeeds or nothing more may be tried, record, deliver."""

    def __init__(self) -> None:
        """Nothing has been tried yet."""
        self._attempts: tuple[Attempt, ...] = ()
        self._decisions: tuple[str, ...] = ()
        self._refused: Failure | None = None
        self._overhead_ms: float | None = None
        self._admitted = False
        self._throttles: tuple[Throttle, ...] = ()
        self._full: dict[str, datetime] = {}

    @workflow.run
    async def run(self, request: InferenceRequest) -> Settlement:
        """The whole story of one request; its result is how the request was settled."""
        if request.mode is Mode.JOB:
            return await self._job(request)
        return await self._answer(request)

    async def _answer(self, request: InferenceRequest) -> Settlement:
        """For a caller who waits: every step is taken in the process that holds the connection."""
        # The first attempt was decided at the door and is under way; what is there now matters to the next one alone.
        # Most requests need no next one, and to look took a fifth of the gateway's work for a request.
        route = Route.first(request)
        while not isinstance(choice := self._choose(request, route), str):
            joined = await self._join(request, choice)
            if joined.settled is not None:
                return joined.settled
            attempt = joined.attempt or _abandoned(request, choice, self._number)
            self._attempts = in_order((*self._attempts, attempt, *joined.beside))
            self._overhead_ms = joined.overhead_ms
            if reason_to_stop(self._attempts, request.limits) is None:
                route = await self._route(request)
        settlement = await self._record(request, self._settle(request, choice))
        self._show(settlement)
        return settlement

    async def _job(self, request: InferenceRequest) -> Settlement:
        """For a caller who has gone: each attempt is an activity of its own, on whichever worker is free."""
        cancelled, stop = False, "cancelled"
        try:
            await self._until(request)
            await workflow.execute_local_activity_method(
                RequestActivities.begin, Begin(job_of(request), workflow.now()), **policies.RECORD
            )
            stop = await self._try(request)
        except asyncio.CancelledError:
            cancelled = True
        # A cancel comes too late from here on: what has ended is entered into the books, and told.
        return await _whatever_comes(self._end(request, self._settle(request, stop, cancelled=cancelled)))

    async def _end(self, request: InferenceRequest, settlement: Settlement) -> Settlement:
        recorded = await workflow.execute_local_activity_method(
            RequestActivities.record, Record(settlement, request, self._throttles), **policies.RECORD
        )
        settlement = recorded.before or settlement
        self._show(settlement)
        if request.deliver:
            await self._deliver(request)
        return settlement

    async def _until(self, request: InferenceRequest) -> None:
        """Wait until the job may begin; until then it is queued, and costs a timer of the engine."""
        if request.not_before is None or request.not_before <= workflow.now():
            return
        await workflow.execute_local_activity_method(
            RequestActivities.begin, Begin(job_of(request), None), **policies.RECORD
        )
        await workflow.sleep(max(request.not_before - workflow.now(), timedelta(0)))

    async def _try(self, request: InferenceRequest) -> str:
        """Route and attempt until nothing more may be tried; returns why. While no model can be called, wait."""
        pauses = 0
        while (stop := reason_to_stop(self._attempts, request.limits)) is None:
            route = self._without_full(await self._route(request, admit=not self._admitted))
            choice = self._choose(request, route)
            if isinstance(choice, str):
                wait = self._pause(request, route, pauses)
                if wait is None:
                    return choice
                await workflow.sleep(wait)
                pauses += 1
                continue
            if choice.wait:
                await workflow.sleep(choice.wait)
            attempt = await self._call(request, choice)
            if attempt is None:
                return "the deadline passed before a worker was free"
            if isinstance(attempt, timedelta):
                self._full[choice.model] = workflow.now() + attempt
                continue
            self._attempts = (*self._attempts, attempt)
        return stop

    @property
    def _number(self) -> int:
        return len(self._attempts) + 1

    async def _route(self, request: InferenceRequest, *, admit: bool = False) -> Route:
        """Decide again, on what is there now; `admit` a job that has not begun by its limits of rate."""
        look = Look(replace(request, body="", decision=""), self._attempts, admit)
        route = await workflow.execute_local_activity_method(RoutingActivities.route, look, **policies.LOOK)
        self._decisions = (*self._decisions, route.decision)[-KEPT_DECISIONS:]
        self._refused = route.refused
        if admit and route.candidates:
            self._admitted, self._throttles = True, route.throttles
        return route

    def _without_full(self, route: Route) -> Route:
        """The same without models that are at a limit until later; if that leaves none, the time until one is not."""
        now = workflow.now()
        free = tuple(name for name in route.candidates if self._full.get(name, now) <= now)
        if free or not route.candidates:
            return replace(route, candidates=free)
        wait = min(self._full[name] for name in route.candidates) - now
        return replace(route, candidates=(), refused=Failure.of(RateLimited(retry_after=wait)))

    def _choose(self, request: InferenceRequest, route: Route) -> Choice | str:
        roll = workflow.random().random() if self._attempts else 0.0
        estimates = {**request.estimates, **route.estimates}
        now = Now(route.candidates, workflow.now(), roll, estimates, route.rule)
        return next_choice(now, self._attempts, request.limits, request.deadline)

    def _pause(self, request: InferenceRequest, route: Route, pauses: int) -> timedelta | None:
        roll = workflow.random().random()
        return pause(route, pauses, workflow.now(), request.accepted_at, roll, request.deadline)

    async def _join(self, request: InferenceRequest, choice: Choice) -> Joined:
        """The attempt where the caller is: here, or by the queue of its process; nothing if that process is dead."""
        wanted = Join(request.id, self._number, choice)
        joined = await workflow.execute_local_activity_method(
            CallerActivities.join,
            wanted,
            # For an operator's eyes, and only where there is something to read: each summary is encrypted and costs.
            summary=f"{choice.model}: {choice.reason}" if self._attempts else None,
            **policies.join(workflow.now(), request.deadline),
        )
        if joined.attempt is not None or joined.settled is not None:
            return joined
        try:
            return await workflow.execute_activity_method(
                CallerActivities.join,
                wanted,
                task_queue=f"gateway-process-{request.origin}",
                **policies.join_there(workflow.now(), request.deadline),
            )
        except ActivityError:
            return Joined()

    async def _call(self, request: InferenceRequest, choice: Choice) -> Attempt | timedelta | None:
        """A job's attempt; the time until its turn if the model is at a limit; None if no worker was free in time."""
        number, began = self._number, workflow.now()
        try:
            return await workflow.execute_activity_method(
                JobActivities.call_model,
                JobAttempt(request, number, choice),
                summary=f"{choice.model}: {choice.reason}",
                **policies.call(began, request.deadline, request.limits.heartbeat),
            )
        except ActivityError as e:
            if isinstance(e.cause, ActivityTimeout) and e.cause.type is TimeoutType.SCHEDULE_TO_START:
                return None
            if is_cancelled_exception(e):
                raise asyncio.CancelledError from e
            if isinstance(e.cause, ApplicationError) and e.cause.type == RateLimited.code:
                return timedelta(seconds=e.cause.details[0])
            return await workflow.execute_local_activity_method(
                JobActivities.recover,
                Recover(request.id, number, choice, began, workflow.now()),
                **policies.RECORD,
            )

    def _settle(self, request: InferenceRequest, stop: str, *, cancelled: bool = False) -> Settlement:
        return settle(
            request,
            self._attempts,
            workflow.now(),
            overhead_ms=self._overhead_ms,
            decision=told(request, stop),
            decisions=self._decisions,
            refused=self._refused,
            cancelled=cancelled,
        )

    async def _record(self, request: InferenceRequest, settlement: Settlement) -> Settlement:
        """Write the books where the caller is, so that it hears of the end first; if that process is dead, here."""
        record = Record(settlement)
        recorded = await workflow.execute_local_activity_method(
            RequestActivities.record, record, **policies.RECORD
        )
        if not recorded.done:
            with suppress(ActivityError):
                recorded = await workflow.execute_activity_method(
                    RequestActivities.record,
                    record,
                    task_queue=f"gateway-process-{request.origin}",
                    **policies.RECORD_THERE,
                )
        if not recorded.done:
            recorded = await workflow.execute_local_activity_method(
                RequestActivities.record, Record(settlement, request), **policies.RECORD
            )
        return recorded.before or settlement

    def _show(self, settlement: Settlement) -> None:
        last = telling(settlement.attempts)
        updates = [STATUS.value_set(settlement.status.value)]
        if last is not None:
            updates.append(MODEL.value_set(last.model))
        workflow.upsert_search_attributes(updates)

    async def _deliver(self, request: InferenceRequest) -> None:
        """Have the caller told by each channel. What the first try does not bring is tried on without the job."""
        tells = (self._tell(request, channel) for channel in sorted(request.deliver))
        await asyncio.gather(*tells)

    async def _tell(self, request: InferenceRequest, channel: str) -> None:
        run = workflow.info().run_id
        to = request.deliver[channel]
        deliver = Deliver(request.id, channel, to, request.caller, request.traceparent, run=run)
        try:
            told = await workflow.execute_local_activity_method(
                DeliveryActivities.tell, deliver, **policies.TELL
            )
        except ActivityError:
            told = Told(
                again=True
            )  # it may have arrived, and nobody knows: the next try says so in the ledger
        if not told.again:
            return
        # A day of tries must not hold the job open. One that was begun by hand meanwhile is left to go on.
        with suppress(WorkflowAlreadyStartedError):
            await workflow.start_child_workflow(
                DeliverWorkflow.run,
                replace(deliver, tried=int(told.tried), wait=told.wait),
                id=delivery_id(request.id, channel),
                parent_close_policy=ParentClosePolicy.ABANDON,
                cancellation_type=ChildWorkflowCancellationType.ABANDON,
                search_attributes=TypedSearchAttributes(
                    [SearchAttributePair(CALLER, request.caller), SearchAttributePair(KIND, "deliver")]
                ),
            )


async def _whatever_comes(work: Coroutine[Any, Any, T]) -> T:
    """Do it to its end, also when the workflow is cancelled meanwhile."""
    task = asyncio.create_task(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    return task.result()


def _abandoned(request: InferenceRequest, choice: Choice, number: int) -> Attempt:
    """The process that held the connection is dead: nobody waits, and nothing is called again."""
    return Attempt(
        number=number,
        model=choice.model,
        provider="",
        upstream_model="",
        reason=choice.reason,
        outcome=Outcome.ABANDONED,
        started_at=request.accepted_at,
        total_ms=(workflow.now() - request.accepted_at).total_seconds() * 1000,
        failure=Failure.of(Abandoned()),
    )
