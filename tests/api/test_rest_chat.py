"""`POST /v1/chat/completions` as JSON: the real application behind a real server, over memory and scripted models."""

import asyncio
import json
from datetime import timedelta

import httpx2
import pytest
from structlog.testing import capture_logs

from gateway import telemetry
from gateway.domain.errors import EngineUnavailable
from gateway.domain.inference import Durability, Outcome, Status
from gateway.ids import moment_of
from gateway.providers.scripted.script import FAILURES
from tests.api.rest import a_quick_world, body, error_of, script, serving
from tests.api.rpc import a_day
from tests.api.world import KEY
from tests.waits import until


@pytest.fixture
def world():
    return a_quick_world()


@pytest.fixture
async def rest(world):
    async with serving(world) as rest:
        yield rest


# ---- the answer --------------------------------------------------------------------------------------------------
async def test_a_chat_is_answered_and_its_headers_say_what_the_gateway_did(rest):
    response = await rest.chat()
    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"].startswith("A café")
    headers = response.headers
    assert headers["content-type"] == "application/json"
    assert moment_of(headers["x-request-id"])
    assert headers["x-gateway-workflow-id"] == headers["x-request-id"]
    assert (headers["x-gateway-model"], headers["x-gateway-provider"]) == ("good", "scripted")
    assert (headers["x-gateway-attempts"], headers["x-gateway-durability"]) == ("1", "overlapped")
    assert (headers["x-gateway-rule"], headers["x-gateway-rules-version"]) == ("order of the name", "test")
    assert headers["x-gateway-cost-usd"] == "0.000027"
    assert 0 <= float(headers["x-gateway-overhead-ms"]) < 5000
    assert headers["server-timing"] == f"gateway;dur={headers['x-gateway-overhead-ms']}"
    assert "x-should-retry" not in headers
    assert "retry-after" not in headers


async def test_the_answer_is_the_models_own_bytes_and_the_ledger_keeps_them(rest):
    response = await rest.chat(script(text="Grüezi 🦊", usage={"prompt_tokens": 3, "odd": [1.50]}))
    assert '"odd":[1.5]' in response.text
    record = await rest.settled(response)
    assert record.answer == response.text
    assert json.loads(record.prompt)["messages"] == body()["messages"]
    assert (record.request.door, record.request.caller) == ("rest", "agent-1")
    assert record.settlement.status is Status.COMPLETED
    assert record.settlement.attempts[0].usage.input == 3


async def test_what_the_gateway_does_not_know_reaches_the_provider_byte_by_byte(rest, world):
    fields = {
        b"x_number": b"1.50e+007",
        b"x_large": b"123456789012345678901234567890.000",
        b"x_text": rb'"\u00e9 \ud83e\udd8a \/"',
        b"x_nested": b'{"a" : [1 ,2,{ }],  "b":null}',
        b"temperature": b"0.70",
        b"tools": b'[{"type":"function","function":{"name":"f","parameters":{"x":1e2}}}]',
    }
    listed = b",".join(b'"%s": %s' % pair for pair in fields.items())
    sent = b'{"model":"good","messages":[{"role":"user","content":"\\u0048i","x":1.0}],%s}' % listed
    assert (await rest.chat(sent)).status_code == 200
    received = world.upstream.last[1]
    for name, value in fields.items():
        assert b'"%s":%s' % (name, value) in received
    assert b'"messages":[{"role":"user","content":"\\u0048i","x":1.0}]' in received


async def test_only_the_model_and_the_stream_options_are_changed(rest, world):
    await rest.chat(body("tools", stream=False, stream_options={"x": 1}, n=2))
    assert json.loads(world.upstream.last[1]) == body("scripted-tool-calls", n=2)
    assert (await rest.chat(body("tools"))).json()["choices"][0]["finish_reason"] == "tool_calls"


async def test_our_own_field_is_heard_and_taken_out(rest, world):
    own = {"deadline_s": 7, "durability": "start-first", "tags": {"team": "b"}, "metadata": {"run": "9"}}
    response = await rest.chat(body(gateway=own, metadata={"run": "1", "user": "u"}))
    assert response.headers["x-gateway-durability"] == "start-first"
    assert b"gateway" not in world.upstream.last[1]
    record = await rest.settled(response)
    assert record.request.deadline - record.request.accepted_at == timedelta(seconds=7)
    assert record.request.tags == {"team": "b"}
    assert record.request.metadata == {"run": "9", "user": "u"}
    assert "gateway" not in json.loads(record.prompt)


