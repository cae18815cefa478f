"""The gateway's own processes: two steps that run to their end, then the API and the jobs worker."""

import sys
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path

from infra.local.component import Component, Launch, Port
from infra.local.folder import Folder
from infra.local.ports import Ports
from infra.local.probes import http_ok

# The model and the key are waited for by people only. Names of components that a stack does not have are no matter.
_BEFORE_US = ("postgres", "temporal", "namespace", "nats", "migrate")


def gateway(folder: Folder, host: str, ports: Ports, env: Mapping[str, str]) -> list[Component]:
    """Return the schema's step, the admin key's step, the API, which answers both doors at `host`, and the worker."""
    migrate = Component(
        name="migrate", launch=_python("gateway.storage.postgres.migrate", env=env), after=("postgres",)
    )
    keys = Component(
        name="keys",
        launch=_python("api", "keys", "bootstrap", "--file", str(folder.admin_key), env=env),
        after=("postgres", "migrate"),
    )
    ready_file = folder.run / "worker.ready"
    metrics = Port(ports.worker_metrics, "worker.metrics_port")
    api = Component(
        name="api",
        launch=_python("api", env=env),
        ready=partial(http_ok, ports.rest, "/readyz", host),
        after=_BEFORE_US,
        ports=(Port(ports.rest, "api.port", host), Port(ports.grpc, "api.grpc_port", host)),
        address=f"REST {host}:{ports.rest}, gRPC {host}:{ports.grpc}",
        # Requests under way may finish; the API bounds that itself.
        stop_within=timedelta(seconds=60),
    )
    worker = Component(
        name="worker",
        launch=_python("workflows", env={**env, "GATEWAY_READY_FILE": str(ready_file)}),
        prepare=partial(_remove, ready_file),
        ready=partial(_exists, ready_file),
        after=_BEFORE_US,
        ports=(metrics,) if metrics.number else (),
        stop_within=timedelta(seconds=60),
    )
    return [migrate, keys, api, worker]


def _python(module: str, *arguments: str, env: Mapping[str, str]) -> Launch:
    return Launch((sys.executable, "-m", module, *arguments), {**env, "PYTHONUNBUFFERED": "1"})


async def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)  # noqa: ASYNC240 (a small local file)


async def _exists(path: Path) -> bool:
    return path.exists()  # noqa: ASYNC240 (a small local file)
