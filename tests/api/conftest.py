"""A process of its own for each test of the doors."""

import pytest

from gateway.v1.inference_pb2_grpc import InferenceServiceStub
from gateway.v1.jobs_pb2_grpc import JobsServiceStub
from tests.api.world import a_world, rpc_channel


@pytest.fixture
def world():
    return a_world()


@pytest.fixture
async def channel(world):
    async with rpc_channel(world) as channel:
        yield channel


@pytest.fixture
def inference(channel):
    return InferenceServiceStub(channel)


@pytest.fixture
def jobs(channel):
    return JobsServiceStub(channel)
