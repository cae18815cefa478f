"""`set { … }`, and `fallback { … }` for all requests: on which terms a request is served."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from gateway.domain.inference import PRIORITIES, Durability
from gateway.domain.rules.course import Course
from gateway.domain.rules.decision import Step, Terms
from gateway.domain.rules.reading import DURATION, NUMBER, SOME, TRUTH, USD, Kind, Reader, word_of
from gateway.domain.tags import parse_tags

_DURABILITIES = word_of(Durability.OVERLAPPED.value, Durability.START_FIRST.value)
_MOST_ATTEMPTS = 20
_LEAST_WEIGHT, _MOST_WEIGHT = 0.001, 1000  # the engine takes no others


def _attempts(raw: Any) -> int:
    found = SOME.read(raw)
    if found > _MOST_ATTEMPTS:
        raise ValueError("too many")
    return found


def _factor(raw: Any) -> float:
    found = NUMBER.read(raw)
    if not 1 <= found <= 10:
        raise ValueError("not from 1 to 10")
    return found


def _priority(raw: Any) -> int:
    found = SOME.read(raw)
    if found not in PRIORITIES:
        raise ValueError("not from 1 to 5")
    return found


def _weight(raw: Any) -> float:
    found = NUMBER.read(raw)
    if not _LEAST_WEIGHT <= found <= _MOST_WEIGHT:
        raise ValueError("not from 0.001 to 1000")
    return found


_PRIORITY = Kind("a priority from 1, which goes first, to 5", _priority, int)
_WEIGHT = Kind("a weight from 0.001 to 1000 such as 2", _weight, NUMBER.show)
_ATTEMPTS = Kind(f"a number of attempts from 1 to {_MOST_ATTEMPTS}", _attempts, int)
_FACTOR = Kind("a factor from 1 to 10 such as 2", _factor, NUMBER.show)


@dataclass(frozen=True, slots=True)
class Set:
    """Sets some of the terms; what it does not name stays as it is."""

    terms: Terms

    @property
    def live(self) -> bool:
        """It takes nobody out."""
        return False

    def act(self, course: Course, rule: str) -> None:
        """Set them: the later rule has the last word."""
        named = {
            each.name: value
            for each in fields(Terms)
            if each.name != "tags" and (value := getattr(self.terms, each.name)) is not None
        }
        course.terms = replace(course.terms, **named, tags={**course.terms.tags, **self.terms.tags})
        said = [name.replace("_", " ") for name in named] + [f"tag {name}" for name in self.terms.tags]
        course.steps.append(Step(rule, f"sets {', '.join(said)}"))


def read_terms(reader: Reader, *, also: bool) -> Terms:
    """How often, how long and for how much is tried; with `also`, what a single request may be set besides."""
    attempts = reader.optional("attempts", _ATTEMPTS)
    deadline = reader.optional("deadline", DURATION)
    cost = reader.optional("cost_limit_usd", USD)
    initial = factor = longest = None
    if "backoff" in reader:
        backoff = reader.child("backoff")
        initial = backoff.optional("initial", DURATION)
        factor = backoff.optional("factor", _FACTOR)
        longest = backoff.optional("max", DURATION)
        backoff.finish()
    durability = reader.optional("durability", _DURABILITIES) if also else None
    past = reader.optional("past_content_filter", TRUTH)
    log_content = reader.optional("log_content", TRUTH) if also else None
    priority = reader.optional("priority", _PRIORITY) if also else None
    weight = reader.optional("weight", _WEIGHT) if also else None
    tags = _read_tags(reader) if also and "tags" in reader else {}
    known = ("attempts", "deadline", "cost_limit_usd", "backoff", "past_content_filter")
    reader.finish(*known)
    reader.nonempty("attempts = 3")
    return Terms(
        durability=durability,
        attempts=attempts,
        deadline=deadline,
        cost_limit_usd=cost,
        backoff_initial=initial,
        backoff_factor=factor,
        backoff_max=longest,
        log_content=log_content,
        priority=priority,
        weight=weight,
        tags=tags,
        past_content_filter=past,
    )


def _read_tags(reader: Reader) -> dict[str, str]:
    """Tags that the request gets, for the log and for usage: `tags { team = search }`."""
    mine = reader.child("tags")
    found: dict[str, str] = {}
    for name in mine.names():
        raw = mine.raw(name)
        try:
            term = parse_tags(f"{name}={raw}" if isinstance(raw, str) and "," not in raw else "").terms[0]
        except (ValueError, IndexError):
            mine.wrong(name, "needs a tag's value such as search, in quotes where it looks like a number")
            continue
        found[term.name] = term.values[0]
        mine.said[name] = term.values[0]
    return found


def read_set(reader: Reader) -> Set:
    """`set { … }`."""
    return Set(read_terms(reader.child("set"), also=True))
