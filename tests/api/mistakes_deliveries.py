"""Every mistake that can be made with deliveries and secrets, and how it is made at each door."""

from __future__ import annotations

from typing import Any

from google.protobuf.duration_pb2 import Duration

from gateway.ids import new_id
from gateway.v1 import jobs_pb2, webhooks_pb2
from tests.api import rpc
from tests.api.mistakes import Doors, Mistake
from tests.api.rest import bearer, body
from tests.api.world import KEY, POWERLESS

SECRET = "whsec_" + "A" * 32


def asked_to_deliver(name: str, deliver: dict[str, Any], prepare: Any = None) -> Mistake:
    """A job whose `deliver` is wrong."""
    asked = {"endpoint": "/v1/chat/completions", "body": body(), "deliver": deliver}
    return Mistake(
        name,
        "invalid_request",
        lambda d: d.rest.post("/api/v1/jobs", asked),
        lambda d: d.jobs.Create(
            jobs_pb2.JobsServiceCreateRequest(chat=rpc.chat(), deliver=jobs_pb2.Deliver(**deliver)),
            metadata=rpc.bearer(),
        ),
        prepare,
    )


def redelivered(name: str, code: str, job_id: str, channel: str = "") -> Mistake:
    given = {"channel": channel} if channel else {}
    return Mistake(
        name,
        code,
        lambda d: d.rest.client.post(f"/api/v1/jobs/{job_id}/deliveries", json=given, headers=bearer(KEY)),
        lambda d: d.jobs.Redeliver(
            jobs_pb2.JobsServiceRedeliverRequest(id=job_id, channel=channel), metadata=rpc.bearer()
        ),
    )


def made(name: str, code: str, key: str = KEY, prepare: Any = None) -> Mistake:
    return Mistake(
        name,
        code,
        lambda d: d.rest.client.post("/api/v1/webhooks/secret", headers=bearer(key)),
        lambda d: d.webhooks.CreateSecret(
            webhooks_pb2.WebhooksServiceCreateSecretRequest(), metadata=rpc.bearer(key)
        ),
        prepare,
    )


def rotated(name: str, code: str, keep: int | None = None, prepare: Any = None) -> Mistake:
    given = {} if keep is None else {"keep_s": keep}
    spoken = {} if keep is None else {"keep": Duration(seconds=keep)}
    return Mistake(
        name,
        code,
        lambda d: d.rest.client.post("/api/v1/webhooks/secret/rotate", json=given, headers=bearer(KEY)),
        lambda d: d.webhooks.RotateSecret(
            webhooks_pb2.WebhooksServiceRotateSecretRequest(**spoken), metadata=rpc.bearer()
        ),
        prepare,
    )


async def a_secret(doors: Doors) -> None:
    await doors.rest.client.post("/api/v1/webhooks/secret", headers=bearer(KEY))


DELIVERY_MISTAKES: list[Mistake] = [
    asked_to_deliver("a webhook without a secret", {"webhook": {"url": "https://agent.example.org/"}}),
    asked_to_deliver("a secret that is none", {"webhook": {"url": "https://a.example.org/", "secret": "x"}}),
    asked_to_deliver(
        "a webhook by plain http", {"webhook": {"url": "http://a.example.org/", "secret": SECRET}}
    ),
    asked_to_deliver("a webhook to itself", {"webhook": {"url": "https://127.0.0.1/", "secret": SECRET}}),
    asked_to_deliver("no URL", {"webhook": {"url": "agent", "secret": SECRET}}),
    asked_to_deliver("a wildcard", {"nats": {"subject": "agents.agent-1.>"}}),
    asked_to_deliver("a subject of the server's own", {"nats": {"subject": "$JS.API.INFO"}}),
    asked_to_deliver("a subject of another caller's", {"nats": {"subject": "agents.agent-2.x"}}),
    asked_to_deliver(
        "a trace id of two lines", {"nats": {"subject": "agents.agent-1.x", "trace_id": "a\nb"}}
    ),
    redelivered("an unknown job told again", "job_not_found", new_id()),
    made("a second first secret", "webhook_secret_exists", prepare=a_secret),
    made("a secret without the right", "permission_denied", POWERLESS),
    rotated("a rotation of nothing", "webhook_secret_not_found"),
    rotated("a rotation that takes a year", "invalid_request", 366 * 86400, a_secret),
]
