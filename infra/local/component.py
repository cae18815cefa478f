"""What the stack runs: one value a process, told everything it needs to be started, awaited and stopped."""

import os
import shutil
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from signal import SIGTERM, Signals

from infra.local.account import Account

ROOT = Path(__file__).resolve().parents[2]


class StackError(Exception):
    """The stack cannot go on; the message is what a person is shown."""


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port a component listens on, and the settings key that moves it."""

    number: int
    key: str
    host: str = "127.0.0.1"

    @property
    def variable(self) -> str:
        """The environment variable that overrides the key."""
        return "GATEWAY__" + self.key.upper().replace(".", "__")

    def is_free(self) -> bool:
        """Say whether a server could listen here now."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As every server does: a connection that is only timing out does not hold the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.number))
            except OSError:
                return False
        return True


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line, what is added to its environment, and who runs it (None: whoever runs the stack)."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    account: Account | None = None
    folder: Path = ROOT

    def environment(self) -> dict[str, str]:
        """Return the whole environment the process gets."""
        return {**os.environ, **self.env}


async def _nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A process of the stack: a server that stays, or (`ready=None`) a step that runs to its end."""

    name: str
    launch: Launch
    ready: Callable[[], Awaitable[bool]] | None = None
    """Asks the server itself; False or an `OSError` means not yet."""
    prepare: Callable[[], Awaitable[None]] = _nothing
    """Runs before every start, so it must be safe to do twice."""
    after: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    address: str = ""
    stop_signal: Signals = SIGTERM
    stop_within: timedelta = timedelta(seconds=30)
    ready_within: timedelta = timedelta(seconds=90)


def tool(name: str) -> str:
    """Return the path of a program that a wheel put beside this Python, or else the one on the PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise StackError(
            f"{name} is not installed beside {sys.executable}; `make` installs what the stack needs"
        )
    return found


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
