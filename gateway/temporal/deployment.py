"""Versions of the workers' code: a workflow that has begun stays with the code it began with, until it has ended.

Only workers of jobs have versions: their workflows may last for days. A synchronous request lives for seconds, in the
process that holds its caller's connection.
"""

from __future__ import annotations

import asyncio
from typing import Final

from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import WorkerDeploymentConfig

from gateway.settings import Temporal

_NOT_YET: Final = frozenset({RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION})
_PATIENCE: Final = 60.0
_AGAIN: Final = 0.5


def versioning(settings: Temporal) -> WorkerDeploymentConfig | None:
    """How workers say which version they are; None where the settings name none."""
    own = settings.deployment
    if not own.build:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(own.name, own.build),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )


async def current(client: Client, settings: Temporal) -> str | None:
    """The build that new workflows begin with; None where there is none yet."""
    asked = DescribeWorkerDeploymentRequest(
        namespace=settings.namespace, deployment_name=settings.deployment.name
    )
    try:
        told = await client.workflow_service.describe_worker_deployment(asked)
    except RPCError as e:
        if e.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return told.worker_deployment_info.routing_config.current_deployment_version.build_id or None


async def make_current(client: Client, settings: Temporal, *, patience: float = _PATIENCE) -> None:
    """Let new workflows begin with the settings' build, as soon as one of its workers is there.

    Those that have begun stay where they are. Raises TimeoutError where no worker of that build comes.
    """
    own = settings.deployment
    asked = SetWorkerDeploymentCurrentVersionRequest(
        namespace=settings.namespace,
        deployment_name=own.name,
        build_id=own.build,
        ignore_missing_task_queues=True,
    )
    async with asyncio.timeout(patience):
        while True:
            try:
                await client.workflow_service.set_worker_deployment_current_version(asked)
            except RPCError as e:
                if e.status not in _NOT_YET:
                    raise
            else:
                return
            await asyncio.sleep(_AGAIN)


async def claim_first(client: Client, settings: Temporal) -> bool:
    """Make the settings' build the current one where none is yet: a new installation needs no command for it."""
    if not settings.deployment.build or await current(client, settings) is not None:
        return False
    await make_current(client, settings)
    return True
