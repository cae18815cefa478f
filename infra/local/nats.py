"""NATS with JetStream from a wheel."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infra.local.component import Component, Launch, Port, tool
from infra.local.probes import nats_with_jetstream


@dataclass(frozen=True, slots=True)
class Nats:
    """A NATS server that keeps its streams in `folder`."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """How to connect."""
        return f"nats://127.0.0.1:{self.port}"

    def component(self) -> Component:
        """Return the server as a component."""
        argv = (tool("nats-server"), "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder))
        return Component(
            name="nats",
            launch=Launch(argv, {"GOMEMLIMIT": "128MiB"}),
            ready=partial(nats_with_jetstream, self.port),
            ports=(Port(self.port, "local.ports.nats"),),
            address=f"127.0.0.1:{self.port}",
        )
