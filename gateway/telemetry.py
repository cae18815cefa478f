"""Logs, metrics and traces: every name in this one place.

Metrics are Prometheus', always on. Traces are OpenTelemetry's and cost nothing until an OTLP endpoint is configured;
the W3C trace context is taken and passed on in any case. Neither ever holds a prompt, an answer or a key.
"""

from __future__ import annotations

import logging
import secrets
import sys
from collections.abc import Mapping, MutableMapping
from contextvars import Token
from datetime import UTC, datetime
from typing import Any, Self

import structlog
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from gateway.domain.errors import GatewayError
from gateway.domain.inference import Attempt, InferenceRequest, Outcome, Settlement, telling
from gateway.domain.registry import Model
from gateway.settings import Telemetry

log: structlog.stdlib.BoundLogger = structlog.get_logger("gateway")

# ---- metrics -----------------------------------------------------------------------------------------------------
METRICS = CollectorRegistry()
ProcessCollector(registry=METRICS)
PlatformCollector(registry=METRICS)
GCCollector(registry=METRICS)

OTHER = "other"


class _Bounded:
    """Label values that are told apart: the first ones up to a bound. Later ones are `OTHER`: series stay few."""

    def __init__(self) -> None:
        self.most = Telemetry().metrics_models
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value, or what stands for it."""
        if value in self._known:
            return value
        if len(self._known) >= self.most:
            return OTHER
        self._known.add(value)
        return value


_model = _Bounded()
"""The models that metrics tell apart. Providers and kinds are few by themselves: they are words of the code."""


def set_up_metrics(settings: Telemetry) -> None:
    """Say how many models metrics tell apart."""
    _model.most = settings.metrics_models


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_BY_MODEL = ("model", "provider", "kind")


def _counter(name: str, what: str, labels: tuple[str, ...] = ()) -> Counter:
    return Counter(name, what, labels, registry=METRICS)


def _histogram(name: str, what: str, labels: tuple[str, ...] = ()) -> Histogram:
    return Histogram(name, what, labels, registry=METRICS, buckets=_SECONDS)


REQUESTS = _counter("gateway_requests", "Requests that ended.", (*_BY_MODEL, "status"))
ATTEMPTS = _counter("gateway_attempts", "Attempts that ended.", (*_BY_MODEL, "outcome"))
FAILURES = _counter(
    "gateway_attempt_failures",
    "Attempts that failed, by the code of their error.",
    ("model", "provider", "code"),
)
FALLBACKS = _counter("gateway_fallbacks", "Attempts after the first of their request.", _BY_MODEL)
TOKENS = _counter("gateway_tokens", "Tokens of all attempts.", (*_BY_MODEL, "direction"))
COST = _counter("gateway_cost_usd", "Known cost of all attempts in USD.", _BY_MODEL)
COST_UNKNOWN = _counter("gateway_cost_unknown", "Attempts whose cost is not known.", _BY_MODEL)
DURATION = _histogram(
    "gateway_request_duration_seconds", "From acceptance to the end of the answer.", _BY_MODEL
)
OVERHEAD = _histogram("gateway_overhead_seconds", "What the gateway adds before the answer.", ("kind",))
FIRST_TOKEN = _histogram(
    "gateway_time_to_first_token_seconds", "From call to first event of a stream.", _BY_MODEL
)
IN_FLIGHT = Gauge(
    "gateway_in_flight", "Requests being answered by this process.", ("kind",), registry=METRICS
)
DELIVERIES = _counter(
    "gateway_deliveries", "Tries to bring notices of finished jobs to their callers.", ("channel", "outcome")
)
NATS_UP = Gauge(
    "gateway_nats_up",
    "Whether this process is connected to NATS; 1 where there is none to be connected to.",
    registry=METRICS,
)
NATS_UP.set(1)
LETTERS = _counter(
    "gateway_nats_requests", "Requests taken from NATS: accepted, put off, refused or lost.", ("outcome",)
)
EAGER_STARTS = _counter(
    "gateway_eager_starts", "Workflow starts: run in this process at once, or queued.", ("outcome",)
)
DEGRADED = _counter(
    "gateway_degraded", "Requests answered without a workflow, the engine being down.", ("kind",)
)
UNSETTLED = Gauge(
    "gateway_unsettled", "Requests answered whose ledger row is not written yet.", registry=METRICS
)
INTERRUPTED = _counter(
    "gateway_interrupted", "Calls whose process died before their answer was kept.", ("policy",)
)
COPY_AGE = Gauge(
    "gateway_copy_age_seconds",
    "How long ago this process's copy of a noun was known to be the latest; NaN before there is one.",
    ("noun",),
    registry=METRICS,
)
RELOADS = _counter("gateway_reloads", "Times that a noun was read again.", ("noun", "outcome"))
LIMIT_DRAWS = _counter(
    "gateway_limit_draws", "Tokens asked of a shared bucket: ahead, while a request waits, or owed.", ("why",)
)
LIMITS_LOCAL = _counter(
    "gateway_limits_local", "Decisions by this process's own share of a limit, the database being away."
)
HEDGES = _counter(
    "gateway_hedges",
    "Requests for which a second model was asked: it won, lost, or all failed.",
    ("outcome",),
)
SHADOWS = _counter(
    "gateway_shadows",
    "Copies for a model on trial: answered, failed, dropped, or kept back by rules.",
    ("outcome",),
)
KEYED = _counter(
    "gateway_keyed_requests",
    "Requests with an Idempotency-Key: run, replayed, still running, reused for something else, or not kept.",
    ("outcome",),
)
THROTTLED = _counter("gateway_throttled", "Requests over a limit: made to wait, or refused.", ("then",))
REFUSED = _counter("gateway_refused", "Requests refused before any model was called.", ("code",))
LIVE_AGE = Gauge(
    "gateway_live_age_seconds",
    "How long ago the live facts of all replicas were last read.",
    registry=METRICS,
)
LIVE_REPLICAS = Gauge(
    "gateway_live_replicas",
    "The processes whose live facts are known here, this one included.",
    registry=METRICS,
)
BREAKERS_OPEN = Gauge(
    "gateway_breaker_open", "Whether the model's circuit breaker is open (1).", ("model",), registry=METRICS
)
BREAKER_CHANGES = _counter(
    "gateway_breaker_changes", "How often a model's circuit breaker has opened or closed.", ("model", "to")
)
PROBES = _counter("gateway_probes", "Active probes of models, by what came of them.", ("model", "outcome"))
PROBE_COST = _counter(
    "gateway_probe_cost_usd", "What active probes have cost in USD; in no usage.", ("model",)
)


def count_breaker(model: str, *, is_open: bool) -> None:
    """Count a circuit breaker that has opened, again too, or closed."""
    told = _model(model)
    if told != OTHER:  # which of them it is could not be told
        BREAKERS_OPEN.labels(told).set(is_open)
    BREAKER_CHANGES.labels(told, "open" if is_open else "closed").inc()


USAGE_LAG = Gauge(
    "gateway_usage_lag_seconds",
    "How long the ledger has waited to be rolled up into usage.",
    registry=METRICS,
)


def tell_usage_lag(as_of: datetime) -> None:
    """Say up to when the ledger is rolled up."""
    USAGE_LAG.set(max(0.0, (datetime.now(UTC) - as_of).total_seconds()))


def count_attempt(attempt: Attempt, kind: str, *, beside: bool = False) -> None:
    """Count an attempt that has ended; one that was made `beside` another is no fallback."""
    labels = (_model(attempt.model), attempt.provider, kind)
    ATTEMPTS.labels(*labels, attempt.outcome.value).inc()
    if attempt.failure is not None:
        FAILURES.labels(*labels[:2], attempt.failure.code).inc()
    if attempt.number > 1 and not beside:
        FALLBACKS.labels(*labels).inc()
    if attempt.usage is not None:
        TOKENS.labels(*labels, "in").inc(attempt.usage.input)
        TOKENS.labels(*labels, "out").inc(attempt.usage.output)
    if attempt.cost_usd is None:
        COST_UNKNOWN.labels(*labels).inc()
    else:
        COST.labels(*labels).inc(float(attempt.cost_usd))
    if attempt.first_token_ms is not None:
        FIRST_TOKEN.labels(*labels).observe(attempt.first_token_ms / 1000)
    if attempt.outcome is Outcome.INTERRUPTED:
        INTERRUPTED.labels("seen").inc()


def count_settled(request: InferenceRequest, settlement: Settlement) -> None:
    """Count a request that was entered into the ledger."""
    last = telling(settlement.attempts)
    labels = (_model(last.model) if last else "", last.provider if last else "", request.kind.value)
    REQUESTS.labels(*labels, settlement.status.value).inc()
    DURATION.labels(*labels).observe((settlement.finished_at - request.accepted_at).total_seconds())
    if settlement.overhead_ms is not None:
        OVERHEAD.labels(request.kind.value).observe(settlement.overhead_ms / 1000)


# ---- logs --------------------------------------------------------------------------------------------------------
_HIDDEN = frozenset(
    {"authorization", "api_key", "apikey", "key", "token", "secret", "password", "prompt", "body", "answer"}
)


def _redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide what must not be logged even if somebody passes it by mistake."""
    for name in event:
        if name.lower() in _HIDDEN:
            event[name] = "****"
    return event


