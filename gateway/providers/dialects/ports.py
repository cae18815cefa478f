"""What carries an operation over OpenAI's chat, for models that do not speak its dialect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.providers.ports import Body, Event, Reply


class Carried(Protocol):
    """One request carried over: what is asked in chat's dialect, and the way back of its answer."""

    @property
    def body(self) -> Body:
        """The chat request."""
        ...

    @property
    def dropped(self) -> tuple[str, ...]:
        """Fields of the request that chat has no word for, by their paths."""
        ...

    def reply(self, body: bytes) -> bytes:
        """A chat completion as an answer in the caller's dialect. Raises UpstreamMalformed."""
        ...

    def stream(self) -> Translator:
        """A translator for one stream of chat chunks."""
        ...


class Translator(Protocol):
    """Chat's events in, the caller's dialect's out. Usage and text of an event in are counted before it comes here."""

    def feed(self, event: Event) -> Sequence[Event]:
        """The events that this one completes."""
        ...

    def end(self) -> Sequence[Event]:
        """The events with which a stream that ended well ends."""
        ...


class Bridge(Protocol):
    """A way to carry one operation over chat."""

    def __call__(self, body: Body, request_id: str) -> Carried:
        """Carry a request over; its answer may be named after the id. Raises InvalidRequest naming a wrong field."""
        ...


class Answers(Protocol):
    """A way to answer an operation without any upstream."""

    def __call__(self, body: Body) -> Reply:
        """The answer, which costs nothing. Raises InvalidRequest naming a wrong field."""
        ...
