"""Prices: what models cost from when on, what a usage would cost, and pricing a period anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Protocol

from activities.prices import Reprice
from gateway.domain.errors import (
    ImplausiblePrice,
    InvalidRequest,
    ModelNotFound,
    PriceNotFound,
    RepricingNotFound,
    RepricingUnderWay,
    StorageUnavailable,
)
from gateway.domain.identity import Caller, Right
from gateway.domain.inference import Status, Usage
from gateway.domain.price_checks import DIGITS, doubts, unit_of
from gateway.domain.prices import OTHER_PARTS, TOKEN_PARTS, Bill, DatedPrice, Price, Tier
from gateway.domain.registry import Model, Registry
from gateway.domain.repricing import Repricing
from gateway.ids import new_id, parse_id
from gateway.prices import Lookup, PriceTable
from gateway.published import Published, published
from gateway.storage.ports import Page, Prices, Repricings

WORKFLOW: Final = "Reprice"
_LONGEST: Final = timedelta(days=3 * 366)
_MOST_TIERS: Final = 20
_SOURCE: Final = 1000  # characters of a source or a reason


class RunsRepricings(Protocol):
    """The engine, as far as repricings need it."""

    async def run(self, workflow: str, argument: object, *, id_: str, caller: str) -> bool:
        """Commit the start of a workflow; False if it had been started before. Raises EngineUnavailable."""
        ...

    async def cancel(self, workflow_id: str) -> bool:
        """Ask it to cancel; False if it is not running. Raises EngineUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class GivenTier:
    """A tier as it was given: its prices as text, by the names of parts."""

    over: int
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewPrice:
    """A price as it was given: `parts` as text by their names, from `since` on, which is now, or `always`.

    `unknown` must be said for a price without parts: it ends the price of the model. `force` takes what is doubted.
    """

    model: str
    parts: Mapping[str, str] = field(default_factory=dict)
    tiers: tuple[GivenTier, ...] = ()
    since: datetime | None = None
    always: bool = False
    unknown: bool = False
    source: str = ""
    force: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are looked for: newest first, or, `at` a moment, those in force then, by model."""

    model: str | None = None
    at: datetime | None = None
    limit: int = 50
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a usage costs at the price in force at a moment; without a bill where there is none."""

    model: str
    at: datetime
    price: DatedPrice | None
    bill: Bill | None


@dataclass(frozen=True, slots=True)
class Period:
    """What is to be priced anew; `models` None is every model."""

    since: datetime
    until: datetime
    models: tuple[str, ...] | None = None
    dry_run: bool = False
    reason: str = ""


