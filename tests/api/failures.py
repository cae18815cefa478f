"""What goes wrong with an upstream, and what then becomes of the request: the table of docs/failures.md.

`tests/api/test_failures.py` plays each row at every provider, over sockets and through the whole application.
"""

from __future__ import annotations

from dataclasses import dataclass

WHOLE, STREAMED = "whole", "streamed"
BOTH = (WHOLE, STREAMED)


@dataclass(frozen=True, slots=True)
class Row:
    """One failure in one phase of a call.

    `how` is a script of the scripted upstream, or a word with `@` for what is played below HTTP. `code` is the caller's
    error where no model is left, None where the caller gets its answer. `again`: the same model is called again where
    it is alone. `next_`: the next model is called. `outcome` and `cost` are those of its attempt in the ledger: nothing
    is paid, it is estimated, or it is what the upstream told. `only` are the providers at which it can happen.
    """

    phase: str
    failure: str
    how: str
    code: str | None
    again: bool
    next_: bool
    cost: str
    modes: tuple[str, ...] = BOTH
    outcome: str = "failed"
    only: frozenset[str] | None = None
    note: str = ""


NOTHING, ESTIMATED, TOLD = "nothing", "estimated", "told"
_OPENAIS = frozenset({"compatible", "huggingface", "openai"})
UNAVAILABLE, TIMEOUT, MALFORMED, BROKEN = (
    "upstream_unavailable",
    "upstream_timeout",
    "upstream_malformed",
    "upstream_broken",
)


def _status(status: str, code: str, *, again: bool, next_: bool, cost: str = NOTHING, note: str = "") -> Row:
    how = f"scripted-{status.split(maxsplit=1)[0]}"
    return Row("headers", status, how, code, again, next_, cost, note=note)


def _midway(failure: str, how: str, code: str = BROKEN) -> Row:
    return Row("middle of a stream", failure, how, code, False, False, ESTIMATED, (STREAMED,), "broken")


