"""What compatible servers put into requests, answers and errors of their own, by the quirks of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from math import isnan
from typing import Any, Final, cast

import msgspec

from gateway.domain import errors
from gateway.domain.errors import ContentFiltered, ContextTooLong, GatewayError
from gateway.domain.secret import Secret
from gateway.net.waits import LONGEST_WAIT
from gateway.providers.chat import Chat
from gateway.providers.compatible.quirks import FILTERED, PLAIN, TOO_LONG, Limit, Quirks, Told
from gateway.providers.headers import outgoing
from gateway.providers.http import Complaint, said
from gateway.providers.plain import Plain
from gateway.providers.ports import JSON, Body, Call, Event, Reply
from gateway.providers.usage import read_told, usage_of
from gateway.providers.wire import Outgoing, Reading

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_messages = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_NULL: Final = msgspec.Raw(b"null")


# ---- complaints --------------------------------------------------------------------------------------------------
# The one place where an error is told by its words: these servers give no code for a prompt that is too long.
def judge(complaint: Complaint, quirks: Quirks = PLAIN) -> type[GatewayError] | None:
    """What a complaint stands for, where it is not in OpenAI's words."""
    own = quirks.codes.get(complaint.code) or quirks.codes.get(complaint.kind)
    if own is not None:
        return own
    message = complaint.message.lower()
    if any(words in message for words in TOO_LONG):
        return ContextTooLong
    return ContentFiltered if any(words in message for words in FILTERED) else None


@lru_cache(64)
def waits(limits: tuple[Limit, ...]) -> Callable[[Mapping[str, str]], timedelta | None]:
    """Reads how long it takes until none of these limits is in the way."""

    def wait(headers: Mapping[str, str]) -> timedelta | None:
        spans = [
            span
            for limit in limits
            if headers.get(limit.remaining, "").strip() == "0"
            and (span := _span(headers.get(limit.reset, ""), limit.told)) is not None
        ]
        return max(spans, default=None)

    return wait


_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _span(text: str, told: Told) -> timedelta | None:
    try:
        match told:
            case Told.SECONDS:
                seconds = float(text)
            case Told.EPOCH_MS:
                seconds = float(text) / 1000 - time.time()
            case Told.DURATION:
                seconds = _duration(text)
    except ValueError:
        return None
    if isnan(seconds):
        return None
    return timedelta(seconds=min(max(seconds, 0.0), LONGEST_WAIT.total_seconds()))


def _duration(text: str) -> float:
    """The seconds of `6m0s`, `59.56s` or `120ms`. Raises ValueError."""
    seconds, number, unit = 0.0, "", ""
    for char in f"{text.strip()} ":
        if unit and not char.isalpha():
            seconds += float(number) * _UNITS.get(unit, float("nan"))
            number = unit = ""
        if char.isalpha():
            unit += char
        elif not char.isspace():
            number += char
    if number or not text.strip():
        return float(number)  # seconds, without a unit
    return seconds


# ---- requests ----------------------------------------------------------------------------------------------------
def headers(
    call: Call, secret: Secret | None, media_type: str = JSON, quirks: Quirks = PLAIN
) -> dict[str, str]:
    """The request's headers: the model's own, the call's, and the credential last, so that nothing replaces it."""
    sent = outgoing(call, media_type)
    if secret is not None:
        sent[quirks.header] = f"{quirks.scheme}{secret.reveal()}"
    return sent


def fitted(call: Call, quirks: Quirks) -> tuple[Call, tuple[str, ...]]:
    """A chat as the server takes it, and the fields that it would have refused. Raises NotCarried if it is strict."""
    if not (quirks.renamed or quirks.refused or quirks.roles or quirks.refused_in_messages):
        return call, ()
    body, dropped = dict(call.body), list[str]()
    for name, known in quirks.renamed.items():
        value = body.pop(name, None)
        if value is not None:
            body.setdefault(known, value)
    for name in sorted(quirks.refused & body.keys()):
        del body[name]
        dropped.append(name)
    if quirks.roles or quirks.refused_in_messages:
        _fit_messages(body, quirks, dropped)
    if dropped and call.strict:
        raise errors.NotCarried(param=dropped[0])
    return replace(call, body=body), tuple(dropped)


def _fit_messages(body: dict[str, msgspec.Raw], quirks: Quirks, dropped: list[str]) -> None:
    raw = bytes(body.get("messages", _NULL))
    words = (*quirks.roles, *quirks.refused_in_messages)
    if not any(b'"%s"' % word.encode() in raw for word in words):
        return
    try:
        messages = _messages.decode(raw)
    except msgspec.DecodeError:
        return  # not ours to mend: the upstream says what it thinks of it
    roles = {b'"%s"' % name.encode(): msgspec.json.encode(known) for name, known in quirks.roles.items()}
    for index, message in enumerate(messages):
        for name in sorted(quirks.refused_in_messages & message.keys()):
            del message[name]
            dropped.append(f"messages[{index}].{name}")
        role = roles.get(bytes(message.get("role", _NULL)))
        if role is not None:
            message["role"] = msgspec.Raw(role)
    body["messages"] = msgspec.Raw(msgspec.json.encode(messages))


