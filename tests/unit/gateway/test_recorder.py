"""Every request's end: one row, its texts as far as they may be kept, its counters once, the word to who waits."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable, UpstreamRejected
from gateway.domain.inference import Choice, Failure, Outcome, Status, settle
from gateway.exchange import Exchanges
from gateway.recorder import Recorder
from gateway.storage.memory import MemoryStore
from tests.builders import a_job, a_request, an_attempt

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def exchanges():
    return Exchanges("here")


@pytest.fixture
def make(store, exchanges):
    def make(*, log_content=True, content_limit=1000):
        return Recorder(
            store.requests, store.claims, exchanges, log_content=log_content, content_limit=content_limit
        )

    return make


def answered(request):
    return settle(request, (an_attempt(),), NOW)


async def kept(store, request):
    return await store.requests.get(request.id, with_text=True)


async def test_what_was_asked_and_answered_is_kept(make, store, exchange, exchanges):
    caller = exchange()
    exchanges.open(caller)
    await caller.attempt(1, Choice("good", "because"))
    await make().record(caller.request, answered(caller.request))
    record = await kept(store, caller.request)
    assert (record.prompt, record.answer) == (caller.request.body, caller.answer())
    assert record.settlement.status is Status.COMPLETED
    assert caller.settled.is_set()


async def test_with_the_log_off_the_texts_are_kept_nowhere_and_the_rest_is(make, store):
    request = a_request()
    await make(log_content=False).record(request, answered(request))
    record = await kept(store, request)
    assert (record.prompt, record.answer) == (None, None)
    assert record.settlement.attempts[0].usage is not None
    assert request.body not in str(store.requests._records)


async def test_texts_over_the_limit_are_cut_and_say_so(make, store):
    request = a_request(body="é" * 30)
    await make(content_limit=20).record(request, answered(request))
    assert (await kept(store, request)).prompt == "é" * 20 + "… [cut: 30 characters]"
    exactly = a_request(body="é" * 20)
    await make(content_limit=20).record(exactly, answered(exactly))
    assert (await kept(store, exactly)).prompt == "é" * 20


async def test_a_jobs_answer_is_found_where_it_was_kept(make, store):
    job = a_job()
    await store.claims.claim(job.id, 1, "worker")
    await store.claims.answer(job.id, an_attempt(), '{"said":"é"}'.encode())
    await make().record(job, answered(job))
    assert (await kept(store, job)).answer == '{"said":"é"}'


async def test_a_job_that_failed_has_no_answer_even_if_one_lies_about(make, store):
    job = a_job()
    await store.claims.claim(job.id, 1, "worker")
    await store.claims.answer(job.id, an_attempt(), b"{}")
    await make().record(job, settle(job, (an_attempt(outcome=Outcome.FAILED, failure=_REFUSED),), NOW))
    assert (await kept(store, job)).answer is None


_REFUSED = Failure.of(UpstreamRejected(detail="10.0.0.1 said no"))


async def test_a_request_is_settled_once_and_stays_as_it_was(make, store):
    request = a_request()
    first = answered(request)
    assert await make().record(request, first) == first
    again = replace(first, status=Status.FAILED, attempts=())
    assert await make().record(request, again) == first
    assert (await kept(store, request)).settlement == first
    assert await make().settlement(request.id) == first


async def test_a_request_is_counted_and_logged_once(make):
    def count():
        labels = {"model": "good", "provider": "scripted", "kind": "chat", "status": "completed"}
        return telemetry.METRICS.get_sample_value("gateway_requests_total", labels) or 0

    before, request = count(), a_request()
    with capture_logs() as logged:
        await make().record(request, answered(request))
        await make().record(request, answered(request))
    assert count() == before + 1
    (line,) = logged
    assert (line["event"], line["request_id"], line["status"], line["attempts"]) == (
        "request",
        request.id,
        "completed",
        1,
    )
    assert "Say hello" not in str(line)


async def test_whoever_waits_hears_of_a_failure_before_it_is_written(make, store, exchange, exchanges):
    caller = exchange()
    exchanges.open(caller)

    class Gone:
        async def settle(self, entry):
            raise StorageUnavailable

    recorder = make()
    recorder._requests = Gone()
    failed = settle(caller.request, (an_attempt(outcome=Outcome.FAILED, failure=_REFUSED),), NOW)
    with pytest.raises(StorageUnavailable):
        await recorder.record(caller.request, failed)
    with pytest.raises(UpstreamRejected):
        await caller.opened
    assert len(exchanges) == 1, "it is not forgotten before it is written"