@pytest.mark.parametrize("name", ["x-gateway-tags", "x-litellm-tags"])
async def test_tags_come_in_a_header_too(rest, name):
    headers = {"x-api-key": KEY, name: "team=search, env=prod,", "x-client-request-id": "mine"}
    record = await rest.settled(await rest.chat(headers=headers))
    assert record.request.tags == {"team": "search", "env": "prod"}
    assert record.request.client_request_id == "mine"


async def test_the_trace_is_taken_and_passed_on(rest, world):
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"x-api-key": KEY, "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    record = await rest.settled(await rest.chat(headers=headers))
    assert record.request.trace_id == trace
    assert world.upstream.last[0]["traceparent"].split("-")[1] == trace
    assert world.upstream.last[0]["x-request-id"] == record.request.id
    fresh = await rest.settled(await rest.chat(headers={"x-api-key": KEY, "traceparent": "nonsense"}))
    assert fresh.request.trace_id not in (trace, "nonsense")
    assert len(fresh.request.trace_id) == 32


async def test_no_key_of_the_caller_reaches_the_provider(rest, world):
    await rest.chat(headers={"authorization": f"Bearer {KEY}", "cookie": "c=1", "x-secret": "s"})
    sent = {name.lower() for name in world.upstream.last[0]}
    assert not sent & {"authorization", "x-api-key", "cookie", "x-secret"}


async def test_a_model_without_a_price_says_no_cost(rest):
    response = await rest.chat(body("dear"))
    assert "x-gateway-cost-usd" not in response.headers
    assert (await rest.settled(response)).settlement.cost_usd is None


async def test_a_failing_candidate_is_passed_over_and_the_ledger_says_why(rest):
    response = await rest.chat(body("assistant"))
    assert (response.headers["x-gateway-model"], response.headers["x-gateway-attempts"]) == ("good", "2")
    assert response.headers["x-gateway-rule"] == "just failed", "what chose it in the end, not at first"
    first, second = (await rest.settled(response)).settlement.attempts
    assert (first.model, first.outcome, first.failure.code) == (
        "down",
        Outcome.FAILED,
        "upstream_unavailable",
    )
    assert second.reason == "fallback after down failed: upstream_unavailable"
    assert response.headers["x-gateway-cost-usd"] == f"{second.cost_usd:f}"


# ---- upstreams that fail -----------------------------------------------------------------------------------------
_CODES = {
    "broken-json": (502, "upstream_malformed"),
    "close-mid-stream": (502, "upstream_broken"),
    "connect-refused": (502, "upstream_unavailable"),
    "content-filter": (400, "content_filter"),
    "context-too-long": (400, "context_length_exceeded"),
    "cut-json": (502, "upstream_broken"),
    "cut-utf8": (502, "upstream_broken"),
    "echo-key": (502, "upstream_auth"),
    "empty": (502, "upstream_malformed"),
    "error-reply": (502, "upstream_unavailable"),
    "half-event": (502, "upstream_broken"),
    "hang": (504, "deadline_exceeded"),
    "hang-mid-stream": (504, "deadline_exceeded"),
    "html": (502, "upstream_malformed"),
    "no-done": (502, "upstream_broken"),
    "quota": (502, "upstream_auth"),
    "redirect": (502, "upstream_malformed"),
    "reset": (502, "upstream_unavailable"),
    "reset-mid-stream": (502, "upstream_broken"),
    "status:400": (400, "upstream_rejected"),
    "status:401": (502, "upstream_auth"),
    "status:403": (502, "upstream_auth"),
    "status:404": (502, "upstream_not_found"),
    "status:408": (504, "upstream_timeout"),
    "status:422": (400, "upstream_rejected"),
    "status:429": (429, "upstream_rate_limited"),
    "status:500": (502, "upstream_unavailable"),
    "status:503": (502, "upstream_unavailable"),
    "status:529": (502, "upstream_unavailable"),
}
_WHOLE_ANSWERS_CANNOT = {"error-event", "slow-drip"}
_UPSTREAM_WORDS = ("scripted", "nginx", "upstream-page", "quota", "out of order", "elsewhere", "api key")


