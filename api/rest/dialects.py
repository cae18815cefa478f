"""How each dialect frames the events of a stream, and says in it that something went wrong."""

from __future__ import annotations

from typing import Protocol

import msgspec
from typing_extensions import override

from api.errors import anthropic_body, openai_body
from api.service.served import Served
from gateway.domain.errors import GatewayError
from gateway.providers.ports import Event


class Dialect(Protocol):
    """One dialect's streams."""

    @property
    def alive(self) -> bytes:
        """What is sent when nothing has come for long."""
        ...

    def event(self, event: Event) -> bytes:
        """One event as it goes out."""
        ...

    def failed(self, error: GatewayError, served: Served) -> bytes:
        """The end of a stream that broke."""
        ...

    def end(self, served: Served) -> bytes:
        """The end of a stream that ended well."""
        ...


class OpenAI:
    """Events mostly without names; `[DONE]` at the end of what ended well."""

    @property
    def alive(self) -> bytes:
        """A comment, which every client skips."""
        return b": keep-alive\n\n"

    def event(self, event: Event) -> bytes:
        """The data, and the event's name where it has one."""
        if event.name:
            return b"event: " + event.name.encode() + b"\ndata: " + event.data + b"\n\n"
        return b"data: " + event.data + b"\n\n"

    def failed(self, error: GatewayError, served: Served) -> bytes:
        """The error's object as the last event."""
        del served
        return b"data: " + openai_body(error) + b"\n\n"

    def end(self, served: Served) -> bytes:
        """What is known only now, as a comment, and `[DONE]`."""
        return remark(served) + b"data: [DONE]\n\n"


class Anthropic:
    """Named events; what ended well has said so itself."""

    @property
    def alive(self) -> bytes:
        """Anthropic's own sign of life."""
        return b'event: ping\ndata: {"type":"ping"}\n\n'

    def event(self, event: Event) -> bytes:
        """The name and the data."""
        return b"event: " + event.name.encode() + b"\ndata: " + event.data + b"\n\n"

    def failed(self, error: GatewayError, served: Served) -> bytes:
        """The error's object as the last event."""
        return b"event: error\ndata: " + anthropic_body(error, served.request_id) + b"\n\n"

    def end(self, served: Served) -> bytes:
        """What is known only now, as a comment."""
        return remark(served)


class Responses:
    """Events with their names; a failure is told in events of the dialect, so that every stream ends well.

    `[DONE]` at the end is Open Responses' word; OpenAI's own SDKs stop at it too.
    """

    @property
    def alive(self) -> bytes:
        """A comment, which every client skips."""
        return b": keep-alive\n\n"

    def event(self, event: Event) -> bytes:
        """The name and the data."""
        return b"event: " + event.name.encode() + b"\ndata: " + event.data + b"\n\n"

    def failed(self, error: GatewayError, served: Served) -> bytes:
        """What is left to be said where not even the dialect's own failure could be."""
        del served
        told = {
            "type": "error",
            "sequence_number": 0,
            "code": error.code,
            "message": error.message,
            "param": error.param,
        }
        return b"event: error\ndata: " + msgspec.json.encode(told) + b"\n\n"

    def end(self, served: Served) -> bytes:
        """What is known only now, as a comment, and `[DONE]`."""
        return remark(served) + b"data: [DONE]\n\n"


class Media(OpenAI):
    """Images and sounds: their last event says by its type that it is the last."""

    @override
    def end(self, served: Served) -> bytes:
        return remark(served)


def remark(served: Served) -> bytes:
    """What is known only at the end, as a comment that every client skips."""
    told = {
        "request_id": served.request_id,
        "model": served.model,
        "attempts": served.attempts,
        "cost_usd": None if served.cost_usd is None else f"{served.cost_usd:f}",
        "durability": served.durability,
    }
    return b": gateway " + msgspec.json.encode(told) + b"\n\n"
