"""The same question through both doors: the same answer, and the same error for the same mistake."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from structlog.testing import capture_logs

from api.errors import TABLE
from api.rpc.values import struct_of
from gateway.v1 import common_pb2, jobs_pb2, models_pb2, requests_pb2
from tests.api import rpc
from tests.api.mistakes import MISTAKES, Doors, Mistake, both, options
from tests.api.mistakes_deliveries import DELIVERY_MISTAKES
from tests.api.mistakes_prices import PRICE_MISTAKES
from tests.api.mistakes_simulations import SIMULATION_MISTAKES
from tests.api.rest import a_quick_world, bearer, body, error_of, left, told
from tests.api.world import ADMIN, CALLERS, KEY, registry
from tests.waits import until


@pytest.fixture
async def doors() -> AsyncGenerator[Doors]:
    async with both(a_quick_world()) as doors:
        yield doors


def word(name: str) -> str:
    """`STATUS_IN_PROGRESS` → `in_progress`, as REST says it."""
    return name.split("_", 1)[1].lower()


# ---- the same answer ---------------------------------------------------------------------------------------------
def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs between any two calls."""
    return {**answer, "id": ""}


_SERVED = (
    "model",
    "provider",
    "attempts",
    "rule",
    "rules-version",
    "registry-version",
    "cost-usd",
    "durability",
)


def served_in(headers: Any) -> dict[str, str]:
    return {name: headers[f"x-gateway-{name}"] for name in _SERVED if f"x-gateway-{name}" in headers}


@pytest.mark.parametrize("model", ["good", "dear", "tools", "assistant"])
async def test_a_chat_gives_the_same_answer_and_the_same_headers(doors, model):
    response = await doors.rest.chat(body(model))
    call = doors.chat.Chat(rpc.chat(model), metadata=rpc.bearer())
    answer = await call
    said = response.json()
    (choice,), (spoken,) = said["choices"], answer.choices
    assert (spoken.message.content or None) == choice["message"]["content"]
    assert [t.function.arguments for t in spoken.message.tool_calls] == [
        t["function"]["arguments"] for t in choice["message"].get("tool_calls", ())
    ]
    assert spoken.finish_reason == choice["finish_reason"]
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == tuple(
        said["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")
    )
    assert answer.model == said["model"]
    initial = dict(await call.initial_metadata())
    assert served_in(initial) == served_in(response.headers)
    served = answer.served
    assert served_in(response.headers) == {
        "model": served.model,
        "provider": served.provider,
        "attempts": str(served.attempts),
        "rule": served.rule,
        "rules-version": served.rules_version,
        "registry-version": served.registry_version,
        **({"cost-usd": served.cost_usd} if served.HasField("cost_usd") else {}),
        "durability": word(common_pb2.Durability.Name(served.durability)),
    }


@pytest.mark.parametrize("model", ["good", "tools", "assistant"])
async def test_a_stream_gives_the_same_chunks(doors, model):
    async with doors.rest.streaming(body(model, stream_options={"include_usage": True})) as response:
        said = told((await response.aread()).decode())
    events = [event async for event in doors.chat.ChatStream(rpc.streamed(model), metadata=rpc.bearer())]
    chunks = [event.chunk for event in events[:-1]]

    def rest_text(name: str) -> str:
        return "".join(c["delta"].get(name) or "" for chunk in said.data for c in chunk["choices"])

    assert "".join(c.delta.content for chunk in chunks for c in chunk.choices) == rest_text("content")
    assert len(chunks) == len(said.data)
    assert chunks[-1].usage.total_tokens == said.data[-1]["usage"]["total_tokens"]
    tail = json.loads(said.comments[-1].removeprefix("gateway "))
    served = events[-1].served
    assert (served.model, served.attempts, served.cost_usd) == (
        tail["model"],
        tail["attempts"],
        tail["cost_usd"],
    )


async def test_the_provider_hears_the_same_from_both(doors):
    fields: dict[str, Any] = {"temperature": 0.5, "seed": 7, "user": "u", "metadata": {"a": "1"}, "n": 2}
    await doors.rest.chat(body(**fields, x_odd={"k": [True, None]}))
    from_rest = json.loads(doors.world.upstream.last[1])
    await doors.chat.Chat(
        rpc.chat(**fields, extras=struct_of({"x_odd": {"k": [True, None]}})), metadata=rpc.bearer()
    )
    assert json.loads(doors.world.upstream.last[1]) == from_rest


