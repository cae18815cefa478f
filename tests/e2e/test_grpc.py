"""The gRPC door by its own stubs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from gateway.v1 import (
    inference_pb2,
    inference_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    requests_pb2,
    requests_pb2_grpc,
)
from tests.e2e.conftest import MadeKey
from tests.e2e.person import Person
from tests.e2e.seed import COST_OF_OK
from tests.e2e.stack import Stack, until


@pytest.fixture(scope="module")
def channel(stack: Stack) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(stack.grpc) as opened:
        yield opened


@pytest.fixture(scope="module")
def who(stack: Stack) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {stack.admin_key}"),)


def chat(model: str = "ok", **fields: Any) -> inference_pb2.ChatRequest:
    messages = [inference_pb2.ChatMessage(role="user", content="Say hello.")]
    return inference_pb2.ChatRequest(model=model, messages=messages, **fields)


def reason_of(error: grpc.RpcError) -> str:
    status = rpc_status.from_call(error)
    assert status is not None
    info = ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details if detail.Is(ErrorInfo.DESCRIPTOR))
    return info.reason


def test_the_real_model_answers_over_grpc(channel, who, admin: Person):
    inference = inference_pb2_grpc.InferenceServiceStub(channel)
    answer, call = inference.Chat.with_call(chat("assistant", max_tokens=16), metadata=who, timeout=30)
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens > 0
    assert answer.served.model == "smollm2-135m-instruct"
    told = dict(call.initial_metadata())
    row = admin.request(told["x-request-id"])
    assert (row["door"], row["status"], row["workflow_id"]) == (
        "grpc",
        "completed",
        answer.served.workflow_id,
    )


def test_the_real_model_streams_over_grpc(channel, who):
    inference = inference_pb2_grpc.InferenceServiceStub(channel)
    wanted = inference_pb2.ChatStreamRequest(chat=chat("assistant", max_tokens=16))
    events = list(inference.ChatStream(wanted, metadata=who, timeout=30))
    assert [e.WhichOneof("event") for e in events[-2:]] == ["chunk", "served"]
    texts = [c.delta.content for e in events for c in e.chunk.choices if c.delta.content]
    assert len(texts) > 1
    assert events[-1].served.attempts == 1
    assert any(e.chunk.usage.completion_tokens > 1 for e in events)


def test_an_answer_says_what_it_cost(channel, who):
    inference = inference_pb2_grpc.InferenceServiceStub(channel)
    assert inference.Chat(chat(), metadata=who, timeout=30).served.cost_usd == COST_OF_OK


@pytest.mark.parametrize(
    ("model", "code", "reason"),
    [
        ("gpt-99", grpc.StatusCode.NOT_FOUND, "model_not_found"),
        ("down", grpc.StatusCode.UNAVAILABLE, "upstream_unavailable"),
        ("html", grpc.StatusCode.INTERNAL, "upstream_malformed"),
        ("rejects", grpc.StatusCode.INVALID_ARGUMENT, "upstream_rejected"),
    ],
)
def test_an_error_carries_our_code_and_the_requests_id(channel, who, model, code, reason):
    with pytest.raises(grpc.RpcError) as raised:
        inference_pb2_grpc.InferenceServiceStub(channel).Chat(chat(model), metadata=who, timeout=20)
    assert (raised.value.code(), reason_of(raised.value)) == (code, reason)
    assert dict(raised.value.trailing_metadata())["x-request-id"]


def test_no_key_is_unauthenticated(channel):
    with pytest.raises(grpc.RpcError) as raised:
        inference_pb2_grpc.InferenceServiceStub(channel).Chat(chat(), timeout=30)
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_the_deadline_of_the_rpc_is_the_requests_own(channel, who, admin: Person):
    inference = inference_pb2_grpc.InferenceServiceStub(channel)
    with pytest.raises(grpc.RpcError) as raised:
        inference.Chat(chat("hang"), metadata=who, timeout=2)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    # Said by us and not by the stub alone: then there is an id, and a row.
    row = admin.request(dict(raised.value.trailing_metadata())["x-request-id"])
    assert row["status"] == "failed"
    assert row["error"]["code"] == "deadline_exceeded"


def test_cancelling_the_rpc_cancels_the_request(channel, who, upstream, admin: Person):
    before = upstream.stats()
    stream = inference_pb2_grpc.InferenceServiceStub(channel).ChatStream(
        inference_pb2.ChatStreamRequest(chat=chat("long")), metadata=who, timeout=30
    )
    next(iter(stream))
    request_id = dict(stream.initial_metadata())["x-request-id"]
    stream.cancel()
    until(lambda: upstream.stats()["cancelled"] > before["cancelled"])
    row = admin.request(request_id)
    assert (row["status"], [a["outcome"] for a in row["attempts"]]) == ("cancelled", ["cancelled"])


def test_a_job_is_watched_to_its_end_and_its_result_fetched(channel, who):
    jobs = jobs_pb2_grpc.JobsServiceStub(channel)
    made = jobs.Create(jobs_pb2.JobsServiceCreateRequest(chat=chat("slow")), metadata=who, timeout=30).job
    seen = [
        each.job
        for each in jobs.Watch(jobs_pb2.JobsServiceWatchRequest(id=made.id), metadata=who, timeout=30)
    ]
    names = [
        jobs_pb2.Job.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number[j.status].name
        for j in seen
    ]
    assert names[-1] == "STATUS_COMPLETED"
    assert len(names) > 1
    assert names == sorted(set(names), key=names.index)
    result = jobs.GetResult(jobs_pb2.JobsServiceGetResultRequest(id=made.id), metadata=who, timeout=30)
    assert result.chat.choices[0].message.content.startswith("A café")
    whole = jobs.Get(jobs_pb2.JobsServiceGetRequest(id=made.id), metadata=who, timeout=30).job
    assert whole.chat.choices[0].message.content == result.chat.choices[0].message.content
    assert whole.attempts == 1


def test_the_same_idempotency_key_is_the_same_job_and_another_body_is_refused(channel, who):
    jobs = jobs_pb2_grpc.JobsServiceStub(channel)
    key = (*who, ("idempotency-key", "grpc-once"))

    def create(model: str) -> str:
        wanted = jobs_pb2.JobsServiceCreateRequest(chat=chat(model))
        return str(jobs.Create(wanted, metadata=key, timeout=30).job.id)

    assert create("ok") == create("ok")
    with pytest.raises(grpc.RpcError) as raised:
        create("other")
    assert raised.value.code() is grpc.StatusCode.ALREADY_EXISTS


def test_a_request_is_shown_to_its_caller_and_to_no_other(
    channel, who, stack: Stack, keys: dict[str, MadeKey]
):
    inference = inference_pb2_grpc.InferenceServiceStub(channel)
    requests = requests_pb2_grpc.RequestsServiceStub(channel)
    request_id = inference.Chat(chat(), metadata=who, timeout=30).served.request_id
    wanted = requests_pb2.RequestsServiceGetRequest(id=request_id)

    def shown() -> Any:
        try:
            return requests.Get(wanted, metadata=who, timeout=30).request
        except grpc.RpcError as e:
            if e.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return None

    row = until(shown)
    assert row.cost_usd == COST_OF_OK
    assert [a.model for a in row.attempts] == ["ok"]
    assert "Say hello." in row.prompt
    assert "café" in row.answer
    with pytest.raises(grpc.RpcError) as raised:
        requests.Get(wanted, metadata=(("authorization", f"Bearer {keys['agent'].secret}"),), timeout=30)
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


def test_models_health_and_reflection_are_served(channel, who):
    models = models_pb2_grpc.ModelsServiceStub(channel)
    listed = models.List(models_pb2.ModelsServiceListRequest(), metadata=who, timeout=30)
    assert {"assistant", "ok"} <= {m.id for m in listed.models}
    health = health_pb2_grpc.HealthStub(channel)
    said = health.Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert said.status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    told = next(iter(reflection.ServerReflectionInfo(iter([asked]), timeout=30)))
    names = {service.name for service in told.list_services_response.service}
    assert {"gateway.v1.InferenceService", "gateway.v1.JobsService", "gateway.v1.RequestsService"} <= names
