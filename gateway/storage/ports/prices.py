"""What models cost, as it is kept: dated rows that are only added to, and what the ledger's costs are corrected by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from gateway.domain.inference import Status
from gateway.domain.prices import DatedPrice
from gateway.domain.repricing import Correction, Place, Repricing, Stretch, Tally
from gateway.storage.ports.page import Page


class Prices(Protocol):
    """The table of prices. Whoever adds to it grows the revision `prices`, and stands in the audit."""

    async def load(self, known_at: datetime | None = None) -> tuple[DatedPrice, ...]:
        """All rows, oldest first; those only that were there at a moment of the store's own clock."""
        ...

    async def get(self, price_id: str) -> DatedPrice | None:
        """One row."""
        ...

    async def find(
        self, *, model: str | None = None, limit: int, after: str | None = None
    ) -> Page[DatedPrice]:
        """Rows newest first. Raises InvalidRequest when `after` is no row's id."""
        ...

    async def add(self, price: DatedPrice) -> DatedPrice:
        """Keep a row; it is returned with the moment at which the store kept it."""
        ...

    async def plant(self, model: str, prices: Sequence[DatedPrice], *, last: str | None) -> bool:
        """Keep rows of one model, if the newest one that it has is still `last` (None: it has none).

        So of several replicas that would all do it, one does. Returns whether it was this one.
        """
        ...


class Repricings(Protocol):
    """Periods that are priced anew, and the corrections that come of it. Its store is that of the requests."""

    async def begin(self, repricing: Repricing) -> Repricing:
        """Keep one that begins, or return the one that is kept under its id; `asked_at` is the store's own clock's.

        Raises RepricingUnderWay while another one is in progress, unless either is a dry run.
        """
        ...

    async def get(self, repricing_id: str) -> Repricing | None:
        """One of them."""
        ...

    async def find(self, *, limit: int, after: str | None = None) -> Page[Repricing]:
        """All of them, newest first. Raises InvalidRequest when `after` is none's id."""
        ...

    async def stretch(self, repricing: Repricing, limit: int) -> Stretch:
        """The next part of its period after its place: so many attempts, of which those of its models are told."""
        ...

    async def advance(
        self, repricing: Repricing, place: Place, corrections: Sequence[Correction], tally: Tally
    ) -> bool:
        """Move on to `place`, add to its tally and keep the corrections (unless it is a dry run), all or nothing.

        False, and nothing happens, if it has left `repricing.place` or is no longer in progress: so a step that is done
        twice counts once.
        """
        ...

    async def end(self, repricing_id: str, status: Status, failure: str | None = None) -> Repricing | None:
        """End it, unless it has ended; returns it as it is then."""
        ...

    async def corrections(
        self, repricing_id: str, limit: int, after: Place | None = None
    ) -> tuple[Correction, ...]:
        """What it corrected, in the order of places."""
        ...