class PricesService:
    """Shows prices to those who read models, and changes them for those with `prices.write`."""

    def __init__(
        self,
        *,
        registry: Callable[[], Registry],
        table: PriceTable,
        prices: Prices,
        repricings: Repricings,
        engine: RunsRepricings,
        catch_up: Callable[[], Awaitable[None]],
        lookup: Lookup = published,
    ) -> None:
        """`table` is this process's copy, `catch_up` makes it the latest; `lookup` is asked in a thread."""
        self._registry = registry
        self._table = table
        self._prices = prices
        self._repricings = repricings
        self._engine = engine
        self._catch_up = catch_up
        self._lookup = lookup

    # ---- prices ------------------------------------------------------------------------------------------------
    async def find(self, caller: Caller, wanted: Wanted) -> Page[DatedPrice]:
        """Rows newest first; or those in force at a moment, by model. Raises InvalidRequest for a page there is not."""
        _may_read(caller)
        if wanted.at is None:
            if wanted.after is not None and parse_id(wanted.after) is None:
                raise InvalidRequest("`after` must be the id of a price.", param="after")
            return await self._prices.find(model=wanted.model, limit=wanted.limit, after=wanted.after)
        at = _zoned(wanted.at, "at")
        names = sorted(self._table.rows) if wanted.model is None else [wanted.model]
        if wanted.after is not None:
            last = await self.get(caller, wanted.after)
            names = [name for name in names if name > last.model]
        found = [row for name in names if (row := self._table.says(name, at)) is not None]
        shown = found[: wanted.limit]
        return Page(tuple(shown), shown[-1].id if len(found) > len(shown) else None)

    async def get(self, caller: Caller, price_id: str) -> DatedPrice:
        """One row. Raises PriceNotFound."""
        _may_read(caller)
        found = await self._prices.get(price_id) if parse_id(price_id) else None
        if found is None:
            raise PriceNotFound("There is no such price.")
        return found

    async def add(self, caller: Caller, new: NewPrice) -> DatedPrice:
        """Add a price, in force everywhere within two seconds of its moment. The same price again is the one there is.

        Raises ModelNotFound, ImplausiblePrice unless forced, InvalidRequest naming the part that is wrong.
        """
        caller.require(Right.PRICES_WRITE)
        model = self._model(new.model)
        now = datetime.now(UTC)
        since = None if new.always else _zoned(new.since, "since") if new.since is not None else now
        if new.always and new.since is not None:
            raise InvalidRequest(
                "A price holds `always` or from `since` on: say one of them.", param="always"
            )
        price = _price_of(new, since)
        source = _text(new.source, "source") or f"said by {caller.name}"
        before = self._table.says(model.name, since or now)
        if before is not None and _same(before.price, price, explicit=new.since is not None or new.always):
            return before
        if not new.force:
            await self._doubt(model, price, since or now)
        kept = await self._prices.add(DatedPrice(new_id(), model.name, price, source, caller.name, now))
        with suppress(StorageUnavailable):  # it is kept; this process hears of it like any other
            await self._catch_up()
        return kept

    async def _doubt(self, model: Model, price: Price, moment: datetime) -> None:
        before = self._registry().price(model, moment)
        found = await asyncio.to_thread(self._lookup, model)
        elsewhere = found.at(moment) if isinstance(found, Published) else None
        doubted = doubts(price, before, elsewhere)
        if doubted:
            first, *others = doubted
            more = f" So are {', '.join(doubt.part for doubt in others)}." if others else ""
            raise ImplausiblePrice(
                f"`{first.part}` is doubted: {first.why}.{more} If it is meant, say `force`.",
                param=first.part,
            )

    async def estimate(
        self,
        caller: Caller,
        model: str,
        usage: Usage,
        *,
        at: datetime | None = None,
        took: timedelta | None = None,
    ) -> Estimate:
        """What a usage costs. Raises ModelNotFound, alike for a model that the caller may not use."""
        if not (caller.may(Right.MODELS_READ) or caller.may(Right.PRICES_WRITE) or caller.may_use(model)):
            raise ModelNotFound
        known = self._model(model)
        moment = datetime.now(UTC) if at is None else _zoned(at, "at")
        price = self._registry().price(known, moment)
        return Estimate(
            model,
            moment,
            self._table.says(model, moment),
            None if price is None else price.bill(usage, took),
        )

    def _model(self, name: str) -> Model:
        model = self._registry().models.get(name)
        if model is None:
            raise ModelNotFound(param="model")
        return model

    # ---- pricing anew ------------------------------------------------------------------------------------------
    async def reprice(self, caller: Caller, period: Period) -> Repricing:
        """Begin to price a period anew, by the prices that are known now, and return what is begun.

        Raises InvalidRequest, ModelNotFound, RepricingUnderWay, EngineUnavailable, StorageUnavailable.
        """
        caller.require(Right.PRICES_WRITE)
        since, until = _zoned(period.since, "since"), _zoned(period.until, "until")
        if not timedelta(0) < until - since <= _LONGEST:
            raise InvalidRequest(
                "The period must be more than nothing and at most three years.", param="since"
            )
        if until > datetime.now(UTC):
            raise InvalidRequest(
                "`until` must be past: what comes is charged by the prices of then.", param="until"
            )
        if period.models is not None:
            known = self._registry().models
            for name in period.models:
                if name not in known and name not in self._table.rows:
                    raise ModelNotFound(f"There is no model `{name}`, nor a price of one.", param="models")
        if not period.dry_run and await self._writes():
            raise RepricingUnderWay
        reprice = Reprice(
            new_id(),
            since,
            until,
            None if period.models is None else tuple(dict.fromkeys(period.models)),
            dry_run=period.dry_run,
            reason=_text(period.reason, "reason"),
            actor=caller.name,
        )
        # First the workflow: should this process die in between, the workflow keeps it by itself.
        await self._engine.run(WORKFLOW, reprice, id_=reprice.id, caller=caller.id)
        return await self._repricings.begin(reprice.begun())

    async def _writes(self) -> bool:
        page = await self._repricings.find(limit=20)
        return any(each.status is Status.IN_PROGRESS and not each.dry_run for each in page.rows)

    async def repricing(self, caller: Caller, repricing_id: str) -> Repricing:
        """One of them. Raises RepricingNotFound."""
        caller.require(Right.PRICES_WRITE)
        found = await self._repricings.get(repricing_id) if parse_id(repricing_id) else None
        if found is None:
            raise RepricingNotFound
        return found

    async def repricings(self, caller: Caller, *, limit: int, after: str | None) -> Page[Repricing]:
        """All of them, newest first. Raises InvalidRequest for a page there is not."""
        caller.require(Right.PRICES_WRITE)
        if after is not None and parse_id(after) is None:
            raise InvalidRequest("`after` must be the id of a repricing.", param="after")
        return await self._repricings.find(limit=limit, after=after)

    async def cancel(self, caller: Caller, repricing_id: str) -> Repricing:
        """Ask for its end; what was corrected stays. Raises RepricingNotFound, EngineUnavailable."""
        found = await self.repricing(caller, repricing_id)
        if found.status is not Status.IN_PROGRESS:
            return found
        if not await self._engine.cancel(found.id):
            # Nobody works at it, and it would be in the way of others for ever.
            return await self._repricings.end(found.id, Status.CANCELLED) or found
        return await self.repricing(caller, repricing_id)


