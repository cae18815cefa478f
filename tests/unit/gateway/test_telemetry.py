"""Logs, metrics and traces: their names, and that no key and no prompt gets into them."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer, SpanKind
from prometheus_client import generate_latest

from gateway import telemetry
from gateway.domain.errors import Interrupted
from gateway.domain.inference import Failure, Outcome, Usage, settle
from gateway.settings import ROOT, Telemetry
from tests.builders import a_failed_attempt, a_model, a_request, an_attempt

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{PARENT}-01"


# ---- metrics -----------------------------------------------------------------------------------------------------
_NAMES = {
    "gateway_requests_total": {"model", "provider", "kind", "status"},
    "gateway_attempts_total": {"model", "provider", "kind", "outcome"},
    "gateway_request_duration_seconds": {"model", "provider", "kind"},
    "gateway_overhead_seconds": {"kind"},
    "gateway_time_to_first_token_seconds": {"model", "provider", "kind"},
    "gateway_tokens_total": {"model", "provider", "kind", "direction"},
    "gateway_cost_usd_total": {"model", "provider", "kind"},
    "gateway_in_flight": {"kind"},
    "gateway_fallbacks_total": {"model", "provider", "kind"},
    "gateway_attempt_failures_total": {"model", "provider", "code"},
    "gateway_eager_starts_total": {"outcome"},
    "gateway_deliveries_total": {"channel", "outcome"},
    "gateway_degraded_total": {"kind"},
    "gateway_refused_total": {"code"},
    "gateway_unsettled": set[str](),
    "gateway_nats_up": set[str](),
}


def test_the_metrics_that_operators_rely_on_have_their_names_and_labels():
    request = a_request()
    attempt = an_attempt(2, first_token_ms=3.0)
    telemetry.count_attempt(attempt, "chat")
    settled = settle(request, (attempt,), datetime.now(UTC), overhead_ms=1.0)
    telemetry.count_settled(request, settled)
    for metric, label in (
        (telemetry.IN_FLIGHT, "chat"),
        (telemetry.EAGER_STARTS, "here"),
        (telemetry.DEGRADED, "chat"),
        (telemetry.REFUSED, "not_found"),
    ):
        metric.labels(label)
    telemetry.FAILURES.labels("m", "scripted", "upstream_auth")
    telemetry.DELIVERIES.labels("webhook", "delivered")
    found: dict[str, set[str]] = {}
    for family in telemetry.METRICS.collect():
        for sample in family.samples:
            name = sample.name if not sample.name.endswith(("_bucket", "_sum", "_count")) else family.name
            found[name] = set(sample.labels) - {"le"}
    assert {name: found.get(name) for name in _NAMES} == _NAMES


def test_no_label_names_a_caller_a_key_or_a_path():
    forbidden = {"caller", "user", "key", "path", "url", "request_id", "trace_id"}
    labels = {label for family in telemetry.METRICS.collect() for s in family.samples for label in s.labels}
    assert not labels & forbidden


def value(name, **labels):
    return telemetry.METRICS.get_sample_value(name, labels) or 0


def test_an_attempt_is_counted_with_its_tokens_and_its_cost():
    labels = {"model": "counted", "provider": "scripted", "kind": "chat"}
    telemetry.count_attempt(an_attempt(model="counted", usage=Usage(10, 5)), "chat")
    telemetry.count_attempt(an_attempt(model="counted", cost_usd=None, usage=None), "chat")
    telemetry.count_attempt(a_failed_attempt(2, model="counted"), "chat")
    assert value("gateway_attempts_total", outcome="succeeded", **labels) == 2
    assert value("gateway_attempts_total", outcome="failed", **labels) == 1
    assert value("gateway_tokens_total", direction="in", **labels) == 10
    assert value("gateway_tokens_total", direction="out", **labels) == 5
    assert value("gateway_cost_usd_total", **labels) == pytest.approx(0.00002)
    assert value("gateway_cost_unknown_total", **labels) == 1
    assert value("gateway_fallbacks_total", **labels) == 1


def test_models_beyond_the_bound_are_counted_together_and_known_ones_stay_apart():
    telemetry.count_attempt(an_attempt(model="known"), "chat")
    seen = len(telemetry._model._known)
    telemetry.set_up_metrics(Telemetry(metrics_models=seen + 5))
    try:
        for number in range(1000):
            attempt = an_attempt(2, model=f"one-of-many-{number}", first_token_ms=1.0, cost_usd=None)
            telemetry.count_attempt(attempt, "chat")
            request = a_request()
            telemetry.count_settled(request, settle(request, (attempt,), datetime.now(UTC)))
            telemetry.count_breaker(attempt.model, is_open=True)
        telemetry.count_attempt(an_attempt(model="known"), "chat")
    finally:
        telemetry.set_up_metrics(Telemetry())
    for family in telemetry.METRICS.collect():
        models = {sample.labels["model"] for sample in family.samples if "model" in sample.labels}
        assert len(models - {"", "other"}) <= seen + 5, family.name
    labels = {"provider": "scripted", "kind": "chat"}
    assert value("gateway_attempts_total", model="other", outcome="succeeded", **labels) == 995
    assert value("gateway_attempts_total", model="known", outcome="succeeded", **labels) == 2
    assert telemetry.METRICS.get_sample_value("gateway_breaker_open", {"model": "other"}) is None


def test_the_text_of_metrics_can_be_scraped():
    assert b"gateway_requests_total" in generate_latest(telemetry.METRICS)


# ---- logs --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name", ["authorization", "Authorization", "api_key", "token", "password", "prompt", "body"]
)
def test_what_must_not_be_logged_is_hidden_even_if_somebody_passes_it(name):
    assert telemetry._redact(None, "info", {"event": "x", name: "sk-1"}) == {"event": "x", name: "****"}


def test_what_may_be_logged_is_left_alone():
    event = {"event": "request", "caller": "agent-1", "model": "good"}
    assert telemetry._redact(None, "info", dict(event)) == event


def test_a_line_of_log_is_json_and_a_traceback_in_it_shows_no_variable():
    program = """
