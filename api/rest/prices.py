"""`/api/v1/prices`: what models cost from when on, what a usage would cost, and pricing a period anew."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import authenticate
from api.rest import bodies
from api.rest.wire import Usd
from api.service.prices import Estimate, GivenTier, NewPrice, Period, PricesService, Wanted
from gateway.domain.identity import Caller
from gateway.domain.inference import Usage
from gateway.domain.prices import OTHER_PARTS, TOKEN_PARTS, DatedPrice, Price
from gateway.domain.repricing import Repricing
from gateway.identity import Identify
from gateway.settings import Api

GivenUsd = Annotated[str | None, Field(examples=["0.15"])]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _TokenParts(_Body):
    """USD for a million tokens, as decimals in quotes."""

    input_usd: GivenUsd = None
    output_usd: GivenUsd = None
    cached_input_usd: GivenUsd = None
    cache_write_usd: GivenUsd = None
    cache_write_1h_usd: GivenUsd = None
    reasoning_usd: GivenUsd = None
    audio_input_usd: GivenUsd = None
    audio_output_usd: GivenUsd = None
    image_input_usd: GivenUsd = None
    image_output_usd: GivenUsd = None


class TierBody(_TokenParts):
    """What a million tokens cost instead when a request's input is longer than `over` tokens."""

    over: int = Field(ge=1)


class _Parts(_TokenParts):
    image_usd: Annotated[GivenUsd, Field(description="For one image that is made.")] = None
    request_usd: Annotated[GivenUsd, Field(description="For one request.")] = None
    gpu_second_usd: Annotated[GivenUsd, Field(description="For one second that a call takes.")] = None
    audio_hour_usd: Annotated[GivenUsd, Field(description="For one hour of audio.")] = None
    million_characters_usd: Annotated[
        GivenUsd, Field(description="For a million characters that are to be spoken.")
    ] = None
    search_unit_usd: Annotated[GivenUsd, Field(description="For one search unit of a reranker.")] = None


class PriceBody(_Parts):
    """A new price; what is left out is not known. In force from `since` on, which is now unless it is said."""

    model: str
    since: datetime | None = None
    always: Annotated[bool, Field(description="It has no beginning.")] = False
    tiers: list[TierBody] = []
    unknown: Annotated[bool, Field(description="The price ends: from then on nobody knows it.")] = False
    source: Annotated[str, Field(description="Whence it is known.", max_length=1000)] = ""
    force: Annotated[bool, Field(description="Take a price that is doubted.")] = False


class TierShape(_Body):
    """A tier: the prices that hold for a whole request from there on."""

    over: int
    prices: dict[str, Usd]


class PriceShape(_Body):
    """A price: a row that never changes. Only parts that are known are in `prices`."""

    id: str
    object: Literal["price"] = "price"
    model: str
    since: datetime | None
    known: bool
    prices: dict[str, Usd]
    tiers: list[TierShape]
    source: str
    actor: str
    created_at: datetime


class PricesPage(_Body):
    """Prices; ask again with `after=next_after` while it is there."""

    object: Literal["list"] = "list"
    data: list[PriceShape]
    next_after: str | None


Count = Annotated[int, Field(ge=0, le=10**9)]


class UsageBody(_Body):
    """What would be used: tokens, images made, seconds of audio, characters to be spoken, search units."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    cached_tokens: Count = 0
    reasoning_tokens: Count = 0
    cache_write_tokens: Count = 0
    cache_write_1h_tokens: Count = 0
    audio_input_tokens: Count = 0
    audio_output_tokens: Count = 0
    image_input_tokens: Count = 0
    image_output_tokens: Count = 0
    images: Count = 0
    audio_seconds: Annotated[float, Field(ge=0, le=10**9)] = 0.0
    characters: Count = 0
    search_units: Count = 0


class EstimateBody(_Body):
    """What is to be charged: a usage of a model, at a moment's price; `took_ms` for prices by the GPU second."""

    model: str
    usage: UsageBody
    at: datetime | None = None
    took_ms: Annotated[float | None, Field(ge=0, le=10**10)] = None


