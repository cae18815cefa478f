"""Who is told of a job: taken at both doors, shown without its secrets, and told again when somebody asks."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.domain.delivery import Delivery, DeliveryOutcome
from gateway.v1 import jobs_pb2, webhooks_pb2
from tests.api import rpc
from tests.api.mistakes import both
from tests.api.mistakes_deliveries import DELIVERY_MISTAKES, SECRET
from tests.api.rest import a_quick_world, bearer, body, error_of
from tests.api.test_both_doors import same_error
from tests.api.world import CALLERS, KEY, OTHER
from tests.waits import until

URL = "https://agent.example.org/hook"
BOTH = {"webhook": {"url": f"{URL}?token=t0p", "secret": SECRET}, "nats": {"subject": "agents.agent-1.done"}}


@pytest.fixture
async def doors():
    async with both(a_quick_world()) as doors:
        yield doors


async def ended(doors, job_id: str, key: str = KEY) -> dict[str, Any]:
    await until(lambda: doors.world.store.jobs._jobs[job_id].status.terminal)
    return (await doors.rest.get(f"/api/v1/jobs/{job_id}", key)).json()


async def a_job(doors, deliver: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
    asked = {"endpoint": "/v1/chat/completions", "body": body()}
    if deliver is not None:
        asked["deliver"] = deliver
    response = await doors.rest.client.post("/api/v1/jobs", json=asked, headers=bearer(KEY) | headers)
    assert response.status_code == 202, response.text
    return response.json()


@pytest.mark.parametrize("mistake", DELIVERY_MISTAKES, ids=lambda mistake: mistake.name)
async def test_the_same_mistake_is_the_same_error_at_both_doors(mistake):
    text = await same_error(mistake)
    assert SECRET not in text
    assert "127.0.0.1" not in text


async def test_both_doors_take_both_channels_and_show_the_same_of_them(doors):
    first = await a_job(doors, BOTH)
    made = await doors.jobs.Create(
        jobs_pb2.JobsServiceCreateRequest(chat=rpc.chat(), deliver=jobs_pb2.Deliver(**BOTH)),
        metadata=rpc.bearer(),
    )
    shown = {
        "webhook": {"url": URL, "has_secret": True},
        "nats": {"subject": "agents.agent-1.done", "trace_id": None},
    }
    assert first["deliver"] == shown
    for job_id in (first["id"], made.job.id):
        assert (await ended(doors, job_id))["deliver"] == shown
        spoken = (await doors.jobs.Get(jobs_pb2.JobsServiceGetRequest(id=job_id), metadata=rpc.bearer())).job
        nats, webhook = spoken.destinations
        assert (webhook.channel, webhook.target, webhook.has_secret) == ("webhook", URL, True)
        assert (nats.channel, nats.target, nats.has_secret) == ("nats", "agents.agent-1.done", False)


async def test_a_chat_becomes_a_job_that_tells_its_caller(doors):
    asked = body(gateway={"deliver": {"nats": {"subject": "agents.agent-1.x", "trace_id": "run-7"}}})
    response = await doors.rest.client.post(
        "/v1/chat/completions", json=asked, headers=bearer(KEY) | {"prefer": "respond-async"}
    )
    assert response.status_code == 202
    assert response.json()["deliver"] == {
        "webhook": None,
        "nats": {"subject": "agents.agent-1.x", "trace_id": "run-7"},
    }
    await ended(doors, response.json()["id"])
    assert "gateway" not in json.loads(doors.world.upstream.last[1])


async def test_a_caller_who_waits_is_told_that_nobody_else_needs_to_be(doors):
    response = await doors.rest.chat(body(gateway={"deliver": {"nats": {"subject": "agents.agent-1.x"}}}))
    assert response.status_code == 400
    assert error_of(response)["param"] == "gateway.deliver"
    assert "respond-async" in error_of(response)["message"]


@pytest.mark.parametrize(
    ("deliver", "param"),
    [
        ({"fax": {}}, "deliver.fax"),
        ({"webhook": {"secret": SECRET}}, "deliver.webhook.url"),
        ({"webhook": {"url": URL}}, "deliver.webhook.secret"),
        ({"webhook": {"url": URL, "secret": "whsec_dG9vIHNob3J0"}}, "deliver.webhook.secret"),
        ({"webhook": {"url": "https://user:pw@agent.example.org/", "secret": SECRET}}, "deliver.webhook.url"),
        ({"webhook": {"url": "ftp://agent.example.org/", "secret": SECRET}}, "deliver.webhook.url"),
        ({"webhook": {"url": "http://2130706433/", "secret": SECRET}}, "deliver.webhook.url"),
        ({"webhook": {"url": f"{URL}#x", "secret": SECRET}}, "deliver.webhook.url"),
        ({"webhook": {"url": "https://[::1]/", "secret": SECRET}}, "deliver.webhook.url"),
        ({"nats": {"subject": ""}}, "deliver.nats.subject"),
        ({"nats": {"subject": "agents.agent-1"}}, "deliver.nats.subject"),
        ({"nats": {"subject": "agents.agent-1..x"}}, "deliver.nats.subject"),
        ({"nats": {"subject": "agents.agent-1.*"}}, "deliver.nats.subject"),
        ({"nats": {"subject": "agents.agent-12.x"}}, "deliver.nats.subject"),
        ({"nats": {"subject": "_INBOX.x"}}, "deliver.nats.subject"),
        ({"nats": {"subject": "agents.agent-1.x", "trace_id": "x" * 200}}, "deliver.nats.trace_id"),
    ],
)
async def test_what_is_wrong_is_named_before_anything_is_begun(doors, deliver, param):
    asked = {"endpoint": "/v1/chat/completions", "body": body(), "deliver": deliver}
    response = await doors.rest.post("/api/v1/jobs", asked)
    assert response.status_code == 400
    assert error_of(response)["param"] == param
    assert "pw" not in response.text
    assert not doors.world.store.jobs._jobs


async def test_a_channel_that_this_gateway_lacks_is_refused_by_name(doors):
    doors.world.jobs._destinations._channels = frozenset({"webhook"})
    asked = {"endpoint": "/v1/chat/completions", "body": body(), "deliver": BOTH}
    response = await doors.rest.post("/api/v1/jobs", asked)
    assert error_of(response)["param"] == "deliver.nats"


async def test_more_subjects_can_be_granted(doors):
    subject = {"nats": {"subject": "results.search.done"}}
    asked = {"endpoint": "/v1/chat/completions", "body": body(), "deliver": subject}
    assert (await doors.rest.post("/api/v1/jobs", asked)).status_code == 400
    granted = replace(CALLERS[KEY], subjects=("results.*.done",))
    doors.world.identity.callers = {**CALLERS, KEY: granted}
    assert (await doors.rest.post("/api/v1/jobs", asked)).status_code == 202


async def test_a_secret_stands_nowhere_in_clear(doors):
    job = await a_job(doors, BOTH)
    done = await ended(doors, job["id"])
    store = doors.world.store
    record = await store.requests.get(job["id"], with_text=True)
    for kept in (job, done, await store.jobs.get(job["id"]), record):
        assert SECRET not in repr(kept)
        assert "t0p" not in repr(kept)
    assert record.request.deliver["webhook"].sealed == "", "the ledger has no need of it"
    assert (await store.jobs.get(job["id"])).deliver["webhook"].sealed


async def test_the_same_key_with_another_receiver_is_another_question(doors):
    key = {"idempotency-key": "once"}
    first = await a_job(doors, BOTH, **key)
    assert (await a_job(doors, BOTH, **key))["id"] == first["id"]
    other = {"endpoint": "/v1/chat/completions", "body": body(), "deliver": {"nats": BOTH["nats"]}}
    response = await doors.rest.client.post("/api/v1/jobs", json=other, headers=bearer(KEY) | key)
    assert error_of(response)["code"] == "idempotency_key_reused"


# ---- tries are shown ---------------------------------------------------------------------------------------------
async def test_tries_are_shown_at_the_job_at_both_doors(doors):
    job = await a_job(doors, BOTH)
    await ended(doors, job["id"])
    at = datetime(2026, 11, 25, 12, tzinfo=UTC)
    tried = Delivery(job["id"], "webhook", "run-1", 1, at, URL, DeliveryOutcome.FAILED, 12.5, next_at=at)
    failed = replace(tried, status=500, code="receiver_refused", message="The receiver answered 500.")
    await doors.world.store.deliveries.note(failed)
    again = replace(tried, number=2, at=at.replace(hour=13), outcome=DeliveryOutcome.GIVEN_UP, next_at=None)
    await doors.world.store.deliveries.note(again)
    first, second = (await doors.rest.get(f"/api/v1/jobs/{job['id']}")).json()["deliveries"]
    assert first == {
        "channel": "webhook",
        "target": URL,
        "number": 1,
        "at": "2026-11-25T12:00:00Z",
        "outcome": "failed",
        "status": 500,
        "code": "receiver_refused",
        "message": "The receiver answered 500.",
        "next_at": None,
        "by_hand": False,
        "took_ms": 12.5,
    }, "when the next try is, only the last one says"
    spoken = (
        await doors.jobs.Get(jobs_pb2.JobsServiceGetRequest(id=job["id"]), metadata=rpc.bearer())
    ).job.deliveries
    assert [(d.number, d.outcome, d.code, d.status) for d in spoken] == [
        (d["number"], d["outcome"], d["code"] or "", d["status"] or 0) for d in (first, second)
    ]
    (listed,) = (await doors.rest.get("/api/v1/jobs")).json()["data"]
    assert listed["deliveries"] == [], "not in lists"


# ---- told again --------------------------------------------------------------------------------------------------
async def test_a_job_is_told_again_by_both_doors_as_the_same_event(doors):
    job = await a_job(doors, BOTH)
    await ended(doors, job["id"])
    response = await doors.rest.client.post(f"/api/v1/jobs/{job['id']}/deliveries", headers=bearer(KEY))
    assert response.status_code == 202
    event = "evt_" + job["id"].replace("-", "")
    assert response.json() == {
        "object": "redelivery",
        "job_id": job["id"],
        "event_id": event,
        "channels": ["nats", "webhook"],
    }
    spoken = await doors.jobs.Redeliver(
        jobs_pb2.JobsServiceRedeliverRequest(id=job["id"], channel="webhook"), metadata=rpc.bearer()
    )
    assert (spoken.event_id, list(spoken.channels)) == (event, ["webhook"])
    told = doors.world.engine.delivered
    assert [(each.channel, each.by_hand) for each in told] == [
        ("nats", True),
        ("webhook", True),
        ("webhook", True),
    ]
    assert told[1].destination.sealed, "what it takes to sign goes along"


async def test_only_whose_job_it_is_has_it_told_again(doors):
    job = await a_job(doors, BOTH)
    await ended(doors, job["id"])
    response = await doors.rest.client.post(f"/api/v1/jobs/{job['id']}/deliveries", headers=bearer(OTHER))
    assert error_of(response)["code"] == "job_not_found"
    assert not doors.world.engine.delivered


async def test_a_job_that_has_not_ended_or_tells_nobody_is_not_told_again(doors):
    job = await a_job(doors)
    await ended(doors, job["id"])
    path = f"/api/v1/jobs/{job['id']}/deliveries"
    assert error_of(await doors.rest.client.post(path, headers=bearer(KEY)))["param"] == "deliver"
    response = await doors.rest.client.post(path, json={"channel": "webhook"}, headers=bearer(KEY))
    assert error_of(response)["param"] == "channel"
    asked = {"endpoint": "/v1/chat/completions", "body": body("slow"), "deliver": BOTH}
    running = (await doors.rest.post("/api/v1/jobs", asked)).json()
    response = await doors.rest.client.post(f"/api/v1/jobs/{running['id']}/deliveries", headers=bearer(KEY))
    assert (response.status_code, error_of(response)["code"]) == (409, "job_not_finished")


# ---- secrets -----------------------------------------------------------------------------------------------------
async def test_a_secret_is_shown_once_and_then_by_its_last_four_characters(doors):
    made = await doors.rest.client.post("/api/v1/webhooks/secret", headers=bearer(KEY))
    assert made.status_code == 201
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    listed = await doors.rest.get("/api/v1/webhooks/secret")
    assert secret not in listed.text
    assert listed.json()["data"][0]["last_four"] == secret[-4:] == made.json()["last_four"]
    assert (await doors.rest.get("/api/v1/webhooks/secret", OTHER)).json()["data"] == []
    audited = (await doors.world.store.audit.find(noun="webhooks", limit=5)).rows
    assert [(line.action, line.name, line.actor) for line in audited] == [("create", "agent-1", "agent-1")]
    assert secret not in repr(audited)


async def test_with_a_secret_of_its_own_a_caller_need_give_none(doors):
    await doors.rest.client.post("/api/v1/webhooks/secret", headers=bearer(KEY))
    job = await a_job(doors, {"webhook": {"url": URL}})
    assert job["deliver"]["webhook"] == {"url": URL, "has_secret": False}
    asked = {"endpoint": "/v1/chat/completions", "body": body(), "deliver": {"webhook": {"url": URL}}}
    response = await doors.rest.client.post("/api/v1/jobs", json=asked, headers=bearer(OTHER))
    assert error_of(response)["param"] == "deliver.webhook.secret"


async def test_rotated_both_sign_for_as_long_as_it_was_asked(doors):
    first = await doors.webhooks.CreateSecret(
        webhooks_pb2.WebhooksServiceCreateSecretRequest(), metadata=rpc.bearer()
    )
    second = (
        await doors.rest.client.post(
            "/api/v1/webhooks/secret/rotate", json={"keep_s": 3600}, headers=bearer(KEY)
        )
    ).json()
    assert second["secret"] != first.secret.secret
    newest, older = (
        await doors.webhooks.GetSecrets(
            webhooks_pb2.WebhooksServiceGetSecretsRequest(), metadata=rpc.bearer()
        )
    ).secrets
    assert (newest.id, older.id) == (second["id"], first.secret.id)
    assert not newest.HasField("ends_at")
    assert older.ends_at.seconds - newest.created_at.seconds == 3600
    assert not newest.secret
    third = (
        await doors.rest.client.post(
            "/api/v1/webhooks/secret/rotate", json={"keep_s": 0}, headers=bearer(KEY)
        )
    ).json()
    left = (await doors.rest.get("/api/v1/webhooks/secret")).json()["data"]
    assert [each["id"] for each in left] == [third["id"]], "what leaked is ended at once"
