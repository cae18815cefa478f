"""For those who run it: health, metrics, traces, logs, and a stack that says what it is."""

from __future__ import annotations

import json
import re
import secrets
from itertools import pairwise

import httpx2

from tests.e2e.person import CHAT, Person, Upstream, canary, chat
from tests.e2e.seed import UPSTREAM_KEY
from tests.e2e.stack import Stack, until

METRICS = (
    "gateway_requests_total",
    "gateway_attempts_total",
    "gateway_request_duration_seconds_bucket",
    "gateway_overhead_seconds_bucket",
    "gateway_time_to_first_token_seconds_bucket",
    "gateway_tokens_total",
    "gateway_cost_usd_total",
    "gateway_in_flight",
    "gateway_fallbacks_total",
    "gateway_eager_starts_total",
    "gateway_degraded_total",
)


def test_health_needs_no_key_and_calls_no_model(stack: Stack, upstream: Upstream):
    before = upstream.stats()["calls"]
    for path in ("/livez", "/readyz", "/health/liveliness", "/health/readiness", "/info"):
        assert httpx2.get(f"{stack.rest}{path}").status_code == 200, path
    ready = httpx2.get(f"{stack.rest}/readyz").json()
    assert set(ready["checks"].values()) == {True}
    told = httpx2.get(f"{stack.rest}/info").json()
    assert (told["name"], bool(told["version"])) == ("llm-gateway", True)
    assert upstream.stats()["calls"] == before


def test_metrics_have_the_names_that_are_documented(admin: Person, stack: Stack):
    admin.request(admin.ask("fallback").headers["x-request-id"])
    with admin.streaming("ok") as answer:
        answer.read()
    text = admin.http.get("/metrics").text
    named = set(re.findall(r"^(?:# TYPE )?(gateway_\w+)", text, re.MULTILINE))
    known = named | {f"{name}_bucket" for name in named}
    assert [name for name in METRICS if name not in known] == []
    assert re.search(r'gateway_attempts_total\{[^}]*outcome="succeeded"[^}]*\} [1-9]', text)
    assert re.search(r'gateway_fallbacks_total\{[^}]*model="other"[^}]*\} [1-9]', text)
    assert re.search(r'gateway_tokens_total\{[^}]*direction="out"[^}]*\} [1-9]', text)
    assert re.search(r'gateway_eager_starts_total\{outcome="here"\} [1-9]', text)


def test_requests_are_counted_once_each(admin: Person):
    def counted() -> float:
        text = admin.http.get("/metrics").text
        found = re.findall(r'^gateway_requests_total\{[^}]*model="unpriced"[^}]*\} (\S+)', text, re.MULTILINE)
        return sum(map(float, found))

    before = counted()
    for answer in [admin.ask("unpriced") for _ in range(5)]:
        admin.request(answer.headers["x-request-id"])
    assert until(lambda: counted() - before) == 5


def test_no_label_holds_a_key_a_caller_or_a_path(admin: Person, agent: Person):
    row = agent.request(agent.ask("ok").headers["x-request-id"])
    text = admin.http.get("/metrics").text
    for hidden in (row["caller"], agent.key[-12:], admin.key[-12:], row["id"], CHAT):
        assert hidden not in text


def test_the_worker_has_metrics_of_its_own(admin: Person, stack: Stack):
    admin.ended(admin.hand_over("ok").json()["id"])
    text = httpx2.get(stack.state["worker_metrics"]).text
    assert re.search(r'gateway_requests_total\{[^}]*status="completed"[^}]*\} [1-9]', text)


def test_nothing_stays_in_flight_or_unsettled(admin: Person):
    def busy() -> list[str]:
        text = admin.http.get("/metrics").text
        return re.findall(r"^(gateway_(?:in_flight|unsettled)\S*) (?!0\.0)", text, re.MULTILINE)

    until(lambda: not busy())


def test_a_callers_trace_goes_on_to_the_upstream_and_into_the_ledger(admin: Person, upstream: Upstream):
    trace_id = secrets.token_hex(16)
    parent = f"00-{trace_id}-{secrets.token_hex(8)}-01"
    answer = admin.ask("ok", headers={"traceparent": parent})
    sent = upstream.last()["headers"]
    assert sent["traceparent"].split("-")[1] == trace_id
    assert sent["x-request-id"] == answer.headers["x-request-id"]
    assert admin.request(answer.headers["x-request-id"])["trace_id"] == trace_id
    job = admin.http.post(
        "/api/v1/jobs", json={"endpoint": CHAT, "body": chat()}, headers={"traceparent": parent}
    ).json()
    assert admin.ended(job["id"])["trace_id"] == trace_id


