"""Starting a process, knowing it again later, and ending it."""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

import psutil

from infra.local.account import as_user
from infra.local.component import Component

RECORD: Final = ".process.json"
_PR_SET_PDEATHSIG: Final = 1
# Loaded here and not in the forked child, where importing could deadlock.
_LIBC: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a process from a later one that was given the same number."""

    pid: int
    born: str
    argv: tuple[str, ...]

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the identity of a running process; None if there is none."""
        born, argv = _born(pid), _argv(pid)
        return None if born is None or argv is None else cls(pid, born, argv)

    def is_alive(self) -> bool:
        """Say whether this very process still runs."""
        return Identity.of(self.pid) == self

    def to_json(self) -> dict[str, Any]:
        """Return the identity as it is kept in a file."""
        return {"pid": self.pid, "born": self.born, "argv": list(self.argv)}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(int(kept["pid"]), str(kept["born"]), tuple(kept["argv"]))


@dataclass(frozen=True, slots=True)
class Record:
    """A process as its run file remembers it, so that a later supervisor can end it if this one cannot."""

    name: str
    identity: Identity
    stop_signal: signal.Signals
    stop_within: timedelta

    def write(self, path: Path) -> None:
        """Keep the record in a file."""
        kept = {
            **self.identity.to_json(),
            "stop_signal": self.stop_signal.name,
            "stop_within": self.stop_within.total_seconds(),
        }
        path.write_text(json.dumps(kept))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a record; None if the file says nothing we understand."""
        try:
            kept = json.loads(path.read_text())
            return cls(
                path.name.removesuffix(RECORD),
                Identity.from_json(kept),
                signal.Signals[kept["stop_signal"]],
                timedelta(seconds=kept["stop_within"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


class Child:
    """A process we started."""

    def __init__(self, popen: subprocess.Popen[Any]) -> None:
        """Use `Child.start`."""
        self._popen = popen
        self.pid = popen.pid

    @classmethod
    def start(cls, component: Component, log: Path) -> Self:
        """Start a component, its output at the end of `log`, in its own session: Ctrl-C is ours to pass on."""
        launch = component.launch
        with log.open("ab") as output:
            popen: subprocess.Popen[Any] = subprocess.Popen(
                launch.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=launch.folder,
                env=launch.environment(),
                start_new_session=True,
                preexec_fn=_end_with_us(component.stop_signal),  # noqa: PLW1509 (it takes no lock)
                **as_user(launch.account),
            )
        return cls(popen)

    @property
    def code(self) -> int | None:
        """The exit code, minus the signal's number if one ended it; None while it runs."""
        return self._popen.poll()

    async def exited(self) -> int:
        """Wait for its end and return its exit code."""
        if self.code is not None:
            return self.code
        try:
            watch = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            return await self._polled()
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(watch, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(watch)
            os.close(watch)
        return self._popen.wait()

    async def _polled(self) -> int:
        while (code := self._popen.poll()) is None:  # noqa: ASYNC110 (the kernel sets no event here)
            await asyncio.sleep(0.1)
        return code

    async def stop(self, by: signal.Signals, within: timedelta) -> bool:
        """Ask it to end, and kill it with all it started if that takes too long; returns whether asking was enough."""
        if self.code is None:
            self._popen.send_signal(by)
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self.exited()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            await self.exited()
            return False
        return True


async def end(orphan: Record) -> None:
    """End a process that an earlier supervisor left behind: no child of ours, so we can only look if it is gone."""
    if not orphan.identity.is_alive():
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(orphan.identity.pid, orphan.stop_signal)
    try:
        async with asyncio.timeout(orphan.stop_within.total_seconds()):
            await _gone(orphan.identity)
    except TimeoutError:
        if orphan.identity.is_alive():
            os.kill(orphan.identity.pid, signal.SIGKILL)
            await _gone(orphan.identity)


async def _gone(process: Identity) -> None:
    while process.is_alive():  # noqa: ASYNC110 (the kernel tells only a parent)
        await asyncio.sleep(0.05)


def describe(code: int) -> str:
    """Say in words how a process ended."""
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _end_with_us(by: signal.Signals) -> Callable[[], None] | None:
    """Return what a child does before its program: ask the kernel to stop it when we die, be it by kill -9."""
    # The kernel means the thread that forked. Only the main thread lives as long as we do.
    if _LIBC is None or threading.current_thread() is not threading.main_thread():
        return None
    libc, us = _LIBC, os.getpid()

    def before_exec() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(by))
        if os.getppid() != us:  # we died in between, and the kernel will not say it again
            os.kill(os.getpid(), signal.SIGKILL)

    return before_exec


def _born(pid: int) -> str | None:
    """Return when a process began, by a clock that nobody sets; None for one that is gone, or is a zombie."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"
    try:
        return str(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def _argv(pid: int) -> tuple[str, ...] | None:
    try:
        return tuple(psutil.Process(pid).cmdline())
    except psutil.Error:
        return None
