"""What only providers of another wire do: sign, embed in the upstream's words, carry a dialect inside of another."""

from __future__ import annotations

import base64
import struct
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gateway.domain import errors
from gateway.domain.inference import Kind, Usage
from gateway.domain.operations import Operation
from gateway.providers.catalogue import open_provider
from gateway.providers.ports import Call, Reply
from gateway.providers.scripted.script import Script
from gateway.settings import Providers
from tests.contracts.bedrock import Converse, Signed, bedrock
from tests.contracts.gemini import gemini
from tests.contracts.upstreams import call, failing

KEYS = "AKIACANARY:wJalrXUtnFEMI/K7MDENG:ToKeNcAnArY"
REGION = {"region": "eu-west-1"}


def asked(model: str, base_url: str, **changed: Any) -> Call:
    """A call in eu-west-1."""
    made = call(model, base_url=base_url, **changed)
    return replace(made, model=replace(made.model, options=REGION))


def embedding(model: str, base_url: str, **body: Any) -> Call:
    made = asked(model, base_url, body=msgspec.json.encode(body))
    return replace(made, kind=Kind.EMBEDDING, operation=Operation.EMBEDDINGS)


async def embedded(name: str, made: Call) -> tuple[Any, Reply]:
    provider = open_provider(name, Providers())
    try:
        reply = await provider.complete(made)
    finally:
        await provider.close()
    return msgspec.json.decode(reply.body), reply


# ---- embeddings --------------------------------------------------------------------------------------------------
async def test_gemini_embeds_one_text_and_many():
    async with gemini() as (_, base_url):
        answer, reply = await embedded("gemini", embedding("e", base_url, input="one", user="u"))
        assert answer["data"] == [{"object": "embedding", "index": 0, "embedding": [0.0, 0.5, -1.0]}]
        assert answer["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
        assert (reply.usage, reply.dropped) == (Usage(4), ("user",))
        packed = embedding("e", base_url, input=["one", "two"], encoding_format="base64")
        answer, reply = await embedded("gemini", packed)
        vectors = [struct.unpack("<3f", base64.b64decode(each["embedding"])) for each in answer["data"]]
        assert vectors == [(0.0, 0.5, -1.0), (0.25, 0.5, -1.0)]
        assert reply.usage is None, "it did not say"


async def test_bedrock_embeds_in_the_order_of_the_texts_however_many_calls_it_takes():
    texts = ["x" * n for n in range(1, 12)]
    async with bedrock() as (seen, base_url):
        answer, reply = await embedded(
            "bedrock", embedding("amazon.titan-embed-text-v2:0", base_url, input=texts)
        )
        assert [each["embedding"][1] for each in answer["data"]] == list(range(1, 12))
        assert reply.usage == Usage(33)
        assert seen.stats()["calls"] == 11
        answer, _ = await embedded("bedrock", embedding("cohere.embed-v4:0", base_url, input=texts))
        assert [each["embedding"][1] for each in answer["data"]] == list(range(1, 12))
        assert seen.stats()["calls"] == 12


# ---- signatures --------------------------------------------------------------------------------------------------
def signing(secret_key: str = "wJalrXUtnFEMI/K7MDENG") -> Signed:
    upstream = Signed(dialect=Converse())
    upstream.secret_key = secret_key
    upstream.models["a.b-v1:0"] = Script()
    return upstream


@pytest.mark.parametrize("how", ["json", "stream"])
async def test_what_is_signed_arrives_as_it_was_signed(how: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OF_TEST_API_KEY", KEYS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-environment")
    upstream, provider = signing(), open_provider("bedrock", Providers())
    async with bedrock(upstream) as (_, base_url):
        trace = {"traceparent": "00-1", "x-request-id": "id-1"}
        made = asked("a.b-v1:0", base_url, credential="env:OF_TEST_API_KEY", headers=trace)
        if how == "json":
            assert (await provider.complete(made)).finish_reason == "stop"
        else:
            assert len([event async for event in provider.stream(made)]) == 11
    await provider.close()
    assert upstream.seen[b"traceparent"] == b"00-1"
    assert upstream.seen[b"x-amz-security-token"] == b"ToKeNcAnArY"
    assert b"wJalr" not in b"".join(upstream.seen.values())


@pytest.mark.parametrize("how", ["json", "stream"])
async def test_a_signature_that_is_refused_is_an_administrators_affair_and_tells_no_secret(
    how: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OF_TEST_API_KEY", KEYS)
    provider = open_provider("bedrock", Providers())
    async with bedrock(signing("another")) as (_, base_url):
        error, _ = await failing(provider, asked("a.b-v1:0", base_url, credential="env:OF_TEST_API_KEY"), how)
    await provider.close()
    assert type(error) is errors.UpstreamAuth
    assert "Canonical String" in (error.detail or "")
    assert "canary" not in (repr(vars(error)) + str(error.__cause__) + str(error.__context__)).lower()


async def test_without_a_region_a_signature_is_not_made(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OF_TEST_API_KEY", KEYS)
    provider = open_provider("bedrock", Providers())
    async with bedrock() as (seen, base_url):
        made = call("a.b-v1:0", base_url=base_url, credential="env:OF_TEST_API_KEY")
        error, _ = await failing(provider, made, "json")
        assert type(error) is errors.UpstreamAuth
        assert seen.stats()["calls"] == 0
    await provider.close()


# ---- one dialect inside of another -------------------------------------------------------------------------------
async def test_anthropics_messages_pass_through_bedrock():
    provider = open_provider("bedrock", Providers())
    async with bedrock() as (seen, base_url):
        seen.upstream.models["us.anthropic.claude"] = Script(text="Grüezi mitenand")
        body = b'{"model":"m","max_tokens":10,"messages":[ {"role":"user","content":"Hi"} ],"stream":true}'
        made = replace(asked("us.anthropic.claude", base_url, body=body), operation=Operation.MESSAGES)
        made = replace(made, dialect_headers={"anthropic-beta": "a-2025, b-2026"})
        assert provider.speaks(Operation.MESSAGES, made.model)
        assert not provider.speaks(Operation.MESSAGES, replace(made.model, upstream_model="amazon.nova"))
        reply = await provider.complete(made)
        assert msgspec.json.decode(reply.body)["content"][0]["text"] == "Grüezi mitenand"
        assert (reply.finish_reason, reply.usage) == ("stop", Usage(11, 2))
        events = [event async for event in provider.stream(made)]
        assert [event.name for event in events][:1] + [event.name for event in events][-1:] == [
            "message_start",
            "message_stop",
        ]
        assert "".join(event.text for event in events) == "Grüezi mitenand"
        assert [event.usage for event in events if event.usage] == [Usage(11, 2)]
        sent = msgspec.json.decode(seen.last()[1])
        assert sent["anthropic_beta"] == ["a-2025", "b-2026"]
        assert b'[ {"role":"user","content":"Hi"} ]' in seen.last()[1]
        seen.upstream.models["us.anthropic.claude"] = Script(failure="error-event")
        error, before = await failing(provider, made, "stream")
        assert type(error) is errors.UpstreamBroken
        assert len(before) == 2
        seen.upstream.models["us.anthropic.claude"] = Script(failure="close-mid-stream")
        error, _ = await failing(provider, made, "stream")
        assert type(error) is errors.UpstreamBroken
    await provider.close()
