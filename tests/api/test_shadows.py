"""Copies for a model on trial: rows of their own, and nothing that a caller would notice."""

import asyncio
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest

from gateway import telemetry
from gateway.domain.inference import Mode, Outcome, Status
from tests.api import rpc
from tests.api.mistakes import both
from tests.api.rest import a_quick_world, body
from tests.waits import until


def shadowed(model: str = "dear", **more: Any) -> dict[str, Any]:
    """Rules that send a copy of everything to a model."""
    return {"shadow": {"model": model, "share": "100%"}, **more}


def counted(outcome: str) -> float:
    return telemetry.SHADOWS.labels(outcome)._value.get()


async def copies(doors, count=1):
    """The rows of the copies, oldest first, once they are there."""
    requests = doors.world.store.requests
    found: list[Any] = []
    ends = monotonic() + 30
    while len(found) < count:
        assert monotonic() < ends, "no copy was recorded"
        await asyncio.sleep(0.01)
        rows = (await requests.find(rpc.a_day(), limit=100)).rows
        found = [row for row in rows if row.request.caller.startswith("shadow:")]
    return found[::-1]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_copy_has_a_row_of_its_own_that_names_its_request_and_bills_another_line(stream):
    async with both(a_quick_world(rules=shadowed())) as doors:
        answer = await doors.rest.chat({**body(), "stream": stream})
        assert (answer.headers["x-gateway-model"], answer.headers["x-gateway-attempts"]) == ("good", "1")
        (copy,) = await copies(doors)
        request, settlement = copy.request, copy.settlement
        assert request.id != answer.headers["x-request-id"]
        assert request.metadata["shadow_of"] == answer.headers["x-request-id"]
        assert (request.caller, request.model) == ("shadow:agent-1", "dear")
        assert request.mode is (Mode.STREAM if stream else Mode.SYNC)
        assert settlement.status is Status.COMPLETED
        assert settlement.attempts[0].usage.output == 8, "read to its end"
        own = (await doors.rest.settled(answer)).request
        assert (own.caller, "shadow_of" in own.metadata) == ("agent-1", False)


async def test_a_caller_does_not_see_the_copies_of_its_requests():
    async with both(a_quick_world(rules=shadowed())) as doors:
        await doors.rest.chat()
        await copies(doors)
        listed = (await doors.rest.get("/api/v1/requests")).json()["data"]
        assert [row["caller"] for row in listed] == ["agent-1"]
        everyone = (await doors.rest.get("/api/v1/requests", "sk-admin")).json()["data"]
        assert sorted(row["caller"] for row in everyone) == ["agent-1", "shadow:agent-1"]


@pytest.mark.parametrize("model", ["slow", "down", "rejects", "breaks"])
async def test_a_copy_that_is_slow_or_fails_is_nothing_to_the_caller(model):
    async with both(a_quick_world(rules=shadowed(model))) as doors:
        began = monotonic()
        answer = await doors.rest.chat()
        assert answer.status_code == 200
        assert monotonic() - began < 15  # the copy takes thirty
        if model != "slow":
            (copy,) = await copies(doors)
            assert len(copy.settlement.attempts) == 1, "it is tried once"


async def test_copies_beyond_the_bound_are_dropped_and_take_no_room_from_callers():
    async with both(a_quick_world(rules=shadowed("slow"), max_shadows=2, api={"max_in_flight": 2})) as doors:
        before = counted("dropped")
        answers = [await doors.rest.chat() for _ in range(5)]
        assert {answer.status_code for answer in answers} == {200}
        assert doors.world.upstream.in_flight == 2
        assert counted("dropped") == before + 3


async def test_what_the_rules_take_a_model_out_for_holds_for_copies():
    stay = {"name": "data stays here", "drop": {"name": ["dear"]}}
    async with both(a_quick_world(rules=shadowed(rules=[stay]))) as doors:
        before = counted("kept_back")
        await doors.rest.chat()
        await until(lambda: counted("kept_back") == before + 1)
        assert doors.world.upstream.numbered == 1


async def test_a_model_that_is_not_there_gets_no_copy():
    async with both(a_quick_world(rules=shadowed("unheard-of"))) as doors:
        before = counted("kept_back")
        assert (await doors.rest.chat()).status_code == 200
        await until(lambda: counted("kept_back") == before + 1)


async def test_a_model_at_its_limit_gets_no_copy():
    async with both(a_quick_world(rules=shadowed("scarce"))) as doors:
        before = counted("dropped")
        for _ in range(3):
            assert (await doors.rest.chat()).status_code == 200
        await until(lambda: counted("dropped") == before + 1)
        assert len(await copies(doors, 2)) == 2


async def test_a_job_is_copied_when_it_is_created_and_only_once():
    async with both(a_quick_world(rules=shadowed())) as doors:
        answer, again = [await doors.rest.job(idempotency_key="once") for _ in range(2)]
        assert answer.json()["id"] == again.json()["id"]
        (copy,) = await copies(doors)
        assert copy.request.metadata["shadow_of"] == answer.json()["id"]
        assert copy.request.mode is Mode.SYNC
        await doors.rest.ended(answer.json()["id"])
        assert len(await copies(doors)) == 1


async def test_copies_end_with_their_process_and_are_settled():
    async with both(a_quick_world(rules=shadowed("slow"))) as doors:
        await doors.rest.chat()
        await until(lambda: doors.world.upstream.in_flight == 1)
        began = monotonic()
        assert await doors.world.inference.close(timedelta(seconds=10)) == 0
        assert monotonic() - began < 8
        (copy,) = await copies(doors)
        assert [a.outcome for a in copy.settlement.attempts] == [Outcome.CANCELLED]


async def test_without_an_engine_a_copy_is_recorded_all_the_same():
    async with both(a_quick_world(rules=shadowed())) as doors:
        doors.world.engine.up = False
        await doors.rest.chat()
        (copy,) = await copies(doors)
        assert copy.settlement.status is Status.COMPLETED
        assert copy.request.durability == "degraded"
