"""The one Temporal client of a process, and the names both ends of a workflow agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client, Interceptor
from temporalio.common import SearchAttributeKey
from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode, TLSConfig

from gateway.ring import KeyRing
from gateway.settings import Temporal
from gateway.temporal.codec import BlobStore, ClaimCheck, GatewayCodec

CALLER = SearchAttributeKey.for_keyword("Caller")
MODEL = SearchAttributeKey.for_keyword("Model")
STATUS = SearchAttributeKey.for_keyword("Status")
KIND = SearchAttributeKey.for_keyword("Kind")
_CONVERTERS = tuple(PydanticPayloadConverter().converters.values())
SEARCH_ATTRIBUTES = (CALLER, MODEL, STATUS, KIND)


def process_queue(origin: str) -> str:
    """The task queue that one process alone serves: there a workflow reaches the caller's connection."""
    return f"gateway-process-{origin}"


class SharedPayloadConverter(CompositePayloadConverter):
    """The pydantic converter, all instances of which share what they have learnt about types."""

    def __init__(self) -> None:
        """Nullary, as the SDK wants it."""
        super().__init__(*_CONVERTERS)


def data_converter(settings: Temporal, blobs: BlobStore | None) -> DataConverter:
    """Pydantic values, compressed and encrypted, failure texts too; large ones by reference where a store is given.

    Raises ValueError naming the setting when encryption is required and no key is there.
    """
    converter = replace(
        pydantic_data_converter,
        payload_converter_class=SharedPayloadConverter,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
    codec: PayloadCodec | None = None
    if settings.encryption.active or settings.encryption.required:
        ring = KeyRing(settings.encryption.active, settings.encryption.keys)
        codec = GatewayCodec(ring, compress=settings.compress)
    if blobs is not None:
        codec = ClaimCheck(codec, blobs, settings.claim_check_over)
    return replace(converter, payload_codec=codec)


async def connect(
    settings: Temporal, blobs: BlobStore | None, interceptors: Sequence[Interceptor] = ()
) -> Client:
    """Connect to the engine. Raises RuntimeError or RPCError while it cannot be reached."""
    return await Client.connect(
        settings.address,
        namespace=settings.namespace,
        data_converter=data_converter(settings, blobs),
        api_key=settings.api_key.reveal() or None,
        tls=_tls(settings),
        interceptors=interceptors,
        # On a local network gzip costs more CPU than it saves bytes, and our payloads are compressed already.
        grpc_compression=GrpcCompression.NONE,
    )


def _tls(settings: Temporal) -> TLSConfig | bool:
    if not settings.tls:
        return False

    def read(path: str) -> bytes | None:
        return Path(path).read_bytes() if path else None

    return TLSConfig(
        server_root_ca_cert=read(settings.tls_ca),
        client_cert=read(settings.tls_cert),
        client_private_key=read(settings.tls_key),
    )


async def register_search_attributes(client: Client) -> None:
    """Add our search attributes to the namespace, unless they are there.

    A cluster that lets nobody but its operators add them refuses: then they have done it, or starts will say what is
    missing.
    """
    operators = client.operator_service
    try:
        known = await operators.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
        missing = {
            key.name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
            for key in SEARCH_ATTRIBUTES
            if key.name not in known.custom_attributes
        }
        if missing:
            await operators.add_search_attributes(
                AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
            )
    except RPCError as e:
        if e.status not in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED):
            raise
