"""NATS as a door on the running stack: a request is published, and its answer comes to the subject that was named."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import nats
import nats.js.errors
import pytest

from infra.local.component import ROOT
from tests.e2e.clients.conftest import run
from tests.e2e.person import Person, chat
from tests.e2e.stack import Stack
from tests.e2e.test_deliveries import messages

pytestmark = pytest.mark.slow


def url_of(stack: Stack) -> str:
    return stack.environment()["GATEWAY__NATS__URL"]


async def publish(stack: Stack, person: Person, ids: list[str], subject: str) -> None:
    client = await nats.connect(url_of(stack))
    job = {"endpoint": "/v1/chat/completions", "body": chat("ok")}
    for each in ids:
        await client.jetstream().publish(
            "gateway.requests.agent",
            json.dumps({**job, "metadata": {"message": each}}).encode(),
            headers={"Authorization": f"Bearer {person.key}", "Nats-Msg-Id": each, "Reply-To": subject},
        )
    await client.close()


def test_what_the_guide_shows_works(stack: Stack, agent: Person, tmp_path: Path):
    page = (ROOT / "docs" / "jobs.md").read_text("utf-8")
    shown = page.partition("## NATS as a door")[2].partition("```python\n")[2].partition("```")[0]
    program = tmp_path / "shown.py"
    program.write_text(
        shown.replace("nats://127.0.0.1:4222", url_of(stack)).replace("gw_YOUR_KEY", agent.key)
    )
    done = run([sys.executable, str(program)])
    assert done.stdout.strip() == "job.completed", done.stderr


def test_an_api_that_is_killed_in_the_middle_loses_none_and_doubles_none(stack: Stack, agent: Person):
    subject, ids = "agents.agent.killed", [f"killed-{n}" for n in range(40)]
    asyncio.run(publish(stack, agent, ids, subject))
    stack.kill("api")
    stack.wait_ready()

    async def told() -> list[dict]:
        found: list[dict] = []
        async with asyncio.timeout(60):
            while len(found) < len(ids):
                with suppress(nats.js.errors.NotFoundError):  # the first event makes the stream
                    found = [json.loads(m.data) for m in await asyncio.to_thread(messages, stack, subject)]
                await asyncio.sleep(0.5)
        return found

    events = asyncio.run(told())
    assert Counter(event["data"]["metadata"]["message"] for event in events) == Counter(ids)
    assert {event["type"] for event in events} == {"job.completed"}
    assert len({event["data"]["id"] for event in events}) == len(ids)
