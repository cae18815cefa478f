"""Who may see what: callers are strangers to each other, and a text is more than its metadata."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.conftest import MadeKey
from tests.e2e.person import Person, canary
from tests.e2e.stack import BUSY, Stack


def test_an_agent_sees_its_own_requests_and_no_others(agent: Person, neighbour: Person, admin: Person):
    mine = agent.ask("ok").headers["x-request-id"]
    assert agent.request(mine)["status"] == "completed"
    for path in (mine, "00000000-0000-7000-8000-000000000000", "none"):
        answer = neighbour.http.get(f"/api/v1/requests/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "request_not_found")
    listed = neighbour.http.get("/api/v1/requests", params={"limit": 200}).json()["data"]
    assert mine not in {row["id"] for row in listed}
    whose = admin.request(mine)["caller"]
    named = neighbour.http.get("/api/v1/requests", params={"caller": whose}).json()["data"]
    assert mine not in {row["id"] for row in named}


def test_an_agent_sees_its_own_jobs_and_no_others(agent: Person, neighbour: Person, admin: Person):
    mine = agent.hand_over("ok").json()["id"]
    assert agent.ended(mine)["status"] == "completed"
    for method, path in (
        ("GET", f"/api/v1/jobs/{mine}"),
        ("GET", f"/api/v1/jobs/{mine}/result"),
        ("GET", f"/api/v1/jobs/{mine}/events"),
        ("POST", f"/api/v1/jobs/{mine}/cancel"),
    ):
        answer = neighbour.http.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found"), path
    listed = neighbour.http.get("/api/v1/jobs", params={"limit": 200}).json()["data"]
    assert mine not in {job["id"] for job in listed}
    assert admin.job(mine)["status"] == "completed"


def test_a_text_needs_the_right_to_read_prompts(agent: Person, reader: Person, admin: Person):
    words = canary()
    mine = agent.ask("ok", words).headers["x-request-id"]
    assert admin.request(mine)["prompt"]["messages"][0]["content"] == words
    for person in (agent, reader):
        row = person.request(mine)
        assert (row["prompt"], row["answer"]) == (None, None)
    assert words not in reader.http.get(f"/api/v1/requests/{mine}").text


def test_what_an_upstream_said_is_for_operators_alone(agent: Person, reader: Person):
    mine = agent.ask("down").headers["x-request-id"]
    assert "scripted failure 503" in (reader.request(mine)["attempts"][0]["error"]["detail"] or "")
    row = agent.request(mine)
    assert row["attempts"][0]["error"]["code"] == "upstream_unavailable"
    assert all(attempt["error"]["detail"] is None for attempt in row["attempts"])
    assert "scripted failure" not in agent.http.get(f"/api/v1/requests/{mine}").text


def test_who_may_not_infer_may_not_infer(reader: Person):
    for answer in (reader.ask("ok"), reader.hand_over("ok")):
        assert answer.status_code == 403
        assert "infer" in answer.text


def test_a_revoked_key_is_refused_within_two_seconds(stack: Stack, keys: dict[str, MadeKey]):
    """Revoked by the command line, in a process that the API knows nothing of."""
    brief = Person(stack.rest, keys["brief"].secret)
    statuses: list[int] = []
    revoked = threading.Event()

    def ask_on() -> float:
        """Ask until refused; the seconds from the end of the command to that."""
        began = None
        while True:
            if began is None and revoked.is_set():
                began = time.monotonic()
            statuses.append(brief.http.get("/v1/models").status_code)
            if statuses[-1] != 200 or len(statuses) > 1000:
                return 0 if began is None else time.monotonic() - began
            time.sleep(0.05)

    with ThreadPoolExecutor() as pool:
        asking = pool.submit(ask_on)
        stack.run("api", "keys", "revoke", keys["brief"].id)
        revoked.set()
        assert asking.result(60) <= 2.2 + BUSY
    assert statuses[0] == 200
    assert statuses[-1] == 401
    assert set(statuses) == {200, 401}


def test_a_key_is_listed_by_its_last_four_characters_alone(stack: Stack, keys: dict[str, MadeKey]):
    listed = stack.run("api", "keys", "list").stdout
    assert keys["agent"].id in listed
    assert keys["agent"].secret[-4:] in listed
    assert keys["agent"].secret not in listed
