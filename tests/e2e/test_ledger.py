"""The ledger shows every request, and its workflow tells the same story, readable to nobody without our keys."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from google.protobuf.json_format import MessageToDict
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.service import RPCError, RPCStatusCode

from tests.e2e.person import Person, canary
from tests.e2e.seed import COST_OF_OK
from tests.e2e.stack import Stack, until

T = TypeVar("T")


def now(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def described(stack: Stack, workflow_id: str) -> WorkflowExecutionDescription:
    client = await Client.connect(stack.state["addresses"]["temporal"])
    return await client.get_workflow_handle(workflow_id).describe()


async def history(stack: Stack, workflow_id: str) -> list[HistoryEvent]:
    """The history as Temporal keeps it: this client knows no key."""
    client = await Client.connect(stack.state["addresses"]["temporal"])
    return [event async for event in client.get_workflow_handle(workflow_id).fetch_history_events()]


def story(events: list[HistoryEvent]) -> list[str]:
    """The names of the activities, as an operator reads them."""
    told: list[str] = []
    for event in events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            told.append(event.activity_task_scheduled_event_attributes.activity_type.name)
        if event.event_type == EventType.EVENT_TYPE_MARKER_RECORDED:
            data = event.marker_recorded_event_attributes.details["data"].payloads[0].data
            told.append(data.decode().split('"activity_type":"')[1].split('"')[0])
    return told


def finished(stack: Stack, workflow_id: str) -> WorkflowExecutionDescription:
    def closed() -> WorkflowExecutionDescription | None:
        try:
            found = now(described(stack, workflow_id))
        except RPCError as e:
            if e.status is not RPCStatusCode.NOT_FOUND:
                raise
            return None  # its start is committed beside the answer, and may come after it
        return found if found.close_time is not None else None

    return until(closed, every=0.1)


def attributes(description: WorkflowExecutionDescription) -> dict[str, Any]:
    return {pair.key.name: pair.value for pair in description.typed_search_attributes}


def test_a_request_is_found_within_two_seconds_with_all_that_became_of_it(admin: Person):
    answer = admin.ask(
        "fallback",
        headers={"x-gateway-tags": "team=search", "x-client-request-id": "mine-1"},
        metadata={"a": "b"},
    )
    row = admin.request(answer.headers["x-request-id"])
    assert (row["status"], row["mode"], row["door"], row["kind"]) == ("completed", "sync", "rest", "chat")
    assert (row["model"], row["served_model"], row["provider"]) == ("fallback", "other", "compatible")
    assert row["candidates"] == ["down", "other"]
    assert row["decision"]
    assert row["workflow_id"] == row["id"]
    assert row["workflow_url"].endswith(row["id"])
    assert (row["tags"], row["metadata"]) == ({"team": "search"}, {"a": "b"})
    assert row["client_request_id"] == "mine-1"
    assert row["rules_version"] == answer.headers["x-gateway-rules-version"]
    assert row["cost_usd"] == answer.headers["x-gateway-cost-usd"]
    assert row["total_ms"] > 0
    assert row["queue_ms"] >= 0
    assert row["overhead_ms"] is not None
    first, second = row["attempts"]
    assert (first["model"], first["outcome"], first["error"]["code"]) == (
        "down",
        "failed",
        "upstream_unavailable",
    )
    assert (second["model"], second["outcome"]) == ("other", "succeeded")
    assert second["reason"] == "fallback after down failed: upstream_unavailable"
    assert second["cost_usd"] is not None
    assert second["total_ms"] > 0


def test_the_texts_are_kept_as_they_were(admin: Person):
    words = canary()
    answer = admin.ask("ok", words)
    row = admin.request(answer.headers["x-request-id"])
    assert row["prompt"]["messages"][0]["content"] == words
    assert row["answer"] == answer.json()


def test_the_answer_of_a_stream_is_kept_as_one(admin: Person):
    with admin.streaming("ok") as answer:
        answer.read()
    row = admin.request(answer.headers["x-request-id"])
    assert row["answer"]["choices"][0]["message"]["content"].startswith("A café, a € sign, 漢字 and")
    assert row["attempts"][0]["first_token_ms"] is not None
    assert row["cost_usd"] == COST_OF_OK


def test_a_price_that_is_not_known_is_flagged_and_never_nothing(admin: Person):
    answer = admin.ask("unpriced")
    assert "x-gateway-cost-usd" not in answer.headers
    row = admin.request(answer.headers["x-request-id"])
    assert (row["cost_usd"], row["cost_unknown"]) == (None, True)


def test_requests_are_found_by_model_status_and_time(admin: Person):
    good = admin.ask("fallback").headers["x-request-id"]
    bad = admin.ask("rejects").headers["x-request-id"]
    for each in (good, bad):
        admin.request(each)

    def ids(**params: Any) -> set[str]:
        page = admin.http.get("/api/v1/requests", params={"limit": 200, **params}).json()
        return {row["id"] for row in page["data"]}

    assert good in ids(model="fallback")
    assert bad not in ids(model="fallback")
    assert bad in ids(status="failed")
    assert good not in ids(status="failed")
    assert good not in ids(until=(datetime.now(UTC) - timedelta(hours=1)).isoformat())
    assert good in ids(since=(datetime.now(UTC) - timedelta(hours=1)).isoformat())


def test_a_list_shows_no_texts(admin: Person):
    words = canary()
    admin.request(admin.ask("ok", words).headers["x-request-id"])
    assert words not in admin.http.get("/api/v1/requests").text


@pytest.mark.parametrize(
    ("model", "status", "served", "activities"),
    [
        ("ok", "completed", "ok", ["attempt", "record"]),
        ("fallback", "completed", "other", ["attempt", "route", "attempt", "record"]),
        ("rejects", "failed", "rejects", ["attempt", "record"]),
    ],
)
def test_a_request_is_a_workflow_that_an_operator_can_find_and_read(
    admin: Person, stack: Stack, model: str, status: str, served: str, activities: list[str]
):
    request_id = admin.ask(model).headers["x-request-id"]
    description = finished(stack, request_id)
    row = admin.request(request_id)
    assert description.workflow_type == "Inference"
    assert description.task_queue == "gateway-requests"
    ours = {name: value for name, value in attributes(description).items() if name != "BuildIds"}
    assert ours == {
        "Caller": row["caller"],
        "Model": served,
        "Status": status,
        "Kind": "chat",
    }
    assert story(now(history(stack, request_id))) == activities


def test_a_job_is_a_workflow_on_the_queue_of_jobs(admin: Person, stack: Stack):
    job_id = admin.hand_over("fallback").json()["id"]
    admin.ended(job_id)
    description = finished(stack, job_id)
    assert description.task_queue == "gateway-jobs"
    assert attributes(description)["Status"] == "completed"
    assert story(now(history(stack, job_id))) == ["begin", *["route", "call_model"] * 2, "record"]


@pytest.mark.parametrize("kind", ["sync", "stream", "job", "large", "failed"])
def test_nothing_that_was_said_stands_in_a_history_in_clear(admin: Person, stack: Stack, kind: str):
    prompt, answer = canary(), canary()
    script = {"x_script": {"text": f"{answer} {answer}"}}
    if kind == "job":
        body = {"model": "ok", "messages": [{"role": "user", "content": prompt}], **script}
        made = admin.http.post("/api/v1/jobs", json={"endpoint": "/v1/chat/completions", "body": body})
        request_id = made.json()["id"]
        admin.ended(request_id)
    elif kind == "stream":
        with admin.streaming("ok", words=prompt, **script) as streamed:
            assert answer in streamed.read().decode()
        request_id = streamed.headers["x-request-id"]
    elif kind == "failed":
        script = {"x_script": {"failure": "status:400", "error": {"message": answer}}}
        request_id = admin.ask("ok", prompt, **script).headers["x-request-id"]
    else:
        filling = "x" * (300_000 if kind == "large" else 0)
        said = admin.ask("ok", prompt + filling, **script)
        assert answer in said.text
        request_id = said.headers["x-request-id"]
    description = finished(stack, request_id)
    events = now(history(stack, request_id))
    kept = (
        b"".join(event.SerializeToString() for event in events)
        + description.raw_description.SerializeToString()
    )
    assert request_id.encode() in kept
    for secret in (prompt, answer, admin.key, admin.key.removeprefix("gw_")):
        assert secret.encode() not in kept
        assert base64.b64encode(secret.encode())[2:-4] not in kept
    assert b"binary/gateway-aes256gcm" in kept
    assert b"json/plain" not in payload_encodings(events)


def payload_encodings(events: list[HistoryEvent]) -> set[bytes]:
    """How the payloads that we wrote are encoded: the SDK's own markers and the search attributes are not ours."""
    found: set[bytes] = set()
    for event in events:
        started = event.workflow_execution_started_event_attributes
        found |= {payload.metadata["encoding"] for payload in started.input.payloads}
        result = event.workflow_execution_completed_event_attributes.result
        found |= {payload.metadata["encoding"] for payload in result.payloads}
        details = event.marker_recorded_event_attributes.details
        found |= {
            p.metadata["encoding"] for name, each in details.items() if name != "data" for p in each.payloads
        }
    return found