ROWS = (
    # ---- connect -------------------------------------------------------------------------------------------------
    Row("connect", "refused", "@closed", UNAVAILABLE, True, True, NOTHING),
    Row("connect", "time-out", "@full", TIMEOUT, True, True, NOTHING),
    # ---- TLS -----------------------------------------------------------------------------------------------------
    Row("TLS", "the server speaks none", "@tls", UNAVAILABLE, True, True, NOTHING),
    # ---- headers -------------------------------------------------------------------------------------------------
    Row("headers", "reset", "scripted-reset", UNAVAILABLE, True, True, NOTHING),
    Row("headers", "hang", "scripted-hang", TIMEOUT, True, True, ESTIMATED),
    Row("headers", "no HTTP", "@garbage", UNAVAILABLE, True, True, NOTHING),
    Row(
        "headers",
        "redirect",
        "scripted-redirect",
        MALFORMED,
        True,
        True,
        ESTIMATED,
        note="it is not followed",
    ),
    _status("400", "upstream_rejected", again=False, next_=False),
    _status("401", "upstream_auth", again=False, next_=True, note="never the caller's 401; it alarms"),
    _status("402", "upstream_auth", again=False, next_=True, note="nothing left on the account"),
    _status("403", "upstream_auth", again=False, next_=True),
    _status("404", "upstream_not_found", again=False, next_=True),
    _status("408", TIMEOUT, again=True, next_=True, cost=ESTIMATED),
    _status("409", "upstream_rejected", again=False, next_=False),
    Row(
        "headers",
        "409 with `x-should-retry: true`",
        "scripted-409?should_retry=true",
        UNAVAILABLE,
        True,
        True,
        NOTHING,
    ),
    _status("413", "upstream_rejected", again=False, next_=False),
    _status("422", "upstream_rejected", again=False, next_=False),
    _status("429", "upstream_rate_limited", again=True, next_=True),
    Row(
        "headers",
        "429 with `retry-after` in time",
        "scripted-429?retry_after_ms=40",
        "upstream_rate_limited",
        True,
        True,
        NOTHING,
        note="called again no sooner than it asks for",
    ),
    Row(
        "headers",
        "429 with `retry-after` beyond the deadline",
        "scripted-429?retry_after=70",
        "upstream_rate_limited",
        False,
        True,
        NOTHING,
        note="the caller is told to wait as long",
    ),
    Row(
        "headers",
        "429, nothing left on the account",
        "scripted-quota",
        "upstream_auth",
        False,
        True,
        NOTHING,
        only=_OPENAIS,
    ),
    _status("500", UNAVAILABLE, again=True, next_=True),
    Row(
        "headers",
        "500 with `x-should-retry: false`",
        "scripted-500?should_retry=false",
        UNAVAILABLE,
        False,
        True,
        NOTHING,
    ),
    _status("502", UNAVAILABLE, again=True, next_=True),
    _status("503", UNAVAILABLE, again=True, next_=True),
    _status("504", UNAVAILABLE, again=True, next_=True),
    _status("529", UNAVAILABLE, again=True, next_=True),
    Row(
        "headers",
        "context too long",
        "scripted-context-too-long",
        "context_length_exceeded",
        False,
        True,
        NOTHING,
        note="the next model with a larger window",
    ),
    Row(
        "headers",
        "content filter",
        "scripted-content-filter",
        "content_filter",
        False,
        False,
        NOTHING,
        note="the next model if a rule says `past_content_filter = true`",
    ),
    # ---- first byte ----------------------------------------------------------------------------------------------
    Row("first byte", "HTML with 200", "scripted-html", MALFORMED, True, True, ESTIMATED),
    Row(
        "first byte", "an error with 200", "scripted-error-reply", UNAVAILABLE, True, True, NOTHING, (WHOLE,)
    ),
    Row("first byte", "empty answer", "scripted-empty", MALFORMED, True, True, ESTIMATED, (WHOLE,)),
    Row("first byte", "empty stream", "scripted-empty", BROKEN, True, True, ESTIMATED, (STREAMED,)),
    Row("first byte", "no JSON", "scripted-broken-json", MALFORMED, True, True, ESTIMATED, (WHOLE,)),
    Row("first byte", "JSON cut off", "scripted-cut-json", BROKEN, True, True, ESTIMATED, (WHOLE,)),
    Row("first byte", "cut off in a character", "scripted-cut-utf8", BROKEN, True, True, ESTIMATED, (WHOLE,)),
    Row("first byte", "reset", "scripted-reset-mid-stream", BROKEN, True, True, ESTIMATED, (WHOLE,)),
    Row("first byte", "hang", "scripted-hang-mid-stream", TIMEOUT, True, True, ESTIMATED, (WHOLE,)),
    Row(
        "first byte", "hang", "scripted-hang-mid-stream?after=0", TIMEOUT, True, True, ESTIMATED, (STREAMED,)
    ),
    # ---- the middle ----------------------------------------------------------------------------------------------
    _midway("closed", "scripted-close-mid-stream?after=6"),
    _midway("reset", "scripted-reset-mid-stream?after=6"),
    _midway("hang", "scripted-hang-mid-stream?after=6", TIMEOUT),
    _midway("an event cut off", "scripted-half-event?after=6"),
    _midway("cut off in a character", "scripted-cut-utf8?after=6"),
    _midway("no JSON", "scripted-broken-json?after=6", MALFORMED),
    _midway("an error as an event", "scripted-error-event?after=6"),
    Row(
        "middle of a stream",
        "slow drip, in time",
        "scripted-slow-drip?chunk_interval_ms=0.01&tokens=2",
        None,
        False,
        False,
        TOLD,
        outcome="succeeded",
    ),
    _midway("slow drip, past its time", "scripted-slow-drip?chunk_interval_ms=2&tokens=40", TIMEOUT),
    # ---- the end -------------------------------------------------------------------------------------------------
    Row(
        "after the last byte",
        "no finish reason and no `[DONE]`",
        "scripted-no-done",
        BROKEN,
        False,
        False,
        ESTIMATED,
        (STREAMED,),
        "broken",
    ),
    Row(
        "after the last byte",
        "hang after `[DONE]`",
        "@hangs-after",
        None,
        False,
        False,
        TOLD,
        (STREAMED,),
        "succeeded",
        _OPENAIS,
    ),
    Row(
        "after the last byte",
        "reset after `[DONE]`",
        "@resets-after",
        None,
        False,
        False,
        TOLD,
        (STREAMED,),
        "succeeded",
        _OPENAIS,
    ),
)
"""All that can go wrong, in the order of a call."""
