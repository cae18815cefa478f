"""What a scripted model does: the fields of a script, and where the script of a call comes from.

A call's script is, first found first taken: the body's field `x_script`; what was registered for the model's name;
the name itself. `scripted` and `scripted-ok` answer, `scripted-<failure>` fails in that way, `scripted-503` answers
with that status, `scripted-tool-calls` calls a tool, and fields may follow like a query:
`scripted-ok?tokens=200&chunk_interval_ms=5`, `scripted-503?fail_first=2`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import parse_qsl

import msgspec

PREFIX = "scripted"

FAILURES = frozenset(
    {
        "broken-json",  # whole answer, but not JSON; in a stream, one event is not JSON
        "close-mid-stream",  # the connection is closed after `after` events
        "connect-refused",  # in process: no connection; over HTTP, where one stands already: closed without a word
        "content-filter",  # 400 with the code content_filter
        "context-too-long",  # 400 with the code context_length_exceeded
        "cut-json",  # closed in the middle of the JSON
        "cut-utf8",  # closed in the middle of a character
        "echo-key",  # 401 that says the credential it was given, as some servers do
        "empty",  # 200 and nothing
        "error-event",  # an error object after `after` events
        "error-reply",  # 200 with an error object for an answer, as some routers do
        "half-event",  # closed in the middle of an event
        "hang",  # no answer at all
        "hang-mid-stream",  # nothing more after `after` events (without a stream: after half the body)
        "html",  # 200 with a page
        "no-done",  # the stream ends well as HTTP, but without finish reason and `[DONE]`
        "quota",  # 429 with the code insufficient_quota
        "redirect",  # 307 to `location`
        "reset",  # the connection is reset before the answer
        "reset-mid-stream",  # the connection is reset after `after` events
        "slow-drip",  # a good answer, one byte each `chunk_interval_ms` (100 if not said)
    }
)

Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=86_400_000)]


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one call is answered.

    `failure` is one of FAILURES or `status:N`. `fail_first` lets it happen to the model's first K calls only. `after`
    counts the events that come before a failure in the middle of a stream. `split` sends the body in pieces of so many
    bytes. `usage` is sent as it stands ("none": not at all). `done` false leaves `[DONE]` out of a good stream.
    `thinking` are thoughts before the answer. `tool_calls` calls a tool `parallel` times; with `tool_once` its result
    is answered by text.
    """

    latency_ms: Milliseconds = 0
    chunk_interval_ms: Milliseconds = 0
    tokens: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 8
    text: str | None = None
    usage: dict[str, object] | Literal["none"] | None = None
    failure: str | None = None
    fail_first: Annotated[int, msgspec.Meta(ge=0)] = 0
    after: Annotated[int, msgspec.Meta(ge=0)] = 2
    retry_after: str | None = None
    retry_after_ms: str | None = None
    should_retry: bool | None = None
    error: dict[str, object] | None = None
    location: str | None = None
    split: Annotated[int, msgspec.Meta(ge=0)] = 0
    tool_calls: bool = False
    tool_once: bool = False
    parallel: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    thinking: str | None = None
    done: bool = True
    finish_reason: str | None = None

    def __post_init__(self) -> None:
        """Refuse a failure that nobody plays, rather than answer well where a test meant a failure."""
        if self.failure is not None and self.failure not in FAILURES and self.status is None:
            raise ValueError(
                f"no failure is called {self.failure!r}; known: status:N, {', '.join(sorted(FAILURES))}"
            )

    def calls(self, answered: bool) -> bool:  # noqa: FBT001
        """Whether it calls tools; `answered` says that the result of a call came with the request."""
        return self.tool_calls and not (self.tool_once and answered)

    @property
    def status(self) -> int | None:
        """The HTTP status that a failure `status:N` asks for."""
        number = (self.failure or "").removeprefix("status:")
        return int(number) if len(number) == 3 and number.isdigit() and 400 <= int(number) <= 599 else None


class UnknownScript(Exception):
    """No script stands for this name: the upstream does not know the model."""


def script_of(fields: Mapping[str, object]) -> Script:
    """The script that plain fields (a model's options, a name's query) describe. Raises msgspec.ValidationError."""
    return msgspec.convert(dict(fields), Script, strict=False)


def script_named(name: str) -> Script:
    """The script that a model's name spells; UnknownScript if it spells none."""
    what, _, fields = name.partition("?")
    what = what.removeprefix(PREFIX)
    values: dict[str, object] = dict(parse_qsl(fields))
    if what == "-tool-calls":
        values["tool_calls"] = True
    elif what not in ("", "-ok"):
        failure = what.removeprefix("-")
        values["failure"] = f"status:{failure}" if failure.isdigit() else failure
    if not name.startswith(PREFIX):
        raise UnknownScript(name)
    try:
        return script_of(values)
    except msgspec.ValidationError as error:
        raise UnknownScript(name) from error
