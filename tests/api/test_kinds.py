"""Embeddings, completions, rerank and moderations: the same at both doors, and of the same pipeline as a chat."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import AsyncGenerator
from decimal import Decimal
from typing import Any

import pytest

from api.rpc.values import struct_of
from gateway.domain.prices import Price
from gateway.v1 import completions_pb2, embeddings_pb2, moderations_pb2, rerank_pb2
from tests.api import rpc
from tests.api.mistakes import Doors, both
from tests.api.rest import a_quick_world, bearer, error_of, told

COMPLETION: dict[str, Any] = {"model": "good", "prompt": "Once upon a time"}
RERANK: dict[str, Any] = {
    "model": "ranker",
    "query": "red apples",
    "documents": ["green pears", "red apples and pears", "apples"],
}


@pytest.fixture
async def doors() -> AsyncGenerator[Doors]:
    async with both(a_quick_world()) as doors:
        yield doors


async def post(doors: Doors, path: str, body: Any, **headers: str) -> Any:
    return await doors.rest.client.post(path, json=body, headers=bearer(**headers))


# ---- embeddings --------------------------------------------------------------------------------------------------
async def test_texts_become_the_same_vectors_at_both_doors(doors: Doors):
    response = await post(doors, "/v1/embeddings", {"model": "vectors", "input": ["one", "two"]})
    answer = await doors.chat.Embed(
        embeddings_pb2.EmbedRequest(model="vectors", input=["one", "two"]), metadata=rpc.bearer()
    )
    said = response.json()
    assert [item["index"] for item in said["data"]] == [each.index for each in answer.data] == [0, 1]
    for item, each in zip(said["data"], answer.data, strict=True):
        assert list(each.embedding) == pytest.approx(item["embedding"])
        assert not each.HasField("extras")
    assert answer.usage.prompt_tokens == said["usage"]["prompt_tokens"] == 2
    assert response.headers["x-gateway-model"] == answer.served.model == "vectors"


async def test_vectors_come_in_base64_and_in_any_length(doors: Doors):
    asked = {"model": "vectors", "input": "one", "dimensions": 16}
    floats = (await post(doors, "/v1/embeddings", asked)).json()["data"][0]["embedding"]
    packed = (await post(doors, "/v1/embeddings", {**asked, "encoding_format": "base64"})).json()
    assert len(floats) == 16
    told_ = struct.unpack("<16f", base64.b64decode(packed["data"][0]["embedding"]))
    assert list(told_) == pytest.approx(floats)
    extras = struct_of({"encoding_format": "base64"})
    spoken = embeddings_pb2.EmbedRequest(model="vectors", input=["one"], dimensions=16, extras=extras)
    answer = await doors.chat.Embed(spoken, metadata=rpc.bearer())
    assert list(answer.data[0].embedding) == pytest.approx(floats), "packed or not, it is a vector here"


@pytest.mark.parametrize("given", [[1, 2, 3], [[1, 2], [3]]])
async def test_tokens_are_embedded_as_they_are(doors: Doors, given: Any):
    response = await post(doors, "/v1/embeddings", {"model": "vectors", "input": given})
    assert json.loads(doors.world.upstream.last[1])["input"] == given
    assert response.json()["usage"]["prompt_tokens"] == 3
    rows = given if isinstance(given[0], list) else [given]
    tokens = [embeddings_pb2.Tokens(ids=row) for row in rows]
    await doors.chat.Embed(embeddings_pb2.EmbedRequest(model="vectors", tokens=tokens), metadata=rpc.bearer())
    assert json.loads(doors.world.upstream.last[1])["input"] == rows


# ---- completions -------------------------------------------------------------------------------------------------
async def test_a_prompt_is_completed_the_same_at_both_doors(doors: Doors):
    more: dict[str, Any] = {"n": 2, "echo": True, "suffix": "the end.", "logprobs": 1, "max_tokens": 2}
    response = await post(doors, "/v1/completions", {**COMPLETION, **more})
    from_rest = json.loads(doors.world.upstream.last[1])
    asked = completions_pb2.CompleteRequest(model="good", prompt=["Once upon a time"], **more)
    answer = await doors.chat.Complete(asked, metadata=rpc.bearer())
    assert json.loads(doors.world.upstream.last[1]) == {**from_rest, "prompt": ["Once upon a time"]}
    said = response.json()
    assert [choice["text"] for choice in said["choices"]] == ["Once upon a timeA café, the end."] * 2
    assert [choice.text for choice in answer.choices] == [choice["text"] for choice in said["choices"]]
    for choice, spoken in zip(said["choices"], answer.choices, strict=True):
        assert list(spoken.logprobs.tokens) == choice["logprobs"]["tokens"]
        assert list(spoken.logprobs.text_offset) == choice["logprobs"]["text_offset"]
        assert dict(spoken.logprobs.top_logprobs[1].logprobs) == choice["logprobs"]["top_logprobs"][1]
        assert spoken.finish_reason == choice["finish_reason"] == "stop"
    assert answer.usage.total_tokens == said["usage"]["total_tokens"]


async def test_a_completion_streams_with_its_usage_only_where_it_was_asked_for(doors: Doors):
    for options, last in (({}, False), ({"stream_options": {"include_usage": True}}, True)):
        response = await post(doors, "/v1/completions", {**COMPLETION, "stream": True, **options})
        said = told(response.text)
        assert said.done
        assert bool(said.data[-1].get("usage")) is last
        text = "".join(choice["text"] for chunk in said.data for choice in chunk["choices"])
        assert text == "A café, a € sign, 漢字 and a "
        record = await doors.rest.settled(response)
        assert record.settlement.usage.output == 8
        assert json.loads(record.answer)["choices"][0]["text"] == text
    asked = completions_pb2.CompleteStreamRequest(
        complete=completions_pb2.CompleteRequest(model="good", prompt=["Once upon a time"])
    )
    events = [event async for event in doors.chat.CompleteStream(asked, metadata=rpc.bearer())]
    assert "".join(c.text for event in events for c in event.chunk.choices) == text
    assert events[-2].chunk.usage.completion_tokens == 8
    assert events[-1].served.model == "good"


async def test_a_completion_that_breaks_off_ends_with_an_error_event(doors: Doors):
    response = await post(
        doors,
        "/v1/completions",
        {**COMPLETION, "stream": True, "x_script": {"failure": "close-mid-stream"}},
    )
    said = told(response.text)
    assert not said.done
    assert said.data[-1]["error"]["code"] == "upstream_broken"


# ---- rerank and moderations --------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
async def test_documents_are_put_in_order_the_same_at_both_doors(doors: Doors, path: str):
    more: dict[str, Any] = {"top_n": 2, "return_documents": True}
    response = await post(doors, path, {**RERANK, **more})
    answer = await doors.chat.Rerank(rerank_pb2.RerankRequest(**RERANK, **more), metadata=rpc.bearer())
    said = response.json()
    assert [result["index"] for result in said["results"]] == [1, 2]
    assert [(r.index, r.relevance_score, r.document.text) for r in answer.results] == [
        (r["index"], r["relevance_score"], r["document"]["text"]) for r in said["results"]
    ]
    assert answer.meta.billed_units.search_units == 1
    record = await doors.rest.settled(response)
    usage = record.settlement.usage
    assert (usage.input, usage.search_units) == (said["usage"]["total_tokens"], 1)
    assert record.request.endpoint == "/v1/rerank"


async def test_an_error_of_the_second_rerank_has_the_same_shape(doors: Doors):
    for path in ("/v1/rerank", "/v2/rerank"):
        response = await post(doors, path, {**RERANK, "documents": []})
        assert response.status_code == 400
        assert error_of(response)["param"] == "documents"
        assert set(error_of(response)) == {"message", "type", "param", "code"}


async def test_texts_are_judged_the_same_at_both_doors(doors: Doors):
    response = await post(doors, "/v1/moderations", {"input": ["be well", "do harm"]})
    spoken = moderations_pb2.ModerateRequest(model="judge", input=["be well", "do harm"])
    answer = await doors.chat.Moderate(spoken, metadata=rpc.bearer())
    said = response.json()
    assert [result["flagged"] for result in said["results"]] == [False, True]
    assert [dict(result.categories) for result in answer.results] == [
        result["categories"] for result in said["results"]
    ]
    assert response.headers["x-gateway-model"] == "judge", "OpenAI's clients need not name a model"


async def test_parts_are_judged_together(doors: Doors):
    parts = [
        moderations_pb2.ModerationPart(text="do harm"),
        moderations_pb2.ModerationPart(image_url="data:image/png;base64,AAAA"),
    ]
    answer = await doors.chat.Moderate(
        moderations_pb2.ModerateRequest(model="judge", parts=parts), metadata=rpc.bearer()
    )
    assert [result.flagged for result in answer.results] == [True]
    assert json.loads(doors.world.upstream.last[1])["input"][1]["image_url"]["url"].startswith("data:")


# ---- what all of them have alike ---------------------------------------------------------------------------------
ASKED = {
    "/v1/completions": COMPLETION,
    "/v1/embeddings": {"model": "vectors", "input": "one"},
    "/v1/rerank": RERANK,
    "/v1/moderations": {"model": "judge", "input": "one"},
}


@pytest.mark.parametrize("path", sorted(ASKED))
async def test_each_of_them_is_priced_logged_and_told_in_headers(doors: Doors, path: str):
    response = await post(doors, path, ASKED[path], x_gateway_tags="team=search")
    assert response.status_code == 200, response.text
    record = await doors.rest.settled(response)
    assert record.request.tags == {"team": "search"}
    assert json.loads(record.prompt) == ASKED[path]
    assert json.loads(record.answer) == response.json()
    usage = record.settlement.usage
    assert record.settlement.cost_usd == Price(Decimal("1.00"), Decimal("2.00")).cost(usage)
    assert record.settlement.cost_usd > 0, "estimated, where nobody counts"
    assert response.headers["x-gateway-cost-usd"] == f"{record.settlement.cost_usd:f}"
    assert usage.estimated == (path == "/v1/moderations"), "nobody counts those"


@pytest.mark.parametrize("path", sorted(ASKED))
@pytest.mark.parametrize(
    ("failure", "code"),
    [
        ("status:503", "upstream_unavailable"),
        ("broken-json", "upstream_malformed"),
        ("html", "upstream_malformed"),
        ("reset", "upstream_unavailable"),
        ("error-reply", "upstream_unavailable"),
        ("status:401", "upstream_auth"),
    ],
)
async def test_an_upstream_that_fails_is_the_same_error_as_of_a_chat(
    doors: Doors, path: str, failure: str, code: str
):
    response = await post(doors, path, {**ASKED[path], "x_script": {"failure": failure}})
    assert error_of(response)["code"] == code


@pytest.mark.parametrize("path", sorted(ASKED))
async def test_each_of_them_can_be_a_job(doors: Doors, path: str):
    made = await post(doors, "/api/v1/jobs", {"endpoint": path, "body": ASKED[path]})
    assert made.status_code == 202, made.text
    job = await doors.rest.ended(made.json()["id"])
    assert (job["status"], job["endpoint"]) == ("completed", path)
    whole = (await post(doors, path, ASKED[path])).json()
    assert {**job["result"], "id": ""} == {**whole, "id": ""}


@pytest.mark.parametrize(
    ("path", "change", "param"),
    [
        ("/v1/embeddings", {"input": ""}, "input"),
        ("/v1/embeddings", {"input": {"text": "x"}}, "input"),
        ("/v1/completions", {"prompt": []}, "prompt"),
        ("/v1/completions", {"prompt": None}, "prompt"),
        ("/v1/rerank", {"query": ""}, "query"),
        ("/v1/rerank", {"documents": [1]}, "documents[0]"),
        ("/v1/rerank", {"top_n": 0}, "top_n"),
        ("/v1/moderations", {"input": []}, "input"),
    ],
)
async def test_what_cannot_be_meant_is_told_by_its_field(doors: Doors, path: str, change: Any, param: str):
    response = await post(doors, path, {**ASKED[path], **change})
    assert response.status_code == 400
    assert error_of(response)["param"].startswith(param)


async def test_a_model_of_another_kind_says_what_it_is_for(doors: Doors):
    response = await post(doors, "/v1/embeddings", {"model": "good", "input": "one"})
    assert error_of(response)["code"] == "no_model_fits"
    assert "`good` is for chat and cannot be asked for embedding" in error_of(response)["message"]


async def test_tokens_and_texts_at_once_are_refused_by_grpc(doors: Doors):
    both_ = embeddings_pb2.EmbedRequest(model="vectors", input=["x"], tokens=[embeddings_pb2.Tokens(ids=[1])])
    code = await rpc.code_of(doors.chat.Embed(both_, metadata=rpc.bearer()))
    assert code == ("INVALID_ARGUMENT", "invalid_request")
