"""What is kept of responses is ended once, by whoever knows how it ended."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gateway.domain.errors import Abandoned, Cancelled, ResponseNotFound, UpstreamBroken
from gateway.domain.inference import Failure, Mode, Outcome, Status, settle
from gateway.domain.operations import Operation
from gateway.domain.secret import Secret
from gateway.responses import ResponseKeeper
from gateway.ring import KeyRing
from gateway.seal import Seal
from gateway.settings import Settings
from gateway.storage.memory import MemoryStore
from tests.builders import a_failed_attempt, a_job, a_keeper, a_request, an_attempt

SETTINGS = Settings()
EVENTS = {"response.completed": "completed", "response.failed": "failed", "response.incomplete": "cancelled"}


def a_response(request: Any, **more: Any) -> dict[str, Any]:
    at = int(datetime.now(UTC).timestamp())
    usual = {"id": f"resp_{request.id}", "created_at": at, "status": "in_progress", "output": []}
    return {**usual, **more}


def of(mode: Mode) -> Any:
    made = a_job if mode is Mode.JOB else a_request
    return made(endpoint=Operation.RESPONSES.value, mode=mode)


async def kept(store: MemoryStore, request: Any, **more: Any) -> ResponseKeeper:
    keeper = a_keeper(store, SETTINGS)
    await keeper.keep(request.caller, request.id, a_response(request, **more), streamed=True)
    await store.streams.open(request.id, "writer")
    return keeper


async def status(store: MemoryStore, request: Any) -> str:
    found = await store.responses.get(request.caller, request.id)
    assert found is not None
    return found.status


def ended(request: Any, attempt: Any, **more: Any) -> Any:
    return settle(request, (attempt,), datetime.now(UTC), **more)


async def test_a_jobs_response_is_ended_as_its_answer_says():
    store, request = MemoryStore(), of(Mode.JOB)
    keeper = await kept(store, request, background=True)
    answer = a_response(request, status="completed", output=[{"type": "message", "id": "msg_1"}])
    await store.claims.claim(request.id, 1, "w")
    await store.claims.answer(request.id, an_attempt(), msgspec.json.encode(answer))
    for _ in range(2):
        await keeper.settle(request, ended(request, an_attempt()))
    assert await status(store, request) == "completed"
    tail = await store.streams.read(request.id)
    assert tail is not None
    assert ([line.name for line in tail.lines], tail.ended) == (["response.completed"], True)


@pytest.mark.parametrize("mode", [Mode.JOB, Mode.STREAM])
@pytest.mark.parametrize(("error", "becomes"), [(Cancelled, "cancelled"), (Abandoned, "failed")])
async def test_what_nobody_is_left_to_tell_is_ended_and_told_in_its_log(mode: Mode, error: Any, becomes: str):
    store, request = MemoryStore(), of(mode)
    keeper = await kept(store, request)
    outcome = Outcome.CANCELLED if error is Cancelled else Outcome.ABANDONED
    attempt = a_failed_attempt(failure=Failure.of(error()), outcome=outcome)
    await keeper.settle(request, ended(request, attempt))
    assert await status(store, request) == becomes
    tail = await store.streams.read(request.id)
    assert tail is not None
    assert EVENTS[tail.lines[-1].name] == becomes


async def test_what_a_caller_is_still_told_is_left_to_whoever_tells_it():
    store, request = MemoryStore(), of(Mode.STREAM)
    keeper = await kept(store, request)
    broken = a_failed_attempt(failure=Failure.of(UpstreamBroken()), outcome=Outcome.BROKEN)
    assert ended(request, broken).status is Status.FAILED
    await keeper.settle(request, ended(request, broken))
    await keeper.settle(request, ended(request, an_attempt()))
    assert await status(store, request) == "in_progress"


async def test_what_was_deleted_is_not_kept_again_by_its_end():
    store, request = MemoryStore(), of(Mode.JOB)
    keeper = await kept(store, request)
    await store.responses.delete(request.caller, request.id)
    assert not await keeper.end(request.caller, request.id, a_response(request, status="completed"))
    await keeper.settle(request, ended(request, an_attempt()))
    assert await store.responses.get(request.caller, request.id) is None


async def test_what_its_key_is_gone_of_cannot_be_read_and_says_so():
    store, request = MemoryStore(), of(Mode.JOB)
    keys = {name: Secret(base64.b64encode(bytes([number] * 32)).decode()) for number, name in enumerate("ab")}
    old, new = (
        ResponseKeeper(
            store.responses,
            store.streams,
            store.claims,
            Seal(KeyRing(name, {name: keys[name]}, purpose=b"test")),
            SETTINGS.responses,
        )
        for name in "ab"
    )
    await old.keep(request.caller, request.id, a_response(request))
    found = await store.responses.get(request.caller, request.id)
    assert found is not None
    assert old.opened(found)["status"] == "in_progress"
    with pytest.raises(ResponseNotFound):
        new.opened(found)
