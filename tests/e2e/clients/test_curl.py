"""Plain `curl`, with the options that people type."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.clients.conftest import run
from tests.e2e.person import TERMINAL, Person, events_of
from tests.e2e.stack import Stack

BODY = {"model": "assistant", "max_tokens": 16, "messages": [{"role": "user", "content": "Say hello."}]}


@pytest.fixture
def curl(stack: Stack):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")

    def asked(path: str, *words: str, body: dict | None = None) -> str:
        data = [] if body is None else ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
        key = f"Authorization: Bearer {stack.admin_key}"
        done = run(["curl", "-sS", "--max-time", "30", "-H", key, *data, *words, f"{stack.rest}{path}"])
        assert done.returncode == 0, done.stderr
        return done.stdout

    return asked


def test_the_real_model_answers(curl):
    answer = json.loads(curl("/v1/chat/completions", body=BODY))
    assert answer["choices"][0]["message"]["content"]


def test_the_real_model_streams(curl):
    events, done, _ = events_of(curl("/v1/chat/completions", "-N", body={**BODY, "stream": True}))
    assert done
    assert "".join(c["delta"].get("content") or "" for e in events for c in e["choices"])


def test_the_same_in_anthropics_dialect_with_its_header(stack: Stack):
    done = run(
        [
            "curl",
            "-sS",
            "-N",
            f"{stack.rest}/v1/messages",
            *("-H", f"x-api-key: {stack.admin_key}", "-H", "anthropic-version: 2023-06-01"),
            *("-H", "content-type: application/json", "-d", json.dumps({**BODY, "stream": True})),
        ]
    )
    names = [line.removeprefix("event: ") for line in done.stdout.splitlines() if line.startswith("event: ")]
    assert names[0] == "message_start"
    assert names[-1] == "message_stop"


def test_a_body_that_comes_without_a_type_is_read_as_json(curl):
    # What `-d` sends by itself is application/x-www-form-urlencoded.
    answer = json.loads(curl("/v1/chat/completions", "-d", json.dumps(BODY)))
    assert answer["object"] == "chat.completion"


def test_a_body_that_is_waited_for_with_100_continue_arrives(curl, tmp_path: Path):
    # curl asks first before it sends more than a megabyte.
    body = tmp_path / "body.json"
    long = {**BODY, "model": "ok", "messages": [{"role": "user", "content": "x" * 2_000_000}]}
    body.write_text(json.dumps(long))
    answer = json.loads(
        curl("/v1/chat/completions", "-H", "Expect: 100-continue", "--data-binary", f"@{body}")
    )
    assert answer["choices"]


def test_the_headers_say_who_served(curl):
    head = curl("/v1/chat/completions", "-o", "/dev/null", "-D", "-", body=BODY).lower()
    assert "x-gateway-model: smollm2-135m-instruct" in head
    assert "x-request-id: " in head


def test_prefer_respond_async_makes_it_a_job_that_is_found_at_its_location(curl, admin: Person):
    said = curl("/v1/chat/completions", "-i", "-H", "Prefer: respond-async", body=BODY)
    head, _, body = said.partition("\n\n")
    assert head.startswith("HTTP/1.1 202")
    assert "preference-applied: respond-async" in head.lower()
    job = json.loads(body)
    assert f"location: /api/v1/jobs/{job['id']}" in head.lower()
    assert admin.ended(job["id"])["status"] == "completed"
    again = json.loads(curl(f"/api/v1/jobs/{job['id']}"))
    assert again["status"] in TERMINAL
    assert json.loads(curl(f"/api/v1/jobs/{job['id']}/result"))["choices"]


def test_an_error_is_told_with_fail_with_body(stack: Stack):
    done = run(
        [
            "curl",
            "-sS",
            "--fail-with-body",
            f"{stack.rest}/v1/chat/completions",
            *("-H", "Authorization: Bearer wrong", "-d", json.dumps(BODY)),
        ]
    )
    assert done.returncode == 22
    assert json.loads(done.stdout)["error"]["code"] == "invalid_api_key"
