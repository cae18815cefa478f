"""What came of a request by its Idempotency-Key, over all replicas."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol


class KeyState(StrEnum):
    """How the request with a key stands."""

    RUNNING = "running"
    FREE = "free"  # it failed in a way that the next try may cure
    ANSWERED = "answered"
    UNKEPT = "unkept"  # answered, and its answer was too large to be kept
    JOB = "job"  # the key is a job's, which is kept among the jobs


@dataclass(frozen=True, slots=True)
class KeyClaim:
    """A wish to run the request with a key: `id` stands for the caller and its key, `fingerprint` for what is asked.

    `state` is RUNNING, or JOB. A claim that runs holds for `lease` from the last sign of life on.
    """

    id: str
    caller: str
    fingerprint: str
    lease: timedelta
    retention: timedelta
    state: KeyState = KeyState.RUNNING


@dataclass(frozen=True, slots=True)
class KeyHeld:
    """What a claim came to. `mine`: it was granted, for run number `run`; else this is what stands in its way.

    `token` is that of the run: whoever has it may end it. `answer` is there once it was ANSWERED.
    """

    token: str
    run: int
    state: KeyState
    fingerprint: str
    mine: bool
    answer: bytes | None = None


class Idempotency(Protocol):
    """The keys: one run at a time each, and the answer of the one that came to something."""

    async def claim(self, wanted: KeyClaim) -> KeyHeld:
        """Claim a key: granted where it is new, free, past its retention, or its holder gives no sign of life.

        A key that is used for something else is never granted before its retention has passed.
        """
        ...

    async def renew(self, id_: str, token: str, lease: timedelta) -> bool:
        """Give a sign of life for a run; False if it is no longer the token's."""
        ...

    async def keep(self, id_: str, token: str, answer: bytes | None, retention: timedelta) -> bool:
        """End a run with its answer, None for one that is too large; False if it is no longer the token's."""
        ...

    async def free(self, id_: str, token: str) -> None:
        """End a run without an answer: whoever asks next, with the same body, runs it anew."""
        ...
