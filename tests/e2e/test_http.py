"""Plain HTTP: what every answer says in its headers, on success, on errors and in streams."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.e2e.conftest import ATTEMPTS
from tests.e2e.person import CHAT, Person, Upstream, chat, events_of
from tests.e2e.seed import COST_OF_OK

ALWAYS = {
    "x-request-id",
    "x-gateway-model",
    "x-gateway-provider",
    "x-gateway-attempts",
    "x-gateway-rule",
    "x-gateway-rules-version",
    "x-gateway-overhead-ms",
    "x-gateway-durability",
    "x-gateway-workflow-id",
    "server-timing",
}


def test_a_success_says_what_became_of_the_request(admin: Person):
    answer = admin.ask("ok")
    assert answer.status_code == 200
    assert set(answer.headers) >= ALWAYS | {"x-gateway-cost-usd"}
    assert UUID(answer.headers["x-request-id"]).version == 7
    assert answer.headers["x-gateway-model"] == "ok"
    assert answer.headers["x-gateway-provider"] == "compatible"
    assert answer.headers["x-gateway-attempts"] == "1"
    assert answer.headers["x-gateway-durability"] == "overlapped"
    assert answer.headers["x-gateway-cost-usd"] == COST_OF_OK
    assert answer.headers["x-gateway-workflow-id"] == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"


def test_the_answers_body_is_the_upstreams_own(admin: Person):
    answer = admin.ask("ok").json()
    assert answer["system_fingerprint"] == "fp_scripted"
    assert answer["usage"] == {"prompt_tokens": 11, "completion_tokens": 8, "total_tokens": 19}


def test_a_fallback_names_the_model_that_served_and_all_attempts(admin: Person):
    answer = admin.ask("fallback")
    assert answer.json()["choices"][0]["message"]["content"] == "The other one."
    assert answer.headers["x-gateway-model"] == "other"
    assert answer.headers["x-gateway-attempts"] == "2"


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_says_what_became_of_the_request(admin: Person, stream: bool):
    answer = admin.ask("down", stream=stream)
    assert answer.status_code == 502
    assert set(answer.headers) >= ALWAYS | {"x-should-retry", "x-gateway-cost-usd"}
    assert answer.headers["x-gateway-model"] == "down"
    assert answer.headers["x-gateway-attempts"] == str(ATTEMPTS)
    assert answer.headers["x-should-retry"] == "false"
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_refusal_has_an_id_too(admin: Person):
    answer = admin.ask("gpt-99")
    assert answer.status_code == 404
    assert UUID(answer.headers["x-request-id"]).version == 7
    assert answer.headers["x-should-retry"] == "false"


def test_a_stream_says_it_in_its_head_and_the_rest_in_its_last_comment(admin: Person):
    with admin.streaming("ok") as answer:
        text = answer.read().decode()
    assert answer.status_code == 200
    assert set(answer.headers) >= ALWAYS
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    events, done, comments = events_of(text)
    assert done
    assert len(events) == 10
    assert all(event["choices"] for event in events)
    assert comments[-1].startswith(": gateway ")
    assert f'"cost_usd":"{COST_OF_OK}"' in comments[-1]
    assert answer.headers["x-request-id"] in comments[-1]


def test_the_upstream_is_always_asked_for_the_usage(admin: Person, upstream: Upstream):
    with admin.streaming("ok") as answer:
        answer.read()
    assert '"include_usage":true' in upstream.last()["body"].replace(" ", "")
    row = admin.request(answer.headers["x-request-id"])
    assert row["usage"]["estimated"] is False
    assert (row["usage"]["input_tokens"], row["usage"]["output_tokens"]) == (11, 8)


def test_a_silent_stream_is_kept_alive_by_comments(admin: Person):
    with admin.streaming("hang-mid-stream", gateway={"deadline_s": 1.2}) as answer:
        text = answer.read().decode()
    events, done, comments = events_of(text)
    assert ": keep-alive" in comments
    assert not done
    assert events[-1]["error"]["code"] in ("upstream_timeout", "deadline_exceeded")


def test_a_request_may_wait_for_its_workflows_start(admin: Person):
    answer = admin.ask("ok", headers={"x-gateway-durability": "start-first"})
    assert answer.status_code == 200
    assert answer.headers["x-gateway-durability"] == "start-first"
    assert admin.request(answer.headers["x-request-id"])["durability"] == "start-first"


def test_an_unknown_preference_is_ignored(admin: Person):
    answer = admin.ask("ok", headers={"prefer": "handling=lenient, x-tomorrow; a=b"})
    assert answer.status_code == 200
    assert "preference-applied" not in answer.headers


def test_the_key_may_come_as_x_api_key(admin: Person):
    answer = admin.http.post(CHAT, json=chat(), headers={"authorization": "", "x-api-key": admin.key})
    assert answer.status_code == 200


def test_a_path_that_is_none_and_a_wrong_method_are_errors_of_their_dialect(admin: Person):
    theirs, ours = admin.http.get("/v1/nothing"), admin.http.get("/api/v1/nothing")
    assert (theirs.status_code, theirs.json()["error"]["code"]) == (404, "not_found")
    assert ours.headers["content-type"] == "application/problem+json"
    assert (ours.json()["status"], ours.json()["code"]) == (404, "not_found")
    assert ours.json()["request_id"] == ours.headers["x-request-id"]
    wrong = admin.http.get(CHAT)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")


def test_the_api_is_documented(admin: Person):
    document = admin.http.get("/openapi.json").json()
    assert {CHAT, "/v1/models", "/api/v1/jobs", "/api/v1/jobs/{job_id}/result", "/api/v1/requests"} <= set(
        document["paths"]
    )
    assert admin.http.get("/docs").status_code == 200
