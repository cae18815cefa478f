"""The namespace that the gateway works in, with the search attributes it writes.

By plain gRPC: the SDK's threads may outlive Python itself in a command that ends at once, and then it dies of them.
"""

import time
from datetime import timedelta

import grpc
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.operatorservice.v1.service_pb2_grpc import OperatorServiceStub
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest, RegisterNamespaceRequest
from temporalio.api.workflowservice.v1.service_pb2_grpc import WorkflowServiceStub

from infra.local.component import StackError
from infra.local.temporal import SEARCH_ATTRIBUTES

# In backquotes: Status is a word of the query language's own.
_ALL = " AND ".join(f"`{name}` = 'none'" for name in SEARCH_ATTRIBUTES)
_PAUSE = 0.2
_CALL = 10.0  # seconds
_NOT_YET = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)


def make_namespace(address: str, name: str, retention: timedelta, within: timedelta) -> None:
    """Make what is missing, and return when the server knows it: its caches take seconds. Raises `StackError`."""
    until = time.monotonic() + within.total_seconds()
    with grpc.insecure_channel(address) as channel:
        while True:
            try:
                _make(channel, name, retention)
            except grpc.RpcError as error:
                if error.code() not in _NOT_YET:
                    raise StackError(f"Temporal at {address}: {error.details()}") from error
                if time.monotonic() > until:
                    said = error.details()
                    raise StackError(
                        f"Temporal at {address} has no namespace {name} for us: {said}"
                    ) from error
            else:
                return
            time.sleep(_PAUSE)


def _make(channel: grpc.Channel, name: str, retention: timedelta) -> None:
    workflows, operators = WorkflowServiceStub(channel), OperatorServiceStub(channel)
    kept = Duration()
    kept.FromTimedelta(retention)
    try:
        workflows.RegisterNamespace(
            RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=kept), timeout=_CALL
        )
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
            raise
    listing = ListSearchAttributesRequest(namespace=name)
    known = operators.ListSearchAttributes(listing, timeout=_CALL).custom_attributes
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    if missing := {each: keyword for each in SEARCH_ATTRIBUTES if each not in known}:
        operators.AddSearchAttributes(
            AddSearchAttributesRequest(namespace=name, search_attributes=missing), timeout=_CALL
        )
    # Starts are refused as long as the namespace's caches do not know the attributes: a query says when they do.
    query = ListWorkflowExecutionsRequest(namespace=name, page_size=1, query=_ALL)
    workflows.ListWorkflowExecutions(query, timeout=_CALL)
