"""What upstreams get wrong: the right error in the dialect's shape, a settled row, and nothing of theirs in it."""

from __future__ import annotations

import re
import time

import pytest

from tests.e2e.conftest import ATTEMPTS
from tests.e2e.person import Person, events_of
from tests.e2e.seed import UPSTREAM_KEY
from tests.servers import Servers

pytestmark = pytest.mark.slow

# Words that only an upstream says, or that tell how the gateway is made.
LEAKS = re.compile(
    r"nginx|upstream-page|scripted|Traceback|httpx|ConnectError|File \"|127\.0\.0\.1|localhost"
)
# The failures that show before the first byte of a stream too, and those that show only in a whole answer.
BEFORE = {
    "refused": "upstream_unavailable",
    "down": "upstream_unavailable",
    "reset": "upstream_unavailable",
    "html": "upstream_malformed",
    "empty": "upstream_malformed or upstream_broken",
    "echoes": "upstream_auth",
    "rejects": "upstream_rejected",
}
MIDWAY = {
    "broken-json": "upstream_malformed",
    "error-reply": "upstream_unavailable",
    "half-event": "upstream_broken",
    "cut-utf8": "upstream_broken",
    "close-mid-stream": "upstream_broken",
    "reset-mid-stream": "upstream_broken",
}
FINAL = frozenset({"upstream_auth", "upstream_rejected"})


def assert_tells_nothing(text: str, servers: Servers) -> None:
    assert UPSTREAM_KEY not in text
    assert LEAKS.search(text) is None, text
    assert servers.scripted_upstream.split(":")[2].split("/")[0] not in text


@pytest.mark.parametrize(
    ("model", "stream", "code"),
    [
        *((model, stream, code) for model, code in BEFORE.items() for stream in (False, True)),
        *((model, False, code) for model, code in MIDWAY.items()),
    ],
)
def test_what_fails_before_its_first_byte_is_an_error_with_a_status(
    admin: Person, servers: Servers, model: str, stream: bool, code: str
):
    answer = admin.ask(model, stream=stream)
    assert answer.status_code == (400 if code == "upstream_rejected" else 502), answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] in code.split(" or ")
    assert_tells_nothing(answer.text + str(answer.headers), servers)
    row = admin.request(answer.headers["x-request-id"])
    assert (row["status"], row["error"]["code"]) == ("failed", error["code"])
    assert {attempt["outcome"] for attempt in row["attempts"]} == {"failed"}
    assert len(row["attempts"]) == (1 if code in FINAL else ATTEMPTS)
    assert UPSTREAM_KEY not in str(row)


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
    assert time.monotonic() - began < 15
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"
    assert answer.headers["x-gateway-attempts"] == "1"
    row = admin.request(answer.headers["x-request-id"])
    assert (row["status"], row["error"]["code"]) == ("failed", "deadline_exceeded")
    assert [attempt["outcome"] for attempt in row["attempts"]] == ["failed"]


def test_a_stream_that_hangs_in_the_middle_is_left_at_the_deadline(admin: Person):
    began = time.monotonic()
    answer = admin.ask("hang-mid-stream", stream=True, gateway={"deadline_s": 1})
    assert time.monotonic() - began < 15
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


def test_a_job_whose_upstream_is_bad_ends_without_telling_more_than_a_request_would(
    admin: Person, servers: Servers
):
    made = [admin.hand_over(model, deadline_s=1).json()["id"] for model in ("html", "refused", "half-event")]
    for job_id in made:
        job = admin.ended(job_id)
        assert job["status"] in ("failed", "expired")
        assert_tells_nothing(str(job), servers)
        attempts = admin.request(job_id)["attempts"]
        assert {attempt["outcome"] for attempt in attempts} == {"failed"}
