"""The workers: which queues a process serves, with how many hands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.batches import BatchActivities
from activities.delivery import DeliveryActivities
from activities.inference import CallerActivities, JobActivities
from activities.prices import PriceActivities
from activities.requests import RequestActivities
from activities.routing import RoutingActivities
from activities.simulations import SimulationActivities
from gateway.settings import Settings
from gateway.temporal.client import process_queue
from gateway.temporal.deployment import versioning
from workflows.batch import BatchWorkflow
from workflows.delivery import DeliverWorkflow
from workflows.inference import InferenceWorkflow
from workflows.policies import batches_queue, deliveries_queue
from workflows.reprice import RepriceWorkflow
from workflows.simulate import SimulateWorkflow

# Pure modules and compiled ones: loading them anew for each workflow costs milliseconds and finds nothing.
_PASSED = (
    "activities",
    "gateway",
    "msgspec",
    "pydantic",
    "pydantic_core",
    "zstandard",
    "cryptography",
    "structlog",
    "prometheus_client",
    "opentelemetry",
)


_BATCHES = 16  # at once in one process


@dataclass(frozen=True, slots=True)
class Hands:
    """All activities, given their ports."""

    routing: RoutingActivities
    caller: CallerActivities
    job: JobActivities
    requests: RequestActivities
    delivery: DeliveryActivities
    prices: PriceActivities
    simulations: SimulationActivities

    @property
    def local(self) -> list[Callable[..., Any]]:
        """What workflows do in the process they run in."""
        return [
            self.routing.route,
            self.caller.join,
            self.requests.begin,
            self.requests.record,
            self.job.recover,
            self.delivery.tell,
        ]

    @property
    def apart(self) -> list[Callable[..., Any]]:
        """What worker processes do, whichever of them is free."""
        prices, simulations = self.prices, self.simulations
        return [
            self.job.call_model,
            prices.begin,
            prices.step,
            prices.end,
            simulations.simulate,
            simulations.give_up,
        ]


def runner(*, sandbox: bool) -> WorkflowRunner:
    """The workflow runner; the sandbox guards against accidents in workflow code and costs some CPU."""
    if not sandbox:
        return UnsandboxedWorkflowRunner()
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(*_PASSED)
    )


def caller_workers(
    client: Client, settings: Settings, hands: Hands, origin: str, batches: BatchActivities | None = None
) -> Sequence[Worker]:
    """For a process that answers callers: their workflows, and the queue by which others reach its connections.

    `batches` is the work at batches, if this process does any.
    """
    temporal = settings.temporal
    grace = timedelta(seconds=5)
    answers = Worker(
        client,
        task_queue=temporal.sync_queue,
        workflows=[InferenceWorkflow],
        activities=hands.local,
        workflow_runner=runner(sandbox=temporal.sandbox),
        debug_mode=not temporal.sandbox,  # on the event loop, without threads: see docs/decisions/0011
        max_workflow_task_external_storage_concurrency=1,  # we use none, and more makes a task for each payload
        max_concurrent_workflow_tasks=temporal.workflow_slots,
        max_concurrent_local_activities=temporal.local_activity_slots,
        max_cached_workflows=temporal.cached_workflows,
        no_remote_activities=True,
        graceful_shutdown_timeout=grace,
    )
    connections = Worker(
        client,
        task_queue=process_queue(origin),
        activities=[hands.caller.join, hands.requests.record],
        max_concurrent_activities=temporal.local_activity_slots,
        max_concurrent_activity_task_polls=1,
        graceful_shutdown_timeout=grace,
    )
    if batches is None:
        return [answers, connections]
    filed = Worker(
        client,
        task_queue=batches_queue(temporal.sync_queue),
        activities=[batches.check, batches.run, batches.file],
        max_concurrent_activities=_BATCHES,
        max_concurrent_activity_task_polls=1,
        max_heartbeat_throttle_interval=timedelta(seconds=5),
        graceful_shutdown_timeout=timedelta(0),  # what is cut off goes on in another process
    )
    return [answers, connections, filed]


def job_workers(client: Client, settings: Settings, hands: Hands) -> Sequence[Worker]:
    """For a worker process: jobs with their calls, and the workflows of callers whose process is dead."""
    temporal = settings.temporal
    jobs = Worker(
        client,
        task_queue=temporal.jobs_queue,
        workflows=[InferenceWorkflow, DeliverWorkflow, BatchWorkflow, RepriceWorkflow, SimulateWorkflow],
        activities=[*hands.local, *hands.apart],
        workflow_runner=runner(sandbox=temporal.sandbox),
        debug_mode=not temporal.sandbox,  # on the event loop, without threads: see docs/decisions/0011
        max_workflow_task_external_storage_concurrency=1,  # we use none, and more makes a task for each payload
        max_concurrent_workflow_tasks=temporal.workflow_slots,
        max_concurrent_local_activities=temporal.local_activity_slots,
        max_concurrent_activities=settings.worker.concurrency,
        max_cached_workflows=temporal.cached_workflows,
        # A cancel reaches a running call with its next heartbeat: they must not be held back for long.
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        default_heartbeat_throttle_interval=timedelta(seconds=1),
        graceful_shutdown_timeout=settings.worker.shutdown_grace,
        deployment_config=versioning(temporal),
    )
    orphans = Worker(
        client,
        task_queue=temporal.sync_queue,
        workflows=[InferenceWorkflow],
        activities=hands.local,
        workflow_runner=runner(sandbox=temporal.sandbox),
        debug_mode=not temporal.sandbox,  # on the event loop, without threads: see docs/decisions/0011
        max_workflow_task_external_storage_concurrency=1,  # we use none, and more makes a task for each payload
        max_concurrent_workflow_tasks=20,
        max_concurrent_workflow_task_polls=2,
        max_cached_workflows=100,
        no_remote_activities=True,
        graceful_shutdown_timeout=timedelta(seconds=5),
    )
    deliveries = Worker(
        client,
        task_queue=deliveries_queue(temporal.jobs_queue),
        activities=[hands.delivery.deliver],
        max_concurrent_activities=settings.delivery.concurrency,
        graceful_shutdown_timeout=settings.worker.shutdown_grace,
    )
    return [jobs, orphans, deliveries]