import logging
from gateway import telemetry
from gateway.settings import Telemetry
telemetry.set_up_logs(Telemetry(log_format="json", log_level="info"))
def fails(secret):
    raise ValueError("oh")
try:
    fails("sk-in-a-variable")
except ValueError:
    telemetry.log.exception("broke", request_id="r-1", token="sk-passed")
logging.getLogger("some.library").warning("said %s", "it")
telemetry.log.debug("not important")
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    broke, foreign = map(json.loads, ran.stderr.splitlines())
    assert (broke["event"], broke["level"], broke["request_id"], broke["token"]) == (
        "broke",
        "error",
        "r-1",
        "****",
    )
    assert "ValueError: oh" in broke["exception"]
    assert "sk-" not in ran.stderr
    assert (foreign["event"], foreign["logger"]) == ("said it", "some.library")


# ---- traces ------------------------------------------------------------------------------------------------------
@pytest.fixture
def exported():
    """Spans, recorded in this process until the test ends."""
    exporter = InMemorySpanExporter()
    telemetry.set_up_traces(Telemetry(), exporter)
    provider = telemetry._tracing.provider
    assert provider is not None

    def spans():
        provider.force_flush()
        return {span.name: span for span in exporter.get_finished_spans()}

    yield spans
    telemetry.close_traces()
    telemetry._tracing.provider, telemetry._tracing.tracer = None, NoOpTracer()


def test_without_an_exporter_nothing_is_recorded_but_the_trace_is_passed_on():
    assert not telemetry.tracing()
    with telemetry.DoorSpan("GET /", {"traceparent": GIVEN}, {}) as span:
        span.set(gateway_model="good")
        span.fail("internal_error")
        assert (span.traceparent, span.trace_id) == (GIVEN, TRACE)
    request = a_request(traceparent=GIVEN)
    assert telemetry.CallSpan(request, a_model(), 1).start() == {"traceparent": GIVEN}
    assert telemetry.CallSpan(replace(request, traceparent=""), a_model(), 1).start() == {}


