"""The REST door itself: hosts, keys, bodies that are wrong, late or endless, and the shape of errors by path."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import httpx2
import pytest

from gateway import telemetry
from gateway.ids import moment_of
from tests.api.rest import a_quick_world, body, error_of, request_bytes, serving, told
from tests.api.world import KEY, POWERLESS
from tests.waits import until


@pytest.fixture
def world():
    return a_quick_world(api={"body_limit": 100_000, "body_timeout": timedelta(milliseconds=300)})


@pytest.fixture
async def rest(world):
    async with serving(world) as rest:
        yield rest


async def answered(reader):
    """The status and the JSON of the next answer on a bare connection."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head.split()[1]), json.loads(await reader.readexactly(length))


# ---- the shape of errors -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/chat", "/v1", "/v1/unheard-of"])
async def test_openai_paths_tell_errors_with_all_four_keys(rest, path):
    response = await rest.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "error": {
            "message": "There is nothing at this address.",
            "type": "invalid_request_error",
            "param": None,
            "code": "not_found",
        }
    }


async def test_messages_tell_errors_as_anthropic_does(rest):
    response = await rest.post("/v1/messages/nothing", {})
    request_id = response.headers["x-request-id"]
    assert response.headers["request-id"] == request_id
    assert response.json() == {
        "type": "error",
        "error": {"type": "not_found_error", "message": "There is nothing at this address."},
        "request_id": request_id,
    }


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/nothing", "/api/v1/jobs/x/nothing", "/"])
async def test_our_own_paths_tell_problem_details(rest, path):
    response = await rest.get(path)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "title": "Not found",
        "status": 404,
        "detail": "There is nothing at this address.",
        "code": "not_found",
        "request_id": response.headers["x-request-id"],
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/chat/completions"), ("DELETE", "/v1/models"), ("PUT", "/api/v1/jobs"), ("POST", "/livez")],
)
async def test_another_method_is_refused_and_the_right_one_named(rest, method, path):
    response = await rest.client.request(method, path, headers={"x-api-key": KEY})
    assert (response.status_code, error_of(response)["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"]
    assert response.headers["x-request-id"]


async def test_every_answer_has_an_id_of_its_own(rest):
    ids = set()
    for path in ("/v1/models", "/v1/nothing", "/api/v1/jobs", "/livez", "/metrics", "/openapi.json"):
        response = await rest.get(path)
        assert moment_of(response.headers["x-request-id"])
        ids.add(response.headers["x-request-id"])
    assert len(ids) == 6


async def test_refusals_are_counted(rest):
    def count() -> float:
        return telemetry.METRICS.get_sample_value("gateway_refused_total", {"code": "not_found"}) or 0

    before = count()
    await rest.get("/v1/nothing")
    assert count() == before + 1


async def test_parameters_that_are_wrong_are_named(rest):
    response = await rest.get("/api/v1/jobs", limit="many")
    assert (response.status_code, response.json()["param"]) == (400, "limit")
    assert (await rest.get("/api/v1/jobs", status="odd")).json()["param"] == "status"
    assert (await rest.get("/api/v1/requests", since="yesterday")).json()["param"] == "since"


# ---- keys and hosts ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer sk-unknown"},
        {"authorization": "Basic sk-agent"},
        {"authorization": "Bearer"},
        {"authorization": "sk-agent"},
        {"x-api-key": "sk-unknown"},
        {"x-api-key": ""},
    ],
)
async def test_without_a_valid_key_nothing_is_done(rest, world, headers):
    response = await rest.chat(headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (401, "invalid_api_key")
    assert error_of(response)["type"] == "authentication_error"
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["x-should-retry"] == "false"
    assert "sk-" not in response.text
    assert world.upstream.calls.total() == 0


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/good", "/api/v1/jobs", "/api/v1/jobs/x", "/api/v1/requests"]
)
async def test_every_path_takes_a_key_in_both_places_and_none_goes_without(rest, path):
    assert (await rest.client.get(path)).status_code == 401
    for headers in ({"authorization": f"bearer {KEY}"}, {"x-api-key": KEY}):
        assert (await rest.client.get(path, headers=headers)).status_code in (200, 404)


async def test_a_right_that_is_missing_is_named(rest):
    response = await rest.chat(headers={"x-api-key": POWERLESS})
    assert (response.status_code, error_of(response)["code"]) == (403, "permission_denied")
    assert "infer" in error_of(response)["message"]