class ChargeShape(_Body):
    """One line of a bill: so much of a part, at `price_usd` for every `per` of it."""

    part: str
    amount: Usd | None
    per: Usd
    price_usd: Usd | None
    cost_usd: Usd | None


class EstimateShape(_Body):
    """What a usage costs; null where the price of a part in `unknown`, or the whole price, is not known."""

    object: Literal["estimate"] = "estimate"
    model: str
    at: datetime
    cost_usd: Usd | None
    unknown: list[str]
    charges: list[ChargeShape]
    price_id: str | None


class RepriceBody(_Body):
    """A period that is to be priced anew, by when requests were accepted; all models unless some are named."""

    since: datetime
    until: datetime
    models: Annotated[list[str] | None, Field(min_length=1, max_length=1000)] = None
    dry_run: Annotated[bool, Field(description="Only count what would change.")] = False
    reason: Annotated[str, Field(max_length=1000)] = ""


class RepricingShape(_Body):
    """A period that is priced anew: how far it is, and what came of the attempts that were looked at.

    `unknown` of them have no known cost; the sums are of those that have, before and after.
    """

    id: str
    object: Literal["repricing"] = "repricing"
    status: str
    since: datetime
    until: datetime
    models: list[str] | None
    dry_run: bool
    reason: str
    actor: str
    asked_at: datetime
    finished_at: datetime | None
    failure: str | None
    progress: float
    attempts: int
    changed: int
    unknown: int
    old_usd: Usd
    new_usd: Usd
    workflow_id: str


class RepricingsPage(_Body):
    """Repricings, newest first; ask again with `after=next_after` while it is there."""

    object: Literal["list"] = "list"
    data: list[RepricingShape]
    next_after: str | None


def router(identity: Identify, service: PricesService, settings: Api) -> APIRouter:
    """The routes of prices."""
    routes = APIRouter(prefix="/api/v1/prices", tags=["prices"])

    async def who(request: Request) -> Caller:
        return await authenticate(identity, request.scope["gateway"]["headers"])

    @routes.get("")
    async def find(
        request: Request,
        model: str | None = None,
        at: datetime | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        after: str | None = None,
    ) -> PricesPage:
        """Prices newest first; with `at`, those in force at that moment, by model."""
        page = await service.find(await who(request), Wanted(model, at, limit, after))
        return PricesPage(data=[price_shape(row) for row in page.rows], next_after=page.next_after)

    @routes.post("", status_code=201, response_model=PriceShape, openapi_extra=bodies.described(PriceBody))
    async def add(request: Request) -> Response:
        """Add a price; it is in force everywhere within two seconds of its moment."""
        caller = await who(request)
        body = await bodies.read(request, PriceBody, settings)
        row = await service.add(caller, _new_price(body))
        headers = {"location": f"/api/v1/prices/{row.id}"}
        return Response(price_shape(row).model_dump_json(), 201, headers, media_type="application/json")

    @routes.post("/estimate", response_model=EstimateShape, openapi_extra=bodies.described(EstimateBody))
    async def estimate(request: Request) -> EstimateShape:
        """What a usage costs, part by part, at the price in force at a moment."""
        caller = await who(request)
        body = await bodies.read(request, EstimateBody, settings)
        took = None if body.took_ms is None else timedelta(milliseconds=body.took_ms)
        return estimate_shape(
            await service.estimate(caller, body.model, _usage(body.usage), at=body.at, took=took)
        )

    @routes.post(
        "/reprice",
        status_code=202,
        response_model=RepricingShape,
        openapi_extra=bodies.described(RepriceBody),
    )
    async def reprice(request: Request) -> Response:
        """Price a period anew by the prices that are known now: corrections are kept beside the ledger."""
        caller = await who(request)
        body = await bodies.read(request, RepriceBody, settings)
        models = None if body.models is None else tuple(body.models)
        period = Period(body.since, body.until, models, body.dry_run, body.reason)
        repricing = await service.reprice(caller, period)
        headers = {"location": f"/api/v1/prices/reprice/{repricing.id}"}
        text = repricing_shape(repricing).model_dump_json()
        return Response(text, 202, headers, media_type="application/json")

    @routes.get("/reprice")
    async def repricings(
        request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 50, after: str | None = None
    ) -> RepricingsPage:
        """Periods that were priced anew, newest first."""
        page = await service.repricings(await who(request), limit=limit, after=after)
        return RepricingsPage(data=[repricing_shape(row) for row in page.rows], next_after=page.next_after)

    @routes.get("/reprice/{repricing_id}")
    async def repricing(request: Request, repricing_id: str) -> RepricingShape:
        """How far a repricing is, and what came of it so far."""
        return repricing_shape(await service.repricing(await who(request), repricing_id))

    @routes.post("/reprice/{repricing_id}/cancel", status_code=202)
    async def cancel(request: Request, repricing_id: str) -> RepricingShape:
        """Ask for a repricing's end; what it has corrected stays."""
        return repricing_shape(await service.cancel(await who(request), repricing_id))

    @routes.get("/{price_id}")
    async def get(request: Request, price_id: str) -> PriceShape:
        """One price."""
        return price_shape(await service.get(await who(request), price_id))

    return routes


