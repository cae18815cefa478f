"""Hugging Face's servers as its documentation shows them: a double on real sockets says the documented shapes."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from struct import unpack
from typing import Any

import pytest

from gateway.domain import errors
from gateway.domain.inference import Usage
from gateway.domain.operations import Operation
from gateway.domain.registry import Model
from gateway.providers.catalogue import MANUALS, open_provider
from gateway.providers.credentials import Credentials
from gateway.providers.ports import Attachment, Call, Provider
from gateway.settings import Providers
from tests.contracts.upstreams import Bytes, call, failing, head, saying, sized

KEY = "hf_1234567890abcdef"
PNG = b"\x89PNG\r\n\x1a\n picture"
DOCUMENTS = ["a cat", {"text": "a dog"}, "a fish"]


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Provider]:
    monkeypatch.setenv("HF_TOKEN", KEY)
    opened = open_provider("huggingface", Providers(), Credentials())
    yield opened
    await opened.close()


def asked(
    there: Bytes, operation: Operation, body: Any, /, *, files: Sequence[Attachment] = (), **options: str
) -> Call:
    made = call(
        "org/model", base_url=there.base_url, body=json.dumps(body).encode(), credential="env:HF_TOKEN"
    )
    if options.get("server") == "endpoint":
        made = replace(made, model=replace(made.model, base_url=there.base_url.removesuffix("/v1")))
    model = replace(made.model, options=options)
    return replace(made, model=model, kind=operation.kind, operation=operation, files=tuple(files))


def line(server: Bytes) -> str:
    return server.requests[-1].split(b"\r\n")[0].decode().removesuffix(" HTTP/1.1")


def sent(server: Bytes) -> Any:
    return json.loads(server.requests[-1].partition(b"\r\n\r\n")[2])


def saying_json(value: Any, **headers: str):
    return saying(sized(json.dumps(value).encode(), **headers))


# ---- what is at which server -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("server", "spoken"),
    [
        ("router", {"CHAT", "EMBEDDINGS", "RERANK", "IMAGE_GENERATIONS", "TRANSCRIPTIONS"}),
        ("tgi", {"CHAT", "COMPLETIONS"}),
        ("tei", {"EMBEDDINGS", "RERANK"}),
        ("endpoint", {"EMBEDDINGS", "RERANK", "IMAGE_GENERATIONS", "TRANSCRIPTIONS"}),
    ],
)
def test_each_server_is_asked_for_what_it_has(provider: Provider, server: str, spoken: set[str]):
    model = Model("m", "huggingface", "https://host", "m", options={"server": server})
    assert {each.name for each in Operation if provider.speaks(each, model)} == spoken


def test_the_router_has_an_address_and_options_are_checked():
    manual = MANUALS["huggingface"]
    assert manual.base_url({}) == "https://router.huggingface.co/v1"
    assert manual.base_url({"server": "tei"}) == ""
    assert manual.misfits({"server": "tei", "rerank": "sentence-similarity"}) == []
    wrong = manual.misfits({"servr": "tei", "rerank": "sentence-similarty"})
    assert [(each.option, each.nearest) for each in wrong] == [
        ("servr", "server"),
        ("rerank", "sentence-similarity"),
    ]


# ---- chat --------------------------------------------------------------------------------------------------------
async def test_the_router_is_asked_for_a_chat_in_openais_dialect(provider: Provider):
    answer = {
        "choices": [{"index": 0, "message": {"content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    async with saying_json(answer, x_request_id="hf-1") as server:
        reply = await provider.complete(asked(server, Operation.CHAT, {"messages": []}))
        assert line(server) == "POST /v1/chat/completions"
        assert f"authorization: bearer {KEY}".encode() in server.requests[-1].lower()
    assert (reply.usage, reply.provider_request_id) == (Usage(3, 2), "hf-1")


async def test_a_tgi_is_told_the_bound_of_tokens_by_the_name_that_it_knows(provider: Provider):
    stream = (
        b'data: {"choices":[{"index":0,"delta":{"content":"Yes"},"finish_reason":"stop"}]}\n\n',
        b"data: [DONE]\n\n",
    )
    async with saying(head(kind="text/event-stream"), *stream) as server:
        asking = asked(server, Operation.CHAT, {"messages": [], "max_completion_tokens": 5}, server="tgi")
        events = [event async for event in provider.stream(asking)]
        assert sent(server)["max_tokens"] == 5
    assert [event.text for event in events] == ["Yes"]


# ---- embeddings --------------------------------------------------------------------------------------------------
async def test_features_are_extracted_where_embeddings_are_asked_for(provider: Provider):
    async with saying_json([[0.5, -1.0], [0.25, 2.0]]) as server:
        body = {"model": "vectors", "input": ["a", "b"], "dimensions": 2}
        reply = await provider.complete(asked(server, Operation.EMBEDDINGS, body))
        assert line(server) == "POST /hf-inference/models/org/model/pipeline/feature-extraction"
        assert sent(server) == {"inputs": ["a", "b"]}
    answer = json.loads(reply.body)
    assert [each["embedding"] for each in answer["data"]] == [[0.5, -1.0], [0.25, 2.0]]
    assert answer["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    assert (reply.usage, reply.dropped) == (None, ("dimensions",))


async def test_vectors_are_packed_when_the_caller_asks_so(provider: Provider):
    async with saying_json([[0.5, -1.0]]) as server:
        body = {"input": "a", "encoding_format": "base64"}
        reply = await provider.complete(asked(server, Operation.EMBEDDINGS, body, server="endpoint"))
        assert line(server) == "POST /"
    (data,) = json.loads(reply.body)["data"]
    assert unpack("<2f", b64decode(data["embedding"])) == (0.5, -1.0)


async def test_vectors_of_tokens_are_taken_together(provider: Provider):
    async with saying_json([[[1.0, 0.0], [0.0, 1.0]]]) as server:
        reply = await provider.complete(asked(server, Operation.EMBEDDINGS, {"input": "a b"}))
    assert json.loads(reply.body)["data"][0]["embedding"] == [0.5, 0.5]


async def test_a_tei_is_asked_for_embeddings_in_openais_dialect(provider: Provider):
    async with saying_json({"data": [], "usage": {"prompt_tokens": 4, "total_tokens": 4}}) as server:
        reply = await provider.complete(asked(server, Operation.EMBEDDINGS, {"input": [1, 2]}, server="tei"))
        assert line(server) == "POST /v1/embeddings"
    assert reply.usage == Usage(4, 0)


# ---- rerank ------------------------------------------------------------------------------------------------------
RERANK = {"model": "order", "query": "pets", "documents": DOCUMENTS, "top_n": 2, "return_documents": True}
BEST = [
    {"index": 1, "relevance_score": 0.9, "document": {"text": "a dog"}},
    {"index": 0, "relevance_score": 0.5, "document": {"text": "a cat"}},
]


@pytest.mark.parametrize(
    ("options", "said", "path", "inputs"),
    [
        (
            {},
            [
                [{"label": "LABEL_0", "score": 0.5}],
                [{"label": "LABEL_0", "score": 0.9}],
                [{"label": "x", "score": 0.1}],
            ],
            "/hf-inference/models/org/model",
            {"inputs": [{"text": "pets", "text_pair": text} for text in ("a cat", "a dog", "a fish")]},
        ),
        (
            {"rerank": "sentence-similarity"},
            [0.5, 0.9, 0.1],
            "/hf-inference/models/org/model/pipeline/sentence-similarity",
            {"inputs": {"source_sentence": "pets", "sentences": ["a cat", "a dog", "a fish"]}},
        ),
        (
            {"server": "tei"},
            [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.5}, {"index": 2, "score": 0.1}],
            "/rerank",
            {"query": "pets", "texts": ["a cat", "a dog", "a fish"]},
        ),
    ],
)
async def test_documents_are_put_in_order_by_the_task_that_the_model_has(
    provider: Provider, options: dict[str, Any], said: Any, path: str, inputs: Any
):
    async with saying_json(said) as server:
        reply = await provider.complete(asked(server, Operation.RERANK, RERANK, **options))
        assert (line(server), sent(server)) == (f"POST {path}", inputs)
    assert json.loads(reply.body)["results"] == BEST


async def test_scores_for_other_documents_than_were_asked_are_no_answer(provider: Provider):
    async with saying_json([0.1, 0.2]) as server:
        asking = asked(server, Operation.RERANK, RERANK, rerank="sentence-similarity")
        error, _ = await failing(provider, asking, "json")
    assert type(error) is errors.UpstreamMalformed


# ---- images and sound --------------------------------------------------------------------------------------------
async def test_an_image_comes_as_bytes_and_goes_as_json(provider: Provider):
    async with saying(sized(PNG, kind="image/png")) as server:
        body = {"prompt": "a cat", "n": 2, "size": "512x256", "response_format": "url", "quality": "high"}
        reply = await provider.complete(asked(server, Operation.IMAGE_GENERATIONS, body))
        assert sent(server) == {"inputs": "a cat", "parameters": {"width": 512, "height": 256}}
    (image,) = json.loads(reply.body)["data"]
    assert b64decode(image["b64_json"]) == PNG
    assert set(reply.dropped) == {"n", "quality", "response_format"}
    assert reply.usage == Usage(images=1)


async def test_a_strict_request_that_would_lose_a_field_is_not_sent(provider: Provider):
    async with saying(sized(PNG, kind="image/png")) as server:
        asking = replace(asked(server, Operation.IMAGE_GENERATIONS, {"prompt": "a", "n": 2}), strict=True)
        error, _ = await failing(provider, asking, "json")
        assert server.requests == []
    assert (type(error), error.param) == (errors.NotCarried, "n")


@pytest.mark.parametrize("how", ["json", "text", "stream"])
async def test_sound_goes_as_it_is_and_comes_back_as_text(provider: Provider, how: str):
    file = Attachment("file", "a.flac", "audio/flac", b"fLaC sound")
    body = {"language": "sk"} | ({"response_format": "text"} if how == "text" else {})
    async with saying_json({"text": "Dobrý deň"}) as server:
        asking = asked(server, Operation.TRANSCRIPTIONS, body, files=[file])
        if how == "stream":
            (event,) = [event async for event in provider.stream(asking)]
            assert json.loads(event.data) == {"type": "transcript.text.done", "text": "Dobrý deň"}
            assert event.dropped == ("language",)
        else:
            reply = await provider.complete(asking)
            said = reply.body.decode() if how == "text" else json.loads(reply.body)["text"]
            assert (said, reply.dropped) == ("Dobrý deň", ("language",))
            assert (reply.usage, reply.text) == (None, "Dobrý deň")
            assert reply.media_type.startswith("text/plain" if how == "text" else "application/json")
        assert b"content-type: audio/flac" in server.requests[-1].lower()
        assert server.requests[-1].endswith(b"fLaC sound")


# ---- what goes wrong ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (
            "503 Service Unavailable",
            b'{"error":"Model is loading","estimated_time":20.0}',
            errors.UpstreamUnavailable,
        ),
        ("401 Unauthorized", b'{"error":"Invalid credentials in Authorization header"}', errors.UpstreamAuth),
        ("404 Not Found", b"Not Found", errors.UpstreamNotFound),
        ("429 Too Many Requests", b'{"error":"rate"}', errors.UpstreamRateLimited),
        (
            "413 Payload Too Large",
            b'{"error":"`inputs` must have less than 512 tokens","error_type":"Validation"}',
            errors.ContextTooLong,
        ),
        ("400 Bad Request", b'{"error":["unknown parameter"]}', errors.UpstreamRejected),
        ("200 OK", b'{"error":"CUDA out of memory"}', errors.UpstreamUnavailable),
        ("200 OK", b"<html>", errors.UpstreamMalformed),
        ("200 OK", b'[["no", "numbers"]]', errors.UpstreamMalformed),
        ("200 OK", b"[[1.0], [2.0]]", errors.UpstreamMalformed),
        ("200 OK", b"", errors.UpstreamMalformed),
    ],
)
async def test_a_task_fails_as_anything_does(
    provider: Provider, status: str, body: bytes, kind: type[errors.GatewayError]
):
    async with saying(sized(body, status)) as server:
        error, _ = await failing(provider, asked(server, Operation.EMBEDDINGS, {"input": "a"}), "json")
    assert type(error) is kind


@pytest.mark.parametrize(
    ("operation", "body", "param"),
    [
        (Operation.EMBEDDINGS, {"input": [1, 2]}, "input"),
        (Operation.RERANK, {"query": "q", "documents": [{"title": "no text"}]}, "documents[0]"),
        (Operation.IMAGE_GENERATIONS, {"prompt": ["a"]}, "prompt"),
        (Operation.TRANSCRIPTIONS, {}, "file"),
    ],
)
async def test_what_a_task_cannot_take_is_named(
    provider: Provider, operation: Operation, body: Any, param: str
):
    async with saying_json([]) as server:
        error, _ = await failing(provider, asked(server, operation, body), "json")
        assert server.requests == []
    assert (type(error), error.param) == (errors.InvalidRequest, param)
