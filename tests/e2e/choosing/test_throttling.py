"""Who asks more than a rule allows is told when to come again, at every process; what may wait is done later."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from tests.e2e.choosing.conftest import Publish
from tests.e2e.person import Person
from tests.e2e.stack import Stack, until

RATE = 0.2  # a second: one in five
NARROW = """rules = [
  { name = "narrow lane", when { request.tags { lane = narrow } }
    throttle { rate = 12/m, burst = 2, per = caller, then = queue } }
]"""
TAGS = {"x-gateway-tags": "lane=narrow"}


def ask(person: Person) -> tuple[int, float]:
    """The status, and when to come again."""
    answer = person.ask("swift", headers=TAGS)
    if answer.status_code == 429:
        error = answer.json()["error"]
        assert (error["code"], error["type"]) == ("rate_limited", "rate_limit_error")
        assert answer.headers["x-gateway-rule"] == "narrow lane"
        assert answer.headers["x-gateway-rules-version"]
    return answer.status_code, float(answer.headers.get("retry-after", "0"))


def emptied(person: Person) -> float:
    """Ask until it is too much; returns when to come again."""
    status, after = 200, 0.0
    for _ in range(5):
        status, after = ask(person)
        if status == 429:
            break
    assert status == 429
    return after


def test_a_throttled_caller_is_told_the_right_time(admin: Person, publish: Publish):
    publish(NARROW)
    after = emptied(admin)
    assert 1 <= after <= 1 / RATE + 1
    asked = time.monotonic()
    assert ask(admin)[0] == 429, "asking too early does not help"
    time.sleep(max(0.0, after - (time.monotonic() - asked)))
    assert ask(admin)[0] == 200
    assert admin.ask("swift").status_code == 200, "other requests of the caller are free"


def test_a_limit_holds_over_all_processes(stack: Stack, admin: Person, publish: Publish):
    version = publish(NARROW)
    with stack.replica() as other:
        second = Person(other.rest, stack.admin_key)
        until(lambda: second.ask("swift").headers["x-gateway-rules-version"] == version)
        began = time.monotonic()
        emptied(admin)
        passed = sum(ask(each)[0] == 200 for each in (second, admin, second, admin, second, admin))
        # What a process had drawn ahead of need is less than one more (docs/limits.md).
        assert passed <= 2 + (time.monotonic() - began) * RATE
        second.http.close()


def test_a_job_that_is_over_the_limit_waits_and_completes(admin: Person, publish: Publish):
    publish(NARROW)
    emptied(admin)
    body = {
        "endpoint": "/v1/chat/completions",
        "body": {
            "model": "swift",
            "messages": [{"role": "user", "content": "Hello"}],
            "gateway": {"tags": {"lane": "narrow"}},
        },
    }
    answers = [admin.http.post("/api/v1/jobs", json=body) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {202}
    jobs = [admin.ended(answer.json()["id"], within=60) for answer in answers]
    assert [job["status"] for job in jobs] == ["completed"] * 3
    waited = [
        (
            datetime.fromisoformat(job["completed_at"]) - datetime.fromisoformat(job["created_at"])
        ).total_seconds()
        for job in jobs
    ]
    # Three tokens at one in five seconds: the last of them was there ten seconds after the first.
    assert max(waited) > 2 / RATE - 1
    assert max(waited) < 45


@pytest.mark.parametrize("tags", [{}, {"lane": "wide"}])
def test_what_a_rule_does_not_speak_of_is_not_throttled(
    admin: Person, publish: Publish, tags: dict[str, str]
):
    publish(NARROW)
    answers = [admin.ask("swift", gateway={"tags": tags}) for _ in range(8)]
    assert {answer.status_code for answer in answers} == {200}
