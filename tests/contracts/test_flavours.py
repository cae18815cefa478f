"""Servers of several flavours are asked, on real sockets, where and as they want to be."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.domain import errors
from gateway.domain.inference import Usage
from gateway.domain.operations import Operation
from gateway.domain.secret import Secret
from gateway.providers.catalogue import open_provider
from gateway.providers.credentials import Credentials
from gateway.providers.ports import Attachment, Call, Provider
from gateway.settings import Providers
from tests.contracts.upstreams import Bytes, call, failing, head, saying, sized

ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
).encode()
KEY = Secret("sk-azure-1234567890")


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Provider]:
    monkeypatch.setenv("HOST_API_KEY", KEY.reveal())
    opened = open_provider("compatible", Providers(), Credentials())
    yield opened
    await opened.close()


def asked(server: Bytes, *, path: str = "", body: bytes = b'{"messages":[]}', **options: Any) -> Call:
    base_url = server.base_url.removesuffix("/v1") + path
    made = call("mine", base_url=base_url, body=body, credential="env:HOST_API_KEY")
    return replace(made, model=replace(made.model, options=options))


def line(server: Bytes) -> str:
    return server.requests[-1].split(b"\r\n")[0].decode()


def sent(server: Bytes) -> dict[str, Any]:
    return json.loads(server.requests[-1].partition(b"\r\n\r\n")[2])


async def test_azure_is_called_at_its_deployment_with_its_version_and_its_own_header(provider: Provider):
    async with saying(sized(ANSWER, apim_request_id="apim-7", x_request_id="inner")) as server:
        reply = await provider.complete(asked(server, flavour="azure", api_version="2024-10-21"))
        assert (
            line(server) == "POST /openai/deployments/mine/chat/completions?api-version=2024-10-21 HTTP/1.1"
        )
        headers = server.requests[-1].lower()
        assert b"api-key: " + KEY.reveal().encode() in headers
        assert b"authorization" not in headers
        assert (reply.usage, reply.provider_request_id) == (Usage(3, 2), "apim-7")


async def test_azure_without_a_version_is_called_at_its_first_one_by_the_deployments_name(provider: Provider):
    async with saying(sized(ANSWER)) as server:
        await provider.complete(asked(server, flavour="azure"))
        assert line(server) == "POST /openai/v1/chat/completions HTTP/1.1"
        assert sent(server)["model"] == "mine"


async def test_azures_content_filter_is_told_apart_and_its_key_not_repeated(provider: Provider):
    refused = {
        "error": {
            "code": "content_filter",
            "message": f"The response was filtered ({KEY.reveal()})",
            "innererror": {"code": "ResponsibleAIPolicyViolation"},
        }
    }
    async with saying(sized(json.dumps(refused).encode(), "400 Bad Request")) as server:
        error, _ = await failing(provider, asked(server, flavour="azure", api_version="2024-10-21"), "json")
    assert type(error) is errors.ContentFiltered
    assert KEY.reveal() not in str(error.detail)


async def test_a_limit_that_is_used_up_says_how_long_to_wait(provider: Provider):
    limited = sized(
        b'{"error": {"message": "slow down"}}',
        "429 Too Many Requests",
        x_ratelimit_remaining_tokens="0",
        x_ratelimit_reset_tokens="1m2s",
        x_ratelimit_remaining_requests="5",
        x_ratelimit_reset_requests="9h",
    )
    async with saying(limited) as server:
        error, _ = await failing(provider, asked(server, path="/v1", flavour="groq"), "json")
    assert type(error) is errors.UpstreamRateLimited
    assert error.retry_after == timedelta(seconds=62)


async def test_a_stream_without_the_option_of_usage_still_tells_usage_and_what_was_left_out(
    provider: Provider,
):
    chunks = (
        (
            b'data: {"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":'
            b'[{"type":"text","text":"Hm"}]}]},"finish_reason":null}]}\n\n'
        ),
        (
            b'data: {"choices":[{"index":0,"delta":{"content":"Yes"},"finish_reason":"stop"}],'
            b'"usage":{"prompt_tokens":4,"completion_tokens":6,"total_tokens":10}}\n\n'
        ),
        b"data: [DONE]\n\n",
    )
    body = b'{"messages":[],"seed":1,"logprobs":true,"stream_options":{"include_usage":true}}'
    async with saying(head(kind="text/event-stream", connection="close"), *chunks) as server:
        asking = asked(server, path="/v1", body=body, flavour="mistral")
        events = [event async for event in provider.stream(asking)]
        assert sent(server) == {"messages": [], "random_seed": 1, "model": "mine", "stream": True}
    assert [event.text for event in events] == ["Hm", "Yes"]
    assert json.loads(events[0].data)["choices"][0]["delta"] == {"content": "", "reasoning_content": "Hm"}
    assert events[-1].usage == Usage(4, 6)
    assert (events[0].dropped, events[1].dropped) == (("logprobs",), ())


async def test_what_is_dropped_of_a_whole_answer_is_named_too(provider: Provider):
    async with saying(sized(ANSWER)) as server:
        reply = await provider.complete(
            asked(server, path="/v1", body=b'{"messages":[],"logit_bias":{"1":2}}', flavour="groq")
        )
        assert "logit_bias" not in sent(server)
    assert reply.dropped == ("logit_bias",)


async def test_a_recording_goes_to_azures_deployment_as_a_form(provider: Provider):
    file = Attachment("file", "a.wav", "audio/wav", b"RIFF sound")
    async with saying(sized(b'{"text": "Yes."}')) as server:
        asking = asked(server, body=b'{"language":"en"}', flavour="azure", api_version="2024-10-21")
        asking = replace(asking, operation=Operation.TRANSCRIPTIONS, files=(file,))
        reply = await provider.complete(asking)
        path = "/openai/deployments/mine/audio/transcriptions?api-version=2024-10-21"
        assert line(server) == f"POST {path} HTTP/1.1"
        assert b"RIFF sound" in server.requests[-1]
    assert json.loads(reply.body) == {"text": "Yes."}