def _may_read(caller: Caller) -> None:
    if not caller.may(Right.PRICES_WRITE):
        caller.require(Right.MODELS_READ)


def _zoned(moment: datetime, param: str) -> datetime:
    if moment.tzinfo is None:
        raise InvalidRequest("Times need a zone, as in 2026-01-31T12:00:00Z.", param=param)
    return moment.astimezone(UTC)


def _text(text: str, param: str) -> str:
    if len(text) > _SOURCE:
        raise InvalidRequest(f"`{param}` must have at most {_SOURCE} characters.", param=param)
    return text.strip()


def _same(before: Price, price: Price, *, explicit: bool) -> bool:
    """Whether a price says what is said already; from now on, if it has no moment of its own."""
    alike = (before.parts(), before.tiers) == (price.parts(), price.tiers)
    return alike and (not explicit or before.since == price.since)


# ---- what is given -----------------------------------------------------------------------------------------------
def _price_of(new: NewPrice, since: datetime | None) -> Price:
    parts: dict[str, Any] = {part: _usd(text, part, part) for part, text in new.parts.items()}
    tiers = tuple(_tier_of(tier, number) for number, tier in enumerate(new.tiers))
    if len(tiers) > _MOST_TIERS or len({tier.over for tier in tiers}) < len(tiers):
        raise InvalidRequest(
            f"`tiers` must be at most {_MOST_TIERS}, each `over` other tokens.", param="tiers"
        )
    if new.unknown and (parts or tiers):
        raise InvalidRequest("A price that is `unknown` has no parts.", param="unknown")
    if not parts and not new.unknown:
        names = ", ".join((*TOKEN_PARTS, *OTHER_PARTS))
        raise InvalidRequest(f"A price needs one of {names}; or say `unknown`, and it ends.", param="unknown")
    return Price(**parts, since=since, tiers=tuple(sorted(tiers, key=lambda tier: tier.over)))


def _tier_of(given: GivenTier, number: int) -> Tier:
    where = f"tiers.{number}"
    if given.over < 1:
        raise InvalidRequest(f"`{where}.over` must be a number of tokens above 0.", param=f"{where}.over")
    if not given.parts:
        raise InvalidRequest(f"`{where}` changes no price.", param=where)
    return Tier(
        given.over, **{part: _usd(text, part, f"{where}.{part}") for part, text in given.parts.items()}
    )


def _usd(text: str, part: str, param: str) -> Decimal:
    try:
        usd = Decimal(text) if len(text) <= 40 else Decimal("NaN")
    except InvalidOperation:
        usd = Decimal("NaN")
    if not usd.is_finite() or usd < 0 or usd.adjusted() > DIGITS or _places(usd) > DIGITS:
        raise InvalidRequest(
            f'`{param}` must be USD {unit_of(part)}, as a decimal in quotes such as "0.15", with at most '
            f"{DIGITS} digits behind the point.",
            param=param,
        )
    return usd


def _places(usd: Decimal) -> int:
    exponent = usd.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0