def test_a_trace_that_is_no_trace_is_replaced(admin: Person, upstream: Upstream):
    answer = admin.ask("ok", headers={"traceparent": "00-not-a-trace-01"})
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", upstream.last()["headers"]["traceparent"])
    assert re.fullmatch(r"[0-9a-f]{32}", admin.request(answer.headers["x-request-id"])["trace_id"])


def test_no_upstream_sees_a_callers_key(admin: Person, upstream: Upstream):
    admin.ask("ok", headers={"x-api-key": admin.key, "cookie": "a=b"})
    sent = json.dumps(upstream.last())
    assert admin.key not in sent
    assert "cookie" not in upstream.last()["headers"]


def test_no_log_holds_a_prompt_an_answer_or_a_key(admin: Person, agent: Person, stack: Stack):
    words = canary()
    script = {"x_script": {"text": words}}
    answers = [
        admin.ask("ok", words, **script),
        admin.ask("down", words),
        admin.ask("ok", words, x_script={"failure": "status:400", "error": {"message": words}}),
        admin.ask(words, words),
        admin.ask("echoes", words),
        admin.ask("ok", words, stream=True, **script),
        admin.ask("half-event", words, stream=True),
        admin.http.post(CHAT, content=f'{{"model": "{words}'.encode()),
        admin.http.post(CHAT, json={"model": "ok", "messages": [{"role": 7, "content": words}]}),
        admin.http.post("/codec/decode", json={"payloads": [{"data": words}]}),
        admin.http.get(f"/api/v1/requests/{words}"),
        agent.http.get("/v1/models", headers={"authorization": f"Bearer {words}"}),
    ]
    made = admin.http.post(
        "/api/v1/jobs", json={"endpoint": CHAT, "body": chat("ok", words, **script)}
    ).json()
    assert admin.ended(made["id"])["result"]["choices"][0]["message"]["content"] == words
    last = admin.ask("ok").headers["x-request-id"]
    admin.request(last)
    logs = {path.name: path.read_bytes() for path in stack.folder.logs.iterdir()}
    assert {"api.log", "worker.log", "temporal.log", "postgres.log", "stack.log"} <= set(logs)
    assert last.encode() in logs["api.log"]  # the log of requests is there, and this late
    for name, text in logs.items():
        for secret in (words, admin.key, agent.key, UPSTREAM_KEY):
            assert secret.encode() not in text, name
        assert crashes(text) == [], name
    assert len(answers) == 12


def crashes(log: bytes) -> list[bytes]:
    """The lines before tracebacks; the SDK tells failed activities, which are expected, so at debug level."""
    told = pairwise(log.splitlines())
    return [line for line, after in told if after.startswith(b"Traceback") and b"[debug" not in line]


def test_a_request_is_one_line_of_the_log_with_its_id(admin: Person, stack: Stack):
    request_id = admin.ask("fallback").headers["x-request-id"]
    admin.request(request_id)
    lines = [line for line in stack.folder.log("api").read_text().splitlines() if request_id in line]
    assert len([line for line in lines if "attempts=2" in line and "completed" in line]) == 1


def test_the_status_is_told_in_the_documented_shape(stack: Stack):
    done = stack.command("status", "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told["ready"] is True
    assert set(told["addresses"]) == {"rest", "grpc", "temporal", "temporal_ui", "postgres", "nats"}
    assert told["admin_key_file"] == str(stack.folder.admin_key)
    assert all(set(each) == {"name", "state", "pid", "log"} for each in told["components"])
    states = {each["name"]: each["state"] for each in told["components"]}
    assert {name for name, state in states.items() if state == "ready"} == {
        "postgres", "temporal", "nats", "model", "api", "worker",
    }  # fmt: skip


def test_a_second_up_says_that_it_runs_already(stack: Stack):
    before = stack.pid("api")
    done = stack.command("up", "--detach")
    assert done.returncode == 0
    assert "running already" in done.stdout
    assert stack.rest in done.stdout
    assert stack.pid("api") == before


def test_secrets_are_for_their_owners_eyes(stack: Stack):
    for path in (
        stack.folder.admin_key,
        stack.folder.root / "stack.env",
        *(stack.folder.root / "secrets").iterdir(),
    ):
        assert path.stat().st_mode & 0o077 == 0, path.name
