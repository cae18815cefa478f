"""The limits of models: calls at once, requests and tokens a minute, over all replicas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Final

from gateway.domain.inference import Usage
from gateway.domain.limits import Throttle, Unit
from gateway.domain.registry import Model
from gateway.limiter.limiter import Limiter, Taken, Wait
from gateway.limiter.slots import Concurrency

_SOON: Final = timedelta(seconds=1)
_USUAL: Final = 2.0  # seconds that a call takes, where none has been measured yet
_NEWEST: Final = 0.1  # the weight of the newest call in the mean of how long calls take
_MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Full:
    """A model is at a limit: which one, and when it may be tried again."""

    model: str
    reason: str
    after: timedelta
    throttle: Throttle

    def __str__(self) -> str:
        """The same in words for the ledger."""
        return f"{self.model} is at its limit of {self.reason}"


@dataclass(slots=True, eq=False)
class Entry:
    """A call that a model's limits let in; it leaves once, and says then what it has used."""

    leave_with: Callable[[Usage | None], None] | None = None

    def leave(self, usage: Usage | None) -> None:
        """The call has ended. Done again, nothing happens."""
        leave_with, self.leave_with = self.leave_with, None
        if leave_with is not None:
            leave_with(usage)


OPEN: Final = Entry()
"""The entry to a model that has no limits."""


class Gate:
    """Lets calls in where a model's limits allow it."""

    def __init__(self, limiter: Limiter, concurrency: Concurrency) -> None:
        """Both over all replicas."""
        self._limiter = limiter
        self._concurrency = concurrency
        self._seconds: dict[str, float] = {}  # how long a model's calls take here, lately

    async def enter(self, model: Model, tokens: Callable[[], int]) -> Entry | Full:
        """Let one call in, or say which limit is reached. `tokens` estimates what it will use, asked only if needed."""
        limits = model.limits
        if (
            limits.concurrency is None
            and limits.requests_per_minute is None
            and limits.tokens_per_minute is None
        ):
            return OPEN
        limit = limits.concurrency
        if limit is not None and not await self._concurrency.enter(_calls(model), limit):
            line = Throttle(f"{_calls(model)}:line", limit / self._seconds.get(model.name, _USUAL), 1.0)
            return Full(model.name, f"{limit} calls at once", _SOON, line)
        try:
            taken = await self._limiter.take(_throttles(model, tokens))
        except BaseException:
            self._leave(model)
            raise
        if isinstance(taken, Wait):
            self._leave(model)
            throttle = taken.throttle
            return Full(
                model.name, f"{throttle.burst:.0f} {throttle.unit.value} a minute", taken.after, throttle
            )
        began = monotonic()
        return Entry(lambda usage: self._left(model, taken, usage, monotonic() - began))

    async def turn(self, full: Full) -> timedelta:
        """When a job that met a full model comes again: after all those that met it before."""
        return await self._limiter.queue(Wait(full.after, full.throttle))

    def in_flight(self, model: Model) -> int:
        """How many calls of this process the model's limit of concurrency counts."""
        return self._concurrency.in_use(_calls(model))

    def _left(self, model: Model, taken: Taken, usage: Usage | None, seconds: float) -> None:
        self._leave(model)
        before = self._seconds.get(model.name, seconds)
        self._seconds[model.name] = max(0.01, before + _NEWEST * (seconds - before))
        self._limiter.settle(taken.throttles, usage)

    def _leave(self, model: Model) -> None:
        if model.limits.concurrency is not None:
            self._concurrency.leave(_calls(model))


def _calls(model: Model) -> str:
    return f"model:{model.name}:calls"


def _throttles(model: Model, tokens: Callable[[], int]) -> tuple[Throttle, ...]:
    limits, found = model.limits, list[Throttle]()
    if limits.requests_per_minute is not None:
        found.append(_per_minute(model, limits.requests_per_minute, Unit.REQUESTS, 1.0))
    if limits.tokens_per_minute is not None:
        found.append(_per_minute(model, limits.tokens_per_minute, Unit.TOKENS, float(tokens())))
    return tuple(found)


def _per_minute(model: Model, count: int, unit: Unit, cost: float) -> Throttle:
    return Throttle(f"model:{model.name}:{unit.value}", count / _MINUTE, float(count), cost=cost, unit=unit)
