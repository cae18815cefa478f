"""Starts components in the order they need, restarts what dies, stops all in reverse."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from infra.local.component import Component, StackError
from infra.local.folder import Folder
from infra.local.process import Child, Identity, Record, describe

_POLL = 0.05
_LONGEST_POLL = 0.5
_PROBE_WITHIN = 5.0


class State(StrEnum):
    """Where a component is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DONE = "done"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Event:
    """A component came into a state; `seconds` since it began to start or stop."""

    name: str
    state: State
    pid: int | None = None
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often a component may die and how long it then rests, twice as long each time."""

    deaths: int = 5
    within: timedelta = timedelta(minutes=2)
    first: timedelta = timedelta(seconds=0.5)
    longest: timedelta = timedelta(seconds=10)

    def rest(self, deaths: int) -> timedelta:
        """Return the pause after so many deaths in a row."""
        return min(self.first * 2 ** (deaths - 1), self.longest)


class ComponentFailed(StackError):
    """A component cannot be kept running, and so neither can the stack."""

    def __init__(self, name: str, reason: str, last_words: list[str]) -> None:
        """Name the component, and keep what it said before its stopping adds to that."""
        super().__init__(f"{name} {reason}")
        self.name = name
        self.last_words = last_words


class Supervisor:
    """Keeps components running until it is told to stop, or one of them cannot be kept."""

    def __init__(
        self,
        components: Sequence[Component],
        folder: Folder,
        tell: Callable[[Event], None],
        restarts: Restarts | None = None,
    ) -> None:
        """Take components in the order in which they may start; each may name earlier ones to wait for."""
        self._components = components
        self._folder = folder
        self._tell = tell
        self._restarts = restarts or Restarts()
        self._children: dict[str, Child] = {}
        self._up = {component.name: asyncio.Event() for component in components}

    async def run(self, stop: asyncio.Event, ready: Callable[[], Awaitable[None]]) -> None:
        """Start, call `ready` once all are up, and keep them so until `stop`. Raises `StackError`; always stops all."""
        for component in self._components:
            self._tell(Event(component.name, State.WAITING))
        keepers = {asyncio.create_task(self._keep(component)) for component in self._components}
        keepers |= {asyncio.create_task(self._greet(ready)), asyncio.create_task(self._bound_logs())}
        stopper = asyncio.create_task(stop.wait())
        waiting: set[asyncio.Task[Any]] = {*keepers, stopper}
        try:
            while stopper in waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            stopper.cancel()
            for task in keepers:
                task.cancel()
            await asyncio.wait({*keepers, stopper})
            await self._stop_all()

    async def _greet(self, ready: Callable[[], Awaitable[None]]) -> None:
        for up in self._up.values():
            await up.wait()
        await ready()

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(30)
            self._folder.cut_logs()

    async def _keep(self, component: Component) -> None:
        for name in component.after:
            if name in self._up:
                await self._up[name].wait()
        deaths: deque[float] = deque()
        while True:
            child = await self._start(component)
            if component.ready is None:
                return
            code = await child.exited()
            now = time.monotonic()
            deaths.append(now)
            while now - deaths[0] > self._restarts.within.total_seconds():
                deaths.popleft()
            if len(deaths) >= self._restarts.deaths:
                minutes = self._restarts.within.total_seconds() / 60
                reason = f"{describe(code)}: that was {len(deaths)} times in {minutes:g} minutes"
                raise self._failure(component, reason)
            rest = self._restarts.rest(len(deaths)).total_seconds()
            detail = f"{describe(code)}, starts again in {rest:g} s"
            self._tell(Event(component.name, State.RESTARTING, detail=detail))
            await asyncio.sleep(rest)

    async def _start(self, component: Component) -> Child:
        """Start a component and wait until it is ready, or has run to its end, or has died."""
        begun = time.monotonic()
        self._tell(Event(component.name, State.STARTING))
        try:
            await component.prepare()
            child = Child.start(component, self._folder.log(component.name))
        except (OSError, StackError) as error:
            raise self._failure(component, f"could not be started: {error}") from error
        self._children[component.name] = child
        self._remember(component, child)
        self._tell(Event(component.name, State.STARTING, child.pid))
        ended = asyncio.create_task(child.exited())
        answers = asyncio.create_task(answered(component))
        try:
            first: set[asyncio.Task[Any]] = {ended} if component.ready is None else {ended, answers}
            within = component.ready_within.total_seconds()
            done, _ = await asyncio.wait(first, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answers.cancel()
            ended.cancel()
            await asyncio.gather(answers, ended, return_exceptions=True)
        seconds = time.monotonic() - begun
        if component.ready is None and ended in done:
            del self._children[component.name]
            if ended.result() != 0:
                raise self._failure(component, describe(ended.result()))
            self._tell(Event(component.name, State.DONE, None, seconds))
            self._up[component.name].set()
        elif answers in done:
            self._tell(Event(component.name, State.READY, child.pid, seconds, component.address))
            self._up[component.name].set()
        elif not done:
            raise self._failure(component, f"was not ready within {within:g} s")
        return child

    def _failure(self, component: Component, reason: str) -> ComponentFailed:
        self._tell(Event(component.name, State.FAILED, detail=reason))
        return ComponentFailed(component.name, reason, self._folder.last_lines(component.name))

    def _remember(self, component: Component, child: Child) -> None:
        if identity := Identity.of(child.pid):
            record = Record(component.name, identity, component.stop_signal, component.stop_within)
            record.write(self._folder.record(component.name))

    async def _stop_all(self) -> None:
        for component in reversed(self._components):
            child = self._children.pop(component.name, None)
            if child is not None:
                begun = time.monotonic()
                if child.code is None:
                    self._tell(Event(component.name, State.STOPPING, child.pid))
                asked = await child.stop(component.stop_signal, component.stop_within)
                within = component.stop_within.total_seconds()
                detail = "" if asked else f"killed, since it took longer than {within:g} s"
                self._tell(Event(component.name, State.STOPPED, None, time.monotonic() - begun, detail))
            self._folder.record(component.name).unlink(missing_ok=True)


async def answered(component: Component) -> None:
    """Return once the component says it is ready; asks ever more slowly, so as not to keep a sick server busy."""
    pause = _POLL
    while component.ready is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_PROBE_WITHIN):
                if await component.ready():
                    return
        await asyncio.sleep(pause)
        pause = min(pause * 1.2, _LONGEST_POLL)