def _brief(record: logging.LogRecord) -> bool:
    """Tell a failure by one of our own errors in a line: it is tried again, and a traceback would say nothing."""
    if record.exc_info and isinstance(record.exc_info[1], GatewayError):
        record.msg, record.args = f"{record.getMessage()}: {record.exc_info[1].code}", ()
        record.exc_info = None
    return True


def set_up_logs(settings: Telemetry) -> None:
    """JSON lines (or colours for a person) on standard error, our own and every library's."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    render: Any = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        # Not the pretty tracebacks: they show every local variable, keys and prompts among them.
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    handler.addFilter(_brief)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    # These tell each request in a line of their own; ours tells it once, with its id.
    for noisy in ("httpx", "httpcore", "httpx2", "httpcore2", "uvicorn.access", "openai", "hpack"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


# ---- traces ------------------------------------------------------------------------------------------------------
_propagator = TraceContextTextMapPropagator()


class _Tracing:
    """Whether spans are recorded, and by which tracer."""

    def __init__(self) -> None:
        self.provider: TracerProvider | None = None
        self.tracer: trace.Tracer = trace.NoOpTracer()


_tracing = _Tracing()


def set_up_traces(settings: Telemetry, exporter: SpanExporter | None = None) -> None:
    """Export spans to the OTLP endpoint (or to `exporter`); without either nothing is recorded."""
    if exporter is None and not settings.otlp_endpoint:
        return
    sampler = ParentBased(TraceIdRatioBased(settings.sample_ratio))
    provider = TracerProvider(
        sampler=sampler, resource=Resource.create({"service.name": settings.service_name})
    )
    provider.add_span_processor(
        BatchSpanProcessor(exporter or OTLPSpanExporter(endpoint=settings.otlp_endpoint))
    )
    _tracing.provider = provider
    _tracing.tracer = provider.get_tracer("gateway")
    trace.set_tracer_provider(provider)


def tracer() -> trace.Tracer:
    """The tracer in use; it records nothing while tracing is off."""
    return _tracing.tracer


def tracing() -> bool:
    """Whether spans are recorded."""
    return _tracing.provider is not None


def close_traces() -> None:
    """Send what is left."""
    if _tracing.provider is not None:
        _tracing.provider.shutdown()


def _new_traceparent() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


class DoorSpan:
    """The SERVER span of one request at its door; knows the trace context to hand on even if nothing is recorded."""

    def __init__(self, name: str, headers: Mapping[str, str], attributes: Mapping[str, str]) -> None:
        """`headers` are the caller's, with lower-case names."""
        given = headers.get("traceparent", "")
        parent = trace.get_current_span(_propagator.extract(headers)).get_span_context() if given else None
        self._token: Token[Any] | None = None
        if tracing():
            context = _propagator.extract(headers)
            self._span = _tracing.tracer.start_span(name, context, SpanKind.SERVER, dict(attributes))
            carrier: dict[str, str] = {}
            _propagator.inject(carrier, trace.set_span_in_context(self._span))
            self.traceparent, self.tracestate = carrier["traceparent"], carrier.get("tracestate", "")
        else:
            self._span = trace.INVALID_SPAN
            known = parent is not None and parent.is_valid
            self.traceparent = given if known else _new_traceparent()
            # As it was read: what is no state of a trace, or too long for one, is not handed on.
            self.tracestate = parent.trace_state.to_header() if parent is not None and known else ""
        self.trace_id = self.traceparent.split("-")[1]

    def __enter__(self) -> Self:
        """Make it the current span."""
        if tracing():
            self._token = otel_context.attach(trace.set_span_in_context(self._span))
        return self

    def set(self, **attributes: str | float) -> None:
        """Add attributes; names are given with `_` for `.`, as `gateway_request_id`."""
        for name, value in attributes.items():
            self._span.set_attribute(name.replace("_", ".", 1), value)

    def fail(self, code: str) -> None:
        """Mark the span as failed with one of our codes."""
        self._span.set_status(Status(StatusCode.ERROR, code))
        self._span.set_attribute("error.type", code)

    def __exit__(self, *_: object) -> None:
        """End the span."""
        if self._token is not None:
            otel_context.detach(self._token)
        self._span.end()


