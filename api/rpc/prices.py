"""PricesService: what models cost from when on, and pricing a period of the ledger anew."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from api.rpc.common import STATUS, usage_of
from api.rpc.door import Call
from api.rpc.values import decimal, limit_of, moment, seconds, timestamp
from api.service.prices import Estimate, GivenTier, NewPrice, Period, PricesService, Wanted
from gateway.domain.errors import InvalidRequest
from gateway.domain.prices import OTHER_PARTS, TOKEN_PARTS, DatedPrice
from gateway.domain.repricing import Repricing
from gateway.v1 import prices_pb2 as pb

_PARTS = (*TOKEN_PARTS, *OTHER_PARTS)


class PricesServicer:
    """Shows prices, adds to them, and prices periods anew."""

    def __init__(self, prices: PricesService) -> None:
        """`prices` does the work."""
        self._prices = prices

    async def list(self, call: Call, request: pb.PricesServiceListRequest) -> pb.PricesServiceListResponse:
        """Prices newest first; with `at`, those in force at that moment, by model."""
        wanted = Wanted(
            model=request.model or None,
            at=moment(request.at, "at") if request.HasField("at") else None,
            limit=limit_of(request.limit),
            after=request.after or None,
        )
        page = await self._prices.find(call.caller, wanted)
        rows = [price_message(row) for row in page.rows]
        return pb.PricesServiceListResponse(prices=rows, next_after=page.next_after or "")

    async def get(self, call: Call, request: pb.PricesServiceGetRequest) -> pb.PricesServiceGetResponse:
        """One price."""
        return pb.PricesServiceGetResponse(
            price=price_message(await self._prices.get(call.caller, request.id))
        )

    async def add(self, call: Call, request: pb.PricesServiceAddRequest) -> pb.PricesServiceAddResponse:
        """Add a price."""
        new = NewPrice(
            request.model,
            _given(request.prices),
            tuple(_tier(tier, number) for number, tier in enumerate(request.tiers)),
            moment(request.since, "since") if request.HasField("since") else None,
            always=request.always,
            unknown=request.unknown,
            source=request.source,
            force=request.force,
        )
        return pb.PricesServiceAddResponse(price=price_message(await self._prices.add(call.caller, new)))

    async def estimate(
        self, call: Call, request: pb.PricesServiceEstimateRequest
    ) -> pb.PricesServiceEstimateResponse:
        """What a usage costs."""
        estimate = await self._prices.estimate(
            call.caller,
            request.model,
            usage_of(request.usage),
            at=moment(request.at, "at") if request.HasField("at") else None,
            took=timedelta(seconds=seconds(request.took)) if request.HasField("took") else None,
        )
        return _estimate_message(estimate)

    async def reprice(
        self, call: Call, request: pb.PricesServiceRepriceRequest
    ) -> pb.PricesServiceRepriceResponse:
        """Begin to price a period anew."""
        for name in ("since", "until"):
            if not request.HasField(name):
                raise InvalidRequest(f"`{name}`: Field required.", param=name)
        period = Period(
            moment(request.since, "since"),
            moment(request.until, "until"),
            tuple(request.models) or None,
            request.dry_run,
            request.reason,
        )
        repricing = await self._prices.reprice(call.caller, period)
        return pb.PricesServiceRepriceResponse(repricing=_repricing_message(repricing))

    async def list_repricings(
        self, call: Call, request: pb.PricesServiceListRepricingsRequest
    ) -> pb.PricesServiceListRepricingsResponse:
        """Periods that were priced anew, newest first."""
        page = await self._prices.repricings(
            call.caller, limit=limit_of(request.limit), after=request.after or None
        )
        rows = [_repricing_message(row) for row in page.rows]
        return pb.PricesServiceListRepricingsResponse(repricings=rows, next_after=page.next_after or "")

    async def get_repricing(
        self, call: Call, request: pb.PricesServiceGetRepricingRequest
    ) -> pb.PricesServiceGetRepricingResponse:
        """How far a repricing is."""
        repricing = await self._prices.repricing(call.caller, request.id)
        return pb.PricesServiceGetRepricingResponse(repricing=_repricing_message(repricing))

    async def cancel_repricing(
        self, call: Call, request: pb.PricesServiceCancelRepricingRequest
    ) -> pb.PricesServiceCancelRepricingResponse:
        """Ask for a repricing's end."""
        repricing = await self._prices.cancel(call.caller, request.id)
        return pb.PricesServiceCancelRepricingResponse(repricing=_repricing_message(repricing))


def _given(parts: pb.PriceParts) -> dict[str, str]:
    return {part: getattr(parts, part) for part in _PARTS if parts.HasField(part)}


def _tier(tier: pb.PriceTier, number: int) -> GivenTier:
    given = _given(tier.prices)
    for part in OTHER_PARTS:
        if part in given:
            raise InvalidRequest(
                f"`tiers.{number}.{part}`: A tier is of tokens only.", param=f"tiers.{number}.{part}"
            )
    return GivenTier(tier.over, given)


# ---- as we show it -----------------------------------------------------------------------------------------------
def price_message(row: DatedPrice) -> pb.Price:
    """A price as we show it."""
    price = row.price
    return pb.Price(
        id=row.id,
        model=row.model,
        since=timestamp(price.since),
        known=price.known,
        prices=_parts(price.parts()),
        tiers=[pb.PriceTier(over=tier.over, prices=_parts(tier.parts())) for tier in price.tiers],
        source=row.source,
        actor=row.actor,
        created_at=timestamp(row.created_at),
    )


def _parts(parts: Mapping[str, Decimal]) -> pb.PriceParts:
    return pb.PriceParts(**{part: f"{usd:f}" for part, usd in parts.items()})


def _estimate_message(estimate: Estimate) -> pb.PricesServiceEstimateResponse:
    bill = estimate.bill
    return pb.PricesServiceEstimateResponse(
        model=estimate.model,
        at=timestamp(estimate.at),
        cost_usd=None if bill is None else decimal(bill.usd),
        unknown=["price"] if bill is None else bill.unknown,
        charges=[
            pb.Charge(
                part=charge.part,
                amount=None if charge.amount is None else decimal(Decimal(charge.amount)),
                per=f"{charge.per:f}",
                price_usd=decimal(charge.price_usd),
                cost_usd=decimal(charge.usd),
            )
            for charge in (bill.charges if bill is not None else ())
        ],
        price_id=estimate.price.id if estimate.price is not None else "",
    )


def _repricing_message(repricing: Repricing) -> pb.Repricing:
    tally = repricing.tally
    return pb.Repricing(
        id=repricing.id,
        status=STATUS[repricing.status],
        since=timestamp(repricing.since),
        until=timestamp(repricing.until),
        models=repricing.models or (),
        dry_run=repricing.dry_run,
        reason=repricing.reason,
        actor=repricing.actor,
        asked_at=timestamp(repricing.asked_at),
        finished_at=timestamp(repricing.finished_at),
        failure=repricing.failure,
        progress=round(repricing.progress, 4),
        attempts=tally.looked_at,
        changed=tally.changed,
        unknown=tally.unknown,
        old_usd=f"{tally.old_usd:f}",
        new_usd=f"{tally.new_usd:f}",
        workflow_id=repricing.id,
    )