# ---- answers -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Adapted:
    """The wire of a chat, with what this server says elsewhere than OpenAI put where OpenAI says it."""

    chat: Chat
    quirks: Quirks

    @property
    def binary(self) -> bool:
        """It is always events."""
        return False

    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        """As with any chat."""
        return self.chat.outgoing(call, stream=stream)

    def reply(self, body: bytes, reading: Reading, request_id: str | None, media_type: str = JSON) -> Reply:
        """As with any chat; thoughts in their own field."""
        if self.quirks.thinks_in_parts and _THINKING in body:
            body = _unparted(body, "message", self.quirks.reasoning)
        return self.chat.reply(body, reading, request_id, media_type)

    def event(self, name: bytes, data: bytes, reading: Reading, request_id: str | None) -> Event:
        """As with any chat; thoughts in their own field, and usage from where this server says it."""
        if self.quirks.thinks_in_parts and _THINKING in data:
            data = _unparted(data, "delta", self.quirks.reasoning)
        event = self.chat.event(name, data, reading, request_id)
        if self.quirks.usage_in and event.usage is None:
            usage = _usage_at(data, self.quirks.usage_in)
            if usage is not None:
                return replace(event, usage=usage_of(read_told(usage)))
        return event


_THINKING: Final = b'"thinking"'


def _usage_at(data: bytes, path: tuple[str, ...]) -> msgspec.Raw | None:
    if b'"%s"' % path[0].encode() not in data:
        return None
    value = msgspec.Raw(data)
    for name in path:
        try:
            value = _fields.decode(value).get(name)
        except msgspec.DecodeError:
            return None
        if value is None:
            return None
    return value


def _unparted(data: bytes, where: str, field: str) -> bytes:
    """Content that is a list of parts as text, with its thoughts in a field of their own; else the same bytes."""
    try:
        whole: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data
    choices: Any = whole.get("choices") if isinstance(whole, dict) else None
    for choice in cast("list[Any]", choices) if isinstance(choices, list) else []:
        message: Any = cast("dict[str, Any]", choice).get(where) if isinstance(choice, dict) else None
        if isinstance(message, dict) and isinstance(message.get("content"), list):
            message["content"], thoughts = _split(cast("list[Any]", message["content"]))
            if thoughts:
                message[field] = thoughts
    return msgspec.json.encode(whole)


def _split(parts: list[Any]) -> tuple[str, str]:
    """What is said and what is thought in parts: `{type: text, text}`, `{type: thinking, thinking: [parts]}`."""
    said_so, thought = "", ""
    for part in parts:
        fields = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
        inner = fields.get("thinking")
        if isinstance(inner, list):
            thought += _split(cast("list[Any]", inner))[0]
        elif isinstance(inner, str):
            thought += inner
        elif isinstance(fields.get("text"), str):
            said_so += fields["text"]
    return said_so, thought


class _Score(msgspec.Struct):
    index: int
    score: float
    document: msgspec.Raw = _NULL


_scores = msgspec.json.Decoder(list[_Score])


_RESULTS: Final = Plain(needs="results")


class Scores:
    """The wire of a rerank whose server answers `[{"score", "index", "document"?}]` and not as Cohere and Jina do."""

    @property
    def binary(self) -> bool:
        """Nothing is streamed."""
        return False

    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        """As with any rerank."""
        return _RESULTS.outgoing(call, stream=stream)

    def reply(self, body: bytes, reading: Reading, request_id: str | None, media_type: str) -> Reply:
        """The scores as results, best first. Raises UpstreamMalformed, or what an error object stands for."""
        if not body.lstrip().startswith(b"["):
            return _RESULTS.reply(body, reading, request_id, media_type)
        try:
            scores = _scores.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            detail = f"{error}: {said(body, reading.secret)}"
            raise errors.UpstreamMalformed(detail=detail, status=200) from error
        scores.sort(key=lambda each: -each.score)
        results = msgspec.json.encode({"results": [_result(each) for each in scores]})
        return Reply(results, None, None, request_id)

    def event(self, name: bytes, data: bytes, reading: Reading, request_id: str | None) -> Event:
        """Raises UpstreamMalformed: nothing was to be streamed."""
        return _RESULTS.event(name, data, reading, request_id)


def _result(score: _Score) -> Body:
    found = {
        "index": msgspec.Raw(msgspec.json.encode(score.index)),
        "relevance_score": msgspec.Raw(msgspec.json.encode(score.score)),
    }
    document = bytes(score.document)
    if document.startswith(b'"'):
        found["document"] = msgspec.Raw(b'{"text":' + document + b"}")
    elif document != b"null":
        found["document"] = score.document
    return found
