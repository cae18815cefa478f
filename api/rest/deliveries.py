"""Deliveries of jobs, as they are shown, and `/api/v1/jobs/{id}/deliveries`: telling of a job once more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from api.auth import authenticate
from api.rest import bodies
from api.service.deliveries import DeliveriesService
from gateway.domain.delivery import NATS, WEBHOOK, Delivery, Destinations
from gateway.identity import Identify
from gateway.settings import Api


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WebhookShape(_Shape):
    """A webhook: its URL without the query, and whether a secret was given with the job."""

    url: str
    has_secret: bool


class NatsShape(_Shape):
    """A subject, and the trace id that its messages carry where it is not the job's."""

    subject: str
    trace_id: str | None


class DeliverShape(_Shape):
    """Where a job's end is told."""

    webhook: WebhookShape | None = None
    nats: NatsShape | None = None


class DeliveryShape(_Shape):
    """One try to tell a job's end; `number` counts from 1 in each round, `next_at` is about when it is tried again."""

    channel: str
    target: str
    number: int
    at: datetime
    outcome: Literal["delivered", "failed", "given_up", "interrupted"]
    status: int | None
    code: str | None
    message: str | None
    next_at: datetime | None
    by_hand: bool
    took_ms: float


class RedeliverBody(_Shape):
    """By which channel; left out: by all that the job has."""

    channel: Literal["webhook", "nats"] | None = None


class RedeliveryShape(_Shape):
    """That a job is told of once more; `event_id` is the `webhook-id` and the `Nats-Msg-Id`."""

    object: Literal["redelivery"] = "redelivery"
    job_id: str
    event_id: str
    channels: list[str]


def deliver_shape(destinations: Destinations) -> DeliverShape | None:
    """Where a job is told of, as far as it may be shown."""
    webhook, nats = destinations.get(WEBHOOK), destinations.get(NATS)
    if webhook is None and nats is None:
        return None
    return DeliverShape(
        webhook=None if webhook is None else WebhookShape(url=webhook.target, has_secret=webhook.has_secret),
        nats=None if nats is None else NatsShape(subject=nats.target, trace_id=nats.trace_id or None),
    )


def delivery_shapes(deliveries: Sequence[Delivery]) -> list[DeliveryShape]:
    """Tries as we show them."""
    return [
        DeliveryShape(
            channel=each.channel,
            target=each.target,
            number=each.number,
            at=each.at,
            outcome=each.outcome.value,
            status=each.status,
            code=each.code,
            message=each.message,
            next_at=each.next_at,
            by_hand=each.by_hand,
            took_ms=each.took_ms,
        )
        for each in deliveries
    ]


def router(identity: Identify, service: DeliveriesService, settings: Api) -> APIRouter:
    """The route of deliveries."""
    routes = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    @routes.post(
        "/{job_id}/deliveries",
        status_code=202,
        openapi_extra=bodies.described(RedeliverBody, may_be_empty=True),
    )
    async def redeliver(request: Request, job_id: str) -> RedeliveryShape:
        """Tell of a job that has ended once more, now: the same event, by the same id."""
        caller = await authenticate(identity, request.scope["gateway"]["headers"])
        body = await bodies.read(request, RedeliverBody, settings, may_be_empty=True)
        begun = await service.redeliver(caller, job_id, body.channel)
        return RedeliveryShape(job_id=begun.job_id, event_id=begun.event_id, channels=list(begun.channels))

    return routes
