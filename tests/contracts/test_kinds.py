"""Every provider of OpenAI's dialect serves the kinds beside chat, against the scripted upstream."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from gateway.domain import errors
from gateway.domain.inference import Usage
from gateway.domain.operations import Operation
from gateway.providers.catalogue import open_provider
from gateway.providers.ports import Call, Provider
from gateway.settings import Providers
from tests.contracts.upstreams import Served, call, failing, saying, served, sized

NAMES = ("compatible", "openai", "scripted")


@dataclass
class Bench:
    """A provider, and where its calls go."""

    provider: Provider
    base_url: str

    def asked(self, operation: Operation, script: Any = None, base_url: str = "", **fields: Any) -> Call:
        body = msgspec.json.encode(fields)
        made = call(body=body, base_url=base_url or self.base_url, script=script)
        return replace(made, kind=operation.kind, operation=operation)


@pytest.fixture(scope="module")
def upstream() -> Generator[Served]:
    with served() as running:
        yield running


@pytest.fixture(params=NAMES)
async def bench(request: pytest.FixtureRequest, upstream: Served) -> AsyncGenerator[Bench]:
    provider = open_provider(request.param, Providers())
    yield Bench(provider, upstream.base_url)
    await provider.close()


ASKED: dict[Operation, dict[str, Any]] = {
    Operation.COMPLETIONS: {"prompt": "Once upon a time"},
    Operation.EMBEDDINGS: {"input": ["one", "two"]},
    Operation.RERANK: {"query": "a b", "documents": ["b", "c"]},
    Operation.MODERATIONS: {"input": "be well"},
}
USED = {
    Operation.COMPLETIONS: Usage(input=4, output=8),
    Operation.EMBEDDINGS: Usage(input=2),
    Operation.RERANK: Usage(input=4),
    Operation.MODERATIONS: None,
}


@pytest.mark.parametrize("operation", ASKED)
async def test_a_whole_answer_is_handed_on_with_what_was_used(bench: Bench, operation: Operation):
    assert bench.provider.speaks(operation, call().model)
    reply = await bench.provider.complete(bench.asked(operation, **ASKED[operation]))
    assert reply.usage == USED[operation]
    assert re.fullmatch(r"req_\d{12}", reply.provider_request_id or "")
    assert msgspec.json.decode(reply.body)["model"] == "scripted-ok"


async def test_a_streamed_completion_is_handed_on_event_by_event(bench: Bench):
    asked = bench.asked(Operation.COMPLETIONS, prompt="Once upon a time", n=2)
    events = [event async for event in bench.provider.stream(asked)]
    assert "".join(event.text for event in events) == "A café, a € sign, 漢字 and a " * 2
    assert [event.usage for event in events if event.usage] == [Usage(input=4, output=16)]
    assert events[-1].usage_only


async def test_a_whole_answer_that_counts_nothing_gives_its_text_to_be_counted(bench: Bench):
    asked = bench.asked(Operation.COMPLETIONS, {"usage": "none"}, prompt="Once upon a time")
    reply = await bench.provider.complete(asked)
    assert (reply.usage, reply.text) == (None, "A café, a € sign, 漢字 and a ")
    chat = bench.asked(Operation.CHAT, {"usage": "none"}, messages=[])
    assert (await bench.provider.complete(chat)).text == "A café, a € sign, 漢字 and a "


@pytest.mark.parametrize("operation", ASKED)
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ("status:429", errors.UpstreamRateLimited),
        ("status:500", errors.UpstreamUnavailable),
        ("context-too-long", errors.ContextTooLong),
        ("content-filter", errors.ContentFiltered),
        ("broken-json", errors.UpstreamMalformed),
        ("empty", errors.UpstreamMalformed),
        ("cut-json", errors.UpstreamBroken),
        ("error-reply", errors.UpstreamUnavailable),
    ],
)
async def test_failures_are_told_apart_as_those_of_a_chat(
    bench: Bench, operation: Operation, failure: str, error: type[errors.GatewayError]
):
    asked = bench.asked(operation, {"failure": failure}, **ASKED[operation])
    raised, _ = await failing(bench.provider, asked, "json")
    assert type(raised) is error


@pytest.mark.parametrize("name", ["compatible", "openai"])
@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"usage": {"total_tokens": 7}}, Usage(input=7)),
        ({"usage": {"prompt_tokens": 7, "total_tokens": 7}}, Usage(input=7)),
        ({"meta": {"billed_units": {"input_tokens": 7.0, "output_tokens": 0}}}, Usage(input=7)),
        ({"meta": {"billed_units": {"search_units": 1}}}, None),
        ({"meta": "odd"}, None),
        ({}, None),
    ],
)
async def test_what_a_reranker_used_is_found_wherever_it_says_it(name: str, said: Any, usage: Usage | None):
    provider = open_provider(name, Providers())
    answer = msgspec.json.encode({"results": [], **said})
    async with saying(sized(answer)) as server:
        bench = Bench(provider, server.base_url)
        reply = await provider.complete(bench.asked(Operation.RERANK, **ASKED[Operation.RERANK]))
        assert reply.usage == usage
        assert server.requests[0].startswith(b"POST /v1/rerank ")
    await provider.close()
