"""`split { "assistant-v2" = 5, "assistant-v1" = 95, sticky_by = caller }`: shares of the traffic."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from math import log

from gateway.domain.rules.course import Course, Move
from gateway.domain.rules.decision import Step
from gateway.domain.rules.facts import Facts
from gateway.domain.rules.matching import MODEL
from gateway.domain.rules.reading import NUMBER, Reader, word_of
from gateway.domain.units import format_number

_STICKY = "sticky_by"


@dataclass(frozen=True, slots=True)
class Split:
    """Puts one of some models in front, each as often as its share says; a model of share 0 is taken out.

    The same caller (or conversation) gets the same model as long as it is there, and a change of the shares moves as
    few of them as it can: each model draws a number for the caller, and the smallest for its share wins (weighted
    rendezvous hashing: Schindelhauer and Schomaker, "Weighted distributed hash tables", SPAA 2005).
    """

    shares: tuple[tuple[str, float], ...]
    sticky_by: str

    @property
    def live(self) -> bool:
        """Nothing live takes part in it."""
        return False

    def act(self, course: Course, rule: str) -> None:
        """Choose one, and put it in front."""
        places, mask = course.scene.places, course.mask
        numbers = {
            name: i for name, _ in self.shares if (i := places.get(name)) is not None and mask >> (8 * i) & 1
        }
        out = {
            numbers[name]: "has share 0 in the split"
            for name, share in self.shares
            if not share and name in numbers
        }
        removed = course.remove(rule, out, live=False)
        there = [(name, share) for name, share in self.shares if share and name in numbers]
        if not there:
            course.steps.append(Step(rule, "splits nothing: none of its models is left", removed))
            return
        how, key = self._key(course.scene.facts)
        chosen = min(there, key=lambda each: _draw(rule, key, *each))
        course.moves.append(Move(rule, 1 << (8 * numbers[chosen[0]])))
        total = format_number(sum(share for _, share in there))
        course.steps.append(
            Step(rule, f"chooses {chosen[0]} ({format_number(chosen[1])} of {total}) by {how}", removed)
        )

    def _key(self, facts: Facts) -> tuple[str, str]:
        if self.sticky_by == "conversation" and facts.asked.conversation:
            return "conversation", f"conversation {facts.asked.conversation}"
        if self.sticky_by in ("caller", "conversation"):
            # Who does not tell conversations apart would otherwise change models in the middle of one.
            said = "caller" if self.sticky_by == "caller" else "caller, the conversation being unknown"
            return said, f"caller {facts.caller.id}"
        return "request", f"roll {facts.roll!r}"


def _draw(rule: str, key: str, model: str, share: float) -> float:
    digest = blake2b(f"{rule}\0{key}\0{model}".encode(errors="surrogatepass"), digest_size=8).digest()
    return -log((int.from_bytes(digest) + 0.5) / 2**64) / share


def read_split(reader: Reader) -> Split:
    """Shares by model, of any sum, and what they stick to: request (the default), caller or conversation."""
    mine = reader.child("split")
    sticky = mine.value(_STICKY, word_of("request", "caller", "conversation"), "request")
    shares = tuple((name, mine.required(name, NUMBER, 0.0)) for name in mine.names() if name != _STICKY)
    for name, _ in shares:
        if not MODEL.fullmatch(name):
            mine.wrong(name, "needs to be the name of a model")
    mine.finish(_STICKY)
    if not any(share for _, share in shares):
        mine.wrong(
            "", 'needs shares of models such as "assistant-v2" = 5, "assistant-v1" = 95; got none above zero'
        )
    return Split(shares, sticky)