async def test_the_ledger_tells_the_same_of_both(doors):
    hints = {
        "x-gateway-tags": "team=search",
        "x-client-request-id": "mine",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    response = await doors.rest.chat(body("assistant", metadata={"a": "1"}), bearer(KEY, **hints))
    answer = await doors.chat.Chat(
        rpc.chat("assistant", metadata={"a": "1"}), metadata=(*rpc.bearer(), *hints.items())
    )
    await doors.settled()
    ids = (response.headers["x-request-id"], answer.served.request_id)
    records = [await doors.world.store.requests.get(i) for i in ids]
    alike: list[Any] = []
    for record in records:
        request, settlement = record.request, record.settlement
        # Each request throws its dice, and the doors write the same JSON in their own ways.
        traits = replace(request.traits, roll=0.0, body_bytes=0)
        own = {"id": "", "traceparent": "", "door": "", "origin": "", "decision": ""}
        same = replace(request, **own, accepted_at=None, deadline=None, traits=traits)
        attempts = [
            (a.number, a.model, a.outcome, a.reason, a.usage, a.cost_usd) for a in settlement.attempts
        ]
        alike.append((same, settlement.status, attempts, settlement.cost_usd))
    assert alike[0] == alike[1]
    assert [record.request.door for record in records] == ["rest", "grpc"]


async def test_what_a_caller_would_rather_have_is_heard_alike_at_both(doors):
    others = [name for name in registry().models if name != "good"]
    said = {"select": "!preview", "prefer": "cost", "exclude": others, "max_cost_usd": "0.50"}
    response = await doors.rest.chat(body("auto", gateway=said))
    answer = await doors.chat.Chat(rpc.chat("auto", **options(**said)), metadata=rpc.bearer())
    headers = {
        "x-gateway-select": "!preview",
        "x-gateway-prefer": "cost",
        "x-gateway-exclude": ",".join(others),
        "x-gateway-max-cost-usd": "0.50",
    }
    by_header = await doors.rest.chat(body("auto"), bearer(KEY, **headers))
    await doors.settled()
    assert response.headers["x-gateway-model"] == answer.served.model == "good"
    heard: list[Any] = []
    for request_id in (
        response.headers["x-request-id"],
        answer.served.request_id,
        by_header.headers["x-request-id"],
    ):
        traits = (await doors.world.store.requests.get(request_id)).request.traits
        heard.append((traits.select, traits.prefer, traits.exclude, traits.max_cost_usd))
    assert heard[0] == heard[1] == heard[2] == ("!preview", "cost", tuple(others), Decimal("0.50"))


async def test_a_job_is_the_same_job_at_both_doors(doors):
    made = (await doors.rest.job(body("assistant"))).json()["id"]
    by_rpc = (await doors.jobs.Create(rpc.create("assistant"), metadata=rpc.bearer())).job.id
    for job_id in (made, by_rpc):
        shown = await doors.rest.ended(job_id)
        job = (await doors.jobs.Get(jobs_pb2.JobsServiceGetRequest(id=job_id), metadata=rpc.bearer())).job
        assert (job.id, job.model, job.served_model, job.endpoint, job.attempts, job.cost_usd) == tuple(
            shown[name] for name in ("id", "model", "served_model", "endpoint", "attempts", "cost_usd")
        )
        assert word(common_pb2.Status.Name(job.status)) == shown["status"] == "completed"
        assert job.usage.input == shown["usage"]["input_tokens"]
        assert job.chat.choices[0].message.content == shown["result"]["choices"][0]["message"]["content"]
        assert job.created_at.ToJsonString()[:19] == shown["created_at"][:19]
    listed = (await doors.rest.get("/api/v1/jobs")).json()["data"]
    spoken = (await doors.jobs.List(jobs_pb2.JobsServiceListRequest(), metadata=rpc.bearer())).jobs
    assert [job.id for job in spoken] == [job["id"] for job in listed] == [by_rpc, made]


async def test_a_request_is_the_same_request_at_both_doors(doors):
    response = await doors.rest.chat(body("assistant"))
    await doors.settled()
    request_id = response.headers["x-request-id"]
    for key in (KEY, ADMIN):
        shown = (await doors.rest.get(f"/api/v1/requests/{request_id}", key)).json()
        asked = requests_pb2.RequestsServiceGetRequest(id=request_id)
        spoken = (await doors.requests.Get(asked, metadata=rpc.bearer(key))).request
        assert (spoken.id, spoken.model, spoken.served_model, spoken.caller, spoken.door) == tuple(
            shown[name] for name in ("id", "model", "served_model", "caller", "door")
        )
        assert list(spoken.decision) == shown["decision"]
        assert spoken.registry_version == shown["registry_version"] == "test"
        assert len(spoken.decisions) == len(shown["decisions"]) == 2, "at the door, and after the failure"
        for said, told_ in zip(spoken.decisions, shown["decisions"], strict=True):
            assert (list(said.ranked), dict(said.passed_over), said.rule, said.roll) == tuple(
                told_[name] for name in ("ranked", "passed_over", "rule", "roll")
            )
            assert [(s.rule, s.effect, dict(s.removed)) for s in said.steps] == [
                (s["rule"], s["effect"], s["removed"]) for s in told_["steps"]
            ]
        facts = shown["facts"]
        assert (spoken.facts.input_tokens, spoken.facts.body_bytes, spoken.facts.conversation) == tuple(
            facts[name] for name in ("input_tokens", "body_bytes", "conversation")
        )
        assert [(a.model, a.reason, word(requests_pb2.Outcome.Name(a.outcome))) for a in spoken.attempts] == [
            (a["model"], a["reason"], a["outcome"]) for a in shown["attempts"]
        ]
        assert (json.loads(spoken.prompt) if spoken.HasField("prompt") else None) == shown["prompt"]
        assert (json.loads(spoken.answer) if spoken.HasField("answer") else None) == shown["answer"]
        assert spoken.attempts[0].error.HasField("detail") == bool(shown["attempts"][0]["error"]["detail"])


async def test_models_are_the_same_at_both_doors(doors):
    doors.world.identity.callers = {KEY: replace(CALLERS[KEY], models=frozenset({"good", "assistant"}))}
    listed = (await doors.rest.get("/v1/models")).json()["data"]
    spoken = (await doors.models.List(models_pb2.ModelsServiceListRequest(), metadata=rpc.bearer())).models
    assert [(m.id, m.owned_by, int(m.created.seconds)) for m in spoken] == [
        (m["id"], m["owned_by"], m["created"]) for m in listed
    ]


# ---- the same error ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "mistake",
    [*MISTAKES, *PRICE_MISTAKES, *SIMULATION_MISTAKES],
    ids=lambda mistake: mistake.name,
)
async def test_the_same_mistake_is_the_same_error_at_both_doors(mistake):
    assert "secret" not in await same_error(mistake)


