"""`/api/v1/webhooks/secret`: what a caller's webhooks are signed with."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from api.auth import authenticate
from api.rest import bodies
from api.service.webhooks import Made, WebhooksService
from gateway.domain.delivery import SigningSecret
from gateway.domain.identity import Caller
from gateway.identity import Identify
from gateway.settings import Api


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SecretShape(_Shape):
    """A secret by its last four characters; `ends_at` is when one that was rotated out signs no more."""

    id: str
    object: Literal["webhook_secret"] = "webhook_secret"
    last_four: str
    created_at: datetime
    ends_at: datetime | None


class MadeShape(SecretShape):
    """A secret that was made just now: `secret` is shown this once."""

    secret: str


class SecretsShape(_Shape):
    """The secrets that sign now, the newest first."""

    object: Literal["list"] = "list"
    data: list[SecretShape]


class RotateBody(_Shape):
    """For how many seconds the old secret signs beside the new one, 31 days at most; left out: a day."""

    keep_s: float | None = None


def router(identity: Identify, service: WebhooksService, settings: Api) -> APIRouter:
    """The routes of secrets."""
    routes = APIRouter(prefix="/api/v1/webhooks/secret", tags=["webhooks"])

    async def who(request: Request) -> Caller:
        return await authenticate(identity, request.scope["gateway"]["headers"])

    @routes.get("")
    async def get(request: Request) -> SecretsShape:
        """Your secrets that sign now, by their last four characters."""
        return SecretsShape(data=[_shape(each) for each in await service.get(await who(request))])

    @routes.post("", status_code=201)
    async def create(request: Request) -> MadeShape:
        """Make your first secret; it is shown this once."""
        return _made(await service.create(await who(request)))

    @routes.post("/rotate", status_code=201, openapi_extra=bodies.described(RotateBody, may_be_empty=True))
    async def rotate(request: Request) -> MadeShape:
        """Make another secret; the old one signs beside it for a while, so that receivers can change over."""
        caller = await who(request)
        body = await bodies.read(request, RotateBody, settings, may_be_empty=True)
        return _made(await service.rotate(caller, body.keep_s))

    return routes


def _shape(kept: SigningSecret) -> SecretShape:
    return SecretShape(id=kept.id, last_four=kept.last_four, created_at=kept.created_at, ends_at=kept.ends_at)


def _made(made: Made) -> MadeShape:
    kept = made.kept
    return MadeShape(
        id=kept.id,
        last_four=kept.last_four,
        created_at=kept.created_at,
        ends_at=kept.ends_at,
        secret=made.secret.reveal(),
    )
