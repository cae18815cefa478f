"""Every mistake that a caller can make at both doors, and how it is made at each."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.duration_pb2 import Duration

from api.rpc.values import struct_of
from gateway.ids import new_id
from gateway.v1 import common_pb2, inference_pb2, jobs_pb2, requests_pb2
from gateway.v1.inference_pb2_grpc import InferenceServiceStub
from gateway.v1.jobs_pb2_grpc import JobsServiceStub
from gateway.v1.live_pb2_grpc import LiveServiceStub
from gateway.v1.models_pb2_grpc import ModelsServiceStub
from gateway.v1.prices_pb2_grpc import PricesServiceStub
from gateway.v1.registry_pb2_grpc import RegistryServiceStub
from gateway.v1.requests_pb2_grpc import RequestsServiceStub
from gateway.v1.rules_pb2_grpc import RulesServiceStub
from gateway.v1.webhooks_pb2_grpc import WebhooksServiceStub
from tests.api import rpc
from tests.api.rest import Rest, bearer, body, script, serving
from tests.api.world import ADMIN, CALLERS, KEY, OTHER, POWERLESS, World, rpc_channel
from tests.waits import until


class Doors:
    """Both doors of one world."""

    def __init__(self, rest: Rest, channel: Any) -> None:
        self.world = rest.world
        self.rest = rest
        self.chat = InferenceServiceStub(channel)
        self.jobs = JobsServiceStub(channel)
        self.prices = PricesServiceStub(channel)
        self.requests = RequestsServiceStub(channel)
        self.models = ModelsServiceStub(channel)
        self.live = LiveServiceStub(channel)
        self.rules = RulesServiceStub(channel)
        self.webhooks = WebhooksServiceStub(channel)
        self.registry = RegistryServiceStub(channel)

    async def settled(self) -> None:
        """Wait for the ledger."""
        await until(lambda: not len(self.world.exchanges))


@asynccontextmanager
async def both(world: World) -> AsyncGenerator[Doors]:
    async with serving(world) as rest, rpc_channel(world) as channel:
        yield Doors(rest, channel)


@dataclass(frozen=True)
class Mistake:
    """One mistake made at both doors: its code, and how it is made."""

    name: str
    code: str
    rest: Callable[[Doors], Awaitable[Any]]
    rpc: Callable[[Doors], Any]
    prepare: Callable[[Doors], Any] | None = None
    settings: tuple[tuple[str, Any], ...] = ()


def asking(
    name: str,
    code: str,
    *,
    fields: dict[str, Any] | None = None,
    spoken: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    key: str | None = KEY,
    **more: Any,
) -> list[Mistake]:
    """A mistake in a chat, made whole and as a stream; `spoken` is what gRPC calls the fields, where that differs."""
    fields = fields or {}
    given = {**(bearer(key) if key else {}), **(headers or {})}
    metadata = tuple(given.items())

    def chat() -> Any:
        return rpc.chat(**{"model": "good", **(fields if spoken is None else spoken)})

    def streaming() -> Any:
        return inference_pb2.ChatStreamRequest(chat=chat())

    return [
        Mistake(
            name,
            code,
            lambda doors: doors.rest.chat(body(**{"model": "good", **fields}), given),
            lambda doors: doors.chat.Chat(chat(), metadata=metadata),
            **more,
        ),
        Mistake(
            f"{name}, streamed",
            code,
            lambda doors: doors.rest.chat({**body(**{"model": "good", **fields}), "stream": True}, given),
            lambda doors: doors.chat.ChatStream(streaming(), metadata=metadata),
            **more,
        ),
    ]


def failing(failure: str, code: str, *, deadline: float = 5.0) -> list[Mistake]:
    """An upstream that fails."""
    own = common_pb2.GatewayOptions(deadline=Duration(nanos=int(deadline % 1 * 1e9), seconds=int(deadline)))
    return asking(
        f"an upstream: {failure}",
        code,
        fields={**script(failure=failure), "gateway": {"deadline_s": deadline}},
        spoken={"extras": struct_of({"x_script": {"failure": failure}}), "gateway": own},
    )


def job_by_id(job_id: Callable[[Doors], str], key: str, code: str, name: str, **more: Any) -> list[Mistake]:
    """The four things that can be asked of a job."""
    metadata = rpc.bearer(key)

    def spoken(kind: str) -> Callable[[Doors], Any]:
        requests = {
            "Get": jobs_pb2.JobsServiceGetRequest,
            "GetResult": jobs_pb2.JobsServiceGetResultRequest,
            "Cancel": jobs_pb2.JobsServiceCancelRequest,
            "Watch": jobs_pb2.JobsServiceWatchRequest,
        }
        return lambda doors: getattr(doors.jobs, kind)(requests[kind](id=job_id(doors)), metadata=metadata)

    def path(doors: Doors, end: str) -> str:
        return f"/api/v1/jobs/{job_id(doors)}{end}"

    return [
        Mistake(f"{name}: get", code, lambda d: d.rest.get(path(d, ""), key), spoken("Get"), **more),
        Mistake(
            f"{name}: result",
            code,
            lambda d: d.rest.get(path(d, "/result"), key),
            spoken("GetResult"),
            **more,
        ),
        Mistake(
            f"{name}: cancel",
            code,
            lambda d: d.rest.post(path(d, "/cancel"), key=key),
            spoken("Cancel"),
            **more,
        ),
        Mistake(
            f"{name}: events", code, lambda d: d.rest.get(path(d, "/events"), key), spoken("Watch"), **more
        ),
    ]


def listing(name: str, code: str, params: dict[str, Any], **fields: Any) -> list[Mistake]:
    """A list of jobs that cannot be."""
    return [
        Mistake(
            name,
            code,
            lambda d: d.rest.get("/api/v1/jobs", **params),
            lambda d: d.jobs.List(jobs_pb2.JobsServiceListRequest(**fields), metadata=rpc.bearer()),
        )
    ]


def of_request(name: str, request_id: Callable[[Doors], str], key: str) -> list[Mistake]:
    """A request that this caller cannot see."""
    return [
        Mistake(
            name,
            "request_not_found",
            lambda d: d.rest.get(f"/api/v1/requests/{request_id(d)}", key),
            lambda d: d.requests.Get(
                requests_pb2.RequestsServiceGetRequest(id=request_id(d)), metadata=rpc.bearer(key)
            ),
            lambda d: d.rest.chat(),
        )
    ]


def kept(doors: Doors) -> str:
    """The id of the job, or request, that was prepared."""
    store = doors.world.store
    return next(iter(store.jobs._jobs or store.requests._records))


async def slow_job(doors: Doors) -> None:
    await doors.rest.job(body("slow"))
    await until(lambda: doors.world.upstream.in_flight == 1)


async def done_job(doors: Doors) -> None:
    await doors.rest.ended((await doors.rest.job()).json()["id"])


async def cancelled_job(doors: Doors) -> None:
    await slow_job(doors)
    await doors.rest.post(f"/api/v1/jobs/{kept(doors)}/cancel")
    await doors.rest.ended(kept(doors))


async def use_up(doors: Doors) -> None:
    """Ask the model of two requests a minute twice."""
    for _ in range(2):
        assert (await doors.rest.chat(body("scarce"))).status_code == 200


async def fill(doors: Doors) -> None:
    doors.world.inference._max_in_flight = 0


async def close(doors: Doors) -> None:
    doors.world.inference._closing = True


async def lose_database(doors: Doors) -> None:
    doors.world.identity.down = True


async def lose_ledger(doors: Doors) -> None:
    doors.world.inference._storage_up = lambda: False
    doors.world.jobs._storage_up = lambda: False


async def lose_engine(doors: Doors) -> None:
    doors.world.engine.up = False


async def break_it(doors: Doors) -> None:
    async def broken(*_: Any) -> Any:
        raise RuntimeError("secret internals")

    service: Any = doors.world.inference
    service._begin = broken


async def allow_good(doors: Doors) -> None:
    doors.world.identity.callers = {KEY: replace(CALLERS[KEY], models=frozenset({"good"}))}


def creating(name: str, code: str, prepare: Any = None, **headers: str) -> list[Mistake]:
    """A job that cannot be accepted."""
    more = {} if prepare is None else {"prepare": prepare}
    return [
        Mistake(
            name,
            code,
            lambda d: d.rest.job(body("dear"), **headers),
            lambda d: d.jobs.Create(rpc.create("dear"), metadata=rpc.bearer(**headers)),
            **more,
        )
    ]


def options(**fields: Any) -> dict[str, Any]:
    return {"gateway": common_pb2.GatewayOptions(**fields)}


MISTAKES: list[Mistake] = [
    *asking("no key", "invalid_api_key", key=None),
    *asking("an unknown key", "invalid_api_key", key="sk-unknown"),
    *asking("no right", "permission_denied", key=POWERLESS),
    *asking("an unknown model", "model_not_found", fields={"model": "nobody"}),
    *asking("a forbidden model", "model_not_found", fields={"model": "dear"}, prepare=allow_good),
    *asking("a model that is disabled", "no_model_available", fields={"model": "off"}),
    *asking("tags that no model has", "no_model_fits", fields={"model": "tags:location=moon"}),
    *asking("tags that are none", "invalid_request", fields={"model": "tags:location=,"}),
    *asking(
        "a selection that is none",
        "invalid_request",
        fields={"gateway": {"select": "!"}},
        spoken=options(select="!"),
    ),
    *asking(
        "a preference for nothing known",
        "invalid_request",
        fields={"gateway": {"prefer": "beauty"}},
        spoken=options(prefer="beauty"),
    ),
    *asking(
        "a model without a name to leave out",
        "invalid_request",
        fields={"gateway": {"exclude": [""]}},
        spoken=options(exclude=[""]),
    ),
    *asking(
        "a cost below nothing",
        "invalid_request",
        fields={"gateway": {"max_cost_usd": "-1"}},
        spoken=options(max_cost_usd="-1"),
    ),
    *asking(
        "a cost that is no number",
        "invalid_request",
        fields={"gateway": {"max_cost_usd": "cheap"}},
        spoken=options(max_cost_usd="cheap"),
    ),
    *asking("a preference in a header", "invalid_request", headers={"x-gateway-prefer": "beauty"}),
    *asking("a cost in a header", "invalid_request", headers={"x-gateway-max-cost-usd": "cheap"}),
    *asking(
        "a cost that every model is over",
        "no_model_fits",
        fields={"gateway": {"max_cost_usd": "0.0001"}},
        spoken=options(max_cost_usd="0.0001"),
    ),
    *asking("no model", "invalid_request", fields={"model": ""}),
    *asking("a model with an endless name", "invalid_request", fields={"model": "m" * 300}),
    *asking("no messages", "invalid_request", fields={"messages": []}),
    *asking("metadata without a name", "invalid_request", fields={"metadata": {"": "x"}}),
    *asking(
        "a deadline of nothing",
        "invalid_request",
        fields={"gateway": {"deadline_s": 0}},
        spoken=options(deadline=Duration()),
    ),
    *asking(
        "a deadline that is too long",
        "invalid_request",
        fields={"gateway": {"deadline_s": 86_400}},
        spoken=options(deadline=Duration(seconds=86_400)),
    ),
    *asking(
        "degraded, please",
        "invalid_request",
        fields={"gateway": {"durability": "degraded"}},
        spoken=options(durability=common_pb2.DURABILITY_DEGRADED),
    ),
    *asking("an odd durability", "invalid_request", headers={"x-gateway-durability": "never"}),
    *asking("a tag without a name", "invalid_request", headers={"x-gateway-tags": "=a"}),
    *asking("an empty idempotency key", "invalid_request", headers={"idempotency-key": '""'}),
    *asking(
        "a deadline that passes",
        "deadline_exceeded",
        fields={"model": "slow", "gateway": {"deadline_s": 0.2}},
        spoken={"model": "slow", **options(deadline=Duration(nanos=200_000_000))},
    ),
    *failing("status:400", "upstream_rejected"),
    *failing("status:401", "upstream_auth"),
    *failing("status:404", "upstream_not_found"),
    *failing("status:408", "upstream_timeout"),
    *failing("status:429", "upstream_rate_limited"),
    *failing("status:503", "upstream_unavailable"),
    *failing("html", "upstream_malformed"),
    *failing("content-filter", "content_filter"),
    *failing("context-too-long", "context_length_exceeded"),
    failing("close-mid-stream", "upstream_broken")[0],
    *asking("a model at its limit", "rate_limited", fields={"model": "scarce"}, prepare=use_up),
    *asking("a full process", "overloaded", prepare=fill),
    *asking("a process that ends", "shutting_down", prepare=close),
    *asking("no database", "storage_unavailable", prepare=lose_database),
    *asking("no ledger", "storage_unavailable", prepare=lose_ledger),
    *asking("no engine", "engine_unavailable", prepare=lose_engine, settings=(("engine_down", "refuse"),)),
    *asking("a bug", "internal_error", prepare=break_it),
    *creating("a job without an engine", "engine_unavailable", lose_engine),
    *creating("a job without a ledger", "storage_unavailable", lose_ledger),
    *creating(
        "a key that was used for another job",
        "idempotency_key_reused",
        lambda d: d.rest.job(idempotency_key="k"),
        idempotency_key="k",
    ),
    *asking(
        "a key that was used for another request",
        "idempotency_key_reused",
        headers={"idempotency-key": "k"},
        prepare=lambda d: d.rest.chat(body("dear"), bearer(KEY, idempotency_key="k")),
    ),
    *asking(
        "a key that was used for a job",
        "idempotency_key_reused",
        headers={"idempotency-key": "k"},
        prepare=lambda d: d.rest.job(idempotency_key="k"),
    ),
    *creating(
        "a key that was used for a request",
        "idempotency_key_reused",
        lambda d: d.rest.chat(body("dear"), bearer(KEY, idempotency_key="k")),
        idempotency_key="k",
    ),
    *creating("a job with an empty key", "invalid_request", idempotency_key='""'),
    *job_by_id(lambda _: new_id(), KEY, "job_not_found", "an unknown job"),
    *job_by_id(lambda _: "x", KEY, "job_not_found", "no id"),
    *job_by_id(kept, OTHER, "job_not_found", "another's job", prepare=done_job),
    *job_by_id(kept, POWERLESS, "job_not_found", "another's job, without rights", prepare=done_job),
    job_by_id(kept, KEY, "job_not_finished", "a running job", prepare=slow_job)[1],
    job_by_id(kept, KEY, "job_finished", "a finished job", prepare=done_job)[2],
    job_by_id(kept, KEY, "cancelled", "a cancelled job", prepare=cancelled_job)[1],
    *listing("a page that is too long", "invalid_request", {"limit": 201}, limit=201),
    *listing("a page after nothing", "invalid_request", {"after": "x"}, after="x"),
    *listing("a page after an unknown job", "invalid_request", {"after": new_id()}, after=new_id()),
    *listing("a state that no job has", "invalid_request", {"status": "odd"}, status=77),
    *of_request("an unknown request", lambda _: new_id(), ADMIN),
    *of_request("no request's id", lambda _: "x", ADMIN),
    *of_request("another's request", kept, OTHER),
]
