"""What operators, browsers and the Temporal UI ask of REST: health, metrics, models, OpenAPI, the codec."""

import base64
import json
from dataclasses import replace

import pytest
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payload, Payloads

from gateway import VERSION
from gateway.domain.identity import Right
from gateway.domain.secret import Secret
from gateway.settings import Encryption, Temporal
from tests.api.rest import a_quick_world, body, error_of, serving
from tests.api.world import ADMIN, CALLERS, KEY
from tests.builders import a_caller

UI = "http://ui.example:8233"
_RING = {
    "old": Secret(base64.b64encode(b"o" * 32).decode()),
    "new": Secret(base64.b64encode(b"n" * 32).decode()),
}


@pytest.fixture
def world():
    return a_quick_world(temporal=Temporal(encryption=Encryption(active="new", keys=_RING), ui_url=f"{UI}/x"))


@pytest.fixture
async def rest(world):
    async with serving(world) as rest:
        yield rest


# ---- health and metrics ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/livez", "/health/liveliness"])
async def test_a_process_that_runs_is_alive_whatever_is_away(rest, world, path):
    world.ready, world.identity.down, world.engine.up = False, True, False
    response = await rest.client.get(path)
    assert (response.status_code, response.json()) == (200, {"status": "alive"})


@pytest.mark.parametrize("path", ["/readyz", "/health/readiness"])
async def test_readiness_names_what_is_missing(rest, world, path):
    response = await rest.client.get(path)
    assert (response.status_code, response.json()["status"]) == (200, "ready")
    world.ready = False
    response = await rest.client.get(path)
    assert response.status_code == 503
    assert response.json() == {
        "status": "not ready",
        "checks": {"storage": True, "serving": False},
        "details": {"live_age_s": 1.0, "nats": "none"},
    }
    assert response.headers["retry-after"] == "1"


async def test_metrics_need_no_key_and_hold_the_requests(rest):
    await rest.settled(await rest.chat())
    response = await rest.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    line = 'gateway_requests_total{kind="chat",model="good",provider="scripted",status="completed"}'
    assert line in response.text
    assert "agent-1" not in response.text
    assert "Hello" not in response.text


async def test_no_question_of_an_operator_calls_a_model(rest, world):
    for path in ("/livez", "/readyz", "/metrics", "/info", "/docs", "/openapi.json"):
        assert (await rest.client.get(path)).status_code == 200
    assert world.upstream.calls.total() == 0


async def test_info_says_what_runs_here(rest):
    said = (await rest.client.get("/info")).json()
    assert (said["name"], said["version"], said["origin"]) == ("llm-gateway", VERSION, "here")
    assert said["registry_version"] == "test"


async def test_the_openapi_document_describes_every_path_and_the_keys(rest):
    said = (await rest.client.get("/openapi.json")).json()
    assert {
        "/v1/chat/completions",
        "/v1/models",
        "/api/v1/jobs",
        "/api/v1/jobs/{job_id}",
        "/api/v1/jobs/{job_id}/result",
        "/api/v1/jobs/{job_id}/events",
        "/api/v1/jobs/{job_id}/cancel",
        "/api/v1/requests",
        "/api/v1/requests/{request_id}",
    } <= set(said["paths"])
    assert set(said["components"]["securitySchemes"]) == {"bearer", "key"}
    assert said["paths"]["/v1/chat/completions"]["post"]["requestBody"]["required"]


async def test_the_docs_can_be_switched_off():
    async with serving(a_quick_world(api={"docs": False})) as rest:
        for path in ("/docs", "/openapi.json", "/redoc"):
            assert (await rest.client.get(path)).status_code == 404


# ---- models ------------------------------------------------------------------------------------------------------
async def test_models_are_what_this_caller_may_use(rest, world):
    may = frozenset({"good", "assistant"})
    world.identity.callers = {KEY: replace(CALLERS[KEY], models=may)}
    said = (await rest.get("/v1/models")).json()
    assert said["object"] == "list"
    assert [(m["id"], m["object"], m["owned_by"]) for m in said["data"]] == [
        ("assistant", "model", "llm-gateway"),
        ("auto", "model", "llm-gateway"),
        ("good", "model", "scripted"),
    ]
    assert all(isinstance(m["created"], int) for m in said["data"])
    assert (await rest.get("/v1/models/good")).json() == said["data"][2]
    for name in ("dear", "nobody", "a/b/c"):
        response = await rest.get(f"/v1/models/{name}")
        assert (response.status_code, error_of(response)["code"]) == (404, "model_not_found")


