"""A response's stream as its caller sees it: kept when it ends, its events in the log, failures told in its dialect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from api.service.opened import OpenStream
from api.service.served import RequestFailed, Served
from gateway.domain.errors import GatewayError
from gateway.domain.inference import Failure
from gateway.providers.dialects.responses.wire import ENDS
from gateway.providers.ports import Event
from gateway.responses import ended_badly, hidden, unsealed
from gateway.scribe import Scribe

_SEALED: Final = b'"encrypted_content"'
Keeps = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Keeps a response as it stands."""


class Telling:
    """A stream under way."""

    def __init__(
        self, opened: OpenStream, *, keep: Keeps | None, scribe: Scribe | None, include: tuple[str, ...]
    ) -> None:
        """`keep` is told of the response when it begins and when it ends; None where it is not kept."""
        self.served: Served = opened.served
        self.deadline = opened.deadline
        self.media_type = opened.media_type
        self._opened = opened
        self._keep = keep
        self._scribe = scribe
        self._include = include
        self._number = 0
        self._response: dict[str, Any] = {}
        self._done: list[dict[str, Any]] = []
        self._beginning: asyncio.Task[None] | None = None

    async def events(self) -> AsyncGenerator[Event, None]:
        """The events; of a stream that breaks the last ones are `error` and `response.failed`."""
        events = self._opened.events()
        whole = False
        try:
            async for event in events:
                yield await self._told(event)
            whole = True
        except RequestFailed as e:
            if not self._response:
                raise  # it had not begun: there is nothing to fail
            for event in await self._failed(e.error):
                yield event
            whole = True
        finally:
            await events.aclose()
            if self._scribe is not None and not whole:
                self._scribe.leave()  # whoever settles the request tells the end
        if self._scribe is not None:
            await self._scribe.close()

    async def close(self) -> None:
        """Close the upstream; what has not ended is settled as cancelled."""
        await self._opened.close()

    async def _told(self, event: Event) -> Event:
        if event.name == "response.created":
            self._response = msgspec.json.decode(event.data)["response"]
            if self._keep is not None:
                # Beside the stream, which does not wait for it.
                self._beginning = asyncio.create_task(self._begin(self._keep))
        elif event.name == "response.output_item.done":
            self._done.append(msgspec.json.decode(event.data)["item"])
        elif event.name in ENDS:
            await self._end(msgspec.json.decode(event.data)["response"])
        shown = self._shown(event)
        self._number += 1
        if self._scribe is not None:
            self._scribe.add(shown.name, shown.data)
        return shown

    async def _begin(self, keep: Keeps) -> None:
        await keep(self._response)

    async def _end(self, response: Mapping[str, Any]) -> None:
        if self._keep is None:
            return
        if self._beginning is not None:
            await self._beginning
        await self._keep(response)

    async def _failed(self, error: GatewayError) -> list[Event]:
        told = {
            "type": "error",
            "sequence_number": self._number,
            "code": error.code,
            "message": error.message,
            "param": error.param,
        }
        response = {**self._response, "output": self._done}
        response = ended_badly(response, "failed", Failure.of(error))
        await self._end(response)
        last: dict[str, object] = {
            "type": "response.failed",
            "sequence_number": self._number + 1,
            "response": hidden(response, self._include),
        }
        events = [
            Event(msgspec.json.encode(told), name="error"),
            Event(msgspec.json.encode(last), name="response.failed"),
        ]
        self._number += 2
        if self._scribe is not None:
            for event in events:
                self._scribe.add(event.name, event.data)
        return events

    def _shown(self, event: Event) -> Event:
        """The event without what a provider sealed, unless its caller asked for that."""
        if _SEALED not in event.data or "reasoning.encrypted_content" in self._include:
            return event
        fields = msgspec.json.decode(event.data)
        if "response" in fields:
            fields["response"] = hidden(fields["response"])
        elif "item" in fields:
            fields["item"] = unsealed(fields["item"])
        return Event(msgspec.json.encode(fields), name=event.name)
