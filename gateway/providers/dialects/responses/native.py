"""Responses at a model that speaks them: its provider keeps no state for us, and its ids are not the caller's.

The gateway keeps the state itself and sends the whole history, so that the next turn may go to any other model. Of what
its caller is told, the response's id, its place in a conversation and the numbers of its events are the gateway's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from gateway.domain import errors
from gateway.providers.dialects.responses.items import SEALED
from gateway.providers.dialects.responses.own import FIELD, own_of, response_id
from gateway.providers.ports import Body, Event

_LEFT_OUT: Final = (FIELD, "previous_response_id", "conversation", "background")
_NO: Final = msgspec.Raw(b"false")
_THOUGHTS: Final = "reasoning.encrypted_content"
_TOLD_FIRST: Final = frozenset({"response.created", "response.queued"})
_OPENING: Final = frozenset({*_TOLD_FIRST, "response.in_progress"})
_NAMELESS: Final = frozenset(
    {
        "message",
        "function_call",
        "custom_tool_call",
        "function_call_output",
        "custom_tool_call_output",
        "reasoning",
    }
)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class NativeResponse:
    """A request for a model that speaks its dialect; `Carried` of the ports."""

    def __init__(self, body: Body, request_id: str) -> None:
        """Nothing is left out of it but what the gateway does itself."""
        own = own_of(body, request_id)
        self._ours: Mapping[str, msgspec.Raw] = {
            name: msgspec.Raw(msgspec.json.encode(value))
            for name, value in (
                ("id", response_id(request_id)),
                ("created_at", own.created_at),
                ("previous_response_id", own.previous_response_id),
                ("conversation", None if own.conversation is None else {"id": own.conversation}),
                ("background", own.background),
                ("store", own.store),
            )
        }
        self._told = own.told
        self.body: Body = _sent(body)
        self.dropped: tuple[str, ...] = ()

    def reply(self, body: bytes) -> bytes:
        """The response under the gateway's id. Raises UpstreamMalformed."""
        return msgspec.json.encode(self._named(msgspec.Raw(body)))

    def stream(self) -> _Renamed:
        """The events with the gateway's id and numbers."""
        return _Renamed(self._named, self._told)

    def _named(self, response: msgspec.Raw) -> Mapping[str, msgspec.Raw]:
        try:
            return {**_fields.decode(response), **self._ours}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise errors.UpstreamMalformed(detail=f"a response that is none: {error}") from error


class _Renamed:
    """A translator that changes names and numbers alone.

    The opening of a stream is held back until something comes: before that, a failure can still go to another model.
    """

    def __init__(self, named: Callable[[msgspec.Raw], Mapping[str, msgspec.Raw]], told: int) -> None:
        self._named = named
        self._told = told
        self._number = told
        self._held: list[Event] | None = []

    def feed(self, event: Event) -> Sequence[Event]:
        if self._held is not None:
            if event.name in _OPENING:
                if not (self._told and event.name in _TOLD_FIRST):
                    self._held.append(event)
                return ()
            held, self._held = self._held, None
            return [self._renamed(each) for each in (*held, event)]
        return [self._renamed(event)]

    def end(self) -> Sequence[Event]:
        held, self._held = self._held or [], None
        return [self._renamed(each) for each in held]

    def _renamed(self, event: Event) -> Event:
        try:
            said = _fields.decode(event.data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise errors.UpstreamMalformed(detail=f"an event that is no object: {error}") from error
        fields: dict[str, object] = {"type": event.name, **said, "sequence_number": self._number}
        self._number += 1
        if "response" in said:
            fields["response"] = self._named(said["response"])
        return Event(msgspec.json.encode(fields), name=event.name)


def native_response(body: Body, request_id: str) -> NativeResponse:
    """A request for a model that speaks its dialect."""
    return NativeResponse(body, request_id)


def _sent(body: Body) -> Body:
    """The body for a provider that is to keep nothing, and to hand out its thoughts so that they can come back."""
    sent = {name: value for name, value in body.items() if name not in _LEFT_OUT}
    sent["store"] = _NO
    if _thinks(body):
        wanted = cast("list[str]", msgspec.json.decode(body.get("include", b"[]")) or [])
        if isinstance(wanted, list) and _THOUGHTS not in wanted:
            sent["include"] = msgspec.Raw(msgspec.json.encode([*wanted, _THOUGHTS]))
    items: object = msgspec.json.decode(body["input"]) if "input" in body else None
    if isinstance(items, list):
        sent["input"] = msgspec.Raw(msgspec.json.encode(_history(cast("list[Any]", items))))
    return sent


def _thinks(body: Body) -> bool:
    raw = body.get("reasoning")
    said: object = None if raw is None else msgspec.json.decode(raw)
    return isinstance(said, dict) and cast("dict[str, object]", said).get("effort") not in (None, "none")


def _history(items: list[Any]) -> list[Any]:
    """The input without names that its provider never gave, and without thoughts that it cannot read.

    Thoughts from before the user's last word are of no use to anybody; those of another provider are of none here.
    """
    last = max((n for n, item in enumerate(items) if _is_word(item)), default=-1)
    found: list[Any] = []
    for place, item in enumerate(items):
        if not isinstance(item, dict):
            found.append(item)
            continue
        known = cast("dict[str, Any]", item)
        kind = known.get("type", "message")
        if kind == "reasoning":
            sealed = known.get("encrypted_content")
            if place < last or not isinstance(sealed, str) or sealed.startswith(SEALED):
                continue
        if kind in _NAMELESS:
            known = {name: value for name, value in known.items() if name not in ("id", "status")}
        found.append(known)
    return found


def _is_word(item: object) -> bool:
    return isinstance(item, dict) and cast("dict[str, Any]", item).get("role") == "user"