@pytest.mark.parametrize("given", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", GIVEN[:-5]])
def test_a_caller_without_a_trace_is_given_one(given):
    first = telemetry.DoorSpan("GET /", {"traceparent": given}, {})
    second = telemetry.DoorSpan("GET /", {}, {})
    assert first.traceparent.split("-")[0] == "00"
    assert len(first.trace_id) == 32
    assert first.trace_id != second.trace_id


def test_a_call_is_a_client_span_below_the_door(exported):
    request = a_request(body='{"messages":["a prompt"]}')
    with telemetry.DoorSpan("POST /v1/chat/completions", {"traceparent": GIVEN}, {"url.path": "/v1"}) as door:
        call = telemetry.CallSpan(request, a_model("good"), 2)
        sent = call.start()["traceparent"]
        call.settle(an_attempt(2, usage=Usage(11, 8)))
    server, client = exported()["POST /v1/chat/completions"], exported()["chat scripted-ok"]
    assert (server.kind, client.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert server.context.trace_id == client.context.trace_id == int(TRACE, 16)
    assert server.parent.span_id == int(PARENT, 16)
    assert client.parent.span_id == server.context.span_id
    assert sent.split("-")[2] == f"{client.context.span_id:016x}", (
        "the upstream is called below the call's own span"
    )
    assert door.traceparent.split("-")[2] == f"{server.context.span_id:016x}"
    assert dict(client.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "scripted",
        "gen_ai.request.model": "scripted-ok",
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 8,
        "gen_ai.response.finish_reasons": ("stop",),
        "gateway.model": "good",
        "gateway.attempt": 2,
        "gateway.request_id": request.id,
        "gateway.cost_usd": 0.00002,
        "gateway.outcome": "succeeded",
    }


def test_a_call_elsewhere_is_below_the_span_that_its_request_came_with(exported):
    call = telemetry.CallSpan(a_request(traceparent=GIVEN), a_model(), 1)
    call.start()
    call.settle(an_attempt())
    (span,) = exported().values()
    assert (span.context.trace_id, span.parent.span_id) == (int(TRACE, 16), int(PARENT, 16))


def test_a_failed_call_says_its_code_and_not_its_upstreams_words(exported):
    call = telemetry.CallSpan(a_request(), a_model(), 1)
    call.start()
    failure = Failure.of(Interrupted(detail="10.0.0.1: sk-secret"))
    call.settle(a_failed_attempt(outcome=Outcome.INTERRUPTED, failure=failure, cost_usd=None, usage=None))
    (span,) = exported().values()
    assert (span.status.description, span.attributes["error.type"]) == ("interrupted", "interrupted")
    assert "gateway.cost_usd" not in span.attributes
    assert "sk-secret" not in span.to_json()


def test_what_a_caller_did_not_want_sampled_is_not(exported):
    with telemetry.DoorSpan("GET /", {"traceparent": GIVEN[:-2] + "00"}, {}):
        pass
    assert exported() == {}


@pytest.mark.parametrize(
    ("state", "handed_on"),
    [("vendor=a1,other=b2", "vendor=a1,other=b2"), ("", ""), ("no state at all", ""), ("a=" + "x" * 600, "")],
)
def test_the_state_of_a_trace_is_handed_on_beside_it_and_what_is_none_is_not(state: str, handed_on: str):
    span = telemetry.DoorSpan("door", {"traceparent": GIVEN, "tracestate": state}, {})
    assert (span.traceparent, span.tracestate) == (GIVEN, handed_on)
    request = a_request(traceparent=span.traceparent, tracestate=span.tracestate)
    sent = telemetry.CallSpan(request, a_model(), 1).start()
    assert sent == {"traceparent": GIVEN} | ({"tracestate": handed_on} if handed_on else {})


def test_a_state_without_its_trace_goes_nowhere():
    span = telemetry.DoorSpan("door", {"tracestate": "vendor=a1"}, {})
    assert span.tracestate == ""
