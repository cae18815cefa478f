"""The events of streams, kept in small batches while they run, so that a stream can be read again and read on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Line:
    """One event as its reader gets it: its name, where the dialect has names, and its data."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Tail:
    """What a log holds from a place on: `lines` have the sequence numbers `first`, `first` + 1 and so on.

    `ended` says that the log is closed and these are its last lines.
    """

    first: int
    lines: tuple[Line, ...]
    ended: bool

    @property
    def last(self) -> int:
        """The sequence number after which to read on."""
        return self.first + len(self.lines) - 1


class StreamLog(Protocol):
    """The events of requests by their sequence numbers, which begin at 0; one writer at a time.

    Who takes a log over (a later attempt, another process) goes on where it stands, and the one before is refused.
    Everything is safe to do twice. Raises ValueError for an id that is not a UUID.
    """

    async def open(self, request_id: str, writer: str) -> int | None:
        """Begin a log, or take it over; returns the sequence number of the next event, None if it is closed."""
        ...

    async def append(self, request_id: str, writer: str, first: int, lines: Sequence[Line]) -> bool:
        """Add events, the first of which has that number.

        False, and nothing is added, unless this is the log's writer, the log is open and `first` is what comes next.
        """
        ...

    async def close(self, request_id: str, writer: str) -> bool:
        """Say that nothing more comes; False, and nothing happens, unless this is the log's writer."""
        ...

    async def read(self, request_id: str, after: int = -1, *, batches: int = 64) -> Tail | None:
        """The events after a sequence number, as many as some batches hold; None if there is no such log."""
        ...

    async def reached(self, request_ids: Collection[str]) -> Mapping[str, int]:
        """The sequence numbers of the next events, of those of some logs that there are."""
        ...

    async def delete(self, request_id: str) -> None:
        """Forget the events of a request. Whoever still writes is refused."""
        ...
