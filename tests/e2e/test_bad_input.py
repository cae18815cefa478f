"""What callers get wrong, over raw sockets: the right error in the dialect's shape, and a gateway that goes on."""

from __future__ import annotations

import json
import time

import pytest

from tests.e2e.conftest import BODY_LIMIT, BODY_TIMEOUT
from tests.e2e.person import CHAT, Person, Upstream, canary, chat
from tests.e2e.stack import Stack, until
from tests.e2e.wire import Answer, Wire

pytestmark = pytest.mark.slow

MIB = 1024 * 1024


def post(stack: Stack, body: bytes, key: str | None = "", path: str = CHAT, **headers: str | None) -> Answer:
    """POST bytes; `key` "" is the admin's, None is none."""
    bearer = None if key is None else f"Bearer {key or stack.admin_key}"
    with Wire(stack.rest_port) as wire:
        wire.head(
            "POST",
            path,
            {
                "Authorization": bearer,
                "Content-Length": str(len(body)),
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )
        wire.send(body)
        return wire.answer()


def body(**changes: object) -> bytes:
    return json.dumps({**chat(), **changes}).encode()


@pytest.mark.parametrize(
    ("sent", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b'{"model":"ok","messages":[{"role":"user","content":"\xff\xfe"}]}', "invalid_json", None),
        (b'{"model":"ok",}', "invalid_json", None),
        (b'{"model":"ok","messages":[{"role":"user"}],"temperature":NaN}', "invalid_json", None),
        (b'{"model":"ok","messages":[{"role":"user"}]} {}', "invalid_json", None),
        (b"[]", "invalid_request", None),
        (b"null", "invalid_request", None),
        (body(model=7), "invalid_request", "model"),
        (body(model=""), "invalid_request", "model"),
        (body(model="m" * 1000), "invalid_request", "model"),
        (body(messages="hello"), "invalid_request", "messages"),
        (body(messages=[]), "invalid_request", "messages"),
        (body(messages=[{"content": "hello"}]), "invalid_request", "messages[0].role"),
        (body(stream="yes"), "invalid_request", "stream"),
        (body(metadata={"a": 1}), "invalid_request", "metadata[...]"),
        (body(gateway={"deadline_s": 0}), "invalid_request", "gateway.deadline_s"),
        (body(gateway={"deadline_s": -1}), "invalid_request", "gateway.deadline_s"),
        (body(gateway={"deadline_s": "soon"}), "invalid_request", "gateway.deadline_s"),
        (body(gateway={"deadline": 5}), "invalid_request", "gateway.deadline"),
        (body(gateway={"durability": "eternal"}), "invalid_request", "durability"),
        (b'{"messages":[{"role":"user"}]}', "invalid_request", "model"),
        (b"[" * 100_000, "invalid_request", None),
        (
            b'{"model":"ok","messages":[{"role":"user","content":' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
            None,
            None,
        ),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else None,
)
def test_a_body_that_is_wrong_is_a_bad_request_that_names_the_field(
    stack: Stack, sent: bytes, code: str | None, param: str | None
):
    answer = post(stack, sent)
    assert answer.status == 400, answer.body
    if code is not None:
        assert (answer.error["code"], answer.error["param"]) == (code, param)
    assert answer.error["type"] == "invalid_request_error"
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-request-id"]
    assert b"Traceback" not in answer.body


@pytest.mark.parametrize(
    "model", ["gpt-99", "ok ", "../ok", "scripted-ok", "café", "'; DROP TABLE requests; --"]
)
def test_a_model_that_is_unknown_is_not_found(stack: Stack, model: str):
    answer = post(stack, body(model=model))
    assert answer.status == 404
    assert (answer.error["code"], answer.error["param"]) == ("model_not_found", "model")


@pytest.mark.parametrize("key", [None, "wrong", "gw_" + "A" * 43, "gw_" + "A" * 10_000, "\u00fc"])
def test_no_key_and_a_wrong_key_are_unauthorised(stack: Stack, key: str | None):
    answer = post(stack, body(), key=key)
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"
    if key:
        assert key.encode() not in answer.body


@pytest.mark.parametrize("scheme", ["Basic YTpi", "Bearer", "bearer  ", "gw_only"])
def test_a_scheme_that_is_not_ours_is_unauthorised(stack: Stack, scheme: str):
    assert post(stack, body(), Authorization=scheme).status == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "a b", "127.0.0.1:99999999", "", None, "[::1", "-"]
)
def test_a_host_of_the_wrong_kind_is_refused(stack: Stack, host: str | None):
    answer = post(stack, body(), Host=host)
    assert answer.status == 400
    assert b"invalid_host" in answer.body or host in (None, "a b")
    assert b"Traceback" not in answer.body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1"])
