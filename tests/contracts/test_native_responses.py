"""`/v1/responses` at upstreams that have it, on real sockets: whole, streamed, and in every way that fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gateway.attempt import Attempts, Stream, Try
from gateway.domain import errors
from gateway.domain.inference import Choice, Outcome, Usage
from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.providers.catalogue import open_provider
from gateway.providers.ports import Call, Provider
from gateway.settings import Providers
from tests.builders import a_registry, a_request
from tests.contracts.upstreams import TIMEOUTS, Served, call, served
from tests.unit.providers.responses.sdk import a_response, an_event

OPTIONS: dict[str, dict[str, object]] = {"openai": {}, "compatible": {"dialects": ["responses"]}}
ASKED = b'{"input":"Hi","reasoning":{"effort":"low"},"gateway":{"previous_response_id":"resp_before"}}'


@pytest.fixture(scope="session")
def upstream() -> Generator[Served]:
    with served() as running:
        yield running


@pytest.fixture(params=sorted(OPTIONS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def provider(name: str) -> AsyncGenerator[Provider]:
    opened = open_provider(name, Providers())
    yield opened
    await opened.close()


def asking(name: str, upstream: Served, model: str = "scripted-ok", **more: Any) -> Call:
    made = call(model, base_url=upstream.base_url, body=ASKED, **more)
    known = replace(made.model, options=OPTIONS[name], provider=name)
    return replace(made, operation=Operation.RESPONSES, model=known)


async def told(provider: Provider, asked: Call) -> list[Any]:
    return [event async for event in provider.stream(asked)]


# ---- the wire ----------------------------------------------------------------------------------------------------
async def test_a_whole_response_and_its_usage(provider: Provider, name: str, upstream: Served):
    asked = asking(name, upstream)
    assert provider.speaks(Operation.RESPONSES, asked.model)
    reply = await provider.complete(asked)
    assert a_response(reply.body).output_text
    assert (reply.usage, reply.finish_reason) == (Usage(11, 8), "stop")


async def test_every_event_and_every_split_of_them(provider: Provider, name: str, upstream: Served):
    whole = await told(provider, asking(name, upstream, "scripted-tool-calls"))
    assert [an_event(event).type for event in whole][-1] == "response.completed"
    assert whole[-1].finish_reason == "tool_calls"
    for split in (1, 7, 64):
        again = await told(provider, asking(name, upstream, f"scripted-tool-calls?split={split}"))
        assert [event.name for event in again] == [event.name for event in whole]
        assert [event.text for event in again] == [event.text for event in whole]


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ("close-mid-stream", errors.UpstreamBroken),
        ("reset-mid-stream", errors.UpstreamBroken),
        ("half-event", errors.UpstreamBroken),
        ("cut-utf8", errors.UpstreamBroken),
        ("no-done", errors.UpstreamBroken),
        ("error-event", errors.UpstreamBroken),
        ("broken-json", errors.UpstreamMalformed),
        ("html", errors.UpstreamMalformed),
        ("empty", errors.UpstreamMalformed),
        ("503", errors.UpstreamUnavailable),
        ("429", errors.UpstreamRateLimited),
        ("400", errors.UpstreamRejected),
        ("context-too-long", errors.ContextTooLong),
        ("content-filter", errors.ContentFiltered),
    ],
)
async def test_each_failure_of_a_stream_is_known(
    provider: Provider, name: str, upstream: Served, failure: str, kind: type[errors.GatewayError]
):
    with pytest.raises(errors.GatewayError) as caught:
        await told(provider, asking(name, upstream, f"scripted-{failure}"))
    assert type(caught.value) in (kind, errors.UpstreamBroken if failure == "empty" else kind)


# ---- under the gateway's id --------------------------------------------------------------------------------------
def attempts(provider: Provider, asked: Call) -> tuple[Attempts, Try]:
    model = replace(asked.model, name="native")
    registry = a_registry(model)
    request = replace(
        a_request(endpoint=Operation.RESPONSES.value), deadline=datetime.now(UTC) + timedelta(seconds=10)
    )
    made = Attempts(lambda: registry, {model.provider: provider}, TIMEOUTS)
    return made, Try(request, asked.body, 1, Choice("native", "test"))


async def test_what_the_caller_is_told_is_the_gateways(provider: Provider, name: str, upstream: Served):
    made, wanted = attempts(provider, asking(name, upstream, "scripted-ok?thinking=Hm."))
    attempt, reply = await made.complete(wanted)
    assert attempt.outcome is Outcome.SUCCEEDED
    assert reply is not None
    response = a_response(reply.body)
    assert (response.id, response.previous_response_id) == (f"resp_{wanted.request.id}", "resp_before")
    assert response.output[0].encrypted_content
    sent = msgspec.json.decode(upstream.last()[1])
    assert (sent["store"], sent["include"]) == (False, ["reasoning.encrypted_content"])
    assert "gateway" not in sent


async def test_a_stream_is_numbered_by_the_gateway(provider: Provider, name: str, upstream: Served):
    made, wanted = attempts(provider, asking(name, upstream))
    opened = await made.stream(wanted)
    assert isinstance(opened, Stream)
    events = [an_event(event) async for event in opened.events()]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].response.id == events[-1].response.id == f"resp_{wanted.request.id}"
    attempt = await opened.attempt
    assert attempt.usage == Usage(11, 8)


async def test_a_failure_before_the_first_word_is_one_that_can_go_elsewhere(
    provider: Provider, name: str, upstream: Served
):
    made, wanted = attempts(provider, asking(name, upstream, "scripted-error-event?after=2"))
    opened = await made.stream(wanted)
    assert not isinstance(opened, Stream)
    assert opened.outcome is Outcome.FAILED


async def test_a_server_without_the_dialect_is_asked_by_chat(upstream: Served):
    provider = open_provider("compatible", Providers())
    model = Model("m", "compatible", upstream.base_url, "scripted-ok")
    assert not provider.speaks(Operation.RESPONSES, model)
    made, wanted = attempts(provider, replace(asking("compatible", upstream), model=model))
    _, reply = await made.complete(wanted)
    assert reply is not None
    assert a_response(reply.body).id == f"resp_{wanted.request.id}"
    assert "messages" in msgspec.json.decode(upstream.last()[1])
    await provider.close()
