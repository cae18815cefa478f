"""How much of their budgets callers have used: read from the ledger once, kept up by what all replicas count.

No request asks the database. A caller with a budget that is new to this process is looked up as its key is; from then
on each second adds what was counted, and about once a minute the sum is read again, by one process for all, for callers
that spend. So the share is right to a few seconds of spending.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from gateway import telemetry
from gateway.domain.errors import StorageUnavailable
from gateway.domain.identity import Budget, Caller, Period
from gateway.live.clock import SharedClock
from gateway.storage.ports import Span

_ZERO: Final = Decimal(0)
_PATIENCE: Final = 0.25  # seconds that the first request of a caller waits for its sum
_AGAIN: Final = 60.0
_SPREAD: Final = 15.0  # up to so many seconds more, so that not all processes ask at once
_ALL_AGAIN: Final = 6 * 3600.0
"""After so long what lies days back is read again too: it changes when a period is priced anew."""
_LATE: Final = 3.0
"""Seconds that a request may take from its end to its row in the ledger: counted twice rather than not at all."""
_SETTLED: Final = timedelta(hours=25)
"""Nothing that was accepted longer ago is still under way (jobs.max_deadline is a day)."""
_MOST_LATER: Final = 300
_FORGOTTEN: Final = 3600.0
_AT_ONCE: Final = 100
_EVERY: Final = 1.0
_COSTLY: Final = 20.0  # the ledger is asked for a twentieth of the time at most


class Ledger(Protocol):
    """What is asked of the ledger."""

    async def spent(self, spans: Sequence[Span]) -> Sequence[Decimal]:
        """What each span has cost."""
        ...


class BudgetTold(msgspec.Struct, array_like=True, gc=False):
    """What one replica tells the others: a caller's budget (`usd` None is none) and what was spent by a moment."""

    usd: Decimal | None
    period: str
    spent: Decimal
    at: float


@dataclass(slots=True)
class _Account:
    budget: Budget
    since: datetime
    active_at: float
    spent: Decimal | None = None
    read_at: float = 0.0
    later: deque[tuple[float, Decimal]] = field(default_factory=deque[tuple[float, Decimal]])
    later_usd: Decimal = _ZERO
    closed: Decimal = _ZERO
    closed_until: datetime | None = None
    closed_at: float = 0.0

    def add(self, usd: Decimal, at: float) -> None:
        self.later_usd += usd
        if self.later and (self.later[-1][0] >= at or len(self.later) >= _MOST_LATER):
            last, before = self.later.pop()
            self.later.append((max(last, at), before + usd))
        else:
            self.later.append((at, usd))
        self.active_at = max(self.active_at, at)

    def forget(self, upto: float) -> None:
        while self.later and self.later[0][0] <= upto:
            self.later_usd -= self.later.popleft()[1]


class _Reading:
    """What is asked of the ledger about one account: what is settled for good, unless that is known, and the rest."""

    def __init__(
        self, caller: str, account: _Account, since: datetime, cut: datetime, until: datetime, asked: float
    ) -> None:
        self.caller, self.account, self.since = caller, account, since
        self._cut, self._asked = cut, asked
        known = None if asked - account.closed_at > _ALL_AGAIN else account.closed_until
        start = known or since
        self._anew = known is None
        self._closes = cut > start
        self.spans = [Span(caller, max(start, cut), until)]
        if self._closes:
            self.spans.insert(0, Span(caller, start, cut))

    def close(self, usd: Decimal) -> None:
        account = self.account
        if self._anew:
            account.closed, account.closed_until, account.closed_at = _ZERO, None, self._asked
        if self._closes:
            account.closed += usd
            account.closed_until = self._cut


