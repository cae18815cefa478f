"""Watching jobs: two queries a look for all that are watched in this process, however many watch them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Final

from gateway.domain.errors import GatewayError
from gateway.domain.jobs import Job
from gateway.storage.ports import Jobs, StreamLog

_EVERY: Final = 0.2
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a job stood: `reached` is the number of the next event of its stream, 0 where it has told none."""

    job: Job
    reached: int = 0


class _Watched:
    """One job that somebody watches: how it stood at the last look, and a bell that rings when it has changed."""

    def __init__(self, job: Job) -> None:
        self.watchers = 0
        self.last = Look(job)
        self.gone = False
        self.error: GatewayError | None = None
        self.changed = asyncio.Event()


class Lookout:
    """Looks after jobs as long as somebody watches any."""

    def __init__(self, jobs: Jobs, streams: StreamLog) -> None:
        """Both are the store's."""
        self._jobs = jobs
        self._streams = streams
        self._watched: dict[str, _Watched] = {}
        self._looking: asyncio.Task[None] | None = None

    async def changes(self, job: Job) -> AsyncGenerator[Look, None]:
        """The job at once and again with every change, until it has ended or is gone. Raises StorageUnavailable."""
        if job.status.terminal:
            yield Look(job)
            return
        watched = self._watched.setdefault(job.id, _Watched(job))
        watched.watchers += 1
        watched.last = seen = replace(watched.last, job=job)
        try:
            if self._looking is None:
                self._looking = asyncio.create_task(self._look())
            yield seen
            while not seen.job.status.terminal:
                if watched.last == seen:
                    await watched.changed.wait()
                if watched.error is not None:
                    raise watched.error
                if watched.gone:
                    return
                if watched.last != seen:
                    seen = watched.last
                    yield seen
        finally:
            watched.watchers -= 1
            if not watched.watchers and self._watched.get(job.id) is watched:
                del self._watched[job.id]

    async def _look(self) -> None:
        try:
            while self._watched:
                await asyncio.sleep(_EVERY)
                watched = dict(self._watched)
                try:
                    reached = await self._streams.reached(watched)
                    # The job after its stream: one that has ended is seen with all that it told.
                    found = {job.id: job for job in await self._jobs.get_many(watched)}
                except GatewayError as e:
                    for job_id, each in watched.items():
                        each.error = e
                        _ring(each)
                        self._watched.pop(job_id)  # whoever comes next looks anew
                    continue
                for job_id, each in watched.items():
                    job = found.get(job_id)
                    each.gone = job is None
                    look = Look(job or each.last.job, reached.get(job_id, 0))
                    if each.gone or look != each.last:
                        each.last = look
                        _ring(each)
        finally:
            self._looking = None


def _ring(watched: _Watched) -> None:
    """Wake all who wait now; who waits later, waits for the next."""
    bell, watched.changed = watched.changed, asyncio.Event()
    bell.set()
