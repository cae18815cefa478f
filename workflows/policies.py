"""How long each kind of step may take and how often it is tried, named by intent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

from gateway.domain.delivery import TRIES

_ONCE = RetryPolicy(maximum_attempts=1)
_UNTIL_DONE = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2,
    maximum_interval=timedelta(seconds=10),
)
_AFTER_DEADLINE = timedelta(
    seconds=30
)  # an attempt ends itself at the deadline; this is for a process that hangs

LOOK: dict[str, Any] = {"start_to_close_timeout": timedelta(seconds=5), "retry_policy": _UNTIL_DONE}
"""Reading what is in memory."""

RECORD: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=30),
    "retry_policy": _UNTIL_DONE,
    # Longer pauses are timers of the workflow: a pause inside the worker would hold up its shutdown.
    "local_retry_threshold": timedelta(seconds=1),
}
"""Writing to the books: tried until the database takes it."""

RECORD_THERE: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=30),
    "schedule_to_start_timeout": timedelta(seconds=10),
    "retry_policy": _ONCE,
}
"""The same in the process that holds the caller's connection: it takes the task soon, or it is dead."""

BOOKS: dict[str, Any] = {"start_to_close_timeout": timedelta(seconds=30), "retry_policy": _UNTIL_DONE}
"""Writing to the books where nobody waits for it."""

REPRICE: dict[str, Any] = {
    "start_to_close_timeout": timedelta(minutes=5),
    "heartbeat_timeout": timedelta(seconds=15),
    "retry_policy": _UNTIL_DONE,
}
"""A part of the ledger: whoever takes it up again goes on where its books end, and once they are closed stops."""

SIMULATE: dict[str, Any] = {
    "start_to_close_timeout": timedelta(hours=6),
    "heartbeat_timeout": timedelta(seconds=15),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1),
        backoff_coefficient=2,
        maximum_interval=timedelta(minutes=1),
        maximum_attempts=10,
    ),
}
"""Trying rules on logged requests: begun anew where a worker dies, and given up after ten of them."""

TELL: dict[str, Any] = {"start_to_close_timeout": timedelta(seconds=90), "retry_policy": _ONCE}
"""The first try to tell a caller of its finished job."""

BATCH: dict[str, Any] = {
    "start_to_close_timeout": timedelta(hours=1),
    "heartbeat_timeout": timedelta(seconds=15),
    "retry_policy": _UNTIL_DONE,
}
"""Work at a batch: whoever takes it up again goes on where its rows stand."""

DELIVER: dict[str, Any] = {
    "start_to_close_timeout": timedelta(seconds=90),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=5),
        backoff_coefficient=4,
        maximum_interval=timedelta(hours=8),
        maximum_attempts=TRIES,
    ),
}
"""Telling a caller of its finished job: ten tries over about a day. A try that fails says itself how soon the next one
is; these pauses are for those whose process died."""


def batches_queue(sync_queue: str) -> str:
    """The task queue of work at batches: processes that answer callers serve it, since they accept what lines ask."""
    return f"{sync_queue}-batches"


def deliveries_queue(jobs_queue: str) -> str:
    """The task queue of deliveries: they have workers' hands of their own, lest slow receivers hold up model calls."""
    return f"{jobs_queue}-deliveries"


def join(now: datetime, deadline: datetime) -> dict[str, Any]:
    """Waiting for an attempt in this process."""
    return {"start_to_close_timeout": _left(now, deadline), "retry_policy": _ONCE}


def join_there(now: datetime, deadline: datetime) -> dict[str, Any]:
    """Waiting for an attempt in the process that holds the caller's connection."""
    return {**RECORD_THERE, "start_to_close_timeout": _left(now, deadline)}


def call(now: datetime, deadline: datetime, heartbeat: timedelta) -> dict[str, Any]:
    """A job's model call in some worker: never retried by Temporal itself, since each try is an attempt of its own."""
    return {
        "schedule_to_start_timeout": max(deadline - now, timedelta(seconds=1)),
        "start_to_close_timeout": _left(now, deadline),
        "heartbeat_timeout": heartbeat,
        "retry_policy": _ONCE,
        "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    }


def _left(now: datetime, deadline: datetime) -> timedelta:
    return max(deadline - now, timedelta(0)) + _AFTER_DEADLINE