async def same_error(mistake: Mistake) -> str:
    """Make a mistake at both doors; what REST said of it."""
    async with both(a_quick_world(**dict(mistake.settings))) as doors:
        if mistake.prepare is not None:
            await mistake.prepare(doors)
            await doors.settled()
        with capture_logs():  # a bug is logged with all that it knows
            response = await mistake.rest(doors)
            code, details = await rpc.failure_of(mistake.rpc(doors))
        row = TABLE[mistake.code]
        error = error_of(response)
        assert (response.status_code, error["code"]) == (row.http, mistake.code)
        assert (code.name, details[rpc.ErrorInfo].reason) == (row.grpc, mistake.code)
        assert ("retry-after" in response.headers) == (rpc.RetryInfo in details)
        spoken = dict(details[rpc.ErrorInfo].metadata).get("param")
        assert spoken == error.get("param")
        return response.text


_FILES = "OpenAI's own objects have one door: tests/api/test_batches.py"
_ONE_DOOR_ONLY = {
    "invalid_json": "a message of gRPC is no JSON: what cannot be read is invalid_request",
    "field_not_supported": "needs a model of another dialect: tests of the dialects",
    "file_not_found": _FILES,
    "file_unreadable": _FILES,
    "batch_not_found": _FILES,
    "batch_ended": _FILES,
    "batch_expired": _FILES,
    "batch_cancelled": _FILES,
    "invalid_host": "gRPC has no Host",
    "body_too_large": "gRPC's own limit ends such a call before our door",
    "body_timeout": "gRPC brings whole messages only",
    "head_too_large": "gRPC's own limit on metadata ends such a call before our door",
    "not_found": "gRPC itself answers for methods that are not there",
    "method_not_allowed": "HTTP's own",
    "refused_by_rule": "needs a rule: tests/api/test_choosing.py",
    "upstream_forbidden": "needs an address that is none: tests/unit/providers/test_guard.py",
    "model_exists": "only a change of the registry meets it: tests/contracts/test_registry_stores.py",
    "response_not_found": "gRPC has no responses: tests/api/test_rest_responses.py",
    "previous_response_not_found": "gRPC has no responses: tests/api/test_rest_responses.py",
    "conversation_not_found": "gRPC has no conversations: tests/api/test_rest_responses.py",
    "item_not_found": "gRPC has no conversations: tests/api/test_rest_responses.py",
    "version_conflict": "only a change of what has versions meets it: tests/api/test_rules.py",
    "request_in_progress": "each door writes bodies in its own way: tests/api/test_idempotency.py",
    "answer_not_kept": "each door writes bodies in its own way: tests/api/test_idempotency.py",
    "interrupted": "needs a process that dies: tests/workflows",
    "hedge_lost": "told of attempts alone: tests/unit/gateway/test_hedge.py",
    "abandoned": "needs a process that dies: tests/workflows",
    "receiver_unreachable": "told of deliveries alone: tests/contracts/test_receivers.py",
    "receiver_timeout": "told of deliveries alone: tests/contracts/test_receivers.py",
    "receiver_insecure": "told of deliveries alone: tests/contracts/test_receivers.py",
    "receiver_refused": "told of deliveries alone: tests/contracts/test_receivers.py",
    "receiver_gone": "told of deliveries alone: tests/contracts/test_receivers.py",
    "receiver_forbidden": "told of deliveries alone: tests/contracts/test_receivers.py",
    "bus_unavailable": "told of deliveries alone: tests/contracts/test_channels.py",
    "bus_refused": "told of deliveries alone: tests/contracts/test_channels.py",
    "destination_sealed": "told of deliveries alone: tests/contracts/test_receivers.py",
}


