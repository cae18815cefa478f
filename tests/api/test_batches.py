"""Files and batches as OpenAI's SDK asks for them: every line a request of its own, whatever becomes of the others."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from openai import AsyncOpenAI, ConflictError, InternalServerError, NotFoundError

from gateway.domain.secret import Secret
from gateway.settings import BatchesSettings, S3Settings
from gateway.storage.memory import MemoryStore
from gateway.storage.ports import FileStore
from gateway.storage.s3.bucket import Bucket
from gateway.storage.s3.contents import S3Contents
from infra.local.component import free_port
from tests.api.rest import a_quick_world, bearer, serving
from tests.api.world import ADMIN, KEY, OTHER
from tests.waits import until

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def world():
    return a_quick_world(batches=BatchesSettings(at_once=4, max_lines=50))


@pytest.fixture
async def rest(world):
    async with serving(world) as rest:
        yield rest


@pytest.fixture
async def openai(rest):
    async with AsyncOpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{rest.port}/v1", max_retries=0) as client:
        yield client


def line(custom_id, model="good", url=CHAT, **body):
    asked = {"model": model, "messages": HELLO, **body}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": asked}


async def handed_over(openai, *lines):
    text = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    return await openai.files.create(file=("in.jsonl", text.encode()), purpose="batch")


async def asked_for(openai, *lines, **options):
    file = await handed_over(openai, *lines)
    return await openai.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", **options
    )


async def ended(openai, batch):
    async def found():
        told = await openai.batches.retrieve(batch.id)
        return told if told.status in ("completed", "failed", "cancelled", "expired") else None

    return await until(found, within=60)


async def lines_of(openai, file_id):
    content = await openai.files.content(file_id)
    return {each["custom_id"]: each for each in map(json.loads, content.text.splitlines())}


# ---- files -------------------------------------------------------------------------------------------------------
async def test_a_file_is_kept_read_listed_and_forgotten(openai):
    content = bytes(range(256)) * 9000  # more than two parts
    file = await openai.files.create(file=("data.bin", content), purpose="user_data")
    assert (file.object, file.bytes, file.filename, file.purpose) == (
        "file",
        len(content),
        "data.bin",
        "user_data",
    )
    assert (await openai.files.content(file.id)).content == content
    assert await openai.files.retrieve(file.id) == file
    other = await openai.files.create(file=("b.jsonl", b"{}"), purpose="batch")
    assert [each.id async for each in openai.files.list(limit=1)] == [other.id, file.id]
    assert [each.id async for each in openai.files.list(purpose="batch")] == [other.id]
    assert (await openai.files.delete(file.id)).deleted
    with pytest.raises(NotFoundError):
        await openai.files.content(file.id)


async def test_a_file_of_another_caller_is_not_there(openai, rest):
    file = await openai.files.create(file=("a", b"x"), purpose="batch")
    for key in (OTHER, ADMIN):
        for path in ("", "/content"):
            answer = await rest.get(f"/v1/files/{file.id}{path}", key=key)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "file_not_found")
    assert (await rest.get("/v1/files/no-file")).status_code == 404


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"data": {"purpose": "nonsense"}, "files": {"file": ("a", b"x")}}, "purpose"),
        ({"data": {}, "files": {"file": ("a", b"x")}}, "purpose"),
        ({"data": {"purpose": "batch"}, "files": {"other": ("a", b"x")}}, "other"),
        (
            {
                "data": {"purpose": "batch", "expires_after[seconds]": "60"},
                "files": {"file": ("a", b"x")},
            },
            "expires_after",
        ),
        ({"json": {"purpose": "batch"}}, None),
    ],
)
async def test_a_form_that_is_wrong_is_refused_by_what_is_wrong(rest, form, param):
    answer = await rest.client.post("/v1/files", headers=bearer(), **form)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


async def test_a_file_that_is_too_large_leaves_nothing(world):
    world = a_quick_world(batches=BatchesSettings(max_file=1000))
    async with serving(world) as rest:
        answer = await rest.client.post(
            "/v1/files", headers=bearer(), data={"purpose": "batch"}, files={"file": ("a", b"x" * 2000)}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
        assert world.store.files.kept == {}


# ---- batches -----------------------------------------------------------------------------------------------------
async def test_every_line_is_a_request_of_its_own(openai, world):
    batch = await asked_for(
        openai,
        line("one"),
        line("two", x_script={"text": "Bonjour"}),
        "",
        line("three", "nobody"),
        line("four", stream=True),
        line("five", "rejects"),
        metadata={"night": "7"},
    )
    assert (batch.status, batch.endpoint, batch.metadata) == ("validating", CHAT, {"night": "7"})
    done = await ended(openai, batch)
    assert done.status == "completed"
    counts = done.request_counts
    assert (counts.total, counts.completed, counts.failed) == (5, 2, 3)
    assert None not in (done.in_progress_at, done.finalizing_at, done.completed_at)
    answers = await lines_of(openai, done.output_file_id)
    assert set(answers) == {"one", "two"}
    response = answers["two"]["response"]
    assert response["status_code"] == 200
    assert response["body"]["choices"][0]["message"]["content"] == "Bonjour"
    record = await world.store.requests.get(response["request_id"])
    assert record.settlement.cost_usd
    assert record.request.metadata["batch_id"] == batch.id
    errors = await lines_of(openai, done.error_file_id)
    said = {
        name: (each["response"]["status_code"], each["response"]["body"]["error"]["code"])
        for name, each in errors.items()
    }
    assert said["three"] == (404, "model_not_found")
    assert said["four"] == (400, "invalid_request")
    assert said["five"][0] == 400


async def test_more_lines_than_run_at_once_are_all_answered(openai, world):
    done = await ended(openai, await asked_for(openai, *(line(f"n{n}") for n in range(30))))
    assert done.request_counts.completed == 30
    assert set(await lines_of(openai, done.output_file_id)) == {f"n{n}" for n in range(30)}
    assert done.error_file_id is None


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        ([line("a"), "{no json"], "invalid_json_line", 2),
        ([line("a"), line("a")], "duplicate_custom_id", 2),
        ([{**line("a"), "method": "GET"}], "invalid_method", 1),
        ([line("a", url="/v1/embeddings")], "mismatched_url", 1),
        ([{**line("a"), "body": {"messages": []}}], "invalid_body", 1),
        ([{**line("a"), "custom_id": ""}], "invalid_custom_id", 1),
        (["  "], "empty_file", None),
        ([line(f"n{n}") for n in range(51)], "too_many_requests", None),
    ],
)
async def test_an_input_that_is_wrong_is_no_batch_and_says_where(openai, world, lines, code, number):
    done = await ended(openai, await asked_for(openai, *lines))
    assert (done.status, done.output_file_id) == ("failed", None)
    assert (done.errors.data[0].code, done.errors.data[0].line) == (code, number)
    assert done.failed_at
    assert world.upstream.calls.total() == 0


async def test_a_cancelled_batch_keeps_what_was_answered(openai, world):
    slow = [line(f"slow{n}", "slow") for n in range(8)]
    batch = await asked_for(openai, line("quick"), *slow)

    async def one_answered():
        return (await openai.batches.retrieve(batch.id)).request_counts.completed == 1

    await until(one_answered, within=60)
    told = await openai.batches.cancel(batch.id)
    assert (told.status, bool(told.cancelling_at)) == ("cancelling", True)
    assert (await openai.batches.cancel(batch.id)).status == "cancelling"
    done = await ended(openai, batch)
    assert done.status == "cancelled"
    assert set(await lines_of(openai, done.output_file_id)) == {"quick"}
    errors = await lines_of(openai, done.error_file_id)
    assert {each["error"]["code"] for each in errors.values()} == {"batch_cancelled"}
    assert len(errors) == 8
    with pytest.raises(ConflictError):
        await openai.batches.cancel(batch.id)


async def test_a_batch_whose_time_is_over_says_which_lines_were_not_answered(world):
    from datetime import timedelta

    world = a_quick_world(batches=BatchesSettings(at_once=2, window=timedelta(seconds=1.5)))
    async with (
        serving(world) as rest,
        AsyncOpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{rest.port}/v1", max_retries=0) as openai,
    ):
        batch = await asked_for(openai, line("quick"), *(line(f"slow{n}", "slow") for n in range(4)))
        done = await ended(openai, batch)
        assert done.status == "expired"
        assert set(await lines_of(openai, done.output_file_id)) == {"quick"}
        errors = await lines_of(openai, done.error_file_id)
        assert {each["error"]["code"] for each in errors.values()} == {"batch_expired"}


async def test_a_process_that_dies_in_the_middle_of_a_batch_leaves_it_to_the_next(openai, world):
    world.engine.batching.clear()
    batch = await asked_for(openai, *(line(f"n{n}") for n in range(12)))
    from temporalio.testing import ActivityEnvironment

    from api.service.batches import id_of

    batch_id = id_of(batch.id, "batch_")
    work = world.engine.batches
    assert await ActivityEnvironment().run(work.check, batch_id)
    dying = asyncio.create_task(ActivityEnvironment().run(work.run, batch_id))
    await until(lambda: _some(world), within=60)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    world.engine.batching.set()
    done = await ended(openai, batch)
    assert done.request_counts.completed == 12
    assert world.upstream.calls.total() == 12, "each line was called once"


async def _some(world):
    return world.upstream.calls.total() > 0


async def test_the_same_key_is_the_same_batch_and_another_body_is_refused(openai, rest):
    file = await handed_over(openai, line("a"))
    body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    first = await rest.post("/v1/batches", body, idempotency_key="k1")
    again = await rest.post("/v1/batches", body, idempotency_key="k1")
    assert first.json()["id"] == again.json()["id"]
    other = await rest.post("/v1/batches", {**body, "metadata": {"a": "b"}}, idempotency_key="k1")
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"endpoint": "/v1/nothing"}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"input_file_id": "file-nothing"}, "input_file_id"),
        ({"surplus": 1}, "surplus"),
    ],
)
async def test_a_batch_that_is_wrong_is_refused_by_what_is_wrong(openai, rest, wrong, param):
    file = await handed_over(openai, line("a"))
    body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **wrong}
    answer = await rest.post("/v1/batches", body)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param


async def test_a_batch_of_another_caller_is_not_there(openai, rest):
    batch = await asked_for(openai, line("a"))
    for path in (f"/v1/batches/{batch.id}", "/v1/batches/nonsense"):
        answer = await rest.get(path, key=OTHER)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "batch_not_found")
    assert (await rest.get("/v1/batches", key=OTHER)).json()["data"] == []
    assert [each.id async for each in openai.batches.list(limit=1)] == [batch.id]


# ---- files in S3 -------------------------------------------------------------------------------------------------
def with_files_in(settings):
    """A world that keeps the contents of files in a bucket."""
    store = MemoryStore(FileStore.S3)
    store.contents = S3Contents(Bucket(settings), store.files)
    return a_quick_world(batches=BatchesSettings(at_once=4, max_lines=50), store=store)


@asynccontextmanager
async def a_client(world):
    async with (
        serving(world) as rest,
        AsyncOpenAI(api_key=KEY, base_url=f"http://127.0.0.1:{rest.port}/v1", max_retries=0) as client,
    ):
        yield client


@pytest.mark.slow
async def test_a_batch_reads_and_writes_its_files_in_a_bucket(s3_server):
    before = s3_server.names()
    async with a_client(with_files_in(s3_server.settings(prefix="batches"))) as openai:
        batch = await asked_for(openai, line("one"), line("two", "rejects"))
        done = await ended(openai, batch)
        assert done.status == "completed"
        answers = await lines_of(openai, done.output_file_id)
        assert answers["one"]["response"]["status_code"] == 200
        assert set(await lines_of(openai, done.error_file_id)) == {"two"}
        assert len(s3_server.names(prefix="batches/parts/")) == 3
        for file_id in (batch.input_file_id, done.output_file_id, done.error_file_id):
            assert (await openai.files.delete(file_id)).deleted
    assert {name for name in s3_server.names() - before if "/parts/" in name} == set()


async def test_a_bucket_that_is_away_is_a_storage_that_is_away():
    settings = S3Settings(
        endpoint=f"http://127.0.0.1:{free_port()}",
        bucket="files",
        access_key=Secret("a"),
        secret_key=Secret("never-told"),
        allow_http=True,
        timeout=timedelta(seconds=1),
    )
    async with a_client(with_files_in(settings)) as openai:
        with pytest.raises(InternalServerError) as refused:
            await handed_over(openai, line("one"))
    assert (refused.value.status_code, refused.value.code) == (503, "storage_unavailable")
    assert refused.value.response.headers["retry-after"]
    assert "never-told" not in refused.value.response.text
