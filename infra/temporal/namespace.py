"""The namespace that the gateway works in, with the search attributes it writes."""

import asyncio
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from infra.local.component import StackError
from infra.local.temporal import SEARCH_ATTRIBUTES

# In backquotes: Status is a word of the query language's own.
_ALL = " AND ".join(f"`{name}` = 'none'" for name in SEARCH_ATTRIBUTES)
_PAUSE = 0.2
_NOT_YET = (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT, RPCStatusCode.UNAVAILABLE)


async def make_namespace(address: str, name: str, retention: timedelta, within: timedelta) -> None:
    """Make what is missing, and return when the server knows it: its caches take seconds. Raises `StackError`."""
    said = "it did not answer"
    try:
        async with asyncio.timeout(within.total_seconds()):
            while True:
                try:
                    await _make(address, name, retention)
                except (RPCError, RuntimeError) as error:
                    if isinstance(error, RPCError) and error.status not in _NOT_YET:
                        raise StackError(f"Temporal at {address}: {error}") from error
                    said = str(error)
                else:
                    return
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        raise StackError(f"Temporal at {address} has no namespace {name} for us: {said}") from None


async def _make(address: str, name: str, retention: timedelta) -> None:
    client = await Client.connect(address, namespace=name)
    kept = Duration()
    kept.FromTimedelta(retention)
    try:
        await client.workflow_service.register_namespace(
            RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=kept)
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
    listing = ListSearchAttributesRequest(namespace=name)
    known = (await client.operator_service.list_search_attributes(listing)).custom_attributes
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    if missing := {each: keyword for each in SEARCH_ATTRIBUTES if each not in known}:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=name, search_attributes=missing)
        )
    # Starts are refused as long as the namespace's caches do not know the attributes: a query says when they do.
    await client.workflow_service.list_workflow_executions(
        ListWorkflowExecutionsRequest(namespace=name, page_size=1, query=_ALL)
    )