def test_every_failure_that_the_script_knows_is_tried():
    tried = {name for name in _CODES if not name.startswith("status:")}
    assert tried == FAILURES - _WHOLE_ANSWERS_CANNOT


@pytest.mark.parametrize("failure", sorted(_CODES))
async def test_an_upstream_that_fails_is_told_in_our_words_and_settled(rest, failure):
    own = {"deadline_s": 0.5} if "hang" in failure else {}
    response = await rest.chat(script(failure=failure) | {"gateway": own})
    error = error_of(response)
    assert (response.status_code, error["code"]) == _CODES[failure]
    assert list(error) == ["message", "type", "param", "code"]
    told = {**response.headers, "x-gateway-provider": ""}
    assert not [word for word in _UPSTREAM_WORDS if word in f"{response.text} {told}".lower()]
    assert response.headers["x-gateway-model"] == "good"
    assert response.headers["x-should-retry"] == "false", "the caller's SDK would try all of it again"
    record = await rest.settled(response)
    assert record.settlement.status is Status.FAILED
    assert record.settlement.failure.code == error["code"]
    assert len(record.settlement.attempts) == int(response.headers["x-gateway-attempts"]) >= 1


async def test_an_upstreams_own_wait_is_passed_on(rest):
    response = await rest.chat(body("limited", gateway={"deadline_s": 3}))
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")
    assert response.headers["x-gateway-attempts"] == "1"


async def test_a_model_that_recovers_is_tried_again(rest):
    response = await rest.chat(script(failure="status:503", fail_first=2))
    assert (response.status_code, response.headers["x-gateway-attempts"]) == (200, "3")


async def test_the_deadline_is_kept(rest, world):
    response = await rest.chat(body("slow", gateway={"deadline_s": 0.3}))
    assert (response.status_code, error_of(response)["code"]) == (504, "deadline_exceeded")
    assert error_of(response)["type"] == "timeout_error"
    await until(lambda: world.upstream.in_flight == 0)
    assert response.headers["x-should-retry"] == "false"


# ---- how durable -------------------------------------------------------------------------------------------------
class Held:
    """Stands before the engine's start until it is let go; `fails` makes it find nobody there."""

    def __init__(self, world):
        self.go = asyncio.Event()
        self.asked = 0
        self.fails = False
        self._start = world.engine.start
        world.engine.start = self

    async def __call__(self, request):
        self.asked += 1
        await self.go.wait()
        if self.fails:
            raise EngineUnavailable
        return await self._start(request)


async def test_overlapped_answers_while_the_start_is_still_being_committed(rest, world):
    held = Held(world)
    response = await rest.chat()
    assert response.status_code == 200
    assert (held.asked, len(world.exchanges)) == (1, 1), "it is settled by its workflow alone"
    held.go.set()
    assert (await rest.settled(response)).request.durability is Durability.OVERLAPPED


async def test_start_first_calls_nobody_before_the_start_is_committed(rest, world):
    held = Held(world)
    asking = asyncio.create_task(rest.chat(headers={"x-api-key": KEY, "x-gateway-durability": "start-first"}))
    await until(lambda: held.asked == 1)
    assert world.upstream.calls.total() == 0
    held.go.set()
    response = await asking
    assert (response.status_code, response.headers["x-gateway-durability"]) == (200, "start-first")
    assert (await rest.settled(response)).request.durability is Durability.START_FIRST


@pytest.mark.parametrize("durability", ["overlapped", "start-first"])
async def test_without_an_engine_serve_answers_says_so_and_writes_the_row_itself(rest, world, durability):
    world.engine.up = False
    before = telemetry.METRICS.get_sample_value("gateway_degraded_total", {"kind": "chat"}) or 0
    response = await rest.chat(body("assistant", gateway={"durability": durability}))
    assert (response.status_code, response.headers["x-gateway-durability"]) == (200, "degraded")
    assert "x-gateway-workflow-id" not in response.headers
    record = await rest.settled(response)
    assert record.request.durability is Durability.DEGRADED
    assert [a.model for a in record.settlement.attempts] == ["down", "good"]
    assert telemetry.METRICS.get_sample_value("gateway_degraded_total", {"kind": "chat"}) == before + 1


async def test_without_an_engine_refuse_calls_nobody():
    world = a_quick_world(engine_down="refuse")
    world.engine.up = False
    async with serving(world) as rest:
        response = await rest.chat()
    assert (response.status_code, error_of(response)["code"]) == (503, "engine_unavailable")
    assert response.headers["retry-after"]
    assert "x-should-retry" not in response.headers
    assert world.upstream.calls.total() == 0


