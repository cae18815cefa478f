"""Callers are told of their jobs' ends, whatever the end, and however long a receiver is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Replayer

from activities.delivery import Deliver, DeliveryActivities, Pauses
from gateway.delivery.catalogue import open_memory
from gateway.domain.delivery import (
    TRIES,
    Delivery,
    DeliveryOutcome,
    Destination,
    delivery_id,
    event_id,
)
from gateway.domain.errors import (
    GatewayError,
    ReceiverGone,
    ReceiverRefused,
    ReceiverUnreachable,
    StorageUnavailable,
)
from gateway.domain.inference import InferenceRequest, Settlement, Status
from gateway.storage.memory import MemoryStore
from gateway.storage.ports import Entry
from gateway.temporal.client import SEARCH_ATTRIBUTES
from tests.builders import a_job, an_attempt
from tests.servers import Servers, binary
from tests.workflows.harness import CONVERTER, TEMPORAL, Process, a_process, serving
from tests.workflows.record import HISTORIES, connected, keep, kept, reached, story
from workflows.delivery import DeliverWorkflow
from workflows.inference import InferenceWorkflow
from workflows.worker import runner

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

THERE = {"webhook": Destination("https://agent.example.org/hook", has_secret=True, sealed="x", key_id="k")}
RECORDED = HISTORIES / "deliver"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(temporal_address: str) -> Client:
    return await Client.connect(temporal_address, data_converter=CONVERTER)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def skipping() -> AsyncIterator[Client]:
    """A server on which a day of waiting takes no time."""
    env = await WorkflowEnvironment.start_time_skipping(
        data_converter=CONVERTER, test_server_existing_path=binary("temporal-test-server")
    )
    async with env:
        attributes = {key.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD for key in SEARCH_ATTRIBUTES}
        await env.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=env.client.namespace, search_attributes=attributes)
        )
        yield env.client


async def delivered(client: Client, job_id: str, channel: str = "webhook") -> str:
    """How a delivery ended, once it has."""
    return await client.get_workflow_handle(delivery_id(job_id, channel)).result()


async def tries(process: Process, job_id: str) -> list[tuple[int, str, str | None]]:
    rows = await process.store.deliveries.of(job_id)
    return [(row.number, row.outcome.value, row.code) for row in rows]


async def a_settled_job(store: MemoryStore, **changes: Any) -> InferenceRequest:
    request = a_job(deliver=THERE, **changes)
    settlement = Settlement(request.id, Status.COMPLETED, request.accepted_at, (an_attempt(),))
    await store.requests.settle(Entry(request, settlement))
    await store.claims.claim(request.id, 1, "test")
    await store.claims.answer(request.id, an_attempt(), b'{"id":"chatcmpl-1"}')
    return request


async def begun(client: Client, request: InferenceRequest, **changes: Any) -> WorkflowHandle[Any, str]:
    deliver = Deliver(request.id, "webhook", THERE["webhook"], request.caller, **changes)
    return await client.start_workflow(
        DeliverWorkflow.run,
        deliver,
        id=delivery_id(request.id, "webhook"),
        task_queue=TEMPORAL.jobs_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
    )


# ---- every end is told -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("candidates", "changes", "status"),
    [
        (("good",), {}, Status.COMPLETED),
        (("rejects",), {}, Status.FAILED),
        (("down",), {"deadline": timedelta(seconds=1)}, Status.EXPIRED),
    ],
)
async def test_every_end_of_a_job_is_told(client, candidates, changes: Mapping[str, Any], status):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        request = a_job(candidates=candidates, deliver=THERE, model=candidates[0], traceparent="00-aa-bb-01")
        if "deadline" in changes:
            request = a_job(
                candidates=candidates,
                model=candidates[0],
                deliver=THERE,
                traceparent="00-aa-bb-01",
                deadline=datetime.now(UTC) + changes["deadline"],
                limits=request.limits.__class__(attempts=50, backoff_max=timedelta(seconds=1)),
            )
        settlement = await (await process.start(request)).result()
        assert settlement.status is status
    (notice,) = process.channel.brought
    assert notice.event.id == event_id(request.id)
    assert notice.event.job.status is status
    assert (notice.caller, notice.traceparent) == (request.caller, "00-aa-bb-01")
    assert (b'"result":' in notice.event.whole) == (status is Status.COMPLETED)
    assert await tries(process, request.id) == [(1, "delivered", None)]


async def test_the_end_of_a_cancelled_job_is_told_too(client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        handle = await process.start(a_job(candidates=("hangs",), deliver=THERE))
        await reached(handle, "call_model")
        await handle.cancel()
        assert (await handle.result()).status is Status.CANCELLED
    assert process.channel.brought[0].event.job.status is Status.CANCELLED


async def test_a_job_does_not_wait_for_its_receiver(client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        process.channel.fails.extend([ReceiverUnreachable(retry_after=timedelta(hours=1))] * 2)
        request = a_job(deliver={**THERE, "nats": Destination("agents.agent-1.x")})
        handle = await process.start(request)
        assert (await handle.result()).status is Status.COMPLETED
        there = client.get_workflow_handle(delivery_id(request.id, "webhook"))
        assert (await there.describe()).status is WorkflowExecutionStatus.RUNNING
        await there.terminate()
        await client.get_workflow_handle(delivery_id(request.id, "nats")).terminate()


async def test_a_channel_that_a_worker_lacks_is_waited_for(client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        handle = await process.start(request := a_job(deliver={"nats": Destination("agents.agent-1.x")}))
        await handle.result()
        await client.get_workflow_handle(delivery_id(request.id, "nats")).terminate()
    first = (await process.store.deliveries.of(request.id))[0]
    assert (first.code, first.outcome) == ("bus_unavailable", DeliveryOutcome.FAILED)


async def test_what_the_first_try_does_not_bring_is_tried_on_without_the_job(client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        process.channel.fails.extend([ReceiverUnreachable()] * 2)
        handle = await process.start(request := a_job(deliver=THERE))
        await handle.result()
        assert await delivered(client, request.id) == "delivered"
    assert await tries(process, request.id) == [
        (1, "failed", "receiver_unreachable"),
        (2, "failed", "receiver_unreachable"),
        (3, "delivered", None),
    ]
    rows = await process.store.deliveries.of(request.id)
    assert len({row.run for row in rows}) == 1, "it is one round"


async def test_a_receiver_that_takes_it_at_once_needs_no_workflow_of_its_own(client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        handle = await process.start(request := a_job(deliver=THERE))
        await handle.result()
        assert story(await handle.fetch_history()) == [
            "(begin)",
            "(route)",
            "call_model",
            "(record)",
            "(tell)",
        ]
        with pytest.raises(RPCError, match="not found"):
            await client.get_workflow_handle(delivery_id(request.id, "webhook")).describe()


async def test_a_receiver_that_is_gone_at_once_is_left_alone(client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        process.channel.fails.append(ReceiverGone(status=410))
        await (await process.start(request := a_job(deliver=THERE))).result()
    assert await tries(process, request.id) == [(1, "given_up", "receiver_gone")]


async def test_receivers_who_hang_do_not_hold_up_the_ends_of_jobs(client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        process.hands.delivery._at_once = 50
        await (await process.start(request := a_job(deliver=THERE))).result()
        assert await delivered(client, request.id) == "delivered"
    assert await tries(process, request.id) == [(1, "delivered", None)]


async def test_a_cancel_that_comes_when_the_job_has_ended_changes_nothing(client):
    process = a_process(client)
    settle, asked, go = process.store.requests.settle, asyncio.Event(), asyncio.Event()

    async def slowly(entry: Entry) -> bool:
        asked.set()
        await go.wait()
        return await settle(entry)

    process.store.requests.settle = slowly
    async with serving(process, jobs=True, callers=False):
        handle = await process.start(request := a_job(deliver=THERE))
        await asked.wait()
        await handle.cancel()
        await asyncio.sleep(0.3)
        go.set()
        assert (await handle.result()).status is Status.COMPLETED
    assert await tries(process, request.id) == [(1, "delivered", None)]


# ---- ten tries ---------------------------------------------------------------------------------------------------
def a_day_of(process: Process) -> Process:
    """The same process with the pauses that production has."""
    process.hands.delivery._pauses = Pauses(timedelta(seconds=5), timedelta(hours=8))
    return process


async def test_ten_tries_take_about_a_day_and_then_it_is_given_up(skipping):
    async with serving(a_day_of(a_process(skipping)), jobs=True, callers=False) as process:
        process.channel.fails.extend([ReceiverRefused(status=500)] * TRIES)
        request = await a_settled_job(process.store)
        handle = await begun(skipping, request)
        assert await handle.result() == "receiver_refused"
        lasted = await _lasted(handle)
    assert process.channel.tried == TRIES
    assert timedelta(hours=18) < lasted < timedelta(hours=29)
    rows = await process.store.deliveries.of(request.id)
    assert [row.number for row in rows] == list(range(1, TRIES + 1))
    assert [row.outcome for row in rows] == [
        *[DeliveryOutcome.FAILED] * (TRIES - 1),
        DeliveryOutcome.GIVEN_UP,
    ]
    assert {(row.code, row.status, row.target) for row in rows} == {
        ("receiver_refused", 500, "https://agent.example.org/hook")
    }
    pauses = [(row.next_at - row.at) / timedelta(seconds=1) for row in rows if row.next_at]
    assert pauses[:8] == sorted(pauses[:8]), "each is longer, up to the longest"
    assert rows[-1].next_at is None
    assert story(await handle.fetch_history()) == ["deliver"], "tries leave nothing in the history"


async def test_a_receiver_s_own_wish_is_waited_for(skipping):
    async with serving(a_day_of(a_process(skipping)), jobs=True, callers=False) as process:
        process.channel.fails.append(ReceiverRefused(status=429, retry_after=timedelta(hours=3)))
        request = await a_settled_job(process.store)
        handle = await begun(skipping, request)
        assert await handle.result() == "delivered"
        assert await _lasted(handle) >= timedelta(hours=3)
    first, second = await process.store.deliveries.of(request.id)
    assert (first.outcome, first.status, second.outcome) == ("failed", 429, "delivered")


async def test_a_receiver_that_is_gone_is_not_tried_again(client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        process.channel.fails.append(ReceiverGone(status=410))
        request = await a_settled_job(process.store)
        assert await (await begun(client, request)).result() == "receiver_gone"
    assert await tries(process, request.id) == [(1, "given_up", "receiver_gone")]


async def test_what_failed_twice_arrives_the_third_time_as_the_same_event(client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        process.channel.fails.extend([ReceiverUnreachable()] * 2)
        request = await a_settled_job(process.store)
        assert await (await begun(client, request)).result() == "delivered"
    assert await tries(process, request.id) == [
        (1, "failed", "receiver_unreachable"),
        (2, "failed", "receiver_unreachable"),
        (3, "delivered", None),
    ]
    assert process.channel.brought[0].event.id == event_id(request.id)


async def test_asked_for_again_it_is_told_at_once_and_what_waited_is_given_up(client):
    async with serving(a_process(client), jobs=True, callers=False) as process:
        process.channel.fails.append(ReceiverUnreachable(retry_after=timedelta(hours=1)))
        request = await a_settled_job(process.store)
        waiting = await begun(client, request)
        async with asyncio.timeout(60):
            while not await tries(process, request.id):  # noqa: ASYNC110  polled
                await asyncio.sleep(0.05)
        assert await (await begun(client, request, by_hand=True)).result() == "delivered"
        old = await client.get_workflow_handle(waiting.id, run_id=waiting.first_execution_run_id).describe()
        assert old.status is WorkflowExecutionStatus.TERMINATED
    rows = await process.store.deliveries.of(request.id)
    assert [(row.number, row.outcome.value, row.by_hand) for row in rows] == [
        (1, "failed", False),
        (1, "delivered", True),
    ]
    assert rows[0].run != rows[1].run


async def test_a_job_that_is_no_longer_kept_is_told_of_no_more(client):
    async with serving(a_process(client), jobs=True, callers=False):
        assert await (await begun(client, a_job(deliver=THERE))).result() == "job_not_found"


# ---- one try -----------------------------------------------------------------------------------------------------
class Forgetful:
    """A ledger of deliveries whose database is away for some writes."""

    def __init__(self, away: int) -> None:
        self.away = away
        self.kept: list[Delivery] = []

    async def note(self, delivery: Delivery) -> None:
        """Keep a try, or be away."""
        if self.away:
            self.away -= 1
            raise StorageUnavailable
        self.kept.append(delivery)

    async def of(self, job_id: str) -> tuple[Delivery, ...]:
        """What was kept."""
        return tuple(each for each in self.kept if each.job_id == job_id)


async def one_try(ledger: Forgetful, attempt: int, error: GatewayError | None = None) -> Forgetful:
    store, channel = MemoryStore(), open_memory()
    request = await a_settled_job(store)
    if error is not None:
        channel.fails.append(error)
    activities = DeliveryActivities(
        {"webhook": channel}, store.jobs, store.claims, ledger, Pauses(timedelta(1), timedelta(1))
    )
    env = ActivityEnvironment()
    env.info = replace(env.info, attempt=attempt)
    await env.run(activities.deliver, Deliver(request.id, "webhook", THERE["webhook"], "agent-1"))
    return ledger


async def test_a_try_whose_process_died_has_its_row_from_the_next_one():
    ledger = await one_try(Forgetful(0), 3)
    assert [(row.number, row.outcome.value) for row in ledger.kept] == [(2, "interrupted"), (3, "delivered")]


async def test_what_was_delivered_waits_for_a_database_that_is_away():
    ledger = await one_try(Forgetful(1), 1)
    assert [row.outcome.value for row in ledger.kept] == ["delivered"]


# ---- what was recorded -------------------------------------------------------------------------------------------
STORIES = {"delivered": ["timer", "deliver"], "given_up": ["deliver"]}


@pytest.mark.parametrize("name", sorted(STORIES))
async def test_a_recorded_delivery_is_told_again(name):
    replayer = Replayer(
        workflows=[DeliverWorkflow], data_converter=CONVERTER, workflow_runner=runner(sandbox=True)
    )
    history = kept(name, RECORDED)
    assert story(history) == STORIES[name]
    assert (await replayer.replay_workflow(history)).replay_failure is None


@pytest.mark.parametrize("name", ["delivered", "given_up", "job", "failing_job"])
async def test_nothing_of_where_it_went_stands_in_a_history(name):
    text = (RECORDED / f"{name}.json").read_text("utf-8")
    assert "agent.example.org" not in text
    assert "gone for good" not in text


@pytest.mark.parametrize("name", ["job", "failing_job"])
async def test_a_recorded_job_that_was_delivered_is_told_again(name):
    replayer = Replayer(
        workflows=[InferenceWorkflow], data_converter=CONVERTER, workflow_runner=runner(sandbox=True)
    )
    assert (await replayer.replay_workflow(kept(name, RECORDED))).replay_failure is None


async def _lasted(handle: WorkflowHandle[Any, Any]) -> timedelta:
    seen = await handle.describe()
    assert seen.close_time is not None
    return seen.close_time - seen.start_time


# ---- recording ---------------------------------------------------------------------------------------------------
async def _record(address: str) -> None:
    client = await connected(address)
    async with serving(a_process(client), jobs=True, callers=False) as process:
        handle = await process.start(a_job(deliver=THERE))
        await handle.result()
        await keep(handle, RECORDED / "job.json")
        process.channel.fails.append(ReceiverUnreachable())
        handle = await process.start(request := a_job(deliver=THERE))
        await handle.result()
        await delivered(client, request.id)
        await keep(handle, RECORDED / "failing_job.json")
        there = client.get_workflow_handle(delivery_id(request.id, "webhook"))
        await keep(there, RECORDED / "delivered.json")
        process.channel.fails.append(ReceiverGone(status=410))
        handle = await begun(client, await a_settled_job(process.store))
        await handle.result()
        await keep(handle, RECORDED / "given_up.json")


def main() -> None:
    """`python -m tests.workflows.test_delivery`: keep the histories anew."""
    servers = Servers()
    try:
        asyncio.run(_record(servers.temporal.address))
    finally:
        servers.close()


if __name__ == "__main__":
    main()
