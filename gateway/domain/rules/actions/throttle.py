"""`throttle { rate = 10/s, burst = 20, per = caller, then = queue }`: how much may be asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.domain.limits import Then, Throttle, Unit
from gateway.domain.rules.course import Course
from gateway.domain.rules.decision import Step
from gateway.domain.rules.facts import Facts
from gateway.domain.rules.reading import RATE, SOME, Kind, Reader, one_of, word_of
from gateway.domain.units import Rate, parse_rate


@dataclass(frozen=True, slots=True)
class Limit:
    """Puts the request under a limit of requests, or of tokens, for its caller, its model, or all requests together.

    The bucket is named by the rule: it goes on through new versions of the rules.
    """

    rate: Rate
    burst: float
    per: str
    then: Then
    tokens: bool = False

    @property
    def live(self) -> bool:
        """It takes nobody out."""
        return False

    def act(self, course: Course, rule: str) -> None:
        """Note the limit; its key may need the model that is chosen in the end."""
        facts = course.scene.facts
        course.throttles.append(lambda model: self.throttle(rule, facts, model))
        unit = " tokens" if self.tokens else ""
        course.steps.append(Step(rule, f"limits to {self.rate}{unit} per {self.per}, then {self.then}"))

    def throttle(self, rule: str, facts: Facts, model: str) -> Throttle:
        """The limit that this request falls under."""
        whose = {"caller": f"caller/{facts.caller.id}", "model": f"model/{model}", "gateway": "gateway"}[
            self.per
        ]
        asked = facts.asked
        cost = float(max(1, asked.input_tokens + (asked.max_output or 0))) if self.tokens else 1.0
        unit = Unit.TOKENS if self.tokens else Unit.REQUESTS
        return Throttle(
            f"rules/{rule}/{whose}", self.rate.per_second, self.burst, self.then, rule, cost, unit
        )


def _rate(raw: Any) -> Rate:
    found = parse_rate(raw if isinstance(raw, str) else "")
    if found.amount <= 0:
        raise ValueError("not above zero")
    return found


_RATE = Kind(RATE.needs, _rate, str)
_TOKEN_RATE = Kind("a rate of tokens such as 100k/m", _rate, str)


def read_throttle(reader: Reader) -> Limit:
    """`rate` or `tokens`, `burst` (the rate's own number), `per` (caller) and `then` (reject)."""
    mine = reader.child("throttle")
    rate = mine.optional("rate", _RATE)
    tokens = mine.optional("tokens", _TOKEN_RATE)
    found = rate or tokens
    burst = mine.optional("burst", SOME)
    per = mine.value("per", word_of("caller", "model", "gateway"), "caller")
    then = mine.value("then", one_of(Then), Then.REJECT)
    mine.finish()
    if "rate" in mine and "tokens" in mine:
        mine.wrong("", "needs rate or tokens, one of the two; got both")
    elif "rate" not in mine and "tokens" not in mine:
        mine.wrong("", "needs a rate such as rate = 10/s; got none")
    found = found or Rate(1, "s")
    return Limit(found, max(1.0, float(burst or found.amount)), per, then, tokens=rate is None)
