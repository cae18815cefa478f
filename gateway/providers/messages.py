"""Anthropic's messages, read once: what the gateway wants to know of an answer, without touching its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from gateway.domain import errors
from gateway.domain.inference import Usage
from gateway.providers.dialects.messages.tables import FINISHES
from gateway.providers.http import said
from gateway.providers.ports import JSON, Call, Event, Reply
from gateway.providers.usage import read_told, usage_of
from gateway.providers.wire import Outgoing, Reading, complained

_SAID: Final = ("thinking", "text", "input")  # what a block holds that was generated
_NULL: Final = msgspec.Raw(b"null")


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Started(msgspec.Struct):
    id: str | None = None
    usage: dict[str, msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: str = ""
    delta: _Delta | None = None
    message: _Started | None = None
    usage: dict[str, msgspec.Raw] | None = None
    error: msgspec.Raw = _NULL


class _Answer(msgspec.Struct):
    type: str = ""
    id: str | None = None
    content: list[msgspec.Raw] | None = None
    stop_reason: str | None = None
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


class _Count(msgspec.Struct):
    input_tokens: int | None = None
    error: msgspec.Raw = _NULL


_event = msgspec.json.Decoder(_Event)
_answer = msgspec.json.Decoder(_Answer)
_count = msgspec.json.Decoder(_Count)


class Messages:
    """The wire of `/v1/messages`: bytes pass through; only `model` and `stream` are ours."""

    @property
    def binary(self) -> bool:
        """It is always events."""
        return False

    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        """The caller's body with another `model`, streamed or not."""
        sent: dict[str, object] = {**call.body, "model": call.model.upstream_model}
        sent.pop("stream", None)
        if stream:
            sent["stream"] = True
        return Outgoing(msgspec.json.encode(sent))

    def reply(self, body: bytes, reading: Reading, request_id: str | None, media_type: str = JSON) -> Reply:
        """A whole answer. Raises UpstreamMalformed, or what an error object in a successful answer stands for."""
        del media_type
        try:
            str(body, "utf-8")
            answer = _answer.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(str(error), body, reading) from error
        if answer.content is None:
            if answer.error != _NULL:
                raise complained(body, reading, errors.UpstreamUnavailable)
            raise _malformed("an answer without content", body, reading)
        usage = usage_of(read_told(answer.usage))
        text = "" if usage is not None else _text(body)
        return Reply(body, usage, _finish(answer.stop_reason), request_id or answer.id, text=text)

    def event(self, name: bytes, data: bytes, reading: Reading, request_id: str | None) -> Event:
        """One event of a stream. Raises UpstreamMalformed, or UpstreamBroken for an error event."""
        try:
            if not data.isascii():
                str(data, "utf-8")
            event = _event.decode(data)
        except msgspec.ValidationError:
            event = _Event(type=_type_of(data))  # of a kind that we do not know, and the caller may
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(str(error), data, reading) from error
        if name == b"error" or event.type == "error" or event.error != _NULL:
            raise complained(data, reading, errors.UpstreamBroken)
        usage: Usage | None = None
        text, finish = "", None
        if event.type == "message_start" and event.message is not None:
            # Its count of output is a placeholder: usage is told when all of it is known.
            reading.notes.update(event.message.usage or {})
            if request_id is None and event.message.id:
                reading.notes["id"] = msgspec.Raw(event.message.id.encode())
        elif event.delta is not None:
            delta = event.delta
            text = delta.text or delta.thinking or delta.partial_json or ""
            finish = _finish(delta.stop_reason)
        if event.type == "message_delta" and event.usage:
            reading.notes.update({k: v for k, v in event.usage.items() if v != _NULL})
            told = {k: v for k, v in reading.notes.items() if k != "id"}
            usage = usage_of(read_told(msgspec.Raw(msgspec.json.encode(told))))
        if request_id is None and "id" in reading.notes:
            request_id = bytes(reading.notes["id"]).decode()
        return Event(data, text, usage, False, finish, request_id, name=name.decode("latin-1") or event.type)


class CountTokens:
    """The wire of `/v1/messages/count_tokens`, which costs nothing."""

    @property
    def binary(self) -> bool:
        """Nothing is streamed."""
        return False

    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        """The caller's body with another `model`."""
        del stream
        return Outgoing(msgspec.json.encode({**call.body, "model": call.model.upstream_model}))

    def reply(self, body: bytes, reading: Reading, request_id: str | None, media_type: str = JSON) -> Reply:
        """A count. Raises UpstreamMalformed, or what an error object in a successful answer stands for."""
        del media_type
        try:
            count = _count.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(str(error), body, reading) from error
        if count.input_tokens is None:
            if count.error != _NULL:
                raise complained(body, reading, errors.UpstreamUnavailable)
            raise _malformed("a count without `input_tokens`", body, reading)
        return Reply(body, Usage(), None, request_id)

    def event(self, name: bytes, data: bytes, reading: Reading, request_id: str | None) -> Event:
        """Raises UpstreamMalformed: nothing was to be streamed."""
        del name, request_id
        raise _malformed("a stream where none was asked for", data, reading)


def _text(body: bytes) -> str:
    """All that was generated in an answer, for an estimate."""
    content: Any = msgspec.json.decode(body)["content"]
    parts = (block.get(name) for block in content if isinstance(block, dict) for name in _SAID)
    return "".join(
        part if isinstance(part, str) else msgspec.json.encode(part).decode() for part in parts if part
    )


def _finish(stop_reason: str | None) -> str | None:
    """The ledger's word, which is chat's."""
    return None if stop_reason is None else FINISHES.get(stop_reason, stop_reason)


def _type_of(data: bytes) -> str:
    value: Any = msgspec.json.decode(data)
    kind = cast("Mapping[str, object]", value).get("type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) else ""


def _malformed(why: str, body: bytes, reading: Reading) -> errors.UpstreamMalformed:
    return errors.UpstreamMalformed(detail=f"{why}: {said(body, reading.secret)}", status=200)
