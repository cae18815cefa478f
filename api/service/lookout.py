"""Watching jobs: one query a look for all that are watched in this process, however many watch them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from gateway.domain.errors import GatewayError
from gateway.domain.jobs import Job
from gateway.storage.ports import Jobs

_EVERY: Final = 0.2
"""Seconds between two looks."""


class _Watched:
    """One job that somebody watches: how it stood at the last look, and a bell that rings when it has changed."""

    def __init__(self, job: Job) -> None:
        self.watchers = 0
        self.job = job
        self.gone = False
        self.error: GatewayError | None = None
        self.changed = asyncio.Event()


class Lookout:
    """Looks after jobs as long as somebody watches any."""

    def __init__(self, jobs: Jobs) -> None:
        """`jobs` are the store's."""
        self._jobs = jobs
        self._watched: dict[str, _Watched] = {}
        self._looking: asyncio.Task[None] | None = None

    async def changes(self, job: Job) -> AsyncGenerator[Job, None]:
        """The job at once and again with every change, until it has ended or is gone. Raises StorageUnavailable."""
        yield job
        if job.status.terminal:
            return
        watched = self._watched.setdefault(job.id, _Watched(job))
        watched.watchers += 1
        watched.job = seen = job
        try:
            if self._looking is None:
                self._looking = asyncio.create_task(self._look())
            while True:
                if watched.job == seen:
                    await watched.changed.wait()
                if watched.error is not None:
                    raise watched.error
                if watched.gone:
                    return
                if watched.job != seen:
                    seen = watched.job
                    yield seen
                    if seen.status.terminal:
                        return
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
                    found = {job.id: job for job in await self._jobs.get_many(list(watched))}
                except GatewayError as e:
                    for job_id, each in watched.items():
                        each.error = e
                        _ring(each)
                        self._watched.pop(job_id)  # whoever comes next looks anew
                    continue
                for job_id, each in watched.items():
                    job = found.get(job_id)
                    each.gone = job is None
                    if job is not None and job == each.job:
                        continue
                    each.job = job or each.job
                    _ring(each)
        finally:
            self._looking = None


def _ring(watched: _Watched) -> None:
    """Wake all who wait now; who waits later, waits for the next."""
    bell, watched.changed = watched.changed, asyncio.Event()
    bell.set()
