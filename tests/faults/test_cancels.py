"""A running call is cancelled for several reasons, and only one of them is that somebody asked for the job's end."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.testing import ActivityEnvironment

from activities.inference import JobActivities, JobAttempt
from gateway.attempt import Attempts
from gateway.domain.inference import Choice, Outcome
from gateway.jobcalls import JobCalls
from gateway.providers.catalogue import open_provider
from gateway.providers.ports import CallTimeouts
from gateway.settings import Providers, Settings
from gateway.storage.memory import MemoryStore
from tests.builders import a_job, a_keeper, a_model, a_registry

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        ("cancel_requested", Outcome.CANCELLED),
        (
            "not_found",
            Outcome.INTERRUPTED,
        ),  # the engine gave the call up: it was away, or we were silent for too long
        ("timed_out", Outcome.INTERRUPTED),
        ("worker_shutdown", Outcome.INTERRUPTED),
    ],
)
async def test_a_call_that_nobody_asked_to_end_is_interrupted_and_not_cancelled(
    reason: str, outcome: Outcome
):
    store, registry = MemoryStore(), a_registry(a_model("hangs", upstream_model="scripted-hang"))
    provider = open_provider("scripted", Providers())
    attempts = Attempts(lambda: registry, {"scripted": provider}, CallTimeouts(MINUTE, MINUTE, MINUTE))
    calls = JobCalls(attempts, store.streams, a_keeper(store, Settings()))
    worker = JobActivities(attempts, store.claims, lambda: registry, "here", timedelta(seconds=1), calls)
    request = a_job(candidates=("hangs",))
    environment = ActivityEnvironment()
    wanted = JobAttempt(request, 1, Choice("hangs", "first choice"))
    calling = asyncio.ensure_future(environment.run(worker.call_model, wanted))
    async with asyncio.timeout(30):
        while not provider.upstream.numbered:  # noqa: ASYNC110  the upstream sets no event
            await asyncio.sleep(0.01)
        environment.cancel(ActivityCancellationDetails(**{reason: True}))
        if reason == "worker_shutdown":
            environment.worker_shutdown()
        attempt = await calling
    assert attempt.outcome is outcome
    kept = await store.claims.give_up(request.id, 1)
    assert kept is not None
    assert kept.outcome is outcome
    await provider.close()
