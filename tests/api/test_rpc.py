"""Chat over gRPC: the real services behind a real server and a real channel, over memory and scripted models."""

import asyncio
from datetime import timedelta

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RequestInfo, RetryInfo

from api.rpc.values import struct_of
from gateway import telemetry
from gateway.domain.inference import Outcome, Status
from gateway.settings import Api, Inference, Settings
from gateway.v1 import common_pb2, inference_pb2
from gateway.v1.inference_pb2_grpc import InferenceServiceStub
from tests.api.rpc import a_day, bearer, chat, code_of, failure_of, streamed
from tests.api.world import KEY, POWERLESS, a_world, rpc_channel
from tests.waits import until


# ---- chat --------------------------------------------------------------------------------------------------------
async def test_a_chat_is_answered_and_says_what_the_gateway_did(inference):
    call = inference.Chat(chat(), metadata=bearer())
    answer = await call
    assert answer.choices[0].message.content.startswith("A café")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == 19
    served = answer.served
    assert (served.model, served.provider, served.attempts) == ("good", "scripted", 1)
    assert served.cost_usd == "0.000027"
    assert served.durability == common_pb2.DURABILITY_OVERLAPPED
    headers = dict(await call.initial_metadata())
    assert headers["x-request-id"] == served.request_id == headers["x-gateway-workflow-id"]
    assert (headers["x-gateway-model"], headers["x-gateway-attempts"]) == ("good", "1")
    assert float(headers["x-gateway-overhead-ms"]) >= 0


async def test_a_chat_is_entered_into_the_ledger(inference, world):
    answer = await inference.Chat(chat(metadata={"run": "7"}), metadata=bearer(x_gateway_tags="team=search"))
    await until(lambda: not len(world.exchanges))
    record = await world.store.requests.get(answer.served.request_id)
    assert record is not None
    assert (record.request.door, record.request.caller) == ("grpc", "agent-1")
    assert (record.request.tags, record.request.metadata) == ({"team": "search"}, {"run": "7"})
    assert record.settlement.status is Status.COMPLETED


async def test_the_price_of_a_model_that_has_none_is_not_said(inference):
    call = inference.Chat(chat("dear"), metadata=bearer())
    assert not (await call).served.HasField("cost_usd")
    assert "x-gateway-cost-usd" not in dict(await call.initial_metadata())


async def test_a_failing_candidate_is_passed_over(inference):
    served = (await inference.Chat(chat("assistant"), metadata=bearer())).served
    assert (served.model, served.attempts) == ("good", 2)


async def test_the_provider_gets_the_body_that_rest_would_send(inference, world):
    asked = chat(
        temperature=0.5,
        seed=7,
        extras=struct_of({"top_k": 40}),
        gateway=common_pb2.GatewayOptions(tags={"a": "b"}),
    )
    await inference.Chat(asked, metadata=bearer())
    _, body = world.upstream.last
    assert body == (
        b'{"model":"scripted-ok","messages":[{"role":"user","content":"Hello"}],"temperature":0.5,"seed":7,"top_k":40}'
    )


async def test_tool_calls_come_typed(inference):
    answer = await inference.Chat(chat("tools"), metadata=bearer())
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name
    assert call.function.arguments.startswith("{")
    assert answer.choices[0].finish_reason == "tool_calls"


async def test_the_hints_of_metadata_are_heard(inference, world):
    trace = "0af7651916cd43dd8448eb211c80319c"
    metadata = bearer(
        x_gateway_durability="start-first",
        x_client_request_id="mine-1",
        traceparent=f"00-{trace}-b7ad6b7169203331-01",
    )
    served = (await inference.Chat(chat(), metadata=metadata)).served
    assert (served.durability, served.trace_id) == (common_pb2.DURABILITY_START_FIRST, trace)
    await until(lambda: not len(world.exchanges))
    record = await world.store.requests.get(served.request_id)
    assert record is not None
    assert (record.request.client_request_id, record.request.trace_id) == ("mine-1", trace)
    assert trace in world.upstream.last[0]["traceparent"]


async def test_without_an_engine_the_answer_says_that_it_is_not_durable(inference, world):
    world.engine.up = False
    served = (
        await inference.Chat(
            chat(gateway=common_pb2.GatewayOptions(durability=common_pb2.DURABILITY_START_FIRST)),
            metadata=bearer(),
        )
    ).served
    assert (served.durability, served.workflow_id) == (common_pb2.DURABILITY_DEGRADED, "")