def test_every_code_is_tried_at_both_doors_or_said_why_not():
    tried = {
        mistake.code for mistake in (*MISTAKES, *PRICE_MISTAKES, *SIMULATION_MISTAKES, *DELIVERY_MISTAKES)
    }
    assert tried | set(_ONE_DOOR_ONLY) == set(TABLE)
    assert not tried & set(_ONE_DOOR_ONLY)


async def test_both_doors_tell_to_come_again_at_the_same_time(doors):
    asked = body("limited", gateway={"deadline_s": 3})
    response = await doors.rest.chat(asked)
    call = doors.chat.Chat(
        rpc.chat("limited", **options(deadline=Duration(seconds=3))), metadata=rpc.bearer()
    )
    _, details = await rpc.failure_of(call)
    assert int(response.headers["retry-after"]) == details[rpc.RetryInfo].retry_delay.seconds == 7
    trailing = dict(await call.trailing_metadata())
    assert served_in(trailing) == served_in(response.headers)
    assert trailing["x-should-retry"] == response.headers["x-should-retry"] == "false"


async def test_a_stream_that_breaks_breaks_with_the_same_error(doors):
    async with doors.rest.streaming(body("breaks")) as response:
        said = told((await response.aread()).decode())
    _, details = await rpc.failure_of(doors.chat.ChatStream(rpc.streamed("breaks"), metadata=rpc.bearer()))
    assert said.data[-1]["error"]["code"] == details[rpc.ErrorInfo].reason == "upstream_broken"


async def test_a_caller_who_leaves_is_settled_the_same_by_both(doors):
    world = doors.world
    asking = asyncio.create_task(doors.rest.chat(body("slow")))
    await until(lambda: world.upstream.in_flight == 1)
    await left(asking)
    call = doors.chat.Chat(rpc.chat("slow"), metadata=rpc.bearer())
    waiting = asyncio.ensure_future(call.initial_metadata())
    await until(lambda: world.upstream.numbered == 2 and world.upstream.in_flight == 1)
    call.cancel()
    await until(lambda: world.upstream.in_flight == 0)
    await doors.settled()
    waiting.cancel()
    first, second = (await world.store.requests.find(rpc.a_day(), limit=5)).rows
    assert first.settlement.status == second.settlement.status == "cancelled"
    assert first.settlement.attempts[0].usage == second.settlement.attempts[0].usage
    assert timedelta(0) < first.request.deadline - first.request.accepted_at
