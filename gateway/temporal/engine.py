"""The workflow engine as the gateway sees it: up or down, able to start, cancel and tell of workflows.

A process keeps one client for its whole life. While the engine is away nothing waits for it: starts fail at once with
EngineUnavailable, a watch notices its return within a second, and workers pick up where they were.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from typing import Any

from temporalio.client import Client, Interceptor, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import (
    Priority,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from gateway import telemetry
from gateway.domain.errors import EngineUnavailable
from gateway.domain.inference import InferenceRequest, Mode, Status
from gateway.settings import Temporal
from gateway.temporal.client import CALLER, KIND, MODEL, STATUS, connect, register_search_attributes
from gateway.temporal.codec import BlobStore

WORKFLOW = "Inference"
_LOOK_EVERY = 1.0
_CLOSE_WITHIN = 45.0  # seconds; what is cut off then is taken up by another process
_RETRY_AFTER = timedelta(seconds=2)
_LONGEST_FAIR = 64
_GONE = frozenset({RPCStatusCode.NOT_FOUND})


class Engine:
    """Temporal, watched."""

    def __init__(self, settings: Temporal, blobs: BlobStore | None, *, max_starts: int) -> None:
        """`max_starts` bounds the starts in flight: at the bound a request waits for its start."""
        self._settings = settings
        self._blobs = blobs
        self._starts = asyncio.Semaphore(max_starts)
        self._client: Client | None = None
        self._up = False
        self._watch: asyncio.Task[None] | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._running: list[Worker] = []
        self.workers_ready = asyncio.Event()

    @property
    def up(self) -> bool:
        """Whether the engine answered last time."""
        return self._up

    @property
    def crowded(self) -> bool:
        """Whether as many starts are in flight as may be."""
        return self._starts.locked()

    @property
    def client(self) -> Client:
        """The client. Raises EngineUnavailable before the first connection."""
        if self._client is None:
            raise EngineUnavailable(retry_after=_RETRY_AFTER)
        return self._client

    def watch(
        self,
        workers: Callable[[Client], Sequence[Worker]],
        interceptors: Sequence[Interceptor] = (),
    ) -> None:
        """Connect as soon as the engine is there, run `workers` on it, and keep looking whether it is up."""
        self._watch = asyncio.create_task(self._look(workers, interceptors), name="engine watch")

    async def close(self) -> None:
        """Let the workers finish what they are at, and stop."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_WITHIN):
                await asyncio.gather(*(worker.shutdown() for worker in self._running))
                await asyncio.gather(*self._workers, return_exceptions=True)

    async def start(self, request: InferenceRequest) -> bool:
        """Start the request's workflow; returns once it is committed: True, or False if it had been started before.

        Raises EngineUnavailable, and then the start may have been committed all the same.
        """
        if not self._up:
            raise EngineUnavailable(retry_after=_RETRY_AFTER)
        job = request.mode is Mode.JOB
        await self._starts.acquire()
        starting = asyncio.ensure_future(self._started(request))
        starting.add_done_callback(self._place_free)
        try:
            async with asyncio.timeout(self._settings.start_timeout.total_seconds()):
                # Slow is not away: the watch says that. The start goes on, lest a committed one loses its task.
                handle = await asyncio.shield(starting)
        except WorkflowAlreadyStartedError:
            return False
        except TimeoutError as e:
            raise EngineUnavailable(retry_after=_RETRY_AFTER) from e
        except (RPCError, OSError) as e:
            if isinstance(e, RPCError) and e.status is RPCStatusCode.INVALID_ARGUMENT:
                raise
            self._seen(up=False)
            raise EngineUnavailable(retry_after=_RETRY_AFTER) from e
        if not job:
            eager = bool(getattr(handle, "__temporal_eagerly_started", False))
            telemetry.EAGER_STARTS.labels("here" if eager else "queued").inc()
        return True

    async def run(
        self, workflow: str, argument: object, *, id_: str, caller: str, anew: bool = False
    ) -> bool:
        """Start a workflow of another kind on the jobs' queue; returns once it is committed: False if it was before.

        `anew` starts it in any case: one that runs under the id is ended.

        Raises EngineUnavailable, and then the start may have been committed all the same.
        """
        attributes = [
            SearchAttributePair(CALLER, caller),
            SearchAttributePair(KIND, workflow.lower()),
            SearchAttributePair(STATUS, Status.IN_PROGRESS.value),
        ]

        async def start() -> None:
            await self.client.start_workflow(
                workflow,
                argument,
                id=id_,
                task_queue=self._settings.jobs_queue,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE
                if anew
                else WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING
                if anew
                else WorkflowIDConflictPolicy.FAIL,
                search_attributes=TypedSearchAttributes(attributes),
            )

        try:
            return await self._ask(start)
        except WorkflowAlreadyStartedError:
            return False

    async def _started(self, request: InferenceRequest) -> WorkflowHandle[Any, Any]:
        job = request.mode is Mode.JOB
        return await self.client.start_workflow(
            WORKFLOW,
            request,
            id=request.id,
            task_queue=self._settings.jobs_queue if job else self._settings.sync_queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            task_timeout=None if job else self._settings.task_timeout,
            search_attributes=_attributes(request),
            request_eager_start=not job,
            priority=_priority(request) if job else Priority.default,
        )

    def _place_free(self, starting: asyncio.Future[Any]) -> None:
        self._starts.release()
        if not starting.cancelled():
            starting.exception()  # whoever waited may have gone: an exception nobody asks for is no mistake

    async def cancel(self, workflow_id: str) -> bool:
        """Ask a workflow to cancel; False if it is not running. Raises EngineUnavailable."""
        return await self._ask(lambda: self.client.get_workflow_handle(workflow_id).cancel())

    async def running(self, workflow_id: str) -> bool:
        """Whether the workflow has begun and not ended. Raises EngineUnavailable."""
        status: WorkflowExecutionStatus | None = None

        async def describe() -> None:
            nonlocal status
            status = (await self.client.get_workflow_handle(workflow_id).describe()).status

        return await self._ask(describe) and status is WorkflowExecutionStatus.RUNNING

    async def _ask(self, what: Callable[[], Awaitable[None]]) -> bool:
        try:
            async with asyncio.timeout(self._settings.start_timeout.total_seconds()):
                await what()
        except RPCError as e:
            if e.status in _GONE:
                return False
            raise EngineUnavailable(retry_after=_RETRY_AFTER) from e
        except (TimeoutError, OSError) as e:
            raise EngineUnavailable(retry_after=_RETRY_AFTER) from e
        return True

    async def _look(
        self, workers: Callable[[Client], Sequence[Worker]], interceptors: Sequence[Interceptor]
    ) -> None:
        while True:
            try:
                if self._client is None:
                    client = await connect(self._settings, self._blobs, interceptors)
                    # An engine without our namespace, or one that breaks off here, is asked again from the beginning.
                    await register_search_attributes(client)
                    self._client = client
                    self._running = list(workers(client))
                    self._workers = [asyncio.create_task(self._run(w), name="worker") for w in self._running]
                async with asyncio.timeout(self._settings.start_timeout.total_seconds()):
                    await self._client.service_client.check_health()
                self._seen(up=True)
                self.workers_ready.set()
            except (RPCError, RuntimeError, OSError, TimeoutError) as e:
                self._seen(up=False, why=type(e).__name__)
            await asyncio.sleep(_LOOK_EVERY)

    async def _run(self, worker: Worker) -> None:
        try:
            await worker.run()
        except Exception:
            # A worker ends by itself only on a mistake of ours or of the namespace: say it, and stop being ready.
            telemetry.log.exception("worker_died", task_queue=worker.task_queue)
            self.workers_ready.clear()
            self._seen(up=False)
            raise

    def _seen(self, *, up: bool, why: str = "") -> None:
        if up != self._up:
            telemetry.log.warning("engine_up" if up else "engine_down", why=why)
        self._up = up


def _priority(request: InferenceRequest) -> Priority:
    """Which jobs go first where workers are few: by their priority, and then a share for each caller."""
    key = request.caller.encode()
    # Its key may have 64 bytes.
    fair = request.caller if len(key) <= _LONGEST_FAIR else sha256(key).hexdigest()
    return Priority(priority_key=request.priority, fairness_key=fair, fairness_weight=request.weight)


def _attributes(request: InferenceRequest) -> TypedSearchAttributes:
    first = request.candidates[0] if request.candidates else request.model
    return TypedSearchAttributes(
        [
            SearchAttributePair(CALLER, request.caller),
            SearchAttributePair(KIND, request.kind.value),
            SearchAttributePair(MODEL, first),
            SearchAttributePair(STATUS, Status.IN_PROGRESS.value),
        ]
    )