async def test_an_unknown_model_and_a_forbidden_one_look_the_same(rest, world):
    world.identity.callers = {KEY: replace(world.identity.callers[KEY], models=frozenset({"good"}))}
    said = set()
    for model in ("nobody", "dear"):
        response = await rest.chat(body(model))
        assert response.status_code == 404
        assert error_of(response)["param"] == "model"
        said.add(response.text.replace(model, "MODEL"))
    assert len(said) == 1


@pytest.mark.parametrize(
    ("allowed", "host", "status"),
    [
        (["*"], "anything.example", 200),
        (["*"], "[::1]:8080", 200),
        (["*"], "", 400),
        (["*"], "a b", 400),
        (["*"], "evil/path", 400),
        (["*"], "user@host", 400),
        (["*"], "host:99999999", 400),
        (["gateway.example"], "gateway.example", 200),
        (["gateway.example"], "GATEWAY.example:8080", 200),
        (["gateway.example"], "gateway.example.evil", 400),
        (["*.example"], "a.example", 200),
        (["*.example"], "example.evil", 400),
        (["127.0.0.1"], "localhost", 400),
    ],
)
async def test_only_hosts_that_are_allowed_are_served(allowed, host, status):
    async with (
        serving(a_quick_world(api={"allowed_hosts": allowed})) as rest,
        rest.raw() as (reader, writer),
    ):
        writer.write(f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\nx-api-key: {KEY}\r\n\r\n".encode())
        found, said = await answered(reader)
    assert found == status
    if status == 400:
        assert said["error"]["code"] == "invalid_host"


# ---- bodies that are wrong ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b'{"model":"good","messages":[{"role":"user"}]} trailing', "invalid_json", None),
        (b"\xef\xbb\xbf{}", "invalid_json", None),
        (b'{"model":"good","messages":[{"role":"user","content":"\xff"}]}', "invalid_json", None),
        (b"[]", "invalid_request", None),
        (b"null", "invalid_request", None),
        (b"{}", "invalid_request", "model"),
        (b'{"model":"good"}', "invalid_request", "messages"),
        (b'{"model":7,"messages":[]}', "invalid_request", "model"),
        (b'{"model":"","messages":[{"role":"user"}]}', "invalid_request", "model"),
        (b'{"model":"good","messages":[]}', "invalid_request", "messages"),
        (b'{"model":"good","messages":"hello"}', "invalid_request", "messages"),
        (b'{"model":"good","messages":[{}]}', "invalid_request", "messages[0].role"),
        (b'{"model":"good","messages":[{"role":1}]}', "invalid_request", "messages[0].role"),
        (b'{"model":"good","messages":[{"role":"user"}],"stream":"yes"}', "invalid_request", "stream"),
        (
            b'{"model":"good","messages":[{"role":"user"}],"metadata":{"a":1}}',
            "invalid_request",
            "metadata[...]",
        ),
        (
            b'{"model":"good","messages":[{"role":"user"}],"gateway":{"tag":{}}}',
            "invalid_request",
            "gateway.tag",
        ),
        (
            b'{"model":"good","messages":[{"role":"user"}],"gateway":{"deadline_s":0}}',
            "invalid_request",
            "gateway.deadline_s",
        ),
        (
            b'{"model":"good","messages":[{"role":"user"}],"gateway":{"deadline_s":86400}}',
            "invalid_request",
            "deadline",
        ),
        (
            b'{"model":"good","messages":[{"role":"user"}],"gateway":{"durability":"degraded"}}',
            "invalid_request",
            "durability",
        ),
    ],
)
async def test_a_body_that_is_wrong_is_refused_by_what_is_wrong(rest, world, sent, code, param):
    response = await rest.chat(sent)
    assert response.status_code == 400
    assert (error_of(response)["code"], error_of(response)["param"]) == (code, param)
    assert response.headers["x-should-retry"] == "false"
    assert world.upstream.calls.total() == 0


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
async def test_endless_nesting_is_refused(rest, opening):
    nested = opening * 9_000 + b"1" + (b"]" if opening == b"[" else b"}") * 9_000
    sent = b'{"model":"good","messages":[{"role":"user"}],"x":' + nested + b"}"
    response = await rest.chat(sent)
    assert response.status_code in (200, 400), response.text


@pytest.mark.parametrize(
    "headers",
    [
        {"x-gateway-durability": "never"},
        {"x-gateway-tags": "=a"},
        {"x-gateway-tags": ",".join(f"t{i}=1" for i in range(40))},
        {"idempotency-key": '""'},
        {"idempotency-key": "k" * 300},
    ],
)
async def test_hints_that_are_wrong_are_refused(rest, headers):
    response = await rest.chat(headers={"x-api-key": KEY, **headers})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_request")


