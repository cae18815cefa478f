"""A stream as the doors see it: under way, or told once more."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Protocol

from api.service.served import Served
from gateway.providers.ports import Event


class OpenStream(Protocol):
    """A stream whose first event has come. `served` is complete when the events have ended."""

    served: Served

    @property
    def deadline(self) -> datetime:
        """When it is cut off at the latest."""
        ...

    @property
    def media_type(self) -> str:
        """What its events are."""
        ...

    def events(self) -> AsyncGenerator[Event, None]:
        """Yield the events that the caller is to see. Raises RequestFailed when the stream breaks.

        Closing the iterator early cancels the request.
        """
        ...

    async def close(self) -> None:
        """Close the upstream, whether `events` was ever begun or not; what has not ended is settled as cancelled."""
        ...