class Budgets:
    """The accounts of callers that have a budget."""

    def __init__(self, ledger: Ledger, clock: SharedClock, *, most: int = 20_000) -> None:
        """At most `most` callers are followed; those that were not heard of for longest go first."""
        self._ledger = ledger
        self._clock = clock
        self._most = most
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._shares: dict[str, float] = {}
        self._untold: dict[str, BudgetTold] = {}
        self._day = clock.moment().date()
        self._changed = False
        self._reading = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    # ---- who has a budget ----------------------------------------------------------------------------------------
    async def know(self, caller: Caller) -> None:
        """Hear who the caller of a key is; what one with a budget has spent is read at first, if that is quick."""
        if caller.budget is None:
            if caller.id in self._accounts:
                self._drop(caller.id)
                self._untold[caller.id] = BudgetTold(None, "", _ZERO, self._clock.now())
            return
        now = self._clock.now()
        account = self._accounts.get(caller.id)
        changed = account is None or account.budget != caller.budget
        if account is None or changed:
            account = self._open(caller.id, caller.budget, now, account)
        account.active_at = now
        if changed or account.spent is None:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._read([caller.id])
            except TimeoutError:
                pass  # it is read beside, and not known until then
            except Exception:  # noqa: BLE001  whatever is wrong with the sum, the caller is who it is
                telemetry.log.exception("budget_not_read", caller=caller.id)

    def _open(self, caller: str, budget: Budget, now: float, before: _Account | None) -> _Account:
        since = budget.period.start(self._clock.moment())
        account = _Account(budget, since, now)
        if before is not None and before.since == since:  # the same period, another sum
            account.spent, account.read_at = before.spent, before.read_at
            account.later, account.later_usd = before.later, before.later_usd
        self._accounts[caller] = account
        self._accounts.move_to_end(caller)
        while len(self._accounts) > self._most:
            self._drop(next(iter(self._accounts)))
        self._show(caller, account)
        return account

    # ---- what is spent -------------------------------------------------------------------------------------------
    def add(self, caller: str, usd: Decimal, at: float) -> None:
        """Some replica counted that a caller spent this up to a moment."""
        account = self._accounts.get(caller)
        if account is None or at <= max(account.read_at - _LATE, account.since.timestamp()):
            return
        account.add(usd, at)
        self._show(caller, account)

    def begin_anew(self) -> None:
        """All that was counted lately is about to be told again."""
        for account in self._accounts.values():
            account.later.clear()
            account.later_usd = _ZERO

    def hear(self, caller: str, told: BudgetTold) -> None:
        """Another replica has read what a caller has spent."""
        account = self._accounts.get(caller)
        if told.usd is None:
            if account is not None and told.at >= account.read_at:
                self._drop(caller)
            return
        budget = Budget(told.usd, Period(told.period))
        if account is None or (account.budget != budget and told.at > account.read_at):
            account = self._open(caller, budget, told.at, account)
        read_in = budget.period.start(datetime.fromtimestamp(told.at, UTC))
        if account.budget == budget and told.at > account.read_at and read_in == account.since:
            self._take(caller, account, told.spent, told.at)

    def take_untold(self) -> dict[str, BudgetTold]:
        """What the other replicas have not been told."""
        untold, self._untold = self._untold, {}
        return untold

    def take_shares(self) -> Mapping[str, float] | None:
        """The shares by caller id, if they have changed since this was last asked."""
        if not self._changed:
            return None
        self._changed = False
        return dict(self._shares)

    def roll_over(self) -> None:
        """Begin new periods with the day."""
        moment = self._clock.moment()
        if moment.date() == self._day:
            return
        self._day = moment.date()
        for caller, account in self._accounts.items():
            since = account.budget.period.start(moment)
            if since != account.since:
                account.since, account.closed, account.closed_until = since, _ZERO, None
                if account.spent is not None:
                    account.spent, account.read_at = _ZERO, since.timestamp()
                    account.forget(account.read_at)
                self._show(caller, account)

    # ---- the ledger ----------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Begin to read again what has become old."""
        self._task = asyncio.create_task(self._keep_reading(), name="budgets")

    async def close(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _keep_reading(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                self._forget()
                due = self._due()
                if due:
                    await self._read(due)
            except Exception:  # noqa: BLE001  shares that stand still would be worse than a line in the log
                telemetry.log.exception("budgets_failed")
            await asyncio.sleep(max(_EVERY, (loop.time() - began) * _COSTLY))

    def _due(self) -> list[str]:
        now = self._clock.now()
        old = now - _AGAIN - random.random() * _SPREAD  # noqa: S311  no secret
        due = [
            (account.read_at, caller)
            for caller, account in self._accounts.items()
            if account.spent is None or (account.read_at < old and account.active_at > account.read_at)
        ]
        return [caller for _, caller in sorted(due)[:_AT_ONCE]]

    async def _read(self, callers: Sequence[str]) -> None:
        async with self._reading:
            asked, moment = self._clock.now(), self._clock.moment()
            cut = Period.DAY.start(moment - _SETTLED)
            readings = [
                _Reading(caller, account, account.since, cut, moment + timedelta(days=1), asked)
                for caller in callers
                if (account := self._accounts.get(caller)) is not None
            ]
            try:
                sums = iter(await self._ledger.spent([span for each in readings for span in each.spans]))
            except StorageUnavailable:
                return
            for each in readings:
                usd = [next(sums) for _ in each.spans]
                # Its period may have ended meanwhile, or somebody else may have read it later.
                if self._accounts.get(each.caller) is each.account and each.account.since == each.since:
                    each.close(usd[0] if len(usd) > 1 else _ZERO)
                    if asked > each.account.read_at:
                        self._take(each.caller, each.account, each.account.closed + usd[-1], asked)
                        self._tell(each.caller, each.account)

    def _take(self, caller: str, account: _Account, spent: Decimal, at: float) -> None:
        account.spent, account.read_at = spent, at
        account.forget(at - _LATE)
        self._show(caller, account)

    def _tell(self, caller: str, account: _Account) -> None:
        if account.spent is not None:
            budget = account.budget
            self._untold[caller] = BudgetTold(budget.usd, budget.period.value, account.spent, account.read_at)

    def _show(self, caller: str, account: _Account) -> None:
        if account.spent is None:
            self._shares.pop(caller, None)
        else:
            self._shares[caller] = account.budget.used(account.spent + account.later_usd)
        self._changed = True

    def _forget(self) -> None:
        before = self._clock.now() - _FORGOTTEN
        for caller in [caller for caller, each in self._accounts.items() if each.active_at < before]:
            self._drop(caller)

    def _drop(self, caller: str) -> None:
        del self._accounts[caller]
        self._shares.pop(caller, None)
        self._changed = True
