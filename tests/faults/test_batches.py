"""Batches on the running stack: through the death of every process of ours, and through a restart of all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI

from tests.e2e.person import Person, Upstream
from tests.e2e.stack import Stack, until
from tests.faults.ledger import row_of

CHAT = "/v1/chat/completions"


@pytest.fixture
def openai(stack: Stack) -> OpenAI:
    return OpenAI(base_url=f"{stack.rest}/v1", api_key=stack.admin_key, max_retries=8)


def begun(openai: OpenAI, model: str, count: int) -> str:
    """A batch of so many requests of one model."""
    lines = (
        {
            "custom_id": f"line-{n}",
            "method": "POST",
            "url": CHAT,
            "body": {"model": model, "messages": [{"role": "user", "content": str(n)}]},
        }
        for n in range(count)
    )
    text = "\n".join(map(json.dumps, lines))
    file = openai.files.create(file=("in.jsonl", text.encode()), purpose="batch")
    return openai.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"night": "1"}
    ).id


def ended(openai: OpenAI, batch_id: str, within: float = 120) -> Any:
    def found() -> Any:
        batch = openai.batches.retrieve(batch_id)
        return batch if batch.status in ("completed", "cancelled", "failed", "expired") else None

    return until(found, within=within, every=0.5)


def answered(openai: OpenAI, batch_id: str, count: int) -> Callable[[], bool]:
    def so_many() -> bool:
        counts = openai.batches.retrieve(batch_id).request_counts
        return counts is not None and counts.completed >= count

    return so_many


def lines_of(openai: OpenAI, file_id: str | None) -> dict[str, Any]:
    assert file_id is not None
    return {
        each["custom_id"]: each for each in map(json.loads, openai.files.content(file_id).text.splitlines())
    }


def test_a_batch_outlives_the_api_and_the_worker_and_its_lines_are_accounted_for(
    stack: Stack, openai: OpenAI, admin: Person, upstream: Upstream
):
    batch_id = begun(openai, "quick", 80)
    until(answered(openai, batch_id, 10), within=60)
    stack.kill("api")
    stack.wait_ready()
    until(answered(openai, batch_id, 30), within=60)
    stack.kill("worker")
    done = ended(openai, batch_id)
    assert (done.status, done.metadata) == ("completed", {"night": "1"})
    assert (done.request_counts.total, done.request_counts.completed) == (80, 80)
    lines = lines_of(openai, done.output_file_id)
    assert set(lines) == {f"line-{n}" for n in range(80)}
    for line in lines.values():
        request_id = line["response"]["request_id"]
        row = row_of(admin, request_id)
        outcomes = [attempt["outcome"] for attempt in row["attempts"]]
        # Called again only where the worker died in the middle of the call.
        assert outcomes == ["interrupted"] * (len(outcomes) - 1) + ["succeeded"]
        assert upstream.calls(request_id) <= len(outcomes)


def test_a_batch_goes_on_after_a_restart_of_everything_and_can_be_cancelled(
    running: Stack, stack: Stack, openai: OpenAI
):
    batch_id = begun(openai, "one-second", 300)
    until(answered(openai, batch_id, 3), within=60)
    running.stop()
    running.up()
    running.wait_ready()
    until(answered(openai, batch_id, 40), within=90)
    assert openai.batches.cancel(batch_id).status == "cancelling"
    done = ended(openai, batch_id)
    assert done.status == "cancelled"
    kept, failed = lines_of(openai, done.output_file_id), lines_of(openai, done.error_file_id)
    assert len(kept) >= 40
    assert len(kept) + len(failed) == 300
    assert {line["error"]["code"] for line in failed.values()} == {"batch_cancelled"}