# ---- streams -----------------------------------------------------------------------------------------------------
async def test_a_stream_brings_chunks_then_usage_then_what_the_gateway_did(inference):
    call = inference.ChatStream(streamed(), metadata=bearer())
    events = [event async for event in call]
    chunks = [event.chunk for event in events[:-1]]
    said = "".join(choice.delta.content for chunk in chunks for choice in chunk.choices)
    assert said == "A café, a € sign, 漢字 and a "
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert (chunks[-1].usage.total_tokens, len(chunks[-1].choices)) == (19, 0)
    served = events[-1].served
    assert (served.model, served.attempts, served.cost_usd) == ("good", 1, "0.000027")
    headers = dict(await call.initial_metadata())
    assert (headers["x-request-id"], headers["x-gateway-model"]) == (served.request_id, "good")


async def test_a_stream_that_fails_before_its_first_event_falls_back(inference):
    events = [event async for event in inference.ChatStream(streamed("assistant"), metadata=bearer())]
    assert (events[-1].served.model, events[-1].served.attempts) == ("good", 2)


async def test_a_stream_that_breaks_ends_with_its_error(inference, world):
    call = inference.ChatStream(streamed("breaks"), metadata=bearer())
    seen, code = 0, None
    try:
        async for _ in call:
            seen += 1
    except grpc.aio.AioRpcError as e:
        code = e.code()
    assert (seen, code) == (2, grpc.StatusCode.INTERNAL)
    trailing = dict(await call.trailing_metadata())
    assert trailing["x-request-id"]
    assert trailing["x-gateway-model"] == "breaks"
    await until(lambda: not len(world.exchanges))
    record = await world.store.requests.get(trailing["x-request-id"])
    assert record is not None
    assert record.settlement.attempts[0].outcome is Outcome.BROKEN


async def test_leaving_a_stream_closes_the_upstream_and_settles_the_request(inference, world):
    call = inference.ChatStream(streamed("dripping"), metadata=bearer())
    async for _ in call:
        break
    assert world.upstream.in_flight == 1
    call.cancel()
    await until(lambda: world.upstream.in_flight == 0)
    assert world.upstream.cancelled == 1
    await until(lambda: not len(world.exchanges))
    record = await world.store.requests.get(dict(await call.initial_metadata())["x-request-id"])
    assert record is not None
    assert record.settlement.status is Status.CANCELLED
    assert record.settlement.attempts[0].usage.estimated


async def test_leaving_before_the_first_event_closes_the_upstream_too(inference, world):
    call = inference.ChatStream(streamed("slow"), metadata=bearer())
    await until(lambda: world.upstream.in_flight == 1)
    call.cancel()
    await until(lambda: world.upstream.in_flight == 0 and not len(world.exchanges))


async def test_cancelling_a_chat_cancels_the_request(inference, world):
    call = inference.Chat(chat("slow"), metadata=bearer())
    waiting = asyncio.ensure_future(call.initial_metadata())
    await until(lambda: world.upstream.in_flight == 1)
    call.cancel()
    await until(lambda: world.upstream.in_flight == 0 and not len(world.exchanges))
    page = await world.store.requests.find(a_day(), limit=1)
    assert page.rows[0].settlement.status is Status.CANCELLED
    waiting.cancel()


async def test_a_caller_who_does_not_read_holds_the_upstream_back(inference, world):
    call = inference.ChatStream(streamed("endless"), metadata=bearer())
    await anext(aiter(call))
    await asyncio.sleep(0.5)
    assert world.upstream.in_flight == 1, "twenty thousand events were read although nobody took them"
    call.cancel()
    await until(lambda: world.upstream.in_flight == 0)


async def test_with_on_disconnect_finish_a_stream_is_read_to_its_end():
    settings = Settings(api=Api(grpc_port=0), inference=Inference(on_disconnect="finish"))
    world = a_world(settings)
    async with rpc_channel(world) as channel:
        call = InferenceServiceStub(channel).ChatStream(
            streamed("good", extras=struct_of({"x_script": {"tokens": 20, "chunk_interval_ms": 10}})),
            metadata=bearer(),
        )
        async for _ in call:
            break
        request_id = dict(await call.initial_metadata())["x-request-id"]
        call.cancel()
        await until(lambda: world.upstream.completed == 1)
        await until(lambda: not len(world.exchanges))
    record = await world.store.requests.get(request_id)
    assert record is not None
    assert record.settlement.status is Status.COMPLETED


