"""Where a caller wants to be told of its job's end: read, checked by whose job it is, and sealed before it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from gateway.delivery.seals import EXPECTED, Seals, is_secret
from gateway.domain.addresses import why_not
from gateway.domain.delivery import (
    NATS,
    WEBHOOK,
    Destination,
    may_publish,
    own_subjects,
    parse_receiver,
    wrong_subject,
)
from gateway.domain.errors import InvalidRequest
from gateway.domain.identity import Caller
from gateway.domain.secret import Secret
from gateway.settings import WebhookSettings
from gateway.storage.ports import WebhookSecrets

_LONGEST_TRACE: Final = 128
_MOST_KNOWN: Final = 10_000


class WebhookBody(msgspec.Struct, forbid_unknown_fields=True):
    """What the body says of a webhook."""

    url: str
    secret: str | None = None


class NatsBody(msgspec.Struct, forbid_unknown_fields=True):
    """What the body says of NATS."""

    subject: str
    trace_id: str | None = None


class DeliverBody(msgspec.Struct, forbid_unknown_fields=True):
    """The field `deliver`, or `gateway.deliver`."""

    webhook: WebhookBody | None = None
    nats: NatsBody | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where a caller wants to be told. `where` is the field that says so, for errors."""

    where: str = "deliver"
    url: str | None = None
    secret: Secret | None = None
    subject: str | None = None
    trace_id: str = ""

    def plain(self) -> str:
        """All but the secret, for the fingerprint of what was asked."""
        return f"{self.url or ''}\n{self.subject or ''}\n{self.trace_id}"


def wanted_of(body: DeliverBody | None, where: str) -> Wanted | None:
    """What a body says, its secret in a box; None where it names no channel."""
    if body is None or (body.webhook is None and body.nats is None):
        return None
    webhook, nats = body.webhook, body.nats
    return Wanted(
        where,
        url=None if webhook is None else webhook.url,
        secret=None if webhook is None or webhook.secret is None else Secret(webhook.secret),
        subject=None if nats is None else nats.subject,
        trace_id="" if nats is None else nats.trace_id or "",
    )


class Destinations:
    """Turns what callers want into what the gateway commits itself to."""

    def __init__(
        self, channels: frozenset[str], seals: Seals, secrets: WebhookSecrets, settings: WebhookSettings
    ) -> None:
        """`channels` are the ways of delivery that this installation has."""
        self._channels = channels
        self._seals = seals
        self._secrets = secrets
        self._settings = settings
        self._signing: set[str] = set()

    async def check(self, caller: Caller, wanted: Wanted | None, now: datetime) -> None:
        """Raise InvalidRequest naming the field that is wrong; StorageUnavailable where that cannot be known."""
        if wanted is None:
            return
        if wanted.url is not None:
            await self._check_webhook(caller, wanted, wanted.url, now)
        if wanted.subject is not None:
            self._check_nats(caller, wanted, wanted.subject)

    def of(self, wanted: Wanted | None, job_id: str) -> Mapping[str, Destination]:
        """By channel, where a job is told of: what was checked, with its secrets sealed."""
        made: dict[str, Destination] = {}
        if wanted is None:
            return made
        if wanted.url is not None:
            receiver = parse_receiver(wanted.url)
            hides = wanted.secret is not None or receiver.has_query
            made[WEBHOOK] = (
                self._seals.seal(receiver.shown, wanted.url, wanted.secret, job_id)
                if hides
                else Destination(receiver.shown)
            )
        if wanted.subject is not None:
            made[NATS] = Destination(wanted.subject, wanted.trace_id)
        return made

    async def _check_webhook(self, caller: Caller, wanted: Wanted, url: str, now: datetime) -> None:
        where = f"{wanted.where}.webhook"
        self._require(WEBHOOK, wanted.where)
        try:
            receiver = parse_receiver(url)
        except ValueError as e:
            raise InvalidRequest(
                f"`{where}.url` must be a plain URL such as https://host/path?query: {e}.",
                param=f"{where}.url",
            ) from e
        if receiver.address.scheme != "https" and self._settings.https_only:
            raise InvalidRequest(f"`{where}.url` must be https here.", param=f"{where}.url")
        why = why_not(receiver.address.host, allow_private=self._settings.allow_private_networks)
        if why is not None:
            raise InvalidRequest(
                f"`{where}.url` leads to an address that this gateway never calls.", param=f"{where}.url"
            )
        if wanted.secret is not None and not is_secret(wanted.secret.reveal()):
            raise InvalidRequest(f"`{where}.secret` must be {EXPECTED}.", param=f"{where}.secret")
        if wanted.secret is None and not await self._signs(caller.id, now):
            raise InvalidRequest(
                f"`{where}.secret` is required as long as you have no secret of your own: give one, or create yours "
                "with POST /api/v1/webhooks/secret.",
                param=f"{where}.secret",
            )
        if (wanted.secret is not None or receiver.has_query) and not self._seals.can_seal:
            hidden = "secret" if wanted.secret is not None else "url"
            raise InvalidRequest(
                f"This gateway has no key to encrypt `{where}.{hidden}` with: let an administrator set "
                "temporal.encryption.",
                param=f"{where}.{hidden}",
            )

    def _check_nats(self, caller: Caller, wanted: Wanted, subject: str) -> None:
        where = f"{wanted.where}.nats"
        self._require(NATS, wanted.where)
        wrong = wrong_subject(subject)
        if wrong is not None:
            raise InvalidRequest(
                f"`{where}.subject` must be a subject of NATS: {wrong}.", param=f"{where}.subject"
            )
        own = own_subjects(caller.name, caller.id)
        if not may_publish(subject, own, caller.subjects):
            yours = ", ".join(f"`{each}`" for each in (own, *caller.subjects))
            raise InvalidRequest(
                f"`{where}.subject` must be one of yours: {yours}.", param=f"{where}.subject"
            )
        if len(wanted.trace_id) > _LONGEST_TRACE or not _visible(wanted.trace_id):
            raise InvalidRequest(
                f"`{where}.trace_id` must be at most {_LONGEST_TRACE} characters of visible ASCII.",
                param=f"{where}.trace_id",
            )

    def _require(self, channel: str, where: str) -> None:
        if channel not in self._channels:
            raise InvalidRequest(
                f"This gateway has no delivery channel `{channel}`: leave it out and ask for the job by its id.",
                param=f"{where}.{channel}",
            )

    async def _signs(self, caller: str, now: datetime) -> bool:
        """Whether the caller has a secret of its own; once it has one it always has."""
        if caller in self._signing:
            return True
        if not await self._secrets.valid(caller, now):
            return False
        if len(self._signing) >= _MOST_KNOWN:
            self._signing.clear()
        self._signing.add(caller)
        return True


def _visible(text: str) -> bool:
    return all("!" <= letter <= "~" for letter in text)
