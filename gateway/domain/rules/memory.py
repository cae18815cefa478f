"""What decisions by one rule set remember, so that the next request need not ask it again.

Nothing here is a fact: whatever is kept follows from values that never change, and is looked up by those very values.
So a decision with a memory is the decision without one, only sooner.
"""

from __future__ import annotations

from gateway.domain.registry import Model
from gateway.domain.rules.facts import Facts
from gateway.domain.rules.known import Known
from gateway.domain.rules.plan import Plans
from gateway.domain.rules.rule import RuleSet

_MOST_CANDIDATES = 8_000  # of all that are remembered together; about a kilobyte each


class Memory:
    """What is known of candidates by one rule set, of bounded size.

    Candidates are known again by being the same tuple, which is kept with them: whoever asks keeps it too.
    """

    def __init__(self, rules: RuleSet) -> None:
        """Nothing is known yet."""
        self.plans = Plans(rules.rules)
        self._known: dict[int, Known] = {}
        self.candidates = 0

    def of(self, facts: Facts) -> Known:
        """What is known of the candidates of these facts."""
        candidates = facts.candidates
        known = self._known.get(id(candidates))
        if known is None:
            known = self._add(candidates)
        known.prune()
        return known

    def _add(self, candidates: tuple[Model, ...]) -> Known:
        self.candidates += len(candidates) + 1
        while self.candidates > _MOST_CANDIDATES and self._known:
            gone = self._known.pop(next(iter(self._known)))
            self.candidates -= len(gone.candidates) + 1
        known = self._known[id(candidates)] = Known(candidates)
        return known
