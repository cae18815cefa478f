"""The circuit breakers of all models, as this process holds them: the state machine is `gateway/domain/breaker.py`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from gateway import telemetry
from gateway.domain.breaker import (
    CLOSED,
    BreakerPolicy,
    BreakerState,
    Ended,
    Verdict,
    ended,
    judged,
    merged,
    position,
    probed,
    reserved,
)
from gateway.domain.health import Breaker, Window
from gateway.live.clock import SharedClock
from gateway.settings import BreakerSettings

_PROMISED: Final = timedelta(seconds=5)
"""For how long a probe is kept for a request that was decided and has not begun."""
_FORGOTTEN: Final = timedelta(hours=1)
"""How long a breaker must have been closed to be remembered no more."""


def policy_of(settings: BreakerSettings) -> BreakerPolicy:
    """The policy that the settings say."""
    return BreakerPolicy(
        enabled=settings.enabled,
        failures=settings.failures,
        limited=settings.rate_limited,
        error_rate=settings.error_rate,
        min_requests=settings.min_requests,
        window=Window(settings.window),
        cool_down=settings.cool_down,
        cool_down_factor=settings.cool_down_factor,
        cool_down_max=settings.cool_down_max,
        probe_lease=settings.probe_lease,
        patience=settings.patience,
    )


class Breakers:
    """The states of those breakers of which there is something to remember; all others are closed."""

    def __init__(
        self, policy: BreakerPolicy, clock: SharedClock, changed: Callable[[str], None] = lambda _: None
    ) -> None:
        """`clock` is the one that all replicas share; `changed` is called with each model whose breaker has changed."""
        self.policy = policy
        self._changed = changed
        self._clock = clock
        self._states: dict[str, BreakerState] = {}
        self._open: set[str] = set()
        self._untold: set[str] = set()

    @property
    def opened(self) -> Collection[str]:
        """The models whose breakers are not closed."""
        return self._open

    def watches(self, model: str) -> bool:
        """Whether there is something to remember of the model, so that a success matters."""
        return model in self._states

    def state(self, model: str) -> BreakerState:
        """Where the breaker of a model stands."""
        return self._states.get(model, CLOSED)

    def position(self, model: str, now: datetime) -> Breaker:
        """What decisions see of it."""
        return position(self.state(model), now, self.policy)

    def promise(self, model: str) -> None:
        """A request was just decided to go to this model: if that makes it a probe, no other one gets it."""
        state = self._states.get(model)
        if state is not None and state.is_open:
            now = self._clock.moment()
            if position(state, now, self.policy) is Breaker.HALF_OPEN:
                self._set(model, reserved(state, now, self.policy, _PROMISED))

    def begin(self, model: str) -> bool:
        """An attempt begins; returns whether it is a probe, because the breaker is not closed."""
        state = self._states.get(model)
        if state is None or not state.is_open:
            return False
        now = self._clock.moment()
        if state.until is None or now >= state.until:
            self._set(model, probed(state, now))
        return True

    def end(self, model: str, attempt: Ended) -> None:
        """An attempt has ended."""
        state = self._states.get(model, CLOSED)
        if attempt.verdict is Verdict.GOOD and state is CLOSED:
            return
        self._set(model, ended(state, attempt, self.policy))

    def probed(self, model: str, *, good: bool, by_call: bool, code: str) -> None:
        """An active probe has ended. What a server lists says nothing of how well its models answer."""
        now = self._clock.moment()
        at = self.position(model, now)
        if at is Breaker.HALF_OPEN and (by_call or not good):
            self.end(model, Ended(Verdict.GOOD if good else Verdict.BAD, now, now, code, probe=True))
        elif at is Breaker.CLOSED and not good:
            self.end(model, Ended(Verdict.BAD, now, now, code))

    def judge(self, model: str, requests: int, failed: int) -> None:
        """Look at the counts of a model since its breaker last closed."""
        self._set(model, judged(self.state(model), requests, failed, self._clock.moment(), self.policy))

    def hear(self, model: str, state: BreakerState) -> None:
        """Another replica tells where the breaker stands."""
        ours = self.state(model)
        later = merged(ours, state)
        if later is not ours:
            self._set(model, later, told=True)

    def take_untold(self, *, every: bool) -> Mapping[str, BreakerState]:
        """The states that the others have not been told of; with `every` all that are open too."""
        untold = self._untold.union(self.opened) if every else self._untold
        self._untold = set()
        return {model: self._states[model] for model in untold if model in self._states}

    def forget(self) -> None:
        """Let go of breakers that have been closed for long."""
        before = self._clock.moment() - _FORGOTTEN
        old = [
            model
            for model, state in self._states.items()
            if not state.is_open and (state.since is None or state.since < before) and not state.failures
        ]
        for model in old:
            del self._states[model]

    def _set(self, model: str, state: BreakerState, *, told: bool = False) -> None:
        before = self._states.get(model, CLOSED)
        if state is before:
            return
        self._states[model] = state
        self._changed(model)
        (self._open.add if state.is_open else self._open.discard)(model)
        if state.version != before.version and not told:
            self._untold.add(model)
        if state.is_open != before.is_open or state.until != before.until:
            telemetry.count_breaker(model, is_open=state.is_open)
            telemetry.log.warning(
                "breaker_open" if state.is_open else "breaker_closed",
                model=model,
                reason=state.reason,
                until=state.until.isoformat() if state.until else None,
            )
