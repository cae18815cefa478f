"""The spans of a request, from its door to each of its calls, and that nothing of what was said is in them."""

from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer, SpanKind

from gateway import telemetry
from gateway.settings import Telemetry
from tests.api.rest import a_quick_world, body, script, serving
from tests.api.world import KEY
from tests.waits import until

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_SAID = ("Hello", "café", "Grüezi", KEY, "sk-", "scripted failure")


@pytest.fixture
def spans() -> Generator[Callable[[int], Awaitable[list[ReadableSpan]]]]:
    """So many spans, in the order in which they began; none may hold what was said."""
    exporter = InMemorySpanExporter()
    telemetry.set_up_traces(Telemetry(), exporter)
    provider = telemetry._tracing.provider
    assert provider is not None

    async def spans(count: int) -> list[ReadableSpan]:
        def ended() -> bool:  # the door's span ends a little after its answer
            provider.force_flush()
            return len(exporter.get_finished_spans()) >= count

        await until(ended)
        found = sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
        assert len(found) == count, [span.name for span in found]
        text = "".join(span.to_json() for span in found)
        assert not [said for said in _SAID if said in text]
        return found

    yield spans
    telemetry.close_traces()
    telemetry._tracing.provider, telemetry._tracing.tracer = None, NoOpTracer()


@pytest.fixture
async def rest():
    async with serving(a_quick_world()) as rest:
        yield rest


def tree(spans: list[ReadableSpan]) -> list[tuple[str, str | None, str]]:
    """Each span's name, its parent's name and its kind."""
    names = {span.context.span_id: span.name for span in spans}
    return [
        (span.name, names.get(span.parent.span_id) if span.parent else None, span.kind.name) for span in spans
    ]


DOOR = "POST /v1/chat/completions"


async def test_a_request_is_a_server_span_and_its_call_a_client_span_below_it(rest, spans):
    response = await rest.chat(headers={"x-api-key": KEY, "traceparent": GIVEN})
    await rest.settled(response)
    found = await spans(2)
    assert tree(found) == [(DOOR, None, "SERVER"), ("chat scripted-ok", DOOR, "CLIENT")]
    server, client = found
    assert f"{server.context.trace_id:032x}" == GIVEN.split("-")[1]
    assert f"{server.parent.span_id:016x}" == GIVEN.split("-")[2]
    assert dict(server.attributes) == {
        "http.request.method": "POST",
        "url.path": "/v1/chat/completions",
        "gateway.request_id": response.headers["x-request-id"],
    }
    told: dict[str, Any] = dict(client.attributes)
    assert (told["gen_ai.operation.name"], told["gen_ai.provider.name"]) == ("chat", "scripted")
    assert told["gen_ai.request.model"] == "scripted-ok"
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (11, 8)
    assert (told["gateway.attempt"], told["gateway.outcome"]) == (1, "succeeded")
    assert told["gateway.cost_usd"] == pytest.approx(0.000027)


async def test_the_upstream_is_called_below_the_span_of_its_call(rest, spans):
    await rest.chat()
    sent = rest.world.upstream.last[0]["traceparent"]
    assert int(sent.split("-")[2], 16) == (await spans(2))[-1].context.span_id


async def test_a_fallback_has_a_span_for_each_attempt(rest, spans):
    await rest.settled(await rest.chat(body("assistant")))
    found = await spans(3)
    assert tree(found) == [
        (DOOR, None, "SERVER"),
        ("chat scripted-503", DOOR, "CLIENT"),
        ("chat scripted-ok", DOOR, "CLIENT"),
    ]
    failed = found[1]
    assert (failed.status.description, failed.attributes["error.type"]) == (
        "upstream_unavailable",
        "upstream_unavailable",
    )
    assert [span.attributes["gateway.attempt"] for span in found[1:]] == [1, 2]
    assert found[0].status.is_ok or found[0].status.is_unset


async def test_a_streams_span_ends_with_its_stream(rest, spans):
    async with rest.streaming(script(tokens=5, chunk_interval_ms=30, text="Grüezi mitenand")) as response:
        await response.aread()
    await rest.settled(response)
    server, client = await spans(2)
    assert tree([server, client]) == [(DOOR, None, "SERVER"), ("chat scripted-ok", DOOR, "CLIENT")]
    assert client.end_time - client.start_time > 60e6
    assert client.attributes["gen_ai.usage.output_tokens"] == 2


async def test_a_request_that_fails_marks_its_door(rest, spans):
    await rest.settled(await rest.chat(body("rejects")))
    server, client = await spans(2)
    assert (server.attributes["error.type"], client.attributes["error.type"]) == (
        "upstream_rejected",
        "upstream_rejected",
    )
    assert not server.status.is_ok


async def test_a_caller_who_leaves_is_told_in_both_spans(rest, spans):
    with suppress(httpx2.ReadTimeout):
        await rest.client.post(
            "/v1/chat/completions", json=body("slow"), headers={"x-api-key": KEY}, timeout=0.2
        )
    await rest.world.exchanges.idle()
    server, client = await spans(2)
    assert server.attributes["error.type"] == client.attributes["error.type"] == "cancelled"
    assert client.attributes["gateway.outcome"] == "cancelled"


async def test_a_refusal_has_no_call_and_a_probe_no_span(rest, spans):
    await rest.chat(headers={"x-api-key": "sk-unknown"})
    for path in ("/livez", "/readyz", "/metrics"):
        await rest.client.get(path)
    (server,) = await spans(1)
    assert (server.kind, server.attributes["error.type"]) == (SpanKind.SERVER, "invalid_api_key")
