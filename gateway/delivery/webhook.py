"""Webhooks, signed as Standard Webhooks says: an event is posted to a URL that the caller named.

Whoever may run a job names the URL, so it is called with care: the address is the one that was checked, certificates
are verified, redirects are not followed, no proxy and no password of the environment is used, and what the receiver
answers is not read but for its status.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from datetime import datetime
from typing import Final, cast

import httpx2
from standardwebhooks import Webhook as Signer

from gateway import VERSION
from gateway.delivery.ports import Notice, SigningSecrets
from gateway.delivery.seals import Opened, Seals
from gateway.domain.addresses import why_not
from gateway.domain.errors import (
    DestinationSealed,
    GatewayError,
    ReceiverForbidden,
    ReceiverGone,
    ReceiverInsecure,
    ReceiverRefused,
    ReceiverTimeout,
    ReceiverUnreachable,
    StorageUnavailable,
    UpstreamForbidden,
)
from gateway.domain.secret import Secret
from gateway.net.guard import Guard, LookUp, by_the_system
from gateway.net.http1 import Http1
from gateway.net.waits import retry_after
from gateway.settings import DeliverySettings

PRIVATE: Final = "delivery.webhook.allow_private_networks"
_DRAIN: Final = 1.0
_DRAINED: Final = 16 * 1024
_GONE: Final = 410


class Webhooks:
    """The channel `webhook`."""

    def __init__(
        self,
        settings: DeliverySettings,
        seals: Seals,
        secrets: SigningSecrets,
        look_up: LookUp = by_the_system,
    ) -> None:
        """`seals` open what a destination hides; `secrets` sign where a destination has none of its own."""
        own = settings.webhook
        self._seals = seals
        self._secrets = secrets
        self._timeout = settings.timeout.total_seconds()
        self._inline = settings.inline_limit
        self._https_only = own.https_only
        self._private = own.allow_private_networks
        guard = Guard(allow_private=self._private, look_up=look_up, setting=PRIVATE)
        # Without a bound: tries are counted where they begin, and none is to wait for connections of those who hang.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=32, keepalive_expiry=10.0)
        self._http = Http1(_tls(own.tls_ca), limits, guard.look_up)

    async def deliver(self, notice: Notice) -> int | None:
        """Post an event."""
        opened = self._seals.open(notice.destination, notice.event.job.id)
        body = notice.event.body(self._inline)
        request = await self._request(opened, notice, body)
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._http.handle_async_request(request)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise ReceiverTimeout from error
        except UpstreamForbidden as error:
            raise ReceiverForbidden(detail=error.detail) from error
        except httpx2.TransportError as error:
            raise _unreachable(error) from error
        try:
            await _drain(response)
        finally:
            await response.aclose()
        return _judged(response)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _request(self, opened: Opened, notice: Notice, body: bytes) -> httpx2.Request:
        try:
            url = httpx2.URL(opened.url)
        except (httpx2.InvalidURL, ValueError) as error:
            raise ReceiverForbidden("The receiver's URL is no address.") from error
        if url.scheme != "https" and (self._https_only or url.scheme != "http"):
            # It was when the job was accepted: the setting has changed since.
            raise ReceiverForbidden("Webhooks are sent by https only.")
        why = why_not(url.host, allow_private=self._private, setting=PRIVATE)
        if why is not None:
            raise ReceiverForbidden(detail=f"{url.host} is {why}")
        headers = {
            "content-type": "application/json",
            "user-agent": f"llm-gateway/{VERSION}",
            **signed(await self._signers(opened.secret, notice), notice.event.id, notice.at, body.decode()),
        }
        if notice.traceparent:
            headers["traceparent"] = notice.traceparent
        within = {"timeout": {"connect": self._timeout, "pool": self._timeout}}
        return httpx2.Request("POST", url, headers=headers, content=body, extensions=within)

    async def _signers(self, own: Secret | None, notice: Notice) -> list[Secret]:
        """What signs: the secret that was given with the job, or the caller's, of which there may be several."""
        if own is not None:
            return [own]
        valid = await self._secrets.valid(notice.caller, notice.at)
        if not valid:
            raise DestinationSealed("There is no secret to sign with any more.")
        for sealed in valid:
            renewed = self._seals.renewed(sealed)
            if renewed is not None:
                with suppress(StorageUnavailable):  # the next try will do
                    await self._secrets.reseal(sealed.id, renewed.secret, renewed.key_id)
        return [self._seals.open_secret(sealed) for sealed in valid]


def signed(secrets: list[Secret], event_id: str, at: datetime, body: str) -> dict[str, str]:
    """Standard Webhooks' headers: the id, the moment of this try, and a signature by each secret."""
    signatures = (Signer(secret.reveal()).sign(event_id, at, body) for secret in secrets)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _judged(response: httpx2.Response) -> int:
    """The status of an answer that takes the event. Raises ReceiverGone, or ReceiverRefused for any but 2xx."""
    status = response.status_code
    if 200 <= status < 300:
        return status
    if status == _GONE:
        raise ReceiverGone(status=status)
    said = "redirects, and redirects are not followed" if 300 <= status < 400 else "is no success"
    raise ReceiverRefused(
        f"The receiver answered {status}, which {said}.",
        status=status,
        retry_after=retry_after(response.headers),
    )


def _unreachable(error: httpx2.TransportError) -> GatewayError:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLError):
        return ReceiverInsecure(detail=f"{type(cause).__name__}: {cause.reason or cause}")
    return ReceiverUnreachable(detail=f"{type(error).__name__}: {error}")


async def _drain(response: httpx2.Response) -> None:
    """Read a short answer to its end, so that its connection can be used again; a long one is none of ours."""
    left = _DRAINED
    with suppress(TimeoutError, httpx2.TransportError):
        async with asyncio.timeout(_DRAIN):
            async for chunk in cast("httpx2.AsyncByteStream", response.stream):
                left -= len(chunk)
                if left <= 0:
                    return


def _tls(ca: str) -> ssl.SSLContext:
    context = httpx2.create_ssl_context(trust_env=False)
    context.set_alpn_protocols(["http/1.1"])
    if ca:
        context.load_verify_locations(cafile=ca)
    return context
