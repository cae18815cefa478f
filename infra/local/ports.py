"""The ports of a stack."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Self

import psutil

from infra.local.component import Component, Port, StackError


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each part listens on 127.0.0.1."""

    rest: int
    grpc: int
    postgres: int
    temporal: int
    temporal_ui: int
    nats: int
    model: int
    worker_metrics: int

    @classmethod
    def from_base(cls, base: int) -> Self:
        """Return eight ports in a row, so that a second stack needs one number only."""
        return cls(*range(base, base + 8))

    @classmethod
    def free_base(cls) -> int:
        """The first of eight ports in a row that nobody listens on, below those that the kernel gives to clients."""
        length = len(fields(cls))
        for base in random.sample(range(20_000, 32_000, length), 200):
            if all(Port(base + each, "").is_free() for each in range(length)):
                return base
        raise StackError("no eight free ports in a row were found between 20000 and 32000")


def taken(components: Iterable[Component]) -> list[str]:
    """Say of each port that is not free which it is, who wants it, who has it, and what would move it."""
    return [
        f"port {port.number} is in use{_holder(port.number)}: {component.name} needs it.\n"
        f"  Another one: {port.key} in the configuration, {port.variable}=…, or --ports BASE for a block of eight."
        for component in components
        for port in component.ports
        if not port.is_free()
    ]


def _holder(port: int) -> str:
    """Name the process that listens on a port, if we may know it."""
    try:
        for connection in psutil.net_connections("tcp"):
            here = connection.laddr and connection.laddr[1] == port
            if here and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass
    return ""
