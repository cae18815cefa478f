"""The live facts of a moment that has passed, built again from the attempts that the ledger holds.

They are counted by the very windows and breakers that count the present, under a clock that follows the log. What the
log does not tell stays unknown: budgets, probes, and how much each process of the gateway was at.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Final

from gateway.domain.breaker import BreakerPolicy
from gateway.domain.health import LiveFacts
from gateway.domain.inference import Attempt, InferenceRequest
from gateway.domain.simulation import Logged
from gateway.live.clock import SharedClock
from gateway.live.vitals import Vitals

EVERY: Final = 1.0
"""Seconds of the log between two snapshots, as in the present."""
_MILLISECOND: Final = timedelta(milliseconds=1)


class Past:
    """Told of requests in the order of their acceptance, it gives the facts that each was decided by."""

    def __init__(
        self, policy: BreakerPolicy, *, serve_all_open: bool, most_models: int, most_callers: int
    ) -> None:
        """As the settings of the present say it."""
        self._now = 0.0
        self._vitals = Vitals(
            "log",
            policy,
            clock=SharedClock(lambda: self._now),
            most_models=most_models,
            most_callers=most_callers,
            serve_all_open=serve_all_open,
        )
        self._looked = 0.0
        self._uncounted = False
        # Beginnings (without a probe) and ends, by time and in the order in which they were heard of.
        self._due: list[tuple[float, int, bool | None, Attempt, InferenceRequest]] = []
        self._heard = 0

    def facts(self) -> LiveFacts:
        """The facts of the moment of the last `advance`: the windows at most a second old, all else as of then."""
        return self._vitals.facts()

    def advance(self, moment: datetime, *, look: bool) -> None:
        """Let the time come to a moment; `look` asks for facts of it."""
        at = moment.timestamp()
        while self._due and self._due[0][0] <= at:
            self._happen()
        self._pass(at)
        if look and self._now - self._looked >= EVERY:
            self._looked = self._now
            self._vitals.tick()
            self._uncounted = False
            for _ in self._vitals.rebuild(as_of=datetime.fromtimestamp(self._now, UTC)):
                pass

    def add(self, logged: Logged) -> None:
        """Hear of a request's attempts, which begin now or later."""
        for attempt in logged.attempts:
            self._heard += 1
            began = attempt.started_at.timestamp()
            heappush(self._due, (began, self._heard, None, attempt, logged.request))

    def _happen(self) -> None:
        at, _, probe, attempt, request = heappop(self._due)
        self._pass(at)
        if probe is None:
            probe = self._vitals.begin(attempt.model)
            self._heard += 1
            ends = at + attempt.total_ms / 1000
            heappush(self._due, (ends, self._heard, probe, attempt, request))
        else:
            self._vitals.settle(attempt, request, probe=probe)
            self._uncounted = True

    def _pass(self, at: float) -> None:
        """Let the time pass; what happened in a second that is over is counted in it."""
        if self._uncounted and int(at) > int(self._now):
            self._vitals.tick()
            self._uncounted = False
        self._now = max(self._now, at)