@pytest.mark.parametrize("durability", ["overlapped", "start-first"])
async def test_an_engine_that_goes_away_at_the_start_refuses_and_settles(durability):
    world = a_quick_world(engine_down="refuse", durability=durability)
    held = Held(world)
    held.fails = True
    async with serving(world) as rest:
        asking = asyncio.create_task(rest.chat(body("slow")))
        await until(lambda: held.asked == 1)
        held.go.set()
        response = await asking
        assert (response.status_code, error_of(response)["code"]) == (503, "engine_unavailable")
        assert (await rest.settled(response)).settlement.status is Status.CANCELLED
        assert world.upstream.in_flight == 0


# ---- bounds ------------------------------------------------------------------------------------------------------
async def test_over_the_bound_a_request_is_refused_and_told_when_to_come_again():
    world = a_quick_world(api={"max_in_flight": 2})
    async with serving(world) as rest:
        running = [asyncio.create_task(rest.chat(script(latency_ms=300))) for _ in range(2)]
        await until(lambda: world.upstream.in_flight == 2)
        response = await rest.chat()
        assert (response.status_code, error_of(response)["code"]) == (503, "overloaded")
        assert (error_of(response)["type"], response.headers["retry-after"]) == ("server_error", "1")
        assert [(await r).status_code for r in running] == [200, 200]
        await until(lambda: not len(world.exchanges))
        assert (await rest.chat()).status_code == 200


async def test_a_database_that_is_away_is_never_a_wrong_key(rest, world):
    world.identity.down = True
    for path in ("/v1/models", "/api/v1/jobs", "/api/v1/requests"):
        assert (await rest.get(path)).status_code == 503
    response = await rest.chat()
    assert (response.status_code, error_of(response)["code"]) == (503, "storage_unavailable")
    assert response.headers["retry-after"] == "1"
    world.identity.down = False
    assert (await rest.chat()).status_code == 200


@pytest.mark.parametrize(("setting", "status"), [("refuse", 503), ("serve", 200)])
async def test_a_known_caller_is_refused_or_served_while_the_ledger_cannot_be_written(setting, status):
    world = a_quick_world(storage_down=setting)
    world.inference._storage_up = lambda: False
    async with serving(world) as rest:
        assert (await rest.chat()).status_code == status
    assert world.upstream.calls.total() == (status == 200)


async def test_a_body_of_ten_megabytes_in_one_line_is_answered(rest, world):
    response = await rest.chat(body(messages=[{"role": "user", "content": "x" * 10_000_000}]))
    assert response.status_code == 200
    assert len(world.upstream.last[1]) > 10_000_000
    record = await rest.settled(response)
    assert record.prompt.endswith("characters]")
    assert len(record.prompt) < 101_000


# ---- callers who leave -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("policy", "status", "cancelled"), [("cancel", Status.CANCELLED, 1), ("finish", Status.COMPLETED, 0)]
)
async def test_when_a_caller_leaves_the_call_is_cancelled_or_finished_by_setting(policy, status, cancelled):
    world = a_quick_world(on_disconnect=policy)
    async with serving(world) as rest:
        with pytest.raises(httpx2.ReadTimeout):
            await rest.client.post(
                "/v1/chat/completions",
                json=script(latency_ms=600),
                headers={"x-api-key": KEY},
                timeout=0.2,
            )
        await until(lambda: world.upstream.in_flight == 0 and not len(world.exchanges))
        settlement = (await world.store.requests.find(a_day(), limit=1)).rows[0].settlement
        assert settlement.status is status
        assert settlement.usage is not None
        assert settlement.usage.estimated == (status is Status.CANCELLED)
        assert world.upstream.cancelled == cancelled


async def test_a_bug_tells_nothing_of_itself(rest, world, monkeypatch):
    async def broken(*_):
        raise RuntimeError("secret internals")

    monkeypatch.setattr(world.inference, "answer", broken)
    with capture_logs() as logged:
        response = await rest.chat()
    assert [line["event"] for line in logged if line["log_level"] == "error"] == ["bug"]
    assert (response.status_code, error_of(response)["code"]) == (500, "internal_error")
    assert "secret" not in response.text + str(response.headers)
    assert response.headers["x-request-id"]