def test_a_host_of_ours_is_taken(stack: Stack, host: str):
    assert post(stack, body(), Host=host).status == 200


def test_a_body_over_the_limit_is_refused_before_it_is_sent(stack: Stack):
    with Wire(stack.rest_port) as wire:
        key = {"Authorization": f"Bearer {stack.admin_key}"}
        wire.head("POST", CHAT, {**key, "Content-Length": str(BODY_LIMIT + 1)})
        answer = wire.answer()
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")


def test_a_body_whose_length_is_not_told_is_refused_when_it_passes_the_limit(stack: Stack):
    with Wire(stack.rest_port) as wire:
        wire.head(
            "POST", CHAT, {"Authorization": f"Bearer {stack.admin_key}", "Transfer-Encoding": "chunked"}
        )
        part = b"%x\r\n%b\r\n" % (MIB, b" " * MIB)
        try:
            for _ in range(BODY_LIMIT // MIB + 2):
                wire.send(part)
        except ConnectionError:
            pass  # it had heard enough
        answer = wire.answer()
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")


def test_ten_megabytes_in_one_line_are_a_prompt_like_any_other(stack: Stack, admin: Person):
    sent = json.dumps(chat("ok", "a" * (10 * MIB))).encode()
    answer = post(stack, sent)
    assert answer.status == 200, answer.body[:500]
    row = admin.request(answer.headers["x-request-id"])
    assert row["status"] == "completed"
    assert len(row["prompt"]) < 2 * MIB  # cut in the log, which says so
    assert row["prompt"].endswith("characters]")


def test_ten_megabytes_in_one_line_of_the_head_are_refused(stack: Stack, admin: Person):
    with Wire(stack.rest_port) as wire:
        try:
            wire.head("POST", CHAT, {"X-Long": "a" * (10 * MIB), "Content-Length": "0"})
            status = wire.answer().status
        except ConnectionError:
            status = None  # closed: it had heard enough
    assert status in (None, 400, 431)
    assert admin.ask("ok").status_code == 200


@pytest.mark.parametrize("sent", [b"", b'{"model":'], ids=["nothing", "a part"])
def test_a_client_that_does_not_send_its_body_hears_that_it_took_too_long(stack: Stack, sent: bytes):
    began = time.monotonic()
    with Wire(stack.rest_port, timeout=BODY_TIMEOUT + 20) as wire:
        wire.head("POST", CHAT, {"Authorization": f"Bearer {stack.admin_key}", "Content-Length": "100"})
        wire.send(sent)
        answer = wire.answer()
    assert (answer.status, answer.error["code"]) == (408, "body_timeout")
    assert BODY_TIMEOUT * 0.9 < time.monotonic() - began < BODY_TIMEOUT + 15
    assert answer.headers["retry-after"]


def test_a_client_that_drips_its_body_hears_that_it_took_too_long(stack: Stack):
    with Wire(stack.rest_port) as wire:
        wire.head("POST", CHAT, {"Authorization": f"Bearer {stack.admin_key}", "Content-Length": "100000"})
        ends = time.monotonic() + BODY_TIMEOUT + 20
        wire.socket.settimeout(0.1)
        while time.monotonic() < ends:
            try:
                wire.send(b" ")
                head = wire.socket.recv(65536)
                break
            except TimeoutError:
                continue
        else:
            raise AssertionError("nobody stopped it")
    assert head.startswith(b"HTTP/1.1 408 ")


def test_bytes_that_are_no_http_are_refused(stack: Stack, admin: Person):
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), b"HELLO\r\n\r\n", b"\0" * 1000):
        with Wire(stack.rest_port) as wire:
            wire.send(sent)
            got = wire.receive_until(b"\r\n")
            assert got.startswith(b"HTTP/1.1 400 ")
            assert b"Traceback" not in got
    assert admin.ask("ok").status_code == 200


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\u2028", "🦊" * 100])
def test_a_text_that_a_database_would_not_take_is_answered_and_recorded(
    stack: Stack, admin: Person, text: str
):
    answer = post(stack, json.dumps(chat("ok", text)).encode(), X_Client_Request_Id="odd")
    assert answer.status == 200, answer.body
    row = admin.request(answer.headers["x-request-id"])
    assert row["status"] == "completed"
    assert row["prompt"] is not None


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Idempotency-Key", ""),
        ("Idempotency-Key", "k" * 300),
        ("X-Gateway-Tags", "=x"),
        ("X-Gateway-Tags", "t=" + "v" * 1000),
        ("X-Gateway-Durability", "eternal"),
    ],
)
def test_a_header_of_ours_that_is_wrong_is_a_bad_request(stack: Stack, header: str, value: str):
    answer = post(stack, body(), **{header.replace("-", "_"): value})
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")