# ---- deadlines ---------------------------------------------------------------------------------------------------


async def test_the_rpcs_deadline_is_the_requests_own(inference, world):
    await inference.Chat(chat(), metadata=bearer(), timeout=70)
    await until(lambda: not len(world.exchanges))
    request = (await world.store.requests.find(a_day(), limit=1)).rows[0].request
    assert timedelta(seconds=50) < request.deadline - request.accepted_at < timedelta(seconds=70)


async def test_a_deadline_that_passes_is_told_before_the_caller_gives_up(inference, world):
    call = inference.Chat(chat("slow"), metadata=bearer(), timeout=2)
    assert await code_of(call) == ("DEADLINE_EXCEEDED", "deadline_exceeded"), "the stub knows no such reason"
    await until(lambda: world.upstream.in_flight == 0 and not len(world.exchanges))


async def test_a_deadline_in_the_request_goes_before_the_rpcs(inference, world):
    options = common_pb2.GatewayOptions(deadline=Duration(seconds=3))
    await inference.Chat(chat(gateway=options), metadata=bearer(), timeout=9)
    await until(lambda: not len(world.exchanges))
    request = (await world.store.requests.find(a_day(), limit=1)).rows[0].request
    assert request.deadline - request.accepted_at == timedelta(seconds=3)


async def test_no_deadline_is_the_settings_and_a_very_long_one_the_longest_there_is(inference, world):
    await inference.Chat(chat(), metadata=bearer())
    await inference.Chat(chat(), metadata=bearer(), timeout=80_000)
    await until(lambda: not len(world.exchanges))
    page = await world.store.requests.find(a_day(), limit=2)
    long, short = (row.request.deadline - row.request.accepted_at for row in page.rows)
    assert (short, long) == (timedelta(seconds=20), timedelta(hours=1))


async def test_a_deadline_of_nothing_is_refused(inference):
    options = common_pb2.GatewayOptions(deadline=Duration())
    _, details = await failure_of(inference.Chat(chat(gateway=options), metadata=bearer()))
    assert details[ErrorInfo].reason == "invalid_request"
    assert details[BadRequest].field_violations[0].field == "gateway.deadline_s"


async def test_a_deadline_that_has_passed_calls_nobody(inference, world):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await inference.Chat(chat(), metadata=bearer(), timeout=0)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert world.upstream.calls.total() == 0


# ---- errors ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Bearer sk-unknown"),),
        (("authorization", "Basic sk-agent"),),
        (("authorization", "Bearer "),),
        (("x-api-key", "sk-unknown"),),
    ],
)
async def test_without_a_valid_key_nothing_is_done(inference, world, metadata):
    assert await code_of(inference.Chat(chat(), metadata=metadata)) == ("UNAUTHENTICATED", "invalid_api_key")
    assert await code_of(inference.ChatStream(streamed(), metadata=metadata)) == (
        "UNAUTHENTICATED",
        "invalid_api_key",
    )
    assert world.upstream.calls.total() == 0


async def test_both_places_of_a_key_are_known(inference):
    assert await inference.Chat(chat(), metadata=(("x-api-key", KEY),))
    assert await inference.Chat(chat(), metadata=(("authorization", f"bearer {KEY}"),))


async def test_a_database_that_is_away_is_never_a_wrong_key(inference, world):
    world.identity.down = True
    code, details = await failure_of(inference.Chat(chat(), metadata=bearer()))
    assert (code.name, details[ErrorInfo].reason) == ("UNAVAILABLE", "storage_unavailable")
    assert details[RetryInfo].retry_delay.seconds == 1


async def test_a_right_that_is_missing_is_named(inference):
    call = inference.Chat(chat(), metadata=bearer(POWERLESS))
    assert await code_of(call) == ("PERMISSION_DENIED", "permission_denied")
    assert "infer" in await call.details()


