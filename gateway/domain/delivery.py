"""Telling a caller of its finished job: where to, how often it is tried, and what became of each try."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from gateway.domain.addresses import Address, parse_address

WEBHOOK: Final = "webhook"
NATS: Final = "nats"
TRIES: Final = 10
"""How often a delivery is tried. With the usual pauses the last try is about a day after the first."""
LONGEST_WAIT: Final = timedelta(days=1)
"""However long a receiver asks us to wait, it is tried again after this."""
_FACTOR: Final = 4.0
_JITTER: Final = 0.2

_LONGEST_QUERY: Final = 2048
_LONGEST_SUBJECT: Final = 255
_TOKEN: Final = re.compile(r"[!-~]+")  # what is visible in ASCII
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a job is told of by one channel: all of it that may be shown, and the rest sealed.

    `target` is a URL without its query, or a subject; `trace_id` the caller's own, for its messages. `sealed` is what
    is secret (the whole URL, a secret to sign with), encrypted under the key `key_id`; `has_secret` says that one is in
    it.
    """

    target: str
    trace_id: str = ""
    has_secret: bool = False
    sealed: str = field(default="", repr=False)
    key_id: str = ""

    def shown(self) -> Destination:
        """The same without what is sealed: for the ledger."""
        return Destination(self.target, self.trace_id, self.has_secret)


Destinations = Mapping[str, Destination]
"""Where a job is told of, by the channels' names."""


class DeliveryOutcome(StrEnum):
    """How one try ended."""

    DELIVERED = "delivered"
    FAILED = "failed"  # and is tried again
    GIVEN_UP = "given_up"  # and is not
    INTERRUPTED = "interrupted"  # our process died in the middle; it may have arrived


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try to tell of a job. `run` is what it was tried in: at the job's end, or when somebody asked for it again.

    `target` has no secrets. `status` is the receiver's answer; `next_at` is about when it is tried again.
    """

    job_id: str
    channel: str
    run: str
    number: int
    at: datetime
    target: str
    outcome: DeliveryOutcome
    took_ms: float = 0.0
    by_hand: bool = False
    status: int | None = None
    code: str | None = None
    message: str | None = None
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """A caller's secret for its webhooks, encrypted under the key `key_id`; from `ends_at` on it no longer signs.

    `last_four` are the last characters of it, the most that is ever shown.
    """

    id: str
    caller: str
    secret: bytes = field(repr=False)
    key_id: str
    last_four: str
    created_at: datetime
    ends_at: datetime | None = None


def event_id(job_id: str) -> str:
    """The id of the one event that a job makes: the same at every try, by every channel."""
    return "evt_" + job_id.replace("-", "")


def delivery_id(job_id: str, channel: str) -> str:
    """The id of the workflow that tells of a job by a channel."""
    return f"{job_id}-{channel}"


def pause_after(
    number: int, roll: float, first: timedelta, longest: timedelta, asked: timedelta | None = None
) -> timedelta:
    """How long to wait after try `number` has failed; `roll` from 0 to 1 spreads it, `asked` is the receiver's wish."""
    usual = min(first * _FACTOR ** (number - 1), longest)
    spread = usual * (1 - _JITTER + 2 * _JITTER * roll)
    return spread if asked is None else max(spread, min(asked, LONGEST_WAIT))


# ---- receivers ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Receiver:
    """A webhook's URL in its parts: `shown` is all of it but the query, which often holds a token."""

    address: Address
    shown: str
    has_query: bool


def parse_receiver(url: str) -> Receiver:
    """Read the URL of a webhook. Raises ValueError, which says what is wrong with it and not the URL."""
    if "#" in url:
        raise ValueError("it has a fragment")
    base, mark, query = url.partition("?")
    if len(query) > _LONGEST_QUERY or (query and not _TOKEN.fullmatch(query)):
        raise ValueError(f"its query is longer than {_LONGEST_QUERY} characters, or not visible ASCII")
    return Receiver(parse_address(base), base, bool(mark))


# ---- subjects ----------------------------------------------------------------------------------------------------
def wrong_subject(subject: str) -> str | None:
    """What is wrong with a subject that is to be published to; None for a good one."""
    if not subject or len(subject) > _LONGEST_SUBJECT:
        return f"it must have 1 to {_LONGEST_SUBJECT} characters"
    parts = subject.split(".")
    if not all(_TOKEN.fullmatch(part) for part in parts):
        return "its parts between dots must be visible ASCII and not empty"
    if any("*" in part or ">" in part for part in parts):
        return "it must not have the wildcards `*` and `>`"
    if parts[0].startswith("$") or parts[0] == "_INBOX":
        return f"subjects below `{parts[0]}` are the server's own"
    return None


def wrong_pattern(pattern: str) -> str | None:
    """What is wrong with a pattern of subjects to be granted, such as `results.search.>`; None for a good one."""
    if not pattern or len(pattern) > _LONGEST_SUBJECT:
        return f"it must have 1 to {_LONGEST_SUBJECT} characters"
    parts = pattern.split(".")
    for place, part in enumerate(parts):
        if not _TOKEN.fullmatch(part):
            return "its parts between dots must be visible ASCII and not empty"
        if part == ">" and place < len(parts) - 1:
            return "`>` stands at the end only"
        if part not in ("*", ">") and ("*" in part or ">" in part):
            return "`*` and `>` stand for whole parts between dots"
    return None


def covers(pattern: str, subject: str) -> bool:
    """Whether a subject is one of those that a pattern stands for: `*` is one part, `>` at the end one or more."""
    wanted, parts = pattern.split("."), subject.split(".")
    for place, part in enumerate(wanted):
        if part == ">":
            return len(parts) > place
        if place >= len(parts) or part not in ("*", parts[place]):
            return False
    return len(parts) == len(wanted)


def own_part(name: str, caller_id: str) -> str:
    """The part of a subject that stands for a caller.

    A name that is more than one plain word would reach into another caller's, as would one that looks like an id: then
    the id stands for it.
    """
    return name if _PLAIN.fullmatch(name) and not _ID.fullmatch(name) else caller_id


def own_subjects(name: str, caller_id: str) -> str:
    """The subjects that every caller may have its jobs published to."""
    return f"agents.{own_part(name, caller_id)}.>"


def may_publish(subject: str, own: str, granted: Iterable[str]) -> bool:
    """Whether a subject is among a caller's own, or granted to it."""
    return covers(own, subject) or any(covers(pattern, subject) for pattern in granted)
