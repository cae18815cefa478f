"""One attempt: bounded, measured, priced, and told as a row, whatever becomes of it."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from gateway import telemetry
from gateway.attempt import Attempts, Stream
from gateway.domain.breaker import BreakerPolicy
from gateway.domain.errors import GatewayError, UpstreamBroken, UpstreamMalformed, UpstreamTimeout
from gateway.domain.inference import Mode, Outcome, Usage
from gateway.domain.operations import Operation
from gateway.domain.registry import ModelState, Timeouts
from gateway.live.vitals import Vitals
from gateway.providers.ports import CallTimeouts, Event, Reply
from tests.builders import a_model, a_registry
from tests.waits import until

SECOND = timedelta(seconds=1)


class Double:
    """A provider that notes its calls and does as it is told."""

    def __init__(self, *events, error=None):
        self.calls = []
        self.events = events
        self.error = error

    def speaks(self, operation, model):
        return operation is Operation.CHAT

    async def complete(self, call):
        self.calls.append(call)
        if self.error:
            raise self.error
        return Reply(b"{}", Usage(1, 2), "stop", "up-1")

    async def stream(self, call):
        self.calls.append(call)
        for event in self.events:
            yield event
        if self.error:
            raise self.error

    async def close(self):
        """Nothing is open."""


def attempts_with(provider, **changes):
    defaults = CallTimeouts(5 * SECOND, 6 * SECOND, 7 * SECOND)
    model = replace(a_model("good"), **changes)
    return Attempts(lambda: a_registry(model), {"scripted": provider}, defaults)


# ---- whole answers -----------------------------------------------------------------------------------------------
async def test_an_attempt_that_succeeds_is_counted_and_priced(attempts, a_try):
    before = datetime.now(UTC)
    attempt, reply = await attempts.complete(a_try(number=2))
    assert reply is not None
    assert (attempt.number, attempt.model, attempt.provider, attempt.upstream_model) == (
        2,
        "good",
        "scripted",
        "scripted-ok",
    )
    assert (attempt.outcome, attempt.failure, attempt.usage) == (Outcome.SUCCEEDED, None, Usage(11, 8))
    assert attempt.cost_usd == Decimal("0.000027")
    assert attempt.finish_reason == "stop"
    assert attempt.provider_request_id == "req_000000000001"
    assert before <= attempt.started_at <= datetime.now(UTC)
    assert attempt.total_ms > 0
    assert attempt.first_token_ms is None


async def test_an_upstream_that_says_no_usage_is_estimated_and_flagged(attempts, a_try):
    attempt, _ = await attempts.complete(a_try("silent"))
    assert attempt.usage.estimated
    assert attempt.usage.input > 0


async def test_a_model_without_a_price_has_no_known_cost(a_try):
    attempt, _ = await attempts_with(Double(), price=None).complete(a_try())
    assert (attempt.usage, attempt.cost_usd) == (Usage(1, 2), None)


@pytest.mark.parametrize(
    ("model", "code", "free"),
    [
        ("down", "upstream_unavailable", True),
        ("rejects", "upstream_rejected", True),
        ("html", "upstream_malformed", False),
    ],
)
async def test_a_failure_costs_nothing_unless_the_model_may_have_worked(attempts, a_try, model, code, free):
    attempt, reply = await attempts.complete(a_try(model))
    assert reply is None
    assert (attempt.outcome, attempt.failure.code) == (Outcome.FAILED, code)
    assert (attempt.cost_usd == 0) is free
    assert attempt.usage.estimated is not free


async def test_a_cancelled_attempt_is_a_row_and_no_exception(attempts, provider, a_try):
    task = asyncio.create_task(attempts.complete(a_try("slow")))
    await until(lambda: provider.upstream.in_flight == 1)
    task.cancel()
    attempt, reply = await task
    assert (reply, attempt.outcome, attempt.failure.code) == (None, Outcome.CANCELLED, "cancelled")
    assert attempt.usage.estimated
    assert provider.upstream.in_flight == 0


async def test_a_bug_in_a_provider_is_a_failure_that_says_only_its_kind(a_try):
    with capture_logs() as logged:
        attempt, _ = await attempts_with(Double(error=RuntimeError("sk-secret"))).complete(a_try())
    assert (attempt.failure.code, attempt.failure.detail) == ("internal_error", "RuntimeError")
    assert "sk-secret" not in str(attempt)
    assert [line["event"] for line in logged] == ["provider_bug"]


@pytest.mark.parametrize("changes", [{"name": "other"}, {"state": ModelState.DISABLED}])
async def test_a_model_that_has_left_the_registry_is_not_called(a_try, changes):
    provider = Double()
    attempt, _ = await attempts_with(provider, **changes).complete(a_try())
    assert (attempt.failure.code, attempt.cost_usd, provider.calls) == ("model_not_found", 0, [])


async def test_after_the_deadline_nobody_is_called(a_try):
    provider = Double()
    late = a_try(deadline=datetime.now(UTC) - SECOND)
    attempt, _ = await attempts_with(provider).complete(late)
    assert (attempt.failure.code, attempt.cost_usd, provider.calls) == ("deadline_exceeded", 0, [])


@pytest.mark.parametrize(
    ("own", "left", "expected"),
    [
        (Timeouts(), 60, (5, 6, 7)),
        (Timeouts(SECOND, 2 * SECOND, 3 * SECOND), 60, (1, 2, 3)),
        (Timeouts(total=100 * SECOND), 4, (4, 4, 4)),
        (Timeouts(connect=SECOND), 4, (1, 4, 4)),
    ],
)
async def test_a_call_is_bounded_by_its_model_its_gateway_and_its_request(a_try, own, left, expected):
    provider = Double()
    await attempts_with(provider, timeouts=own).complete(a_try(deadline=datetime.now(UTC) + left * SECOND))
    given = provider.calls[0].timeouts
    assert [t.total_seconds() for t in (given.connect, given.first_byte, given.total)] == pytest.approx(
        expected, abs=0.2
    )


async def test_the_upstream_hears_the_requests_id_and_its_trace(a_try):
    provider = Double()
    wanted = a_try(traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01")
    await attempts_with(provider).complete(wanted)
    headers = provider.calls[0].headers
    assert (headers["x-request-id"], headers["traceparent"]) == (
        wanted.request.id,
        wanted.request.traceparent,
    )


async def test_attempts_are_counted_by_model_and_outcome(attempts, a_try):
    def count(name, **labels):
        known = {"model": "down", "provider": "scripted", "kind": "chat", **labels}
        return telemetry.METRICS.get_sample_value(name, known) or 0

    failed, again = count("gateway_attempts_total", outcome="failed"), count("gateway_fallbacks_total")
    await attempts.complete(a_try("down"))
    await attempts.complete(a_try("down", number=2))
    assert count("gateway_attempts_total", outcome="failed") == failed + 2
    assert count("gateway_fallbacks_total") == again + 1


# ---- other dialects ----------------------------------------------------------------------------------------------
class Watching(Vitals):
    """Counts which models were seen to begin and to end."""

    def __init__(self):
        super().__init__("here", BreakerPolicy())
        self.seen = []

    def begin(self, model):
        self.seen.append(("begin", model))
        return super().begin(model)

    def settle(self, attempt, request, *, probe):
        self.seen.append(("settle", attempt.model))
        super().settle(attempt, request, probe=probe)


def watched(provider, vitals):
    return Attempts(
        lambda: a_registry(a_model("good")),
        {"scripted": provider},
        CallTimeouts(SECOND, SECOND, SECOND),
        vitals,
    )


ASKED = '{"model":"good","max_tokens":9,"messages":[{"role":"user","content":"Hello"}],"top_k":3}'


async def test_what_is_answered_here_asks_nobody_costs_nothing_and_says_nothing_of_health(a_try):
    double, vitals = Double(), Watching()
    wanted = a_try(endpoint=Operation.COUNT_TOKENS.value, body=ASKED)
    attempt, reply = await watched(double, vitals).complete(wanted)
    assert (attempt.outcome, attempt.usage, attempt.cost_usd) == (Outcome.SUCCEEDED, Usage(), 0)
    assert json.loads(reply.body)["input_tokens"] > 0
    assert reply.estimated
    assert (double.calls, vitals.seen) == ([], [])


async def test_a_provider_that_counts_is_asked(a_try):
    class Counts(Double):
        def speaks(self, operation, model):
            return operation is Operation.COUNT_TOKENS

    double, vitals = Counts(), Watching()
    wanted = a_try(endpoint=Operation.COUNT_TOKENS.value, body=ASKED)
    _, reply = await watched(double, vitals).complete(wanted)
    assert not reply.estimated
    assert [call.operation for call in double.calls] == [Operation.COUNT_TOKENS]
    assert vitals.seen == [("begin", "good"), ("settle", "good")]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"body": ASKED, "strict": True}, "field_not_supported"),
        ({"body": ASKED.replace('"user"', '"robot"')}, "invalid_request"),
    ],
)
@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_what_cannot_be_carried_over_is_refused_before_anybody_is_asked(a_try, changed, code, how):
    double = Double()
    wanted = a_try(endpoint=Operation.MESSAGES.value, **changed)
    found = await getattr(attempts_with(double), how)(wanted)
    attempt = found[0] if how == "complete" else found
    assert (attempt.failure.code, attempt.failure.retryable, attempt.cost_usd) == (code, False, 0)
    assert double.calls == []


async def test_what_belongs_to_the_callers_dialect_goes_along_and_what_was_dropped_is_told(a_try):
    class Answers(Double):
        async def complete(self, call):
            await super().complete(call)
            return Reply(
                b'{"choices":[{"message":{"content":"Hi"}}]}', Usage(1, 2), "stop", dropped=("seed",)
            )

    double = Answers()
    wanted = a_try(endpoint=Operation.MESSAGES.value, body=ASKED, dialect_headers={"anthropic-beta": "a"})
    _, reply = await attempts_with(double).complete(wanted)
    assert (reply.dropped, json.loads(reply.body)["content"]) == (
        ("top_k", "seed"),
        [{"type": "text", "text": "Hi"}],
    )
    call = double.calls[0]
    assert (call.operation, call.carried, call.dialect_headers) == (
        Operation.CHAT,
        True,
        {"anthropic-beta": "a"},
    )


# ---- streams -----------------------------------------------------------------------------------------------------
def event(text="", **more):
    return Event(json.dumps({"choices": [{"delta": {"content": text}}]}).encode(), text, **more)


async def opened(provider, a_try, **changes):
    stream = await attempts_with(provider, **changes).stream(a_try(mode=Mode.STREAM))
    assert isinstance(stream, Stream)
    return stream


async def test_a_stream_is_settled_with_what_its_last_events_said(a_try):
    stream = await opened(
        Double(
            event("a"), event("b", finish_reason="length"), Event(b"{}", usage=Usage(3, 4), usage_only=True)
        ),
        a_try,
    )
    assert not stream.attempt.done()
    assert [e.text async for e in stream.events()] == ["a", "b", ""]
    attempt = stream.attempt.result()
    assert (attempt.outcome, attempt.usage, attempt.finish_reason) == (
        Outcome.SUCCEEDED,
        Usage(3, 4),
        "length",
    )
    assert 0 < attempt.first_token_ms <= attempt.total_ms
    assert attempt.cost_usd == Decimal("0.000011")


async def test_a_stream_that_breaks_keeps_what_it_said_for_the_estimate(a_try):
    stream = await opened(
        Double(event("x" * 400), event("y" * 400), error=UpstreamBroken(detail="reset")), a_try
    )
    with pytest.raises(UpstreamBroken):
        async for _ in stream.events():
            pass
    attempt = stream.attempt.result()
    assert (attempt.outcome, attempt.failure.code) == (Outcome.BROKEN, "upstream_broken")
    assert attempt.usage.estimated
    assert attempt.usage.output >= 20


async def test_a_stream_that_breaks_after_its_usage_is_not_estimated(a_try):
    stream = await opened(Double(event("x", usage=Usage(5, 6)), error=UpstreamBroken()), a_try)
    with pytest.raises(UpstreamBroken):
        async for _ in stream.events():
            pass
    assert stream.attempt.result().usage == Usage(5, 6)


@pytest.mark.parametrize(
    ("provider", "error"),
    [(Double(), UpstreamMalformed), (Double(error=UpstreamTimeout()), UpstreamTimeout)],
)
async def test_what_fails_before_its_first_event_is_a_failed_attempt(a_try, provider, error):
    attempt = await attempts_with(provider).stream(a_try(mode=Mode.STREAM))
    assert not isinstance(attempt, Stream)
    assert (attempt.outcome, attempt.failure.code) == (Outcome.FAILED, error.code)
    assert attempt.first_token_ms is None


async def test_leaving_a_stream_in_the_middle_settles_it_as_cancelled_by_estimate(attempts, provider, a_try):
    stream = await attempts.stream(a_try("dripping", mode=Mode.STREAM))
    async for seen in stream.events():
        if "café" in seen.text:
            break
    await stream.close()
    await stream.close()
    attempt = stream.attempt.result()
    assert (attempt.outcome, attempt.usage.estimated) == (Outcome.CANCELLED, True)
    assert attempt.usage.output > 0
    assert provider.upstream.in_flight == 0


async def test_a_stream_that_is_never_read_is_closed_and_settled(attempts, provider, a_try):
    stream = await attempts.stream(a_try("dripping", mode=Mode.STREAM))
    assert provider.upstream.in_flight == 1
    await stream.close()
    assert stream.attempt.result().outcome is Outcome.CANCELLED
    assert provider.upstream.in_flight == 0


async def test_only_so_much_of_a_stream_is_kept(a_try):
    large = event("x" * 1_000_000)
    stream = await opened(Double(*[large] * 8), a_try)
    assert len([e async for e in stream.events()]) == 8
    assert sum(map(len, stream.chunks)) <= 4 * 1024 * 1024
    assert stream.attempt.result().usage.output > 1_000_000


async def test_cancelling_before_the_first_event_is_a_row(attempts, provider, a_try):
    task = asyncio.create_task(attempts.stream(a_try("slow", mode=Mode.STREAM)))
    await until(lambda: provider.upstream.in_flight == 1)
    task.cancel()
    assert (await task).outcome is Outcome.CANCELLED
    assert provider.upstream.in_flight == 0


def test_what_is_skipped_costs_nothing(attempts, a_try):
    attempt = attempts.skip(a_try())
    assert (attempt.outcome, attempt.usage, attempt.cost_usd) == (Outcome.CANCELLED, Usage(), 0)
    assert isinstance(attempt.failure.error(), GatewayError)