def test_the_codec_endpoint_decodes_for_who_may_read_prompts_and_for_nobody_else(
    admin: Person, agent: Person, reader: Person, stack: Stack
):
    words = canary()
    request_id = admin.ask("ok", words).headers["x-request-id"]
    finished(stack, request_id)
    begun = now(history(stack, request_id))[0].workflow_execution_started_event_attributes
    sent = MessageToDict(begun.input)
    told = admin.http.post("/codec/decode", json=sent)
    assert told.status_code == 200
    clear = base64.b64decode(told.json()["payloads"][0]["data"]).decode()
    assert words in clear
    for person in (agent, reader):
        refused = person.http.post("/codec/decode", json=sent)
        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
        assert words not in refused.text
    stranger = admin.http.post("/codec/decode", json=sent, headers={"authorization": ""})
    assert stranger.status_code == 401
    again = admin.http.post("/codec/encode", json=told.json()).json()
    assert words.encode() not in base64.b64decode(again["payloads"][0]["data"])
    assert admin.http.post("/codec/decode", json=again).json() == told.json()


def test_the_codec_endpoint_lets_the_temporal_ui_call_it_and_no_other_page(admin: Person, stack: Stack):
    ui = stack.state["addresses"]["temporal_ui"]
    asked = {"access-control-request-method": "POST"}
    ours = admin.http.options("/codec/decode", headers={"origin": ui, **asked})
    assert ours.headers["access-control-allow-origin"] == ui
    theirs = admin.http.options("/codec/decode", headers={"origin": "http://evil.example", **asked})
    assert "access-control-allow-origin" not in theirs.headers
