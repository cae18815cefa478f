"""Files that callers hand over, and batches: many requests in one file, answered within a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class File:
    """A file as its caller sees it; its content is kept apart, in parts. `kept_until` None keeps it for ever."""

    id: str
    caller: str
    filename: str
    purpose: str
    bytes: int
    created_at: datetime
    kept_until: datetime | None = None


class BatchStatus(StrEnum):
    """Where a batch stands: OpenAI's words."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in _ENDED


_ENDED = frozenset({BatchStatus.FAILED, BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class LineProblem:
    """What is wrong with a line of an input file; `line` counts from 1, None where it is wrong with all of it."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many lines there are, and how many have ended."""

    total: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as its caller sees it. `reached` says when it came into each of its states."""

    id: str
    caller: str
    endpoint: str
    input_file: str
    window: str
    status: BatchStatus
    created_at: datetime
    expires_at: datetime
    counts: Counts = field(default_factory=Counts)
    reached: Mapping[BatchStatus, datetime] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    output_file: str | None = None
    error_file: str | None = None
    problems: tuple[LineProblem, ...] = ()
