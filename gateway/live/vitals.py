"""The live facts of one process: counted as attempts begin and end, added up with what the other replicas tell.

Counting costs a few microseconds a request and touches no lock and no database. Once a second `tick` moves what was
counted into the windows, and `rebuild` makes of them the immutable snapshot that decisions read by `facts`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.domain import errors
from gateway.domain.breaker import BreakerPolicy, Ended, Verdict, is_fault, verdict_of
from gateway.domain.health import Breaker, Live, LiveFacts, ModelHealth, Window
from gateway.domain.inference import Attempt, InferenceRequest, Outcome
from gateway.domain.sketch import bucket_of
from gateway.live.breakers import Breakers
from gateway.live.budgets import Budgets
from gateway.live.clock import SharedClock
from gateway.live.counts import CallerCounts, Counted, Lives, ModelCounts, Uses
from gateway.live.delta import Delta, ProbeTold, Report, no_delta
from gateway.live.windows import Windows

MOST_MODELS: Final = 2_000
MOST_CALLERS: Final = 20_000
_LIMITED: Final = errors.UpstreamRateLimited.code
_TIMEOUT: Final = errors.UpstreamTimeout.code
_LEAST_SPAN: Final = 1.0  # milliseconds: an answer that came at once says nothing of a speed
_NO_WINDOWS: Final[Mapping[Window, Live]] = {}
_AT_ONCE: Final = 8
"""Of so many models the percentiles are made in one go: about a millisecond in which nothing else runs."""
_ASKED_FOR: Final = 100
"""For so many rebuilds a window counts as one that decisions look at."""
_CALLERS_AT_ONCE: Final = 250
_REPORTS_AT_ONCE: Final = 5


class Vitals:
    """What one process counts, what it heard from the others, and the facts that come of both."""

    def __init__(
        self,
        replica: str,
        policy: BreakerPolicy | None = None,
        *,
        clock: SharedClock | None = None,
        most_models: int = MOST_MODELS,
        most_callers: int = MOST_CALLERS,
        serve_all_open: bool = False,
        budgets: Budgets | None = None,
    ) -> None:
        """`replica` is this process's name; at most so many models and callers are followed."""
        self.replica = replica
        self.clock = clock or SharedClock()
        self._budgets = budgets
        self._dirty: set[str] = set()
        self.breakers = Breakers(policy or BreakerPolicy(), self.clock, self._dirty.add)
        self._patience = self.breakers.policy.patience
        self._counts: dict[str, ModelCounts] = {}
        self._caller_counts: dict[str, CallerCounts] = {}
        self._in_flight: dict[str, int] = {}
        self._elsewhere: dict[str, int] = {}
        self._models = Windows(ModelCounts, most=most_models)
        self._callers = Windows(CallerCounts, most=most_callers)
        self._probes: dict[str, ProbeTold] = {}
        self._untold_probes: dict[str, ProbeTold] = {}
        self._suspects: set[str] = set()
        self._asked: set[Window] = set()
        self._rebuilt = 0
        self._used: dict[str, Mapping[Window, Counted]] = {}
        self._windows_of: dict[str, Mapping[Window, Live]] = {}
        self._facts = LiveFacts(replicas=(replica,), serve_all_open=serve_all_open)

    # ---- what happens in this process ----------------------------------------------------------------------------
    def promise(self, model: str) -> None:
        """A request was just decided to go to this model; a half-open one is then kept for it."""
        if self.breakers.opened:
            self.breakers.promise(model)

    def begin(self, model: str) -> bool:
        """An attempt begins: call `settle` once for each; returns whether it probes a breaker that is not closed."""
        self._in_flight[model] = self._in_flight.get(model, 0) + 1
        self._dirty.add(model)
        return self.breakers.begin(model)

    def answering(self, model: str) -> None:
        """The first event of a stream that is a probe has come: that says enough, however long it goes on."""
        now = self.clock.moment()
        self.breakers.end(model, Ended(Verdict.GOOD, now, now, probe=True))

    def settle(self, attempt: Attempt, request: InferenceRequest, *, probe: bool) -> None:
        """An attempt that had begun has ended."""
        model = attempt.model
        left = self._in_flight.get(model, 0) - 1
        if left > 0:
            self._in_flight[model] = left
        else:
            self._in_flight.pop(model, None)
        self._dirty.add(model)
        counts = self._counts.get(model)
        if counts is None:
            counts = self._counts[model] = ModelCounts()
        counts.requests += 1
        self._spend(attempt, request, counts)
        if attempt.first_token_ms is not None:
            _note(counts.first_token, attempt.first_token_ms)
        if attempt.outcome is not Outcome.SUCCEEDED:
            self._failed(attempt, request, counts, probe=probe)
            return
        _note(counts.latency, attempt.total_ms)
        usage = attempt.usage
        if usage is not None and usage.output > 1:
            span = attempt.total_ms - (attempt.first_token_ms or 0.0)
            if span >= _LEAST_SPAN:
                _note(counts.speed, usage.output * 1000 / span)
        if probe or self.breakers.watches(model):
            self._judge(attempt, Verdict.GOOD, probe=probe)

    def _spend(self, attempt: Attempt, request: InferenceRequest, counts: ModelCounts) -> None:
        caller = self._caller_counts.get(request.caller)
        if caller is None:
            caller = self._caller_counts[request.caller] = CallerCounts()
        if attempt.number == 1:
            caller.requests += 1
        usage = attempt.usage
        if usage is not None:
            tokens = usage.input + usage.output
            counts.tokens += tokens
            caller.tokens += tokens
        cost = attempt.cost_usd
        if cost:
            counts.cost_usd += cost
            caller.cost_usd += cost

    def _failed(
        self, attempt: Attempt, request: InferenceRequest, counts: ModelCounts, *, probe: bool
    ) -> None:
        verdict = verdict_of(attempt, request.deadline, self._patience)
        if verdict is not Verdict.NONE and attempt.failure is not None:
            code = attempt.failure.code
            counts.errors[code] = counts.errors.get(code, 0) + 1
            if code == _TIMEOUT:
                _note(counts.latency, attempt.total_ms)
        self._judge(attempt, verdict, probe=probe)

    def _judge(self, attempt: Attempt, verdict: Verdict, *, probe: bool) -> None:
        now = self.clock.moment()
        failure = attempt.failure
        self.breakers.end(
            attempt.model,
            Ended(
                verdict,
                began=now - timedelta(milliseconds=attempt.total_ms),
                at=now,
                code=failure.code if failure is not None else "",
                probe=probe,
                retry_after=failure.retry_after if failure is not None else None,
            ),
        )

    def probed(self, model: str, outcome: str, *, by_call: bool) -> bool | None:
        """An active probe has ended well (an empty outcome) or by a code; returns which, None if that tells nothing."""
        if outcome and not is_fault(outcome):
            return None
        good = not outcome
        self._hear_probe(model, ProbeTold(good, self.clock.now()))
        self._untold_probes[model] = self._probes[model]
        self.breakers.probed(model, good=good, by_call=by_call, code=outcome)
        return good

    def forget_probes(self, older: timedelta) -> None:
        """What probes said longer ago than that tells nothing any more."""
        before = self.clock.now() - older.total_seconds()
        for model in [name for name, told in self._probes.items() if told.at < before]:
            del self._probes[model]
            self._dirty.add(model)

    def _hear_probe(self, model: str, told: ProbeTold) -> None:
        known = self._probes.get(model)
        if known is None or told.at > known.at:
            self._probes[model] = told
            self._dirty.add(model)

    # ---- what is told and heard ----------------------------------------------------------------------------------
    def pass_time(self) -> Iterator[None]:
        """Let the windows end now, before a tick; pauses now and then for others to run."""
        now = self.clock.now()
        yield from self._models.advancing(now)
        yield from self._callers.advancing(now)

    def tick(self, *, tell_all: bool = False) -> Delta:
        """Move what was counted into the windows; returns what the others are to be told.

        With `tell_all`, breakers that are open are told of whether they have changed or not.
        """
        now = self.clock.now()
        told = Delta(self._counts, self._caller_counts, {}, {})
        self._counts, self._caller_counts = {}, {}
        self._advance(now)
        self._add(told, now)
        self._look_at_suspects()
        told.in_flight = dict(self._in_flight)
        told.breakers = dict(self.breakers.take_untold(every=tell_all))
        told.probes = self._probes.copy() if tell_all else self._untold_probes
        self._untold_probes = {}
        if self._budgets is not None:
            self._budgets.roll_over()
            told.budgets = self._budgets.take_untold()
        return told

    def hear(self, reports: Sequence[Report]) -> Iterator[None]:
        """Add what other replicas tell; pauses now and then for others to run."""
        now = self.clock.now()
        self._advance(now)
        # The reports of one slice of time as one: adding up two is cheaper than adding each to every window.
        slices: dict[float, Delta] = {}
        for number, report in enumerate(reports, 1):
            age = now - report.at
            width = 1.0 if age < 60 else 5.0 if age < 295 else 60.0
            slices.setdefault(report.at // width * width, no_delta()).add_counts(report.delta)
            for model, state in report.delta.breakers.items():
                self.breakers.hear(model, state)
            for model, probe in report.delta.probes.items():
                self._hear_probe(model, probe)
            if self._budgets is not None:
                for caller, budget in report.delta.budgets.items():
                    self._budgets.hear(caller, budget)
            if number % _REPORTS_AT_ONCE == 0:
                yield
        for at, delta in sorted(slices.items(), key=lambda each: each[0]):
            self._add(delta, at)
            yield
        self._look_at_suspects()
        yield

    def begin_anew(self) -> None:
        """Forget what is in the windows, since all of it is about to be told again; the snapshot stays as it is."""
        self._models.clear()
        self._callers.clear()
        if self._budgets is not None:
            self._budgets.begin_anew()

    def rebuild(
        self,
        *,
        as_of: datetime | None,
        replicas: tuple[str, ...] = (),
        elsewhere: Mapping[str, int] | None = None,
    ) -> Iterator[None]:
        """Make a new snapshot of the windows and publish it at the end; pauses now and then for others to run.

        `as_of` is when all replicas were last heard, `replicas` are those, `elsewhere` is what they are at.
        """
        self._rebuilt += 1
        if self._rebuilt % _ASKED_FOR == 0:
            self._asked.clear()
        windows_of = dict(self._windows_of)
        changed = self._models.take_changed()
        for number, model in enumerate(changed, 1):
            sums = self._models.sums(model)
            if sums:
                windows_of[model] = Lives(sums, self._asked)
            else:
                windows_of.pop(model, None)
            if number % _AT_ONCE == 0:
                yield
        callers = dict(self._used)
        for number, caller in enumerate(self._callers.take_changed(), 1):
            used = self._callers.sums(caller)
            if used:
                callers[caller] = {window: each.values() for window, each in used.items()}
            else:
                callers.pop(caller, None)
            if number % _CALLERS_AT_ONCE == 0:
                yield
        before, self._elsewhere = self._elsewhere, dict(elsewhere or {})
        self._windows_of, self._used = windows_of, callers
        self._dirty.update(changed, before, self._elsewhere)
        self._facts = replace(
            self._facts, as_of=as_of, callers=Uses(callers), replicas=tuple(sorted({self.replica, *replicas}))
        )
        yield

    def facts(self) -> LiveFacts:
        """The facts of this moment: windows as of the last tick; what this process is at, and breakers, as of now."""
        shares = None if self._budgets is None else self._budgets.take_shares()
        if shares is not None:
            self._facts = replace(self._facts, budget_used=shares)
        opened = self.breakers.opened
        if self._dirty or opened:
            now = self.clock.moment()
            known = self._facts.models
            dirty = self._dirty.union(
                model
                for model in opened
                if model not in known or known[model].breaker is not self.breakers.position(model, now)
            )
            if dirty:
                models = dict(known)
                for model in dirty:
                    health = self._health(model, now)
                    if health is None:
                        models.pop(model, None)
                    else:
                        models[model] = health
                self._facts = replace(self._facts, models=models)
                self._dirty.clear()
        return self._facts

    def _advance(self, now: float) -> None:
        self._models.advance(now)
        self._callers.advance(now)

    def _add(self, delta: Delta, at: float) -> None:
        for model, counts in delta.models.items():
            self._models.add(model, counts, at)
            if counts.errors:
                self._suspects.add(model)
        for caller, spent in delta.callers.items():
            self._callers.add(caller, spent, at)
            if self._budgets is not None and spent.cost_usd:
                self._budgets.add(caller, spent.cost_usd, at)

    def _look_at_suspects(self) -> None:
        for model in self._suspects:
            self._look_at(model)
        self._suspects.clear()

    def _look_at(self, model: str) -> None:
        """Whether more of a model's attempts failed than its breaker bears, over all replicas."""
        policy = self.breakers.policy
        counts = self._models.sums(model).get(policy.window)
        if counts is None or counts.requests < policy.min_requests:
            return
        since = self.breakers.state(model).since
        if since is not None and self.clock.moment() - since < policy.window.length:
            counts = self._models.since(model, policy.window, since.timestamp())
        failed = sum(counts.errors.values()) - counts.errors.get(_LIMITED, 0)
        self.breakers.judge(model, counts.requests, failed)

    def _health(self, model: str, now: datetime) -> ModelHealth | None:
        windows = self._windows_of.get(model, _NO_WINDOWS)
        in_flight = self._in_flight.get(model, 0) + self._elsewhere.get(model, 0)
        state = self.breakers.state(model)
        probe = self._probes.get(model)
        if not windows and not in_flight and not state.version and probe is None:
            return None
        at = self.breakers.position(model, now)
        return ModelHealth(
            windows=windows,
            in_flight=in_flight,
            breaker=at,
            breaker_since=state.since,
            breaker_reason=state.reason,
            next_probe_at=state.until if at is not Breaker.CLOSED else None,
            probe_ok=None if probe is None else probe.ok,
            probe_at=None if probe is None else datetime.fromtimestamp(probe.at, UTC),
        )


def _note(sketch: dict[int, int], value: float) -> None:
    number = bucket_of(value)
    sketch[number] = sketch.get(number, 0) + 1
