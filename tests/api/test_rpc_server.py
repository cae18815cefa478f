"""The gRPC server itself: health, reflection, its port and its end."""

import asyncio
import socket
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2 import HealthListRequest
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2

from api.rpc.server import PortTaken, build_server
from api.rpc.values import struct_of
from api.twins import TWINS
from gateway.settings import Api, Settings
from gateway.v1 import jobs_pb2
from gateway.v1.inference_pb2_grpc import InferenceServiceStub
from gateway.v1.jobs_pb2_grpc import JobsServiceStub
from tests.api.rpc import bearer, chat, code_of, create
from tests.api.world import a_world, rpc_channel
from tests.waits import until

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = sorted({rpc.rpartition(".")[0] for rpc in TWINS})


def a_health(channel) -> Any:
    return HealthStub(channel)


async def test_health_follows_readiness_and_needs_no_key(channel, world):
    health = a_health(channel)
    for name in ("", *SERVICES):
        assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
    listed = (await health.List(HealthListRequest())).statuses
    assert {name for name, each in listed.items() if each.status == SERVING} == {"", *SERVICES}
    watching = health.Watch(health_pb2.HealthCheckRequest())
    assert (await watching.read()).status == SERVING
    world.ready = False
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
    assert (await watching.read()).status == NOT_SERVING
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await health.Check(health_pb2.HealthCheckRequest(service="no.Such"))
    assert failed.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_tells_services_and_their_messages(channel, version):
    reflect = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    call = reflect()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    names = {service.name for service in (await call.read()).list_services_response.service}
    assert names >= {*SERVICES, "grpc.health.v1.Health"}
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol="gateway.v1.JobsService"))
    assert (await call.read()).file_descriptor_response.file_descriptor_proto
    await call.done_writing()


async def test_reflection_tells_every_method(channel):
    reflect = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    call = reflect()
    for name in SERVICES:
        service = descriptor_pool.Default().FindServiceByName(name)
        assert service.methods_by_name
        for method in service.methods:
            await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=method.full_name))
            told = (await call.read()).file_descriptor_response.file_descriptor_proto
            files = {descriptor_pb2.FileDescriptorProto.FromString(file).name for file in told}
            assert service.file.name in files
    await call.write(
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="gateway.v1.InferenceService.None")
    )
    refused = await call.read()
    assert refused.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    await call.done_writing()


async def test_without_docs_there_is_no_reflection():
    async with rpc_channel(a_world(Settings(api=Api(grpc_port=0, docs=False)))) as channel:
        reflect = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        call = reflect()
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            await call.write(b"")
        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


def a_server(world):
    return build_server(
        world.settings,
        identity=world.identity,
        services=world.services,
        ready=lambda: True,
    )


async def test_a_port_in_use_is_said_with_the_setting_that_changes_it():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"api.grpc_port.*{port}"):
            await a_server(a_world(Settings(api=Api(grpc_port=port)))).start()


async def test_two_servers_do_not_share_a_port():
    first = a_server(a_world())
    port = await first.start()
    with pytest.raises(PortTaken):
        await a_server(a_world(Settings(api=Api(grpc_port=port)))).start()
    await first.stop(timedelta(0))


async def test_stopping_lets_answers_end_and_ends_what_only_watches():
    world = a_world()
    server = a_server(world)
    port = await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        jobs = JobsServiceStub(channel)
        job = (await jobs.Create(create("slow"), metadata=bearer())).job
        watching = jobs.Watch(jobs_pb2.JobsServiceWatchRequest(id=job.id), metadata=bearer())
        await anext(aiter(watching))
        healthy = a_health(channel).Watch(health_pb2.HealthCheckRequest())
        await healthy.read()
        script = struct_of({"x_script": {"latency_ms": 500}})
        answering = InferenceServiceStub(channel).Chat(chat(extras=script), metadata=bearer())
        await until(lambda: world.upstream.in_flight == 2)
        began = time.monotonic()
        await server.stop(timedelta(seconds=10))
        assert time.monotonic() - began < 8
        assert (await answering).choices
        assert await code_of(watching) == ("UNAVAILABLE", "shutting_down")
    await world.engine.close()
