"""Every mistake that can be made with prices at both doors."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.ids import new_id
from gateway.v1 import prices_pb2 as pb
from tests.api import rpc
from tests.api.mistakes import Doors, Mistake
from tests.api.world import ADMIN, CALLERS, KEY

NOW = datetime.now(UTC)
PAST = NOW - timedelta(days=3)
GOOD = {"model": "good", "input_usd": "1.10", "output_usd": "2.20"}


def stamp(moment: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(moment)
    return made


def adding(name: str, code: str, *, key: str = ADMIN, **given: Any) -> Mistake:
    """A price that cannot be added: `given` as REST takes it."""
    asked = {name: value for name, value in {**GOOD, **given}.items() if value is not None}
    parts = {name: value for name, value in asked.items() if name.endswith("_usd")}
    tiers = [
        pb.PriceTier(
            over=tier["over"], prices=pb.PriceParts(**{n: v for n, v in tier.items() if n != "over"})
        )
        for tier in asked.get("tiers", ())
    ]
    spoken: dict[str, Any] = {
        n: v for n, v in asked.items() if n in ("model", "always", "unknown", "source", "force")
    }
    if "since" in asked:
        spoken["since"] = stamp(datetime.fromisoformat(asked["since"]))
    return Mistake(
        name,
        code,
        lambda d: d.rest.post("/api/v1/prices", asked, key),
        lambda d: d.prices.Add(
            pb.PricesServiceAddRequest(prices=pb.PriceParts(**parts), tiers=tiers, **spoken),
            metadata=rpc.bearer(key),
        ),
    )


def repricing(name: str, code: str, *, prepare: Any = None, key: str = ADMIN, **given: Any) -> Mistake:
    """A period that cannot be priced anew."""
    asked = {"since": PAST, "until": NOW, **given}
    said = {n: v.isoformat() if isinstance(v, datetime) else v for n, v in asked.items() if v is not None}
    spoken: dict[str, Any] = {n: stamp(v) if isinstance(v, datetime) else v for n, v in asked.items()}
    more = {} if prepare is None else {"prepare": prepare}
    return Mistake(
        name,
        code,
        lambda d: d.rest.post("/api/v1/prices/reprice", said, key),
        lambda d: d.prices.Reprice(pb.PricesServiceRepriceRequest(**spoken), metadata=rpc.bearer(key)),
        **more,
    )


def by_id(name: str, code: str, id_: Callable[[], str], path: str, call: str, request: Any) -> Mistake:
    """Something that is not there."""
    return Mistake(
        name,
        code,
        lambda d: (
            d.rest.post(path.format(id_()), {}, ADMIN)
            if path.endswith("cancel")
            else d.rest.get(path.format(id_()), ADMIN)
        ),
        lambda d: getattr(d.prices, call)(request(id=id_()), metadata=rpc.bearer(ADMIN)),
    )


def listing(name: str, code: str, *, key: str = ADMIN, **given: Any) -> Mistake:
    """A list of prices that cannot be."""
    return Mistake(
        name,
        code,
        lambda d: d.rest.get("/api/v1/prices", key, **given),
        lambda d: d.prices.List(pb.PricesServiceListRequest(**given), metadata=rpc.bearer(key)),
    )


def estimating(name: str, code: str, *, model: str, prepare: Any = None) -> Mistake:
    """A usage that cannot be charged."""
    more = {} if prepare is None else {"prepare": prepare}
    return Mistake(
        name,
        code,
        lambda d: d.rest.post("/api/v1/prices/estimate", {"model": model, "usage": {}}),
        lambda d: d.prices.Estimate(pb.PricesServiceEstimateRequest(model=model), metadata=rpc.bearer()),
        **more,
    )


async def one_under_way(doors: Doors) -> None:
    doors.world.engine.repricing.clear()
    given = {"since": PAST.isoformat(), "until": NOW.isoformat()}
    assert (await doors.rest.post("/api/v1/prices/reprice", given, ADMIN)).status_code == 202


async def lose_engine(doors: Doors) -> None:
    doors.world.engine.up = False


async def allow_dear(doors: Doors) -> None:
    doors.world.identity.callers = {KEY: replace(CALLERS[KEY], models=frozenset({"dear"}))}


PRICE_MISTAKES = [
    adding("a price without the right to say it", "permission_denied", key=KEY),
    adding("a price of nobody", "model_not_found", model="nobody"),
    adding("a price of an alias", "model_not_found", model="assistant"),
    adding("a price that is no number", "invalid_request", input_usd="cheap"),
    adding("a price that is not a number", "invalid_request", input_usd="NaN"),
    adding("an endless price", "invalid_request", input_usd="Infinity"),
    adding("a price below nothing", "invalid_request", output_usd="-0.1"),
    adding("a price with too many digits", "invalid_request", input_usd="0.1234567890123"),
    adding("a price of endless length", "invalid_request", input_usd="1" * 50),
    adding("a price without parts", "invalid_request", input_usd=None, output_usd=None),
    adding("an end with parts", "invalid_request", unknown=True),
    adding("always and since", "invalid_request", always=True, since=NOW.isoformat()),
    adding("a tier over nothing", "invalid_request", tiers=[{"over": 0, "input_usd": "1"}]),
    adding("a tier that changes nothing", "invalid_request", tiers=[{"over": 5}]),
    adding("two tiers at once", "invalid_request", tiers=[{"over": 5, "input_usd": "1"}] * 2),
    adding("a price in another unit", "implausible_price", input_usd="0.0000011"),
    adding("a hundred times the price", "implausible_price", input_usd="110", since=None),
    adding("a tier in another unit", "implausible_price", tiers=[{"over": 5, "output_usd": "0.000002"}]),
    adding("cached input that is dearer", "implausible_price", cached_input_usd="1.2"),
    repricing("a period without the right to price it", "permission_denied", key=KEY),
    repricing("a period that ends before it begins", "invalid_request", since=NOW, until=PAST),
    repricing("a period of nothing", "invalid_request", since=PAST, until=PAST),
    repricing("a period to come", "invalid_request", until=NOW + timedelta(days=1)),
    repricing("an endless period", "invalid_request", since=datetime(2001, 1, 1, tzinfo=UTC)),
    repricing("a period of nobody", "model_not_found", models=["nobody"]),
    repricing("a period without its beginning", "invalid_request", since=None),
    repricing("a second repricing", "repricing_under_way", prepare=one_under_way),
    repricing("a repricing without an engine", "engine_unavailable", prepare=lose_engine),
    by_id("an unknown price", "price_not_found", new_id, "/api/v1/prices/{}", "Get", pb.PricesServiceGetRequest),
    by_id("no price's id", "price_not_found", lambda: "x", "/api/v1/prices/{}", "Get", pb.PricesServiceGetRequest),
    by_id(
        "an unknown repricing", "repricing_not_found", new_id, "/api/v1/prices/reprice/{}", "GetRepricing",
        pb.PricesServiceGetRepricingRequest,
    ),
    by_id(
        "the cancel of an unknown repricing", "repricing_not_found", new_id, "/api/v1/prices/reprice/{}/cancel",
        "CancelRepricing", pb.PricesServiceCancelRepricingRequest,
    ),
    listing("prices without the right to read them", "permission_denied", key=KEY),
    listing("a page of prices that is too long", "invalid_request", limit=201),
    listing("a page after no price", "invalid_request", after="x"),
    listing("a page after an unknown price", "invalid_request", after=new_id()),
    estimating("an estimate for nobody", "model_not_found", model="nobody"),
    estimating("an estimate for a forbidden model", "model_not_found", model="good", prepare=allow_dear),
]  # fmt: skip
