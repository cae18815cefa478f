"""Rules that are published while requests run are in force everywhere within two seconds, and disturb none of them."""

from __future__ import annotations

import time
from typing import Any

from tests.e2e.choosing.conftest import Publish, published
from tests.e2e.choosing.traffic import flowing
from tests.e2e.person import Person
from tests.e2e.stack import BUSY, Stack, until

FIRST = 'rules = [{ name = "swift first", prefer { name = swift } }]'
THEN = 'rules = [{ name = "steady first", prefer { name = steady } }]'


def pair(_: int) -> dict[str, Any]:
    return {"model": "pair"}


def test_rules_that_are_published_under_load_are_in_force_in_two_seconds_and_fail_no_request(
    stack: Stack, admin: Person, publish: Publish
):
    before = publish(FIRST)
    with stack.replica() as other:
        second = Person(other.rest, stack.admin_key)
        until(lambda: second.ask("pair").headers["x-gateway-rules-version"] == before)
        with flowing([admin, second], 50, pair) as traffic:
            until(lambda: len(traffic.answers) > 100, 20)
            assert set(traffic.last(50)) == {"swift"}
            version = published(admin, THEN)
            at = time.monotonic()
            took = traffic.turned_to("steady", at, within=20, count=50)
        second.http.close()
    assert traffic.failed == []
    assert took < 2 + BUSY
    late = [answer for answer in traffic.since(at + 2 + BUSY) if answer.rules_version != version]
    assert late == []


def test_a_set_of_rules_that_is_wrong_replaces_nothing(admin: Person, publish: Publish):
    version = publish(FIRST)
    answer = admin.http.post("/api/v1/rules/publish", json={"text": "rules = [{ name = x, kep { } }]"})
    assert answer.status_code in (400, 422), answer.text
    assert "kep" in answer.text
    assert admin.ask("pair").headers["x-gateway-rules-version"] == version
