"""Pictures and sounds on OpenAI's wire: what is asked, how much was used, and what of the answers may be kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from gateway.domain import errors
from gateway.domain.inference import Usage
from gateway.providers.http import said
from gateway.providers.multipart import form
from gateway.providers.plain import Plain, counted
from gateway.providers.ports import JSON, Body, Call, Event, Reply
from gateway.providers.usage import Told, read_told, usage_of
from gateway.providers.wire import Outgoing, Reading, complained

_UNKNOWN: Final = "application/octet-stream"
_NULL: Final = msgspec.Raw(b"null")
_BINARY: Final = ("b64_json", "audio")
"""Fields that hold a picture or a sound in base64."""


class _Said(msgspec.Struct):
    """One event of a stream: its type, and what counts of it."""

    type: str = ""
    delta: str | None = None
    usage: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL


class _Texts(msgspec.Struct):
    text: str | None = None
    duration: float | str | None = None


_said = msgspec.json.Decoder(_Said)
_items = msgspec.json.Decoder(list[msgspec.Raw])


def _sent(call: Call) -> Outgoing:
    if call.files:
        return form(call)
    return Outgoing(msgspec.json.encode({**call.body, "model": call.model.upstream_model}))


def _event(data: bytes, name: bytes, reading: Reading, request_id: str | None, last: Sequence[str]) -> Event:
    """An event that ends the answer if its type ends in one of `last`. Raises UpstreamMalformed, UpstreamBroken."""
    try:
        if not data.isascii():
            str(data, "utf-8")
        event = _said.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.UpstreamMalformed(detail=f"{error}: {said(data, reading.secret)}", status=200) from error
    if event.type == "error" or name == b"error" or bytes(event.error) != b"null":
        raise complained(data, reading, errors.UpstreamBroken)
    told: Told | None = None if bytes(event.usage) == b"null" else read_told(event.usage)
    return Event(
        data,
        event.delta or "",
        usage_of(told),
        finish_reason="stop" if event.type.endswith(tuple(last)) else None,
        provider_request_id=request_id,
        name=name.decode("utf-8", "replace"),
    )


# ---- pictures ----------------------------------------------------------------------------------------------------
def drawn(fields: Body) -> Usage | None:
    """The tokens that are told, and how many images were made."""
    try:
        images = len(_items.decode(fields.get("data", _NULL)))
    except msgspec.ValidationError:
        images = 0
    return replace(counted(fields) or Usage(), images=images)


_DRAWN: Final = Plain(needs="data", usage=drawn)


class Images:
    """Images made, edited or varied: JSON, a form where files came along, and a stream of images as they come to be."""

    @property
    def binary(self) -> bool:
        """Streams are always events."""
        return False

    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        """The caller's body with another `model`, and the files that came with it."""
        del stream  # it stands in the body
        return _sent(call)

    def reply(self, body: bytes, reading: Reading, request_id: str | None, media_type: str) -> Reply:
        """A whole answer. Raises UpstreamMalformed, or what an error in a successful answer stands for."""
        return _DRAWN.reply(body, reading, request_id, media_type)

    def event(self, name: bytes, data: bytes, reading: Reading, request_id: str | None) -> Event:
        """An image, finished or not. Raises UpstreamMalformed, UpstreamBroken."""
        event = _event(data, name, reading, request_id, (".completed",))
        if event.finish_reason is None:
            return event
        return replace(event, usage=replace(event.usage or Usage(), images=1))


# ---- sounds ------------------------------------------------------------------------------------------------------
class Speech:
    """A text spoken: sound, or events with pieces of it in base64."""

    @property
    def binary(self) -> bool:
        """Mostly it is."""
        return True

    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        """The caller's body with another `model`."""
        del stream
        return _sent(call)

    def reply(self, body: bytes, reading: Reading, request_id: str | None, media_type: str) -> Reply:
        """A whole sound. Raises UpstreamMalformed for anything else, or what an error object stands for."""
        if media_type == JSON:
            raise _no_sound(body, reading)
        if not body or media_type == "text/html":
            raise errors.UpstreamMalformed(detail=f"no sound: {said(body, reading.secret)}", status=200)
        return Reply(body, None, None, request_id, media_type=media_type or _UNKNOWN)

    def event(self, name: bytes, data: bytes, reading: Reading, request_id: str | None) -> Event:
        """A piece of the sound. Raises UpstreamMalformed, UpstreamBroken."""
        return _event(data, name, reading, request_id, (".done",))


def _no_sound(body: bytes, reading: Reading) -> errors.GatewayError:
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fields = {}
    if bytes(fields.get("error", _NULL)) != b"null":
        return complained(body, reading, errors.UpstreamUnavailable)
    return errors.UpstreamMalformed(detail=f"JSON, no sound: {said(body, reading.secret)}", status=200)


def heard(fields: Body) -> Usage | None:
    """The tokens or seconds that are told, or the length of the recording where it is said apart."""
    if (usage := counted(fields)) is not None:
        return usage
    try:
        found = msgspec.json.decode(fields.get("duration", _NULL), type=float | str | None)
        seconds = float(found or 0)
    except ValueError:  # msgspec's own among them
        return None
    return usage_of(Told(seconds=seconds)) if seconds > 0 else None


_HEARD: Final = Plain(needs="text", usage=heard)


class Transcription:
    """A recording as text: JSON, plain text or subtitles, or events as the text comes."""

    @property
    def binary(self) -> bool:
        """Streams are always events."""
        return False

    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        """A form with the recording."""
        del stream
        return _sent(call)

    def reply(self, body: bytes, reading: Reading, request_id: str | None, media_type: str) -> Reply:
        """A whole text. Raises UpstreamMalformed, or what an error in a successful answer stands for."""
        if media_type == JSON or not media_type.startswith("text/"):
            reply = _HEARD.reply(body, reading, request_id, JSON)
            return reply if reply.usage is not None else replace(reply, text=_text_of(body))
        try:
            text = body.decode()
        except UnicodeDecodeError as error:
            raise errors.UpstreamMalformed(detail=str(error), status=200) from error
        if media_type == "text/html":
            raise errors.UpstreamMalformed(detail=f"a page: {said(body, reading.secret)}", status=200)
        return Reply(body, None, None, request_id, media_type=media_type, text=text)

    def event(self, name: bytes, data: bytes, reading: Reading, request_id: str | None) -> Event:
        """A piece of the text. Raises UpstreamMalformed, UpstreamBroken."""
        return _event(data, name, reading, request_id, ("text.done",))


def _text_of(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Texts).text or ""
    except msgspec.DecodeError:
        return ""


# ---- what is kept ------------------------------------------------------------------------------------------------
def without_media(body: bytes) -> bytes:
    """An answer without the pictures and sounds in it: their sizes stand for them. What is no JSON is left as it is."""
    try:
        return msgspec.json.encode(_without(msgspec.json.decode(body)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body


def _without(value: Any) -> Any:
    if isinstance(value, list):
        return [_without(item) for item in value]
    if isinstance(value, dict):
        return {
            name: {"base64_bytes": len(item)} if name in _BINARY and isinstance(item, str) else _without(item)
            for name, item in value.items()
        }
    return value


def assemble(events: Sequence[bytes]) -> bytes:
    """A stream of pictures or sounds, or of what was heard, for the log: its last event, and how many there were."""
    if not events:
        return b"{}"
    return msgspec.json.encode({"events": len(events), "last": msgspec.Raw(without_media(events[-1]))})
