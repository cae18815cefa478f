"""What upstreams get wrong: the right error in the dialect's shape, a settled row, and nothing of theirs in it."""

from __future__ import annotations

import re
import time

import pytest

from tests.e2e.person import Person, events_of
from tests.e2e.seed import UPSTREAM_KEY
from tests.servers import Servers

# Words that only an upstream says, or that tell how the gateway is made.
LEAKS = re.compile(
    r"nginx|upstream-page|scripted|Traceback|httpx|ConnectError|File \"|127\.0\.0\.1|localhost"
)


def assert_tells_nothing(text: str, servers: Servers) -> None:
    assert UPSTREAM_KEY not in text
    assert LEAKS.search(text) is None, text
    assert servers.scripted_upstream.split(":")[2].split("/")[0] not in text


@pytest.mark.parametrize(
    ("model", "status", "code", "attempts"),
    [
        ("refused", 502, "upstream_unavailable", 3),
        ("down", 502, "upstream_unavailable", 3),
        ("reset", 502, "upstream_unavailable", 3),
        ("html", 502, "upstream_malformed", 3),
        ("empty", 502, "upstream_malformed", 3),
        ("broken-json", 502, "upstream_malformed", 3),
        ("error-reply", 502, None, None),
        ("half-event", 502, "upstream_broken", 3),
        ("cut-utf8", 502, "upstream_broken", 3),
        ("close-mid-stream", 502, "upstream_broken", 3),
        ("reset-mid-stream", 502, "upstream_broken", 3),
        ("echoes", 502, "upstream_auth", 1),
        ("rejects", 400, "upstream_rejected", 1),
    ],
)
def test_a_whole_answer_that_is_bad_is_an_error_in_the_dialects_shape(
    admin: Person, servers: Servers, model: str, status: int, code: str | None, attempts: int | None
):
    answer = admin.ask(model)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert_tells_nothing(answer.text + str(answer.headers), servers)
    row = admin.request(answer.headers["x-request-id"])
    assert row["status"] == "failed"
    assert row["error"]["code"] == error["code"]
    assert {attempt["outcome"] for attempt in row["attempts"]} == {"failed"}
    assert UPSTREAM_KEY not in str(row)
    if code is not None:
        assert (error["code"], len(row["attempts"])) == (code, attempts)


@pytest.mark.parametrize("model", ["refused", "down", "reset", "html", "empty", "echoes", "rejects"])
def test_a_stream_that_fails_before_its_first_event_is_an_error_with_a_status(
    admin: Person, servers: Servers, model: str
):
    whole, answer = admin.ask(model), admin.ask(model, stream=True)
    assert answer.status_code == whole.status_code
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]["code"] == whole.json()["error"]["code"]
    assert_tells_nothing(answer.text + str(answer.headers), servers)
    assert admin.request(answer.headers["x-request-id"])["status"] == "failed"


@pytest.mark.parametrize(
    "model", ["half-event", "cut-utf8", "close-mid-stream", "reset-mid-stream", "error-event", "broken-json"]
)
def test_a_stream_that_breaks_ends_in_an_error_event_and_without_done(
    admin: Person, servers: Servers, model: str
):
    answer = admin.ask(model, stream=True)
    assert answer.status_code == 200
    events, done, _ = events_of(answer.text)
    assert not done
    assert events[0]["choices"]
    assert set(events[-1]["error"]) == {"message", "type", "param", "code"}
    assert [each for each in events[:-1] if "error" in each] == []
    assert_tells_nothing(str(events[-1]["error"]), servers)
    assert "out of memory" not in answer.text
    row = admin.request(answer.headers["x-request-id"])
    assert row["status"] == "failed"
    assert row["error"]["code"] == events[-1]["error"]["code"]
    (attempt,) = row["attempts"]  # after the first byte nothing is tried again
    assert attempt["outcome"] == "broken"
    assert attempt["usage"]["estimated"] is True


@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_that_hangs_is_left_at_the_deadline(admin: Person, stream: bool):
    began = time.monotonic()
    answer = admin.ask("hang", stream=stream, gateway={"deadline_s": 1})
    assert time.monotonic() - began < 3
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] in ("deadline_exceeded", "upstream_timeout")
    assert answer.headers["x-gateway-attempts"] == "1"
    row = admin.request(answer.headers["x-request-id"])
    assert row["status"] == "failed"
    assert [(a["outcome"], a["error"]["code"]) for a in row["attempts"]] == [("failed", "upstream_timeout")]


def test_a_stream_that_hangs_in_the_middle_is_left_at_the_deadline(admin: Person):
    began = time.monotonic()
    answer = admin.ask("hang-mid-stream", stream=True, gateway={"deadline_s": 1})
    assert time.monotonic() - began < 3
    events, done, _ = events_of(answer.text)
    assert not done
    assert events[-1]["error"]["code"] in ("deadline_exceeded", "upstream_timeout")
    (attempt,) = admin.request(answer.headers["x-request-id"])["attempts"]
    assert attempt["outcome"] == "broken"


@pytest.mark.parametrize("model", ["fallback", "fallback-refused", "fallback-html"])
@pytest.mark.parametrize("stream", [False, True])
def test_another_candidate_answers_what_fails_before_its_first_byte(admin: Person, model: str, stream: bool):
    answer = admin.ask(model, stream=stream)
    assert answer.status_code == 200
    assert answer.headers["x-gateway-model"] == "other"
    assert answer.headers["x-gateway-attempts"] == "2"
    row = admin.request(answer.headers["x-request-id"])
    assert [a["outcome"] for a in row["attempts"]] == ["failed", "succeeded"]
    failed = row["attempts"][0]
    assert (
        row["attempts"][1]["reason"] == f"fallback after {failed['model']} failed: {failed['error']['code']}"
    )


@pytest.mark.parametrize("model", ["html", "refused", "half-event"])
def test_a_job_whose_upstream_is_bad_ends_with_the_same_error_as_a_request(
    admin: Person, servers: Servers, model: str
):
    job = admin.ended(admin.hand_over(model, deadline_s=2).json()["id"])
    assert job["status"] in ("failed", "expired")
    assert_tells_nothing(str({**job, "model": "", "id": ""}), servers)
    assert len(admin.request(job["id"])["attempts"]) >= 1
