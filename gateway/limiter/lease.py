"""What one process knows of one shared bucket: the tokens it has drawn ahead, and how fast it uses them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from gateway.domain.limits import Throttle, time_for
from gateway.storage.ports import Draw, Drawn

_MEMORY: Final = 1.0  # seconds over which the speed is averaged
_ASK_SOON: Final = 0.02  # seconds between two draws from a bucket that is dry, at least …
_ASK_LATE: Final = 1.0  # … and at most: other replicas give back what they do not need
_CRUMB: Final = 1e-6  # tokens by which two clocks and their fractions may differ; what is missing is owed


@dataclass(slots=True)
class Lease:
    """Tokens drawn and not spent yet (below zero: spent and not drawn), good until `expires` by the loop's clock."""

    rate: float
    burst: float
    tokens: float = 0.0
    expires: float = 0.0
    speed: float = 0.0
    spent_at: float = 0.0
    spent: float = 0.0
    level: float | None = None
    level_at: float = 0.0
    ask_at: float = 0.0
    needed: float = 0.0
    least: float = math.inf
    share: float | None = None
    share_at: float = 0.0
    share_spent: float = 0.0

    def follow(self, throttle: Throttle) -> None:
        """Take over the bounds of a throttle, which a new version of the rules may have changed."""
        self.rate = throttle.rate
        self.burst = throttle.burst

    def has(self, need: float, now: float) -> bool:
        """Whether so many tokens are there."""
        return self.tokens >= need - _CRUMB and now < self.expires

    @property
    def owes(self) -> bool:
        """Whether more was spent than had been drawn."""
        return self.tokens < -_CRUMB

    def spend(self, cost: float, now: float) -> None:
        """Take tokens out, and remember how fast they go."""
        self.tokens -= cost
        self.speed = self.speed_at(now) + cost / _MEMORY
        self.spent_at = now
        self.spent = cost

    def speed_at(self, now: float) -> float:
        """How many tokens a second go, lately."""
        return self.speed * math.exp((self.spent_at - now) / _MEMORY) if self.speed else 0.0

    def ahead(self, now: float, seconds: float, replicas: int) -> float:
        """How many tokens to hold for the near future: what goes in `seconds`, bounded so that others get theirs.

        It is for whole requests: parts of a token here and there would serve nobody.
        """
        bound = max(self.rate * seconds, self.burst / (4 * replicas))
        tokens = min(self.speed_at(now) * seconds, bound)
        return tokens - tokens % self.spent if self.spent else 0.0

    def runs_low(self, now: float, seconds: float, replicas: int) -> bool:
        """Whether to draw again: half of what goes in `seconds` is gone, and more than one more is expected."""
        if now < self.ask_at:
            return False
        ahead = self.ahead(now, seconds, replicas)
        return self.tokens < ahead / 2 and ahead > self.spent

    def shared(self, now: float) -> float:
        """How many tokens the shared bucket holds, as far as it is known here."""
        if self.level is None:
            return self.burst
        return min(self.burst, self.level + self.rate * max(0.0, now - self.level_at))

    def left(self, now: float) -> float:
        """How many tokens are here and in the shared bucket together, as far as it is known here."""
        here = self.tokens if now < self.expires else min(self.tokens, 0.0)
        return min(self.burst, here + self.shared(now))

    def wait(self, need: float, now: float) -> timedelta:
        """How long until so many are there, if nobody else comes."""
        return time_for(need - self.left(now), self.rate)

    def told(self, draw: Draw, got: Drawn, *, now: float, expires: float) -> None:
        """Note what a draw brought; `expires` counts from before the store counted."""
        self.tokens += got.tokens + max(0.0, draw.owed - min(self.burst, self.share_spent))
        self.expires = expires
        self.level = got.level
        self.level_at = now
        least = 0.0 if math.isinf(self.least) else self.least
        if self.tokens < least - _CRUMB or got.level <= _CRUMB:
            # Dry: until the next token is there nobody need ask again, and those who come are told at once.
            soon = self.wait(max(least, min(1.0, self.burst)), now).total_seconds()
            self.ask_at = now + min(max(soon, _ASK_SOON), _ASK_LATE)
        self.share, self.share_spent = None, 0.0

    def is_dry(self, need: float, now: float) -> bool:
        """Whether the shared bucket is known to hold too little: it was asked just now."""
        return now < self.ask_at and self.left(now) < need - _CRUMB

    def draw(self, key: str, now: float, seconds: float, replicas: int) -> Draw:
        """What to ask the shared bucket for: what is needed at once, and what goes in the next `seconds`."""
        wanted = min(self.needed, self.burst) + self.ahead(now, seconds, replicas) - max(0.0, self.tokens)
        least = max(0.0, min(self.least, self.burst) - _CRUMB) if self.needed else 0.0
        return Draw(key, self.rate, self.burst, least, max(least, wanted, 0.0), self.owed)

    def asked(self) -> None:
        """Forget who waited: whoever still lacks tokens says so again."""
        self.needed, self.least = 0.0, math.inf

    @property
    def owed(self) -> float:
        """What was spent beyond what was drawn: here, and while the shared bucket could not be reached."""
        return max(0.0, -self.tokens) + min(self.burst, self.share_spent)

    # ---- while the shared bucket cannot be reached ---------------------------------------------------------------
    def own_share(self, need: float, now: float, replicas: int) -> float:
        """How many tokens are missing of this process's own share of the rate and the burst; at most 0 if none are."""
        burst = max(need, self.burst / replicas)
        if self.share is None:
            self.share, self.share_at = burst, now
        gained = self.rate / replicas * max(0.0, now - self.share_at)
        self.share, self.share_at = min(burst, self.share + gained), now
        return need - self.share

    def spend_share(self, cost: float) -> None:
        """Take tokens out of the own share; the shared bucket is told later."""
        self.share = (self.share or 0.0) - cost
        self.share_spent += cost
