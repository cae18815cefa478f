"""The workflow and `drive` tell one story: whatever models do, both try the same in the same order and end alike."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from temporalio.client import Client

from gateway.attempt import Try
from gateway.domain.errors import (
    Cancelled,
    ContentFiltered,
    ContextTooLong,
    GatewayError,
    UpstreamAuth,
    UpstreamBroken,
    UpstreamRejected,
    UpstreamUnavailable,
)
from gateway.domain.inference import Attempt, Failure, InferenceRequest, Outcome, Settlement
from gateway.drive import drive
from gateway.exchange import Exchange, Exchanges
from gateway.providers.ports import Reply
from gateway.recorder import Recorder
from gateway.storage.memory import MemoryStore
from tests.builders import QUICK, a_request, a_router, an_attempt, raw
from tests.workflows.harness import CONVERTER, Process, a_process, registry, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = ("good", "down", "rejects")
WAYS: dict[str, tuple[Outcome, GatewayError | None]] = {
    "succeeds": (Outcome.SUCCEEDED, None),
    "fails": (Outcome.FAILED, UpstreamUnavailable()),
    "asks for patience": (Outcome.FAILED, UpstreamUnavailable(retry_after=timedelta(milliseconds=15))),
    "asks for too much": (Outcome.FAILED, UpstreamUnavailable(retry_after=timedelta(minutes=10))),
    "refuses": (Outcome.FAILED, UpstreamRejected()),
    "refuses the key": (Outcome.FAILED, UpstreamAuth()),
    "is too short": (Outcome.FAILED, ContextTooLong()),
    "filters": (Outcome.FAILED, ContentFiltered()),
    "breaks": (Outcome.BROKEN, UpstreamBroken()),
    "is left": (Outcome.CANCELLED, Cancelled()),
}
# Each model's way at its first call, its second, and so on; the last one stays.
Script = dict[str, list[str]]


@dataclass
class Played:
    """Attempts by a script."""

    script: Script
    calls: Counter[str]

    async def admit(self, wanted: Try, others: Iterable[str] = ()) -> Try:
        return wanted

    async def complete(self, wanted: Try) -> tuple[Attempt, Reply | None]:
        name = wanted.choice.model
        ways = self.script[name]
        outcome, error = WAYS[ways[min(self.calls[name], len(ways) - 1)]]
        self.calls[name] += 1
        failure = None if error is None else Failure.of(error)
        attempt = replace(
            an_attempt(wanted.number, name), reason=wanted.choice.reason, outcome=outcome, failure=failure
        )
        return attempt, Reply(b"{}") if outcome is Outcome.SUCCEEDED else None


def told(settlement: Settlement) -> tuple[Any, ...]:
    """What must not differ."""
    return (
        settlement.status,
        settlement.failure.code if settlement.failure else None,
        [(a.number, a.model, a.outcome, a.reason) for a in settlement.attempts],
        settlement.decision[-1],
    )


def waiting(request: InferenceRequest, script: Script, exchanges: Exchanges) -> Exchange:
    attempts: Any = Played(script, Counter())
    exchange = Exchange(request, raw(), attempts)
    exchanges.open(exchange)
    return exchange


async def driven(request: InferenceRequest, script: Script) -> Settlement:
    exchanges, store = Exchanges("here"), MemoryStore()
    recorder = Recorder(store.requests, store.claims, exchanges, log_content=False, content_limit=1)
    return await drive(waiting(request, script, exchanges), recorder, a_router(registry()))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process(temporal_address: str) -> AsyncIterator[Process]:
    client = await Client.connect(temporal_address, data_converter=CONVERTER)
    async with serving(a_process(client)) as process:
        yield process


@dataclass(frozen=True)
class Case:
    """A request and what its models do."""

    candidates: tuple[str, ...]
    script: Script
    bound: int


CASES = st.builds(
    Case,
    candidates=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(tuple),
    script=st.fixed_dictionaries(
        {name: st.lists(st.sampled_from(sorted(WAYS)), min_size=1, max_size=3) for name in NAMES}
    ),
    bound=st.integers(min_value=1, max_value=5),
)


async def agree(process: Process, case: Case) -> None:
    request = a_request(candidates=case.candidates, limits=replace(QUICK, attempts=case.bound))
    exchange = waiting(request, case.script, process.exchanges)
    by_workflow = await (await process.start(request)).result()
    assert told(by_workflow) == told(await driven(request, case.script))
    assert exchange.opened.done()
    assert (exchange.opened.exception() is None) == (by_workflow.served is not None)


# Several at once: a workflow waits more than it works.
@given(st.lists(CASES, min_size=8, max_size=8))
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_both_try_the_same_and_end_alike(process: Process, cases: Sequence[Case]):
    async with asyncio.TaskGroup() as group:
        for case in cases:
            group.create_task(agree(process, case))


async def test_a_request_that_both_tell_at_once_is_told_once(process: Process):
    """Beside a workflow that exists after all, as after a start whose answer was lost."""
    script = {"good": ["fails"], "down": ["fails", "succeeds"], "rejects": ["refuses"]}
    request = a_request(candidates=("good", "down"), limits=replace(QUICK, attempts=5))
    exchange = waiting(request, script, process.exchanges)
    handle = await process.start(request)
    here = await drive(exchange, process.recorder, process.router)
    there = await handle.result()
    assert told(here)[:3] == told(there)[:3]
    record = await process.store.requests.get(request.id)
    assert record is not None
    assert told(record.settlement)[:3] == told(here)[:3]
