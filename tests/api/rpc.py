"""A caller of the gRPC door: what it sends, and how it reads what fails."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from grpc_status.rpc_status import aio as rich_status

from gateway.storage.ports import RequestFilter
from gateway.v1 import inference_pb2, jobs_pb2
from tests.api.world import KEY


def bearer(key=KEY, **more):
    """Metadata of a caller."""
    return (
        ("authorization", f"Bearer {key}"),
        *((name.replace("_", "-"), value) for name, value in more.items()),
    )


def chat(model="good", **fields):
    """A request that works."""
    messages = [inference_pb2.ChatMessage(role="user", content="Hello")]
    given: dict[str, Any] = {"model": model, "messages": messages, **fields}
    return inference_pb2.ChatRequest(**given)


def streamed(model="good", **fields):
    return inference_pb2.ChatStreamRequest(chat=chat(model, **fields))


async def read_out(call):
    async for _ in call:
        pass


async def failure_of(call):
    """How a call fails: its status code, and its rich details by their names."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await (
            call if isinstance(call, grpc.aio.UnaryUnaryCall | grpc.aio.StreamUnaryCall) else read_out(call)
        )
    status = await rich_status.from_call(call)
    assert status is not None, failed.value
    details = {}
    for packed in status.details:
        for kind in (ErrorInfo, BadRequest, RetryInfo, RequestInfo):
            if packed.Is(kind.DESCRIPTOR):
                details[kind] = kind()
                packed.Unpack(details[kind])
    return failed.value.code(), details


async def code_of(call):
    code, details = await failure_of(call)
    assert details[ErrorInfo].domain == "gateway"
    return code.name, details[ErrorInfo].reason


def a_day():
    """The last day of the ledger."""
    now = datetime.now(UTC)
    return RequestFilter(now - timedelta(days=1), now + timedelta(minutes=1))


def create(model="good", **fields):
    return jobs_pb2.JobsServiceCreateRequest(chat=chat(model), **fields)
