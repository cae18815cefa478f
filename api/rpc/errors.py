"""Our errors as rich gRPC errors: google.rpc.Status with our own code as the reason."""

from __future__ import annotations

from datetime import timedelta

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from api.errors import headers_of, row_of
from api.rpc.metadata import Pairs, told_of
from api.service.served import RequestFailed, Served
from gateway.domain.errors import GatewayError

DOMAIN = "gateway"
# What a client takes of metadata is bounded (8 KiB by default), and a wrong field's name is the caller's own.
_LONGEST = 1000


def told(e: BaseException) -> tuple[GatewayError, Served | None]:
    """The error that the caller is told, and what is known of its request; a bug tells nothing of itself."""
    if isinstance(e, RequestFailed):
        return e.error, e.served
    return (e if isinstance(e, GatewayError) else GatewayError()), None


def status_of(
    error: GatewayError, request_id: str, served: Served | None = None
) -> tuple[grpc.StatusCode, str, Pairs]:
    """The status code, the message and the trailing metadata that end the rpc."""
    code = grpc.StatusCode[row_of(error).grpc]
    retry = headers_of(error, tried=served is not None and served.attempts > 0)
    rich = Status(code=code.value[0], message=error.message[:_LONGEST])
    for detail in _details(error, request_id, retry.get("retry-after")):
        packed = Any()
        packed.Pack(detail)
        rich.details.append(packed)
    retry.pop("www-authenticate", None)  # means nothing outside HTTP
    pairs = (
        *told_of(request_id, served),
        *retry.items(),
        ("grpc-status-details-bin", rich.SerializeToString()),
    )
    return code, rich.message, pairs


def _details(error: GatewayError, request_id: str, retry_after: str | None) -> list[Message]:
    param = (error.param or "")[:_LONGEST]
    details: list[Message] = [
        ErrorInfo(reason=error.code, domain=DOMAIN, metadata={"param": param} if param else {}),
        RequestInfo(request_id=request_id),
    ]
    if param:
        violation = BadRequest.FieldViolation(field=param, description=error.message[:_LONGEST])
        details.append(BadRequest(field_violations=[violation]))
    if retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(error.retry_after or timedelta(seconds=int(retry_after)))
        details.append(RetryInfo(retry_delay=delay))
    return details
