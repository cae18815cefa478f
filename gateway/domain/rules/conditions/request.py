"""`request { … }`: what is asked for, how, and how large it is. A request's text is never looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.domain.inference import Kind, Mode
from gateway.domain.registry import Capability
from gateway.domain.rules import reading
from gateway.domain.rules.bounds import Bound
from gateway.domain.rules.conditions.condition import Among, Amount, Condition, Tags, Words
from gateway.domain.rules.matching import Names, read_names, read_tags
from gateway.domain.rules.reading import BYTES, COUNT, TOKENS, Reader, one_of, word_of
from gateway.domain.rules.scene import Answer, Scene
from gateway.domain.units import format_size

KIND = "request"
_PREFERENCES = ("cost", "latency", "quality")


@dataclass(frozen=True, slots=True)
class Needs:
    """Holds for a request that needs a model with all of these capabilities."""

    wanted: tuple[Capability, ...]

    @property
    def live(self) -> bool:
        """A request stays as it is."""
        return False

    @property
    def words(self) -> Words:
        """What it needs."""
        return {"the request's needs": lambda facts: facts.asked.needs}

    def holds(self, scene: Scene) -> Answer:
        """Whether it needs all of them."""
        return scene.facts.asked.needs.issuperset(self.wanted)

    def why(self, scene: Scene) -> str:
        """The first that it does not need, or all."""
        spared = [each.value for each in self.wanted if each not in scene.facts.asked.needs]
        return (
            f"the request does not need {spared[0]}"
            if spared
            else f"the request needs {' and '.join(self.wanted)}"
        )


def read(reader: Reader) -> list[Condition]:
    """All that is said of the request."""
    mine = reader.child(KIND)
    found = [read_part(mine, word) for word, read_part in PARTS.items() if word in mine]
    mine.finish(*PARTS)
    mine.nonempty("model = assistant")
    return found


def read_bounds(reader: Reader, name: str, kind: reading.Kind[Any]) -> tuple[Bound, ...]:
    """`{ over = …, under = … }` of one number; at least one of them."""
    mine = reader.child(name)
    bounds: list[Bound] = []
    for side in ("over", "under"):
        limit = mine.optional(side, kind)
        if limit is not None:
            bounds.append(Bound(limit, side == "under", str(mine.said[side])))
    mine.finish()
    if not bounds and "over" not in mine and "under" not in mine:
        mine.wrong("", f"needs over or under with {kind.needs}; got neither")
    return tuple(bounds)


def _words(
    what: str, take: Callable[[Any], str], kind: reading.Kind[Any]
) -> Callable[[Reader, str], Condition]:
    def part(reader: Reader, name: str) -> Condition:
        return Among(what, take, Names(tuple(str(each) for each in reader.several(name, kind))))

    return part


def _number(
    what: str, take: Callable[[Scene], Any], kind: reading.Kind[Any], tell: Callable[[Any], str]
) -> Callable[[Reader, str], Condition]:
    def part(reader: Reader, name: str) -> Condition:
        return Amount(what, take, read_bounds(reader, name, kind), tell)

    return part


PARTS: dict[str, Callable[[Reader, str], Condition]] = {
    "model": lambda reader, name: Among(
        "the model asked for", lambda f: f.asked.model, read_names(reader, name)
    ),
    "endpoint": lambda reader, name: Among(
        "the endpoint", lambda f: f.asked.endpoint, read_names(reader, name)
    ),
    "kind": _words("the kind", lambda facts: facts.asked.kind.value, one_of(Kind)),
    "mode": _words("the mode", lambda facts: facts.asked.mode.value, one_of(Mode)),
    "door": _words("the door", lambda facts: facts.asked.door, word_of("rest", "grpc")),
    "prefer": _words("the caller's preference", lambda facts: facts.asked.prefer, word_of(*_PREFERENCES)),
    "tags": lambda reader, name: Tags("the request's tags", lambda f: f.asked.tags, read_tags(reader, name)),
    "metadata": lambda reader, name: Tags(
        "the request's metadata", lambda f: f.asked.metadata, read_tags(reader, name)
    ),
    "needs": lambda reader, name: Needs(reader.several(name, one_of(Capability))),
    "input_tokens": _number(
        "the estimated input", lambda scene: scene.facts.asked.input_tokens, TOKENS, lambda n: f"{n:,} tokens"
    ),
    "max_output": _number(
        "the most output asked for",
        lambda scene: scene.facts.asked.max_output,
        TOKENS,
        lambda n: f"{n:,} tokens",
    ),
    "size": _number("the body", lambda scene: scene.facts.asked.body_bytes, BYTES, format_size),
    "images": _number("the number of images", lambda scene: scene.facts.asked.images, COUNT, str),
}
