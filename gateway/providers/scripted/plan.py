"""From a script and what was asked to the exact bytes, waits and endings of one answer.

The HTTP server and the provider in process play the same plan, so that a failure means the same in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import cast

from gateway.providers.scripted.dialect import ID, JSON, OPENAI, Asked, Dialect
from gateway.providers.scripted.script import Script

DRIP = 0.1
PAGE = b"<!doctype html><html><head><title>Welcome to nginx!</title></head><body>upstream-page</body></html>"


class End(Enum):
    """How an answer ends if it does not end well."""

    CLOSE = auto()
    RESET = auto()
    HANG = auto()


_SILENT = {"connect-refused": End.CLOSE, "reset": End.RESET, "hang": End.HANG}
_UNSTREAMED = frozenset({"html", "empty", "error-reply"})


@dataclass(frozen=True, slots=True)
class Plan:
    """One answer: what is sent, waited for (seconds) and how it ends. `length` is None for a body sent in chunks.

    `status` 0 stands for an answer whose head never comes.
    """

    status: int
    steps: tuple[bytes | float | End, ...] = ()
    length: int | None = None
    kind: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    latency: float = 0

    @property
    def instant(self) -> bool:
        """Whether the whole answer can be written at once."""
        return self.latency == 0 and self.status != 0 and all(isinstance(step, bytes) for step in self.steps)


def plan_of(script: Script, asked: Asked, dialect: Dialect = OPENAI) -> Plan:
    """The answer this script gives."""
    latency = script.latency_ms / 1000
    headers = _headers(script)
    refusal = _refusal(script, asked, dialect)
    if refusal is not None:
        status, body = refusal
        location = ((b"location", (script.location or "/elsewhere").encode()),) if status == 307 else ()
        return Plan(status, _cut(body, script), len(body), headers=headers + location, latency=latency)
    if script.failure in _SILENT:
        return Plan(0, (_SILENT[script.failure],), latency=latency)
    if asked.stream and script.failure not in _UNSTREAMED:
        steps = _stream(script, asked, dialect)  # before the content type, which may depend on the answer
        return Plan(200, steps, None, dialect.event_stream, headers, latency)
    kind = JSON
    match script.failure:
        case "html":
            body, kind = PAGE, b"text/html"
        case "empty":
            body, kind = b"", dialect.event_stream if asked.stream else JSON
        case "error-reply":
            body = _error(script, dialect, "The upstream is out of order", 502)
        case "broken-json":
            body = dialect.whole(script, asked)[:-1] + b"[[[}"
        case _:
            body = dialect.whole(script, asked)
    return Plan(200, _whole(script, body), len(body), kind, headers, latency)


def _headers(script: Script) -> tuple[tuple[bytes, bytes], ...]:
    found = [(b"x-request-id", b"req_" + ID)]
    if script.retry_after is not None:
        found.append((b"retry-after", script.retry_after.encode()))
    if script.retry_after_ms is not None:
        found.append((b"retry-after-ms", script.retry_after_ms.encode()))
    if script.should_retry is not None:
        found.append((b"x-should-retry", b"true" if script.should_retry else b"false"))
    return tuple(found)


def _refusal(script: Script, asked: Asked, dialect: Dialect) -> tuple[int, bytes] | None:
    if script.status is not None:
        message = f"scripted failure {script.status}"
        return script.status, _error(script, dialect, message, script.status, "scripted_error", None)
    if script.failure == "redirect":
        return 307, b""
    return None if script.failure is None else dialect.refusal(script.failure, asked)


def _error(
    script: Script,
    dialect: Dialect,
    message: str,
    status: int,
    kind: str = "server_error",
    code: object = "server_error",
) -> bytes:
    if script.error is not None:
        said = script.error
        kind, code = str(said.get("type", "")), said.get("code")
        return dialect.error(
            str(said.get("message", "")), status, kind, code, cast("str | None", said.get("param"))
        )
    return dialect.error(message, status, kind, code)


# ---- the answer's course -----------------------------------------------------------------------------------------
def _cut(body: bytes, script: Script) -> tuple[bytes, ...]:
    size = script.split or len(body) or 1
    return tuple(body[i : i + size] for i in range(0, len(body), size))


def _whole(script: Script, body: bytes) -> tuple[bytes | float | End, ...]:
    half = body[: len(body) // 2]
    match script.failure:
        case "slow-drip":
            return _drip(script, [body])
        case "cut-json" | "close-mid-stream" | "half-event" | "no-done":
            return _ended(_cut(half, script), End.CLOSE)
        case "cut-utf8":
            return _ended(_cut(_into_a_character(body), script), End.CLOSE)
        case "reset-mid-stream":
            return _ended(_cut(half, script), End.RESET)
        case "hang-mid-stream":
            return _ended(_cut(half, script), End.HANG)
        case _:
            return _cut(body, script)


def _ended(steps: tuple[bytes | float, ...], end: End | None) -> tuple[bytes | float | End, ...]:
    if end is None:
        return steps
    # A reset overtakes bytes that the other side has not read yet: give it the time to read them.
    return (*steps, 0.02, end) if end is End.RESET else (*steps, end)


def _stream(script: Script, asked: Asked, dialect: Dialect) -> tuple[bytes | float | End, ...]:
    chunks = dialect.events(script, asked)
    done = dialect.done if script.done else ()  # of the events that have just been made
    head, rest = chunks[: script.after], chunks[script.after :]
    after = rest[0] if rest else chunks[-1]
    sent, end = [*chunks, *done], None
    match script.failure:
        case "slow-drip":
            return _drip(script, sent)
        case "no-done":
            sent = dialect.unfinished(chunks)
        case "error-event":
            error = _error(script, dialect, "The upstream ran out of memory", 500)
            sent = [*head, dialect.failed(error)]
        case "broken-json":
            sent = [*head, dialect.framed(b'{"choices": [[[}'), *rest, *done]
        case "close-mid-stream":
            sent, end = head, End.CLOSE
        case "reset-mid-stream":
            sent, end = head, End.RESET
        case "hang-mid-stream":
            sent, end = head, End.HANG
        case "half-event" | "cut-json":
            sent, end = [*head, after[: len(after) // 2]], End.CLOSE
        case "cut-utf8":
            sent, end = [*head, _into_a_character(dialect.spoken(asked, "café"))], End.CLOSE
        case _:
            pass
    return _ended(_spaced(script, sent), end)


def _spaced(script: Script, events: Sequence[bytes]) -> tuple[bytes | float, ...]:
    pause = script.chunk_interval_ms / 1000
    steps: list[bytes | float] = []
    for i, event in enumerate(events):
        if i and pause:
            steps.append(pause)
        steps.extend(_cut(event, script))
    return tuple(steps)


def _drip(script: Script, parts: Sequence[bytes]) -> tuple[bytes | float, ...]:
    pause = script.chunk_interval_ms / 1000 or DRIP
    return tuple(step for byte in b"".join(parts) for step in (bytes((byte,)), pause))


def _into_a_character(body: bytes) -> bytes:
    """`body` up to the middle of its first character of more than one byte; half of it where there is none."""
    first = next((i for i, byte in enumerate(body) if byte >= 0xC0), None)
    return body[: len(body) // 2] if first is None else body[: first + 1]
