"""The beat of the live facts: counts into windows, windows to all replicas and theirs to us, all of it into a snapshot.

A beat is shorter than a second, so that what one replica counts is in the facts of all others within two: it waits for
our next beat, and then for theirs. While the database is away or slow the beat goes on with what this process counts.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Final

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.live.breakers import policy_of
from gateway.live.budgets import Budgets
from gateway.live.clock import SharedClock
from gateway.live.delta import Report
from gateway.live.outbox import Outbox
from gateway.live.replicas import Replicas
from gateway.live.vitals import Vitals
from gateway.settings import Health
from gateway.storage.ports import LiveFeed, News, Store

EVERY: Final = 0.8
_PATIENCE: Final = 0.4  # seconds that a beat waits for the database
_TOO_LONG: Final = 5.0  # seconds after which an exchange is given up
_LAST_WORDS: Final = 2.0  # seconds that a process which ends takes to tell the rest
_CUT_OFF: Final = timedelta(minutes=5)
"""After so long without the database the hour is read anew: the seconds of that time may be gone."""
_TELL_ALL: Final = 25
_TIDY: Final = 75
"""Every so many beats, open breakers are told of again, and old rows are deleted."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the store said: the news since the last time, or (`anew`) the whole hour."""

    news: News
    asked_at: datetime
    asked: float
    anew: bool = False


def live_of(replica: str, store: Store, settings: Health) -> Beat:
    """The live facts of a process: not begun."""
    clock = SharedClock()
    budgets = Budgets(store.requests, clock, most=settings.max_callers)
    vitals = Vitals(
        replica,
        policy_of(settings.breaker),
        clock=clock,
        most_models=settings.max_models,
        most_callers=settings.max_callers,
        serve_all_open=settings.breaker.all_open == "serve",
        budgets=budgets,
    )
    return Beat(vitals, store.live, budgets)


class Beat:
    """Keeps the facts of one process up to date with all others."""

    def __init__(self, vitals: Vitals, feed: LiveFeed, budgets: Budgets) -> None:
        """`vitals` counts here, `feed` is where all tell each other, `budgets` are those of the callers."""
        self.vitals = vitals
        self.budgets = budgets
        self._feed = feed
        self._outbox = Outbox()
        self._replicas = Replicas(vitals.replica)
        self._anew = True
        self._read_at: datetime | None = None
        self._heard_at: float | None = None
        self._beats = 0
        self._away = False
        self._talk: asyncio.Task[_Answer | None] | None = None
        self._task: asyncio.Task[None] | None = None
        telemetry.LIVE_AGE.set_function(self._age)

    @property
    def age(self) -> timedelta | None:
        """How long ago all replicas were last heard; None before the first time."""
        age = self._age()
        return None if age == float("inf") else timedelta(seconds=age)

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._keep_on(), name="live facts")
        self.budgets.start()

    async def close(self) -> None:
        """End, and tell the others what they have not heard yet."""
        await self.budgets.close()
        for task in (self._task, self._talk):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        last = self.vitals.tick()
        last.leaving, last.in_flight = True, {}
        self._outbox.put(last, self.vitals.clock.now())
        with suppress(StorageUnavailable, TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await self._tell_all()

    async def beat(self) -> None:
        """One beat."""
        self._beats += 1
        for _ in self.vitals.pass_time():
            await asyncio.sleep(0)
        told = self.vitals.tick(tell_all=self._beats % _TELL_ALL == 0)
        self._outbox.put(told, self.vitals.clock.now())
        if self._talk is None:
            self._talk = asyncio.create_task(self._exchange(), name="tell live facts")
        await asyncio.wait([self._talk], timeout=_PATIENCE)
        if self._talk.done():
            answer, self._talk = self._talk.result(), None
            if answer is not None:
                await self._take_in(answer)
        now = self.vitals.clock.now()
        for _ in self.vitals.rebuild(
            as_of=self._read_at,
            replicas=self._replicas.there(now),
            elsewhere=self._replicas.in_flight(now),
        ):
            await asyncio.sleep(0)
        telemetry.LIVE_REPLICAS.set(len(self.vitals.facts().replicas))

    async def _keep_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self.beat()
            except Exception:  # noqa: BLE001  facts that stand still would be worse than a line in the log
                telemetry.log.exception("live_facts_failed")
            await asyncio.sleep(max(0.05, EVERY - (loop.time() - began)))

    # ---- with the store ------------------------------------------------------------------------------------------
    async def _exchange(self) -> _Answer | None:
        """Tell and hear, or None while the store cannot be reached."""
        asked_at, asked = datetime.now(UTC), self.vitals.clock.now()
        try:
            async with asyncio.timeout(_TOO_LONG):
                if self._anew or self._cut_off:
                    await self._tell_all()
                    asked_at, asked = datetime.now(UTC), self.vitals.clock.now()
                    answer = _Answer(await self._feed.history(), asked_at, asked, anew=True)
                else:
                    answer = _Answer(await self._tell(), asked_at, asked)
                if self._beats % _TIDY == 0:
                    await self._feed.tidy()
        except (StorageUnavailable, TimeoutError) as error:
            self._seen(away=True, detail=getattr(error, "detail", None) or type(error).__name__)
            return None
        self._seen(away=False)
        return answer

    async def _tell(self, *, hear: bool = True) -> News:
        rows = self._outbox.next()
        upto = rows[-1].number if rows else self._outbox.told_up_to
        minutes = self._outbox.next_minutes(upto)
        news = await self._feed.exchange(
            self.vitals.replica,
            rows,
            minutes,
            heard=self._replicas.heard if hear else {},
            since=self._replicas.since if hear else None,
        )
        self._outbox.acknowledge(upto, minutes)
        return news

    async def _tell_all(self) -> None:
        while len(self._outbox):
            await self._tell(hear=False)

    async def _take_in(self, answer: _Answer) -> None:
        jumped = self.vitals.clock.learn(answer.news.now, answer.asked)
        if answer.anew:
            # Not before they are complete are the new windows seen: the snapshot is made of them afterwards.
            self.vitals.begin_anew()
            reports: list[Report] = []
            for some in self._replicas.begin(answer.news):
                reports += some
                await asyncio.sleep(0)
            reports += [Report(self.vitals.replica, at, delta) for at, delta in self._outbox.waiting]
        else:
            reports = self._replicas.take(answer.news)
        for _ in self.vitals.hear(reports):
            await asyncio.sleep(0)
        self._replicas.forget(self.vitals.clock.now())
        # The hour that was read by one time is wrong by another one.
        self._anew = jumped
        self._read_at = answer.asked_at
        self._heard_at = monotonic()

    @property
    def _cut_off(self) -> bool:
        return self._age() > _CUT_OFF.total_seconds()

    def _age(self) -> float:
        if self._heard_at is None:
            return float("inf")
        return monotonic() - self._heard_at  # a worker's metrics are read by a thread without a loop

    def _seen(self, *, away: bool, detail: str = "") -> None:
        if away != self._away:
            self._away = away
            if away:
                telemetry.log.warning("live_facts_alone", detail=detail)
            else:
                telemetry.log.warning("live_facts_shared", waiting=len(self._outbox))
