"""Components that are a few lines of Python each, and a supervisor over them."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from infra.local.component import Component, Launch
from infra.local.folder import Folder
from infra.local.supervisor import Event, Restarts, State, Supervisor

FOREVER = "import time; time.sleep(600)"
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
QUICK = Restarts(
    deaths=5,
    within=timedelta(minutes=2),
    first=timedelta(milliseconds=20),
    longest=timedelta(milliseconds=50),
)


async def at_once() -> bool:
    return True


def tiny(
    name: str,
    code: str = FOREVER,
    *,
    ready: Callable[[], Awaitable[bool]] | None = at_once,
    after: tuple[str, ...] = (),
    stop_within: float = 5,
    ready_within: float = 5,
    prepare: Callable[[], Awaitable[None]] | None = None,
) -> Component:
    component = Component(
        name=name,
        launch=Launch((sys.executable, "-S", "-c", code)),
        ready=ready,
        after=after,
        stop_within=timedelta(seconds=stop_within),
        ready_within=timedelta(seconds=ready_within),
    )
    return component if prepare is None else replace(component, prepare=prepare)


def folder_in(path: Path) -> Folder:
    folder = Folder(path / "data")
    folder.make()
    return folder


class Run:
    """A supervisor in a task of its own, with all it said."""

    def __init__(self, folder: Folder, *components: Component, restarts: Restarts = QUICK) -> None:
        self.events: list[Event] = []
        self.ready = asyncio.Event()
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()
        supervisor = Supervisor(components, folder, self._tell, restarts)
        self.task = asyncio.create_task(supervisor.run(self._stop, self._greet))

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    async def _greet(self) -> None:
        self.ready.set()

    async def until_ready(self) -> None:
        async with asyncio.timeout(30):
            await self.ready.wait()

    async def until(self, name: str, state: State, times: int = 1) -> Event:
        async with asyncio.timeout(30):
            while (
                len(found := [each for each in self.events if (each.name, each.state) == (name, state)])
                < times
            ):
                self._changed.clear()
                await self._changed.wait()
        return found[times - 1]

    async def stop(self) -> None:
        self._stop.set()
        async with asyncio.timeout(40):
            await self.task

    def names(self, state: State) -> list[str]:
        return [event.name for event in self.events if event.state is state]

    def pid(self, name: str) -> int:
        return [event.pid for event in self.events if event.name == name and event.pid][-1]
