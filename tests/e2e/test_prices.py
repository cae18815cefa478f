"""Prices on the running stack: there without anybody saying them, in force when they are said, mended afterwards."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from gateway.prices import ENTRY
from tests.e2e.person import Person
from tests.e2e.seed import COST_OF_OK
from tests.e2e.stack import BUSY, Stack, until

pytestmark = pytest.mark.slow

PRICES = "/api/v1/prices"


def in_force(admin: Person, model: str) -> list[dict[str, Any]]:
    answer = admin.http.get(PRICES, params={"model": model, "at": datetime.now(UTC).isoformat()})
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


def said(admin: Person, **price: Any) -> dict[str, Any]:
    answer = admin.http.post(PRICES, json=price)
    assert answer.status_code == 201, answer.text
    row: dict[str, Any] = answer.json()
    return row


def repriced(admin: Person, **asked: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    answer = admin.http.post(
        f"{PRICES}/reprice",
        json={"since": (now - timedelta(hours=1)).isoformat(), "until": now.isoformat(), **asked},
    )
    assert answer.status_code == 202, answer.text

    def over() -> dict[str, Any] | None:
        shown: dict[str, Any] = admin.http.get(answer.headers["location"]).json()
        return None if shown["status"] == "in_progress" else shown

    return until(over, 30)


def test_models_of_the_seed_have_its_prices_as_rows(admin: Person):
    [row] = until(lambda: in_force(admin, "ok"), 20)
    assert (row["prices"], row["source"]) == ({"input_usd": "1.00", "output_usd": "2.00"}, ENTRY)
    assert in_force(admin, "unpriced") == []


def test_a_price_is_in_force_within_two_seconds_and_the_past_can_be_mended(stack: Stack, admin: Person):
    until(lambda: in_force(admin, "repriced"), 20)
    first = admin.ask("repriced")
    assert first.headers["x-gateway-cost-usd"] == COST_OF_OK
    said(admin, model="repriced", input_usd="3.00", output_usd="6.00", source="a letter")
    began = time.monotonic()
    dearer = until(
        lambda: admin.ask("repriced").headers["x-gateway-cost-usd"] == str(3 * Decimal(COST_OF_OK))
    )
    assert dearer
    assert time.monotonic() - began < 2 + BUSY
    said(admin, model="repriced", input_usd="2.00", output_usd="4.00", always=True)
    said(admin, model="repriced", input_usd="2.00", output_usd="4.00")
    request_id = first.headers["x-request-id"]
    admin.request(request_id)
    tried = repriced(admin, models=["repriced"], dry_run=True)
    assert tried["changed"] >= 1
    assert admin.request(request_id)["cost_corrected"] is False
    ended = repriced(admin, models=["repriced"], reason="the letter was wrong")
    assert (ended["status"], ended["progress"], ended["changed"]) == ("completed", 1.0, tried["changed"])
    shown = admin.request(request_id)
    assert (shown["cost_usd"], shown["cost_corrected"]) == (COST_OF_OK, True)
    assert Decimal(shown["cost_corrected_usd"]) == 2 * Decimal(COST_OF_OK)
    [(ledger, after_all)] = stack.rows(
        "SELECT sum(ledger_usd), sum(cost_usd) FROM attempt_costs WHERE model = 'repriced'"
    )
    assert after_all - ledger == Decimal(ended["new_usd"]) - Decimal(ended["old_usd"])


def test_the_command_line_says_what_differs_and_changes_nothing(stack: Stack, admin: Person):
    until(lambda: in_force(admin, "ok"), 20)
    before = stack.rows("SELECT count(*) FROM prices")
    done = stack.run("api", "prices", "seed", "--dry-run")
    assert "would keep 0 prices" in done.stderr
    assert "unpriced" in done.stdout
    assert stack.rows("SELECT count(*) FROM prices") == before
