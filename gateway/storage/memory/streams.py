"""The events of streams in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from gateway.ids import parse_id
from gateway.storage.ports.streams import Line, Tail


@dataclass(slots=True)
class _Log:
    writer: str
    lines: list[Line] = field(default_factory=list[Line])
    ends: list[int] = field(default_factory=list[int])  # of batches: the numbers that come next
    closed: bool = False
    told_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class MemoryStreamLog:
    """The port `StreamLog`."""

    def __init__(self) -> None:
        """There are none yet."""
        self._logs: dict[str, _Log] = {}

    async def open(self, request_id: str, writer: str) -> int | None:
        """Begin a log, or take it over."""
        if parse_id(request_id) is None:
            raise ValueError(f"a request's id is a UUID, not {request_id!r}")
        log = self._logs.setdefault(request_id, _Log(writer))
        if log.closed:
            return None
        log.writer = writer
        return len(log.lines)

    async def append(self, request_id: str, writer: str, first: int, lines: Sequence[Line]) -> bool:
        """Add events, if they are what comes next."""
        log = self._logs.get(request_id)
        if log is None or log.writer != writer:
            return False
        if lines and tuple(log.lines[first:]) == tuple(lines):
            return True  # the same again
        if log.closed or len(log.lines) != first:
            return False
        log.lines.extend(lines)
        log.ends.append(len(log.lines))
        log.told_at = datetime.now(UTC)
        return True

    async def reached(self, request_ids: Collection[str]) -> Mapping[str, int]:
        """How far some logs are."""
        return {id_: len(self._logs[id_].lines) for id_ in request_ids if id_ in self._logs}

    async def close(self, request_id: str, writer: str) -> bool:
        """Say that nothing more comes."""
        log = self._logs.get(request_id)
        if log is None or log.writer != writer:
            return False
        log.closed = True
        return True

    async def read(self, request_id: str, after: int = -1, *, batches: int = 64) -> Tail | None:
        """The events after a sequence number."""
        log = self._logs.get(request_id)
        if log is None:
            return None
        first = max(after + 1, 0)
        ends = [end for end in log.ends if end > first][:batches]
        lines = tuple(log.lines[first : ends[-1]]) if ends else ()
        return Tail(first, lines, log.closed and first + len(lines) >= len(log.lines))

    async def delete(self, request_id: str) -> None:
        """Forget the events of a request."""
        self._logs.pop(request_id, None)

    def expire(self, before: datetime) -> int:
        """Forget logs to which nothing has come since then; returns how many they were."""
        old = [key for key, log in self._logs.items() if log.told_at < before]
        for key in old:
            del self._logs[key]
        return len(old)