# ---- the codec ---------------------------------------------------------------------------------------------------
def payloads(*texts):
    made = [Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(text).encode()) for text in texts]
    return MessageToDict(Payloads(payloads=made))


async def test_payloads_are_encoded_and_decoded_for_who_may_read_prompts(rest):
    clear = payloads("a prompt", "x" * 10_000)
    encoded = await rest.post("/codec/encode", clear, ADMIN)
    assert encoded.status_code == 200
    assert "prompt" not in base64.b64decode(encoded.json()["payloads"][0]["data"]).decode("latin-1")
    assert len(encoded.text) < 2_000, "what is long is compressed"
    decoded = await rest.post("/codec/decode", encoded.json(), ADMIN)
    assert decoded.json() == clear


async def test_payloads_are_shown_to_nobody_else(rest, world):
    sees_requests = a_caller(id="r", name="r", rights=frozenset({Right.REQUESTS_READ, Right.INFER}))
    world.identity.callers = {**CALLERS, "sk-reader": sees_requests}
    for key, status in ((KEY, 403), ("sk-reader", 403), ("sk-unknown", 401)):
        for path in ("/codec/decode", "/codec/encode"):
            assert (await rest.post(path, payloads("x"), key)).status_code == status
    assert (await rest.client.post("/codec/decode", json=payloads("x"))).status_code == 401


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"null",
        b"\xff",
        b'{"odd":1}',
        b'{"payloads":5}',
        b"[" * 50_000,
        b'{"payloads":[{"metadata":{"encoding":"%b","key":"bmV3"},"data":""}]}'
        % base64.b64encode(b"binary/gateway-aes256gcm"),
        b'{"payloads":[{"metadata":{"encoding":"%b","key":"bmV3"},"data":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}'
        % base64.b64encode(b"binary/gateway-aes256gcm"),
        b'{"payloads":[{"metadata":{"encoding":"%b","key":"b2Rk"},"data":"AAAA"}]}'
        % base64.b64encode(b"binary/gateway-aes256gcm"),
    ],
)
async def test_what_is_no_payload_is_refused(rest, sent):
    response = await rest.client.post("/codec/decode", content=sent, headers={"x-api-key": ADMIN})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_request")


async def test_the_temporal_ui_may_ask_from_its_own_page_alone(rest):
    asking = {"access-control-request-method": "POST", "origin": UI}
    allowed = await rest.client.options("/codec/decode", headers=asking)
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == UI
    assert allowed.headers["access-control-allow-credentials"] == "true"
    other = await rest.client.options("/codec/decode", headers={**asking, "origin": "http://evil.example"})
    assert "access-control-allow-origin" not in other.headers


async def test_a_browser_gets_a_cookie_for_a_key_and_it_opens_payloads_on_the_uis_page(rest):
    page = await rest.client.get("/codec/login")
    assert "prompts.read" in page.text
    wrong = await rest.client.post("/codec/login", data={"key": KEY})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (403, False)
    entered = await rest.client.post("/codec/login", data={"key": ADMIN})
    assert (entered.status_code, entered.headers["location"]) == (303, UI)
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert ADMIN not in cookie
    sealed = entered.headers["set-cookie"].split("=", 1)[1].split(";")[0]

    async def asked(origin, token=sealed):
        headers = {"cookie": f"gateway_codec={token}", **({"origin": origin} if origin else {})}
        rest.client.cookies.clear()
        return (await rest.client.post("/codec/decode", json=payloads("x"), headers=headers)).status_code

    assert await asked(UI) == 200
    assert await asked(None) == 200
    assert await asked("http://evil.example") == 401
    assert await asked(UI, sealed[:-2] + ("00" if sealed[-2:] != "00" else "11")) == 401
    assert await asked(UI, "new.00") == 401
    assert await asked(UI, "nonsense") == 401


async def test_without_encryption_there_is_no_codec():
    async with serving(a_quick_world()) as rest:
        assert (await rest.post("/codec/decode", payloads("x"), ADMIN)).status_code == 404


async def test_requests_link_to_their_workflow_in_the_ui(rest):
    response = await rest.chat(body())
    await rest.settled(response)
    shown = (await rest.get(f"/api/v1/requests/{response.headers['x-request-id']}")).json()
    assert shown["workflow_url"] == f"{UI}/x/namespaces/default/workflows/{shown['id']}"