async def test_preferences_that_nobody_knows_are_ignored(rest):
    response = await rest.chat(headers={"x-api-key": KEY, "prefer": "handling=strict; x=1, odd"})
    assert response.status_code == 200
    assert "preference-applied" not in response.headers


# ---- bodies that are late, in pieces, or too large ---------------------------------------------------------------
async def test_a_body_in_pieces_of_one_byte_is_read_like_any_other(rest):
    async with rest.raw() as (reader, writer):
        for byte in request_bytes(json.dumps(body()).encode()):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        status, said = await answered(reader)
    assert (status, said["object"]) == (200, "chat.completion")


async def test_a_chunked_body_is_read_like_any_other(rest):
    async def pieces():
        sent = json.dumps(body(stream=True)).encode()
        for at in range(0, len(sent), 7):
            yield sent[at : at + 7]

    response = await rest.client.post("/v1/chat/completions", content=pieces(), headers={"x-api-key": KEY})
    assert told(response.text).done


async def test_two_requests_on_one_connection_are_both_answered(rest):
    async with rest.raw() as (reader, writer):
        writer.write(request_bytes(json.dumps(body()).encode()) * 2)
        assert [(await answered(reader))[0] for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("sent_first", [b"", b'{"model"'])
async def test_a_body_that_does_not_come_ends_in_time(rest, sent_first):
    async with rest.raw() as (reader, writer):
        writer.write(
            request_bytes(json.dumps(body()).encode()).split(b"\r\n\r\n")[0] + b"\r\n\r\n" + sent_first
        )
        status, said = await answered(reader)
        assert await reader.read() == b"", "the rest of a body that comes too late is nothing to wait for"
    assert (status, said["error"]["code"]) == (408, "body_timeout")


async def test_a_body_over_the_limit_is_refused_unread(rest, world):
    async with rest.raw() as (reader, writer):
        head = request_bytes(b"").replace(b"content-length: 0", b"content-length: 100001")
        writer.write(head)  # and not a byte of the body
        status, said = await answered(reader)
    assert (status, said["error"]["code"]) == (413, "body_too_large")
    assert world.upstream.calls.total() == 0


async def test_a_chunked_body_over_the_limit_is_refused_while_it_comes(rest):
    async def endless():
        while True:
            yield b" " * 30_000
            await asyncio.sleep(0)

    async with asyncio.timeout(30):
        try:
            response = await rest.client.post(
                "/v1/chat/completions", content=endless(), headers={"x-api-key": KEY}
            )
        except httpx2.HTTPError:
            return  # the connection was closed on a client that went on sending
    assert (response.status_code, error_of(response)["code"]) == (413, "body_too_large")


async def test_a_body_at_the_limit_is_taken(rest):
    sent = json.dumps(body()).encode()
    assert (await rest.chat(sent + b" " * (100_000 - len(sent)))).status_code == 200
    over = await rest.chat(sent + b" " * (100_001 - len(sent)))
    assert error_of(over)["code"] == "body_too_large"


async def test_a_caller_who_leaves_in_the_middle_of_its_body_leaves_nothing_behind(rest, world):
    async with rest.raw() as (_, writer):
        writer.write(request_bytes(json.dumps(body()).encode())[:-10])
        await writer.drain()
    assert (await rest.chat()).status_code == 200
    await until(lambda: not len(world.exchanges))
    assert world.upstream.calls.total() == 1


async def test_what_is_no_http_is_refused(rest):
    async with rest.raw() as (reader, writer):
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 30)).startswith(b"HTTP/1.1 400")
    assert (await rest.chat()).status_code == 200


@pytest.mark.parametrize(
    "line", [b"x-long: " + b"x" * 70_000, b"".join(b"x-%d: y\r\n" % i for i in range(9_000))]
)
async def test_a_head_that_does_not_end_is_refused(rest, line):
    async with rest.raw() as (reader, writer):
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\n" + line)
        status, said = await answered(reader)
    assert (status, said["error"]["code"]) == (431, "head_too_large")


async def test_a_long_head_that_ends_is_read(rest):
    async with rest.raw() as (reader, writer):
        head = request_bytes(json.dumps(body()).encode())
        writer.write(head.replace(b"\r\n", b"\r\nx-long: " + b"x" * 60_000 + b"\r\n", 1))
        assert (await answered(reader))[0] == 200
