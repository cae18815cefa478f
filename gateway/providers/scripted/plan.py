"""From a script and what was asked to the exact bytes, waits and endings of one answer.

The HTTP server and the provider in process play the same plan, so that a failure means the same in both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import msgspec

from gateway.providers.scripted.script import Script

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
ID: Final = b"@@@@@@@@@@@@"
"""Stands in bodies where the call's number goes; of the same width, so that lengths stay true."""

_WORDS = (
    "A café, a € sign, 漢字 and a 🦊 stand here, so that no test forgets characters of more than one byte; "
    "after them come plain words, the same each time, as many as the script asks for. "
)
WORDS = _WORDS.split()
PROMPT_TOKENS = 11
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
class Asked:
    """What of a request decides the answer."""

    model: str
    stream: bool = False
    include_usage: bool = False
    credential: str = ""


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


def plan_of(script: Script, asked: Asked) -> Plan:
    """The answer this script gives."""
    latency = script.latency_ms / 1000
    headers = _headers(script)
    refusal = _refusal(script, asked)
    if refusal is not None:
        status, body = refusal
        location = ((b"location", (script.location or "/elsewhere").encode()),) if status == 307 else ()
        return Plan(status, _cut(body, script), len(body), headers=headers + location, latency=latency)
    if script.failure in _SILENT:
        return Plan(0, (_SILENT[script.failure],), latency=latency)
    if asked.stream and script.failure not in _UNSTREAMED:
        return Plan(200, _stream(script, asked), None, EVENT_STREAM, headers, latency)
    kind = JSON
    match script.failure:
        case "html":
            body, kind = PAGE, b"text/html"
        case "empty":
            body, kind = b"", EVENT_STREAM if asked.stream else JSON
        case "error-reply":
            body = _error(script, "The upstream is out of order", "server_error", 502)
        case "broken-json":
            body = _completion(script, asked).replace(b'"choices":[', b'"choices":[[[')
        case _:
            body = _completion(script, asked)
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


def _refusal(script: Script, asked: Asked) -> tuple[int, bytes] | None:
    if script.status is not None:
        return script.status, _error(script, f"scripted failure {script.status}", "scripted_error", None)
    match script.failure:
        case "redirect":
            return 307, b""
        case "quota":
            return 429, _error(
                script, "You exceeded your current quota", "insufficient_quota", "insufficient_quota"
            )
        case "content-filter":
            return 400, _error(script, "The response was filtered", "invalid_request_error", "content_filter")
        case "context-too-long":
            message = (
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000."
            )
            return 400, _error(
                script, message, "invalid_request_error", "context_length_exceeded", "messages"
            )
        case "echo-key":
            message = f"Incorrect API key provided: {asked.credential}."
            return 401, _error(script, message, "invalid_request_error", "invalid_api_key")
        case _:
            return None


def _error(script: Script, message: str, kind: str, code: object, param: str | None = None) -> bytes:
    if script.error is not None:
        return msgspec.json.encode({"error": script.error})
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


# ---- the answer's content ----------------------------------------------------------------------------------------
def pieces(script: Script) -> list[str]:
    """The text of each token: the script's own text divided, or words of ours as often as needed."""
    if script.text is None:
        return [WORDS[i % len(WORDS)] + " " for i in range(script.tokens)]
    return re.findall(r"\s*\S+\s*", script.text) or ([script.text] if script.text else [])


def _usage(script: Script) -> dict[str, object] | None:
    if isinstance(script.usage, str):
        return None
    if script.usage is not None:
        return script.usage
    output = 12 if script.tool_calls else len(pieces(script))
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": output,
        "total_tokens": PROMPT_TOKENS + output,
    }


def _finish(script: Script) -> str:
    return script.finish_reason or ("tool_calls" if script.tool_calls else "stop")


def _tool(arguments: str) -> dict[str, object]:
    return {
        "id": "call_scripted",
        "type": "function",
        "function": {"name": "get_weather", "arguments": arguments},
    }


def _completion(script: Script, asked: Asked) -> bytes:
    message: dict[str, object] = {"role": "assistant", "content": "".join(pieces(script)), "refusal": None}
    if script.tool_calls:
        message |= {"content": None, "tool_calls": [_tool('{"city": "Zürich"}')]}
    answer: dict[str, object] = {
        "id": "chatcmpl-" + ID.decode(),
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": asked.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(script)}],
        "system_fingerprint": "fp_scripted",
    }
    usage = _usage(script)
    return msgspec.json.encode(answer if usage is None else answer | {"usage": usage})


def _deltas(script: Script) -> list[dict[str, object]]:
    if not script.tool_calls:
        return [{"content": piece} for piece in pieces(script)]
    arguments = ('{"ci', 'ty": "Zü', 'rich"}')
    calls = [{"index": 0} | _tool(""), *({"index": 0, "function": {"arguments": part}} for part in arguments)]
    return [{"tool_calls": [call]} for call in calls]


def _chunks(script: Script, asked: Asked) -> list[bytes]:
    base: dict[str, object] = {
        "id": "chatcmpl-" + ID.decode(),
        "object": "chat.completion.chunk",
        "created": 1_767_225_600,
        "model": asked.model,
        "system_fingerprint": "fp_scripted",
    }

    def event(delta: dict[str, object], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: " + msgspec.json.encode(base | {"choices": [choice]}) + b"\n\n"

    first, last = (
        event({"role": "assistant", "content": None if script.tool_calls else ""}),
        event({}, _finish(script)),
    )
    found = [first, *(event(delta) for delta in _deltas(script)), last]
    usage = _usage(script)
    if asked.include_usage and usage is not None:
        found.append(b"data: " + msgspec.json.encode(base | {"choices": [], "usage": usage}) + b"\n\n")
    return found


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


def _stream(script: Script, asked: Asked) -> tuple[bytes | float | End, ...]:
    chunks = _chunks(script, asked)
    done = [b"data: [DONE]\n\n"] if script.done else []
    head, rest = chunks[: script.after], chunks[script.after :]
    after = rest[0] if rest else chunks[-1]
    sent, end = [*chunks, *done], None
    match script.failure:
        case "slow-drip":
            return _drip(script, sent)
        case "no-done":
            sent = [chunk for chunk in chunks if b'"finish_reason":null' in chunk]
        case "error-event":
            error = _error(script, "The upstream ran out of memory", "server_error", "server_error")
            sent = [*head, b"data: " + error + b"\n\n"]
        case "broken-json":
            sent = [*head, b'data: {"choices": [[[}\n\n', *rest, *done]
        case "close-mid-stream":
            sent, end = head, End.CLOSE
        case "reset-mid-stream":
            sent, end = head, End.RESET
        case "hang-mid-stream":
            sent, end = head, End.HANG
        case "half-event" | "cut-json":
            sent, end = [*head, after[: len(after) // 2]], End.CLOSE
        case "cut-utf8":
            speech = after.replace(b'"delta":{', b'"delta":{"content":"caf\xc3\xa9",', 1)
            sent, end = [*head, _into_a_character(speech)], End.CLOSE
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