def test_a_path_of_ours_answers_in_problem_details(stack: Stack):
    answer = post(stack, b"{", path="/api/v1/jobs")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["code"] == "invalid_json"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=x",
        "after=x",
        "since=yesterday",
        "status=odd",
        "since=2026-01-01T00:00:00",
        "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
    ],
)
def test_a_question_to_the_ledger_that_is_wrong_is_a_bad_request(admin: Person, query: str):
    answer = admin.http.get(f"/api/v1/requests?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_a_client_that_leaves_during_a_stream_has_its_upstream_closed_and_its_attempt_settled(
    stack: Stack, admin: Person, upstream: Upstream
):
    before = upstream.stats()
    with Wire(stack.rest_port) as wire:
        sent = body(model="long", stream=True)
        wire.head(
            "POST", CHAT, {"Authorization": f"Bearer {stack.admin_key}", "Content-Length": str(len(sent))}
        )
        wire.send(sent)
        got = wire.receive_until(b"data: ")
        assert upstream.stats()["in_flight"] == before["in_flight"] + 1
    left = time.monotonic()
    until(lambda: upstream.stats()["in_flight"] == before["in_flight"])
    assert time.monotonic() - left < 15
    assert upstream.stats()["cancelled"] == before["cancelled"] + 1
    request_id = got.partition(b"x-request-id: ")[2][:36].decode()
    row = admin.request(request_id)
    assert (row["status"], row["error"]["code"]) == ("cancelled", "cancelled")
    (attempt,) = row["attempts"]
    assert attempt["outcome"] == "cancelled"
    assert attempt["usage"]["estimated"] is True
    assert attempt["usage"]["input_tokens"] > 0
    assert attempt["cost_usd"] is not None


def test_a_client_that_leaves_before_its_answer_has_its_upstream_closed_and_its_attempt_settled(
    stack: Stack, admin: Person, upstream: Upstream
):
    before = upstream.stats()
    mine = canary()
    with Wire(stack.rest_port) as wire:
        sent = body(model="hang")
        wire.head(
            "POST",
            CHAT,
            {
                "Authorization": f"Bearer {stack.admin_key}",
                "Content-Length": str(len(sent)),
                "X-Client-Request-Id": mine,
            },
        )
        wire.send(sent)
        until(lambda: upstream.stats()["in_flight"] == before["in_flight"] + 1)
    until(lambda: upstream.stats()["in_flight"] == before["in_flight"])

    def row() -> dict | None:
        rows = admin.http.get("/api/v1/requests", params={"model": "hang"}).json()["data"]
        return next((each for each in rows if each["client_request_id"] == mine), None)

    found = until(row)
    assert found is not None
    assert (found["status"], [a["outcome"] for a in found["attempts"]]) == ("cancelled", ["cancelled"])


def test_a_client_that_reads_nothing_holds_nobody_up(stack: Stack, admin: Person):
    with Wire(stack.rest_port) as wire:
        sent = body(model="ok", stream=True, x_script={"tokens": 20_000}, gateway={"deadline_s": 30})
        wire.head(
            "POST", CHAT, {"Authorization": f"Bearer {stack.admin_key}", "Content-Length": str(len(sent))}
        )
        wire.send(sent)
        began = time.monotonic()
        assert admin.ask("ok").status_code == 200
        assert time.monotonic() - began < 20
