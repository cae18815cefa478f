"""WebhooksService: what a caller's webhooks are signed with."""

from __future__ import annotations

from api.rpc.door import Call
from api.rpc.values import seconds, timestamp
from api.service.webhooks import Made, WebhooksService
from gateway.domain.delivery import SigningSecret
from gateway.v1 import webhooks_pb2 as pb


class WebhooksServicer:
    """Makes and rotates a caller's own secrets."""

    def __init__(self, webhooks: WebhooksService) -> None:
        """`webhooks` does the work."""
        self._webhooks = webhooks

    async def get_secrets(
        self, call: Call, _: pb.WebhooksServiceGetSecretsRequest
    ) -> pb.WebhooksServiceGetSecretsResponse:
        """Those that sign now, the newest first."""
        found = await self._webhooks.get(call.caller)
        return pb.WebhooksServiceGetSecretsResponse(secrets=[_message(each) for each in found])

    async def create_secret(
        self, call: Call, _: pb.WebhooksServiceCreateSecretRequest
    ) -> pb.WebhooksServiceCreateSecretResponse:
        """Make the first one."""
        return pb.WebhooksServiceCreateSecretResponse(secret=_made(await self._webhooks.create(call.caller)))

    async def rotate_secret(
        self, call: Call, request: pb.WebhooksServiceRotateSecretRequest
    ) -> pb.WebhooksServiceRotateSecretResponse:
        """Make another one."""
        keep = seconds(request.keep) if request.HasField("keep") else None
        made = await self._webhooks.rotate(call.caller, keep)
        return pb.WebhooksServiceRotateSecretResponse(secret=_made(made))


def _message(kept: SigningSecret, secret: str = "") -> pb.WebhookSecret:
    return pb.WebhookSecret(
        id=kept.id,
        last_four=kept.last_four,
        created_at=timestamp(kept.created_at),
        ends_at=timestamp(kept.ends_at),
        secret=secret,
    )


def _made(made: Made) -> pb.WebhookSecret:
    return _message(made.kept, made.secret.reveal())
