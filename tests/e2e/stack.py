"""A whole gateway of its own, started by the command that people use, with its processes in a test's hands."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psutil
import psycopg

from infra.local.component import ROOT, free_port
from infra.local.folder import Folder
from infra.local.ports import Ports
from infra.local.process import Identity

T = TypeVar("T")
STAYING = ("postgres", "temporal", "nats", "api", "worker")
BUSY = 5.0  # seconds that a machine with other work may take
# The supervisor gives a component up at its fifth death within two minutes.
_DEATHS, _WITHIN = 4, 120.0


def _lives(process: psutil.Process) -> bool:
    """Whether a process runs; who has ended and waits for its parent to look does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(what: Callable[[], T], within: float = 30.0, every: float = 0.05) -> T:
    """Ask until the answer is true and return it; a last time after `within` seconds, to fail with what it says."""
    ends = time.monotonic() + within
    while time.monotonic() < ends:
        if found := what():
            return found
        time.sleep(every)
    found = what()
    assert found, f"still {found!r} after {within:g} s"
    return found


class Stack:
    """One stack in a folder of its own. `env` is what its configuration says otherwise than `config/local.conf`."""

    def __init__(self, env: Mapping[str, str]) -> None:
        # Not pytest's own folder, which is closed to the user that PostgreSQL runs as when we are root.
        self.home = Path(tempfile.mkdtemp(prefix="llm-gateway-stack-"))
        self.folder = Folder(self.home / "data")
        self.base = Ports.free_base()
        self.env = dict(env)
        self._deaths: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_DEATHS))
        self._started: dict[int, psutil.Process] = {}
        self._killed: set[int] = set()

    # ---- the commands ----
    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m infra.local …` for this stack."""
        argv = [sys.executable, "-m", "infra.local", *words, "--data", str(self.folder.root)]
        argv += ["--ports", str(self.base)]
        env = {**os.environ, "GATEWAY_CONFIG": "config/local.conf", **self.env}
        return subprocess.run(
            argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=180
        )

    def run(self, module: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of our own commands with the environment of this stack. It must go well."""
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done

    def up(self) -> None:
        """Start it, and return when it is ready."""
        done = self.command("up", "--detach")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        self._deaths.clear()
        self._killed.clear()
        self._note_processes()

    def stop(self) -> list[psutil.Process]:
        """Stop it if it runs; returns the processes of this stack that live on."""
        self._note_processes()
        if not self._started:
            return []
        done = self.command("stop")
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        started = list(self._started.values())
        self._started.clear()
        ends = time.monotonic() + 30
        while (alive := [each for each in started if _lives(each)]) and time.monotonic() < ends:
            time.sleep(0.05)
        return alive

    def remove(self) -> None:
        """Remove all that it wrote."""
        shutil.rmtree(self.home, ignore_errors=True)

    @contextmanager
    def running(self) -> Generator[Stack]:
        """It, started; at the end nothing of it may live on."""
        try:
            self.up()
            yield self
            assert self.stop() == []
        finally:
            self.stop()
            self.remove()

    # ---- what it says of itself ----
    @property
    def state(self) -> dict[str, Any]:
        """What `status --json` reads."""
        state = self.folder.read_state()
        assert state is not None
        return state

    @property
    def rest(self) -> str:
        """The address of REST."""
        return str(self.state["addresses"]["rest"])

    @property
    def rest_port(self) -> int:
        """The port of REST."""
        return self.base

    @property
    def grpc(self) -> str:
        """The address of gRPC."""
        return str(self.state["addresses"]["grpc"])

    @property
    def admin_key(self) -> str:
        """The key that may do everything."""
        return self.folder.admin_key.read_text().strip()

    def pid(self, name: str) -> int | None:
        """The process of a component, None while it has none."""
        return self.state["components"][name]["pid"]

    def is_ready(self) -> bool:
        """Whether every component is ready; one that was killed is not, though the supervisor may not know it yet."""
        state = self.state
        return bool(state["ready"]) and all(
            each["pid"] not in self._killed for each in state["components"].values()
        )

    def wait_ready(self, within: float = 60.0) -> None:
        """Wait until every component is ready again."""
        until(self.is_ready, within)
        self._note_processes()

    def environment(self) -> dict[str, str]:
        """The environment of its processes, for one that is started by hand."""
        told = (self.folder.root / "stack.env").read_text()
        pairs = (line.removeprefix("export ").split("=", 1) for line in told.splitlines())
        ours = {name: value.strip("'") for name, value in pairs}
        return {**os.environ, **self.env, **ours}

    def rows(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        """Ask its database."""
        with psycopg.connect(self.environment()["GATEWAY__POSTGRES__URL"], autocommit=True) as connection:
            return connection.execute(query.encode(), params or None).fetchall()

    # ---- what is done to it ----
    def may_kill(self, *names: str, times: int = 1) -> bool:
        """Whether the supervisor would start each of them so many times again."""
        long_ago = time.monotonic() - _WITHIN
        return all(sum(at > long_ago for at in self._deaths[name]) + times <= _DEATHS for name in names)

    def kill(self, name: str, by: signal.Signals = signal.SIGKILL) -> None:
        """`kill -9` a component; the supervisor will start it again."""
        pid = self.pid(name)
        assert pid is not None, f"{name} does not run"
        assert self.may_kill(name), f"the supervisor would give {name} up"
        self._deaths[name].append(time.monotonic())
        self._killed.add(pid)
        os.kill(pid, by)

    @contextmanager
    def down(self, *names: str) -> Generator[None]:
        """Kill components and keep them dead for as long as the block: meanwhile the supervisor sleeps."""
        os.kill(self._supervisor, signal.SIGSTOP)
        try:
            for name in names:
                self.kill(name)
            yield
        finally:
            self.wake()

    def wake(self) -> None:
        """Let the supervisor start what is dead."""
        os.kill(self._supervisor, signal.SIGCONT)

    @property
    def _supervisor(self) -> int:
        return int(self.state["supervisor"]["pid"])

    @contextmanager
    def replica(self, **env: str) -> Generator[Replica]:
        """A second API process on the same stack, with settings of its own."""
        started = Replica(self, env)
        try:
            started.wait_ready()
            yield started
        finally:
            started.end()

    def _note_processes(self) -> None:
        """Remember who runs now: the supervisor, the components, and what they started."""
        state = self.folder.read_state()
        if state is None or not Identity.from_json(state["supervisor"]).is_alive():
            return
        supervisor = psutil.Process(self._supervisor)
        for process in (supervisor, *supervisor.children(recursive=True)):
            self._started[process.pid] = process


class Replica:
    """An API process that a test started by hand."""

    def __init__(self, stack: Stack, env: Mapping[str, str]) -> None:
        self.port, self.grpc_port = free_port(), free_port()
        self.log = stack.home / f"replica-{secrets.token_hex(4)}.log"
        settings = {"GATEWAY__API__PORT": str(self.port), "GATEWAY__API__GRPC_PORT": str(self.grpc_port)}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "api"],
                cwd=ROOT,
                env={**stack.environment(), **settings, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def rest(self) -> str:
        """The address of REST."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def grpc(self) -> str:
        """The address of gRPC."""
        return f"127.0.0.1:{self.grpc_port}"

    def wait_ready(self) -> None:
        """Wait until it says that requests may come."""

        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                return httpx2.get(f"{self.rest}/readyz", trust_env=False).status_code == 200
            except httpx2.TransportError:
                return False

        until(ready, 90)

    def end(self) -> int:
        """Ask it to end and wait; returns its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
