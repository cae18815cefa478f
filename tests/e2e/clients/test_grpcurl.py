"""`grpcurl`, which knows nothing of the gateway but what reflection tells it."""

from __future__ import annotations

import json

import pytest

from tests.e2e.clients.conftest import run
from tests.e2e.stack import Stack, until

CHAT = {"model": "assistant", "max_tokens": 16, "messages": [{"role": "user", "content": "Say hello."}]}


@pytest.fixture
def call(stack: Stack, grpcurl: str):
    def called(method: str, message: dict | None = None, key: str | None = None):
        head = f"authorization: Bearer {key or stack.admin_key}"
        data = [] if message is None else ["-d", json.dumps(message)]
        return run([grpcurl, "-plaintext", "-H", head, "-max-time", "30", *data, stack.grpc, method])

    return called


def told(done) -> list[dict]:
    """The messages that came."""
    assert done.returncode == 0, done.stderr
    decoder, found, rest = json.JSONDecoder(), [], done.stdout.strip()
    while rest:
        message, end = decoder.raw_decode(rest)
        found.append(message)
        rest = rest[end:].lstrip()
    return found


def test_reflection_lists_and_describes_the_services(stack: Stack, grpcurl: str):
    listed = run([grpcurl, "-plaintext", stack.grpc, "list"])
    assert {"gateway.v1.InferenceService", "gateway.v1.JobsService"} <= set(listed.stdout.split())
    described = run([grpcurl, "-plaintext", stack.grpc, "describe", "gateway.v1.InferenceService"])
    assert "rpc Chat (" in described.stdout
    methods = run([grpcurl, "-plaintext", stack.grpc, "list", "gateway.v1.InferenceService"])
    assert "gateway.v1.InferenceService.Chat" in methods.stdout.split()
    described = run([grpcurl, "-plaintext", stack.grpc, "describe", "gateway.v1.InferenceService.Chat"])
    assert "is a method" in described.stdout, described.stderr


def test_the_real_model_answers(call):
    (answer,) = told(call("gateway.v1.InferenceService/Chat", CHAT))
    assert answer["choices"][0]["message"]["content"]
    assert answer["served"]["model"] == "smollm2-135m-instruct"


def test_the_real_model_streams(call):
    events = told(call("gateway.v1.InferenceService/ChatStream", {"chat": CHAT}))
    assert len(events) > 2
    assert events[-1]["served"]["model"] == "smollm2-135m-instruct"


def test_the_real_model_makes_vectors(call):
    (answer,) = told(
        call(
            "gateway.v1.InferenceService/Embed",
            {"model": "smollm2-135m-embeddings", "input": ["hello"]},
        )
    )
    assert answer["data"]


def test_a_job_is_made_and_found(call):
    (made,) = told(call("gateway.v1.JobsService/Create", {"chat": CHAT}))
    job = made["job"]["id"]

    def ended() -> bool:
        (found,) = told(call("gateway.v1.JobsService/Get", {"id": job}))
        return found["job"]["status"].endswith("COMPLETED")

    assert until(ended, 20, every=0.2)


def test_a_wrong_key_is_unauthenticated(call):
    done = call("gateway.v1.InferenceService/Chat", CHAT, key="wrong")
    assert done.returncode != 0
    assert "Unauthenticated" in done.stderr
    assert "invalid_api_key" in done.stderr.lower()