async def test_unknown_models_are_not_found(inference):
    call = inference.Chat(chat("nobody"), metadata=bearer())
    code, details = await failure_of(call)
    assert (code.name, details[ErrorInfo].reason) == ("NOT_FOUND", "model_not_found")
    assert details[ErrorInfo].metadata["param"] == "model"
    trailing = dict(await call.trailing_metadata())
    assert details[RequestInfo].request_id == trailing["x-request-id"]
    assert trailing["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"model": "m" * 300}, "model"),
        ({"messages": []}, "messages"),
        ({"extras": struct_of({"stream": True})}, "extras.stream"),
        ({"extras": struct_of({"x" * 5000: 1, "temperature": 1}), "temperature": 1}, "extras.temperature"),
        ({"tool_choice": inference_pb2.ToolChoice()}, "tool_choice"),
        ({"gateway": common_pb2.GatewayOptions(durability=common_pb2.DURABILITY_DEGRADED)}, "durability"),
        ({"gateway": common_pb2.GatewayOptions(deadline=Duration(seconds=86_400))}, "deadline"),
        ({"metadata": {"": "x"}}, "metadata"),
    ],
)
async def test_wrong_fields_are_named(inference, fields, param):
    asked = {"model": "good", **fields}
    code, details = await failure_of(inference.Chat(chat(**asked), metadata=bearer()))
    assert code.name == "INVALID_ARGUMENT"
    assert [violation.field for violation in details[BadRequest].field_violations] == [param]


async def test_an_error_whose_field_has_an_endless_name_still_arrives(inference):
    name = "x" * 20_000
    asked = chat(
        temperature=1,
        messages=[inference_pb2.ChatMessage(role="u", name="a", extras=struct_of({name: 1, "name": 2}))],
    )
    assert await code_of(inference.Chat(asked, metadata=bearer())) == ("INVALID_ARGUMENT", "invalid_request")
    nested = inference_pb2.ChatRequest(model="nobody" * 40, messages=[inference_pb2.ChatMessage(role="u")])
    assert await code_of(inference.Chat(nested, metadata=bearer())) == ("NOT_FOUND", "model_not_found")


@pytest.mark.parametrize(
    "metadata", [{"x_gateway_durability": "never"}, {"idempotency_key": '""'}, {"x_gateway_tags": "=a"}]
)
async def test_wrong_hints_are_refused(inference, metadata):
    assert await code_of(inference.Chat(chat(), metadata=bearer(**metadata))) == (
        "INVALID_ARGUMENT",
        "invalid_request",
    )


async def test_a_message_that_is_none_is_refused_like_any_other(channel):
    garbled = channel.unary_unary("/gateway.v1.InferenceService/Chat")
    assert await code_of(garbled(b"\xff\xff\xff", metadata=bearer())) == (
        "INVALID_ARGUMENT",
        "invalid_request",
    )


async def test_an_upstream_that_fails_is_told_without_its_words(inference):
    call = inference.Chat(chat("down"), metadata=bearer())
    assert await code_of(call) == ("UNAVAILABLE", "upstream_unavailable")
    assert "scripted failure" not in await call.details()
    trailing = dict(await call.trailing_metadata())
    assert (trailing["x-gateway-model"], trailing["x-should-retry"]) == ("down", "false")


async def test_when_to_come_again_is_told(inference):
    options = common_pb2.GatewayOptions(deadline=Duration(seconds=1))
    code, details = await failure_of(inference.Chat(chat("limited", gateway=options), metadata=bearer()))
    assert code.name in ("RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")
    if code.name == "RESOURCE_EXHAUSTED":
        assert details[RetryInfo].retry_delay.seconds == 7


async def test_a_bug_tells_nothing_of_itself(inference, world, monkeypatch):
    async def broken(*_):
        raise RuntimeError("secret internals")

    monkeypatch.setattr(world.inference, "answer", broken)
    call = inference.Chat(chat(), metadata=bearer())
    assert await code_of(call) == ("INTERNAL", "internal_error")
    assert "secret" not in await call.details()
    assert all(
        b"secret" not in (v if isinstance(v, bytes) else v.encode())
        for _, v in await call.trailing_metadata()
    )


async def test_a_message_over_the_limit_is_refused():
    world = a_world(Settings(api=Api(grpc_port=0, body_limit=100_000)))
    async with rpc_channel(world) as channel:
        stub = InferenceServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await stub.Chat(chat(user="x" * 200_000), metadata=bearer())
        assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await stub.Chat(chat(user="x" * 50_000), metadata=bearer())


async def test_refusals_are_counted(inference):
    before = telemetry.METRICS.get_sample_value("gateway_refused_total", {"code": "model_not_found"}) or 0
    await code_of(inference.Chat(chat("nobody"), metadata=bearer()))
    assert (
        telemetry.METRICS.get_sample_value("gateway_refused_total", {"code": "model_not_found"}) == before + 1
    )
