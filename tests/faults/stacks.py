"""The stack whose processes are killed: quick to notice, patient to try again."""

from __future__ import annotations

from infra.local.component import free_port
from tests.e2e.seed import write_seed
from tests.e2e.stack import Stack
from tests.servers import Servers

SCRIPTS = {
    "three-seconds": "scripted-ok?latency_ms=3000",
    "one-second": "scripted-ok?latency_ms=1000",
    "quick": "scripted-ok?latency_ms=200",
    "four-second-stream": "scripted-ok?tokens=40&chunk_interval_ms=100",
}


def a_stack(servers: Servers) -> Stack:
    """A stack that is not started yet, its models scripted."""
    made = Stack(
        {
            "GATEWAY__LOCAL__MODEL_ENABLED": "false",
            "GATEWAY__TEMPORAL__TASK_TIMEOUT": "5s",
            "GATEWAY__JOBS__HEARTBEAT_TIMEOUT": "3s",
            "GATEWAY__JOBS__BACKOFF_MAX": "2s",
            "GATEWAY__API__SHUTDOWN_GRACE": "8s",
            "GATEWAY__POSTGRES__CONNECT_TIMEOUT": "2s",
            "GATEWAY__HEALTH__BREAKER__ENABLED": "false",
            "GATEWAY__DELIVERY__FIRST_PAUSE": "500ms",
            "GATEWAY__DELIVERY__LONGEST_PAUSE": "10s",
        }
    )
    upstream, closed = servers.scripted_upstream, f"http://127.0.0.1:{free_port()}/v1"
    seed = write_seed(made.home / "models.conf", upstream, closed, SCRIPTS, local=False)
    made.env["GATEWAY__REGISTRY__SEED"] = str(seed)
    return made