def _new_price(body: PriceBody) -> NewPrice:
    return NewPrice(
        body.model,
        _given(body, (*TOKEN_PARTS, *OTHER_PARTS)),
        tuple(GivenTier(tier.over, _given(tier, TOKEN_PARTS)) for tier in body.tiers),
        body.since,
        always=body.always,
        unknown=body.unknown,
        source=body.source,
        force=body.force,
    )


def _given(body: _TokenParts, parts: tuple[str, ...]) -> dict[str, str]:
    given = {part: getattr(body, part) for part in parts}
    return {part: text for part, text in given.items() if text is not None}


def _usage(body: UsageBody) -> Usage:
    return Usage(
        input=body.input_tokens,
        output=body.output_tokens,
        cached=body.cached_tokens,
        reasoning=body.reasoning_tokens,
        cache_write=body.cache_write_tokens,
        cache_write_1h=body.cache_write_1h_tokens,
        audio_input=body.audio_input_tokens,
        audio_output=body.audio_output_tokens,
        image_input=body.image_input_tokens,
        image_output=body.image_output_tokens,
        images=body.images,
        seconds=body.audio_seconds,
        characters=body.characters,
        search_units=body.search_units,
    )


# ---- as we show it -----------------------------------------------------------------------------------------------
def price_shape(row: DatedPrice) -> PriceShape:
    """A price as we show it."""
    price: Price = row.price
    return PriceShape(
        id=row.id,
        model=row.model,
        since=price.since,
        known=price.known,
        prices=price.parts(),
        tiers=[TierShape(over=tier.over, prices=tier.parts()) for tier in price.tiers],
        source=row.source,
        actor=row.actor,
        created_at=row.created_at,
    )


def estimate_shape(estimate: Estimate) -> EstimateShape:
    """An estimate as we show it."""
    bill = estimate.bill
    charges: list[Any] = [] if bill is None else list(bill.charges)
    return EstimateShape(
        model=estimate.model,
        at=estimate.at,
        cost_usd=None if bill is None else bill.usd,
        unknown=["price"] if bill is None else list(bill.unknown),
        charges=[
            ChargeShape(
                part=charge.part,
                amount=None if charge.amount is None else Decimal(charge.amount),
                per=charge.per,
                price_usd=charge.price_usd,
                cost_usd=charge.usd,
            )
            for charge in charges
        ],
        price_id=None if estimate.price is None else estimate.price.id,
    )


def repricing_shape(repricing: Repricing) -> RepricingShape:
    """A repricing as we show it."""
    tally = repricing.tally
    return RepricingShape(
        id=repricing.id,
        status=repricing.status.value,
        since=repricing.since,
        until=repricing.until,
        models=None if repricing.models is None else list(repricing.models),
        dry_run=repricing.dry_run,
        reason=repricing.reason,
        actor=repricing.actor,
        asked_at=repricing.asked_at,
        finished_at=repricing.finished_at,
        failure=repricing.failure,
        progress=round(repricing.progress, 4),
        attempts=tally.looked_at,
        changed=tally.changed,
        unknown=tally.unknown,
        old_usd=tally.old_usd,
        new_usd=tally.new_usd,
        workflow_id=repricing.id,
    )
