"""What a job tells while it runs, at both doors: its states, its output as it comes, and read on by who comes back."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from gateway.jobcalls import BEGUN_ANEW
from gateway.storage.ports import Line
from gateway.v1 import jobs_pb2
from tests.api import rpc
from tests.api.mistakes import Doors, both
from tests.api.rest import a_quick_world, bearer, body, error_of
from tests.waits import until

pytestmark = pytest.mark.slow

CHAT = "/v1/chat/completions"


@pytest.fixture
async def doors() -> AsyncGenerator[Doors]:
    async with both(a_quick_world()) as doors:
        yield doors


def told(text: str) -> list[tuple[str | None, str, Any]]:
    """The events of a stream: id, name and data of each."""
    events: list[tuple[str | None, str, Any]] = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        events.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
    return events


def words(chunks: Any) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


async def streaming_job(doors: Doors, model: str = "good", **headers: str) -> str:
    given = {"endpoint": CHAT, "body": {**body(model), "stream": True}}
    answer = await doors.rest.post("/api/v1/jobs", given, **headers)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


async def test_a_job_that_streams_tells_its_output_and_has_it_whole_as_its_result(doors):
    job_id = await streaming_job(doors)
    events = told((await doors.rest.get(f"/api/v1/jobs/{job_id}/events")).text)
    output = [(int(id_ or -1), data) for id_, name, data in events if name == "output"]
    states = [data["status"] for _, name, data in events if name == "job"]
    assert [number for number, _ in output] == list(range(len(output)))
    assert states[-1] == "completed"
    assert events[-1][1] == "job"
    result = (await doors.rest.get(f"/api/v1/jobs/{job_id}/result")).json()
    assert result["object"] == "chat.completion"
    assert result["choices"][0]["message"]["content"] == words(data for _, data in output)
    assert all("usage" not in data or not data["usage"] for _, data in output), "nobody asked for it"
    job = await doors.rest.ended(job_id)
    assert job["usage"]["output_tokens"] > 0
    assert job["cost_usd"] is not None


async def test_output_comes_while_the_job_runs(doors):
    job_id = await streaming_job(doors, "dripping")
    async with doors.rest.client.stream("GET", f"/api/v1/jobs/{job_id}/events", headers=bearer()) as answer:
        async for line in answer.aiter_lines():
            if line == "event: output":
                break
    assert doors.world.upstream.in_flight == 1
    assert (await doors.rest.get(f"/api/v1/jobs/{job_id}")).json()["status"] == "in_progress"


async def test_who_comes_back_reads_on_where_it_was(doors):
    job_id = await streaming_job(doors)
    whole = told((await doors.rest.get(f"/api/v1/jobs/{job_id}/events")).text)
    numbers = [int(id_) for id_, _, _ in whole if id_ is not None]
    seen = numbers[len(numbers) // 2]
    answer = await doors.rest.client.get(
        f"/api/v1/jobs/{job_id}/events", headers=bearer(last_event_id=str(seen))
    )
    rest = told(answer.text)
    assert [event for event in rest if event[0]] == [
        event for event in whole if event[0] and int(event[0]) > seen
    ]
    assert rest[-1] == whole[-1]
    past = await doors.rest.client.get(
        f"/api/v1/jobs/{job_id}/events", headers=bearer(last_event_id="999999")
    )
    assert [name for _, name, _ in told(past.text)] == ["job"]


@pytest.mark.parametrize("seen", ["x", "-1", "1.5", "9" * 40, ""])
async def test_an_id_that_no_event_has_is_refused(doors, seen):
    job_id = await streaming_job(doors)
    answer = await doors.rest.client.get(f"/api/v1/jobs/{job_id}/events", headers=bearer(last_event_id=seen))
    assert (answer.status_code, answer.json()["param"]) == (400, "Last-Event-ID")


async def test_both_doors_tell_the_same_output(doors):
    job_id = await streaming_job(doors)
    events = told((await doors.rest.get(f"/api/v1/jobs/{job_id}/events")).text)

    async def watched(**fields: Any) -> list[Any]:
        watch = doors.jobs.Watch(jobs_pb2.JobsServiceWatchRequest(id=job_id, **fields), metadata=rpc.bearer())
        return [each async for each in watch]

    spoken = await watched()
    outputs = [each.output for each in spoken if each.HasField("output")]
    assert [each.number for each in outputs] == [int(id_) for id_, _, _ in events if id_]
    assert "".join(c.delta.content for each in outputs for c in each.chunk.choices) == words(
        data for id_, _, data in events if id_
    )
    assert spoken[-1].job.chat.choices[0].message.content
    assert [each.output.number for each in await watched(after=3) if each.HasField("output")] == [
        each.number for each in outputs if each.number > 3
    ]


async def test_a_job_handed_over_by_grpc_may_stream(doors):
    created = await doors.jobs.Create(
        jobs_pb2.JobsServiceCreateRequest(chat=rpc.chat(), stream=True), metadata=rpc.bearer()
    )
    watch = doors.jobs.Watch(jobs_pb2.JobsServiceWatchRequest(id=created.job.id), metadata=rpc.bearer())
    said = [each async for each in watch]
    assert any(each.output.chunk.choices for each in said)
    assert said[-1].job.chat.choices[0].message.content


async def test_a_stream_that_broke_is_begun_anew_and_says_so(doors):
    job_id = await streaming_job(doors, "breaks")
    events = told((await doors.rest.get(f"/api/v1/jobs/{job_id}/events")).text)
    names = [name for _, name, _ in events]
    assert "begun_anew" in names
    assert names.index("output") < names.index("begun_anew")
    assert next(data for _, name, data in events if name == "begun_anew") == {"attempt": 2}
    assert events[-1][2]["status"] == "failed"


async def test_what_is_void_is_told_over_grpc_too(doors):
    log = doors.world.store.streams
    job_id = await streaming_job(doors)
    await doors.rest.ended(job_id)
    log._logs[job_id].lines[:] = [Line("", b'{"object":"x","n":1}'), Line(BEGUN_ANEW, b'{"attempt":2}')]
    watch = doors.jobs.Watch(jobs_pb2.JobsServiceWatchRequest(id=job_id), metadata=rpc.bearer())
    first, second = [each.output async for each in watch if each.HasField("output")]
    assert first.data["n"] == 1
    assert second.begun_anew == 2


async def test_a_job_of_messages_tells_its_events_by_their_names(doors):
    given = {
        "endpoint": "/v1/messages",
        "body": {
            "model": "good",
            "max_tokens": 50,
            "messages": [{"role": "user", "content": "Hi"}],
            "stream": True,
        },
    }
    job_id = (await doors.rest.post("/api/v1/jobs", given)).json()["id"]
    events = told((await doors.rest.get(f"/api/v1/jobs/{job_id}/events")).text)
    types = [data["type"] for _, name, data in events if name == "output"]
    assert types[0] == "message_start"
    assert types[-1] == "message_stop"
    result = (await doors.rest.get(f"/api/v1/jobs/{job_id}/result")).json()
    assert (result["type"], result["role"]) == ("message", "assistant")


async def test_who_prefers_to_wait_for_a_stream_has_it_whole(doors):
    answer = await doors.rest.chat({**body(), "stream": True}, bearer(prefer="wait=5"))
    assert (answer.status_code, answer.json()["object"]) == (200, "chat.completion")


async def test_what_cannot_be_told_cannot_stream(doors):
    given = {"endpoint": "/v1/audio/speech", "body": {"model": "good", "input": "Hi", "stream": True}}
    answer = await doors.rest.post("/api/v1/jobs", given)
    assert answer.status_code == 400, answer.text


async def test_a_cancelled_stream_tells_what_it_had_told(doors):
    job_id = await streaming_job(doors, "dripping")
    watching = asyncio.create_task(doors.rest.get(f"/api/v1/jobs/{job_id}/events"))
    await until(lambda: doors.world.upstream.in_flight == 1)
    async with asyncio.timeout(30):
        while (tail := await doors.world.store.streams.read(job_id)) is None or tail.last < 5:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await doors.rest.post(f"/api/v1/jobs/{job_id}/cancel")
    events = told((await watching).text)
    assert [name for _, name, _ in events].count("output") > 3
    assert events[-1][2]["status"] == "cancelled"
    answer = await doors.rest.get(f"/api/v1/jobs/{job_id}/result")
    assert error_of(answer)["code"] == "cancelled"