class CallSpan:
    """The CLIENT span `chat {model}` of one attempt; `start` gives the trace headers for the upstream."""

    def __init__(self, request: InferenceRequest, model: Model, number: int) -> None:
        """The parent is whatever span is current, else the one that the request came with."""
        self._request = request
        self._model = model
        self._number = number
        self._span: trace.Span = trace.INVALID_SPAN

    def start(self) -> Mapping[str, str]:
        """Begin, and return the headers that carry the trace on."""
        if not tracing():
            return self._given()
        context = None
        if not trace.get_current_span().get_span_context().is_valid:
            context = _propagator.extract(self._given())
        self._span = _tracing.tracer.start_span(
            f"{self._request.kind.value} {self._model.upstream_model}",
            context,
            SpanKind.CLIENT,
            {
                "gen_ai.operation.name": self._request.kind.value,
                "gen_ai.provider.name": self._model.provider,
                "gen_ai.request.model": self._model.upstream_model,
                "gateway.model": self._model.name,
                "gateway.attempt": self._number,
                "gateway.request_id": self._request.id,
            },
        )
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(self._span))
        return carrier

    def _given(self) -> dict[str, str]:
        """The trace context that the request came with."""
        request = self._request
        given = {"traceparent": request.traceparent, "tracestate": request.tracestate}
        return {name: value for name, value in given.items() if value}

    def settle(self, attempt: Attempt) -> None:
        """Say how the attempt ended, and end the span."""
        if attempt.usage is not None:
            self._span.set_attribute("gen_ai.usage.input_tokens", attempt.usage.input)
            self._span.set_attribute("gen_ai.usage.output_tokens", attempt.usage.output)
        if attempt.finish_reason is not None:
            self._span.set_attribute("gen_ai.response.finish_reasons", [attempt.finish_reason])
        if attempt.cost_usd is not None:
            self._span.set_attribute("gateway.cost_usd", float(attempt.cost_usd))
        self._span.set_attribute("gateway.outcome", attempt.outcome.value)
        if attempt.failure is not None:
            self._span.set_status(Status(StatusCode.ERROR, attempt.failure.code))
            self._span.set_attribute("error.type", attempt.failure.code)
        self._span.end()
