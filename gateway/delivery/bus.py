"""The one connection of a process to NATS: made in the background, and made again whenever it breaks.

Nothing waits for NATS at a process's start, and nothing that answers callers needs it: whoever does need it asks for
the client, and hears at once that it is away.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import nats.errors
from nats.aio.client import Client

from gateway import telemetry
from gateway.delivery.credentials import Credentials, CredentialsUnusable
from gateway.domain.errors import BusUnavailable
from gateway.settings import Nats

_AGAIN: Final = 1.0  # seconds between two tries to connect
_CLOSE_WITHIN: Final = 5.0
_TOLD_EVERY: Final = timedelta(minutes=1)
_TOLD: Final = 300  # characters of what NATS says that are logged

State = Literal["none", "connected", "away", "refused", "credentials_expired", "credentials_unusable"]
"""How a process stands with NATS: there is none, it is connected, NATS is away, or it does not let us in."""


class Bus:
    """NATS, as the settings name it; without a URL there is none."""

    def __init__(self, settings: Nats, name: str) -> None:
        """`name` is how NATS's own monitoring shows this process."""
        self._settings = settings
        self._name = name
        self._client: Client | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._credentials: Credentials | None = None
        self._trouble: State = "away"
        self._told: tuple[str, datetime] | None = None

    @property
    def there(self) -> bool:
        """Whether this installation has NATS at all."""
        return bool(self._settings.url)

    @property
    def up(self) -> bool:
        """Whether the connection stands."""
        return self._client is not None and self._client.is_connected

    @property
    def state(self) -> State:
        """How this process stands with NATS, and why it is not connected."""
        if not self.there:
            return "none"
        return "connected" if self.up else self._trouble

    def start(self) -> None:
        """Begin to connect. Raises ValueError, naming the setting, for a file that cannot be used."""
        if self.there:
            options = self._options()
            telemetry.NATS_UP.set(0)
            self._connecting = asyncio.create_task(self._connect_always(options), name="connect to nats")

    def client(self) -> Client:
        """The client, connected. Raises BusUnavailable."""
        if self._client is None or not self._client.is_connected:
            raise BusUnavailable(retry_after=timedelta(seconds=_AGAIN))
        return self._client

    async def close(self) -> None:
        """Send what is under way, and hang up."""
        if self._connecting is not None:
            self._connecting.cancel()
            with suppress(asyncio.CancelledError):
                await self._connecting
        if self._client is not None:
            with suppress(Exception):  # whatever it is, the connection is gone
                async with asyncio.timeout(_CLOSE_WITHIN):
                    await self._client.close()

    async def _connect_always(self, options: dict[str, Any]) -> None:
        while True:
            client, over = Client(), asyncio.Event()

            async def closed(over: asyncio.Event = over) -> None:
                over.set()

            try:
                # It goes on trying by itself, and once it is connected it connects again by itself.
                await client.connect(**options, closed_cb=closed)
            except Exception as error:  # noqa: BLE001  nats-py raises what it meets: a wrong file, a refused login
                await self._say(error)
                await asyncio.sleep(_AGAIN)
                continue
            except asyncio.CancelledError:
                with suppress(Exception):
                    await client.close()
                raise
            self._client = client
            self._told, self._trouble = None, "away"
            telemetry.NATS_UP.set(1)
            telemetry.log.info("nats_connected")
            # What a server says before it hangs up, such as that a user has expired, ends a client for good.
            await over.wait()
            telemetry.NATS_UP.set(0)
            if client.last_error is not None:
                await self._say(client.last_error)
            await asyncio.sleep(_AGAIN)

    def _options(self) -> dict[str, Any]:
        settings = self._settings
        options: dict[str, Any] = {
            "servers": [url.strip() for url in settings.url.split(",") if url.strip()],
            "name": self._name,
            "allow_reconnect": True,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": _AGAIN,
            "connect_timeout": settings.connect_timeout.total_seconds(),
            "error_cb": self._say,
            "disconnected_cb": self._say_gone,
            "reconnected_cb": self._say_back,
        }
        if settings.credentials_file:
            try:
                self._credentials = Credentials(settings.credentials_file)
            except CredentialsUnusable as error:
                raise ValueError(str(error)) from error
            options["user_jwt_cb"] = self._credentials.jwt
            options["signature_cb"] = self._credentials.sign
        if settings.nkey_file:
            options["nkeys_seed"] = _readable(settings.nkey_file, "nats.nkey_file")
        if settings.tls or settings.url.startswith("tls://"):
            options["tls"] = _tls(settings)
        return options

    async def _say(self, error: Exception) -> None:
        """Say what is wrong: once, and again every minute for as long as it stays so."""
        self._trouble = self._what(error)
        why, now = f"{type(error).__name__}: {error}"[:_TOLD], datetime.now(UTC)
        if self._told is not None and self._told[0] == why and now - self._told[1] < _TOLD_EVERY:
            return
        self._told = (why, now)
        telemetry.log.warning(
            "nats_error", state=self.state, why=type(error).__name__, detail=str(error)[:_TOLD]
        )

    def _what(self, error: Exception) -> State:
        if isinstance(error, CredentialsUnusable):
            return "credentials_unusable"
        # What a server itself says to a client is of no class of its own.
        if type(error) not in (nats.errors.Error, nats.errors.AuthorizationError):
            return "away"
        expired = self._credentials is not None and self._credentials.expired()
        return "credentials_expired" if expired else "refused"

    async def _say_gone(self) -> None:
        self._trouble = "away"
        telemetry.NATS_UP.set(0)
        telemetry.log.warning("nats_gone")

    async def _say_back(self) -> None:
        self._told, self._trouble = None, "away"
        telemetry.NATS_UP.set(1)
        telemetry.log.info("nats_back")


def _readable(path: str, setting: str) -> str:
    try:
        with open(path, "rb"):  # noqa: PTH123  only whether it can be
            return path
    except OSError as error:
        raise ValueError(f"{setting}: {path} cannot be read: {error.strerror}") from error


def _tls(settings: Nats) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca or None)
        if settings.tls_cert:
            context.load_cert_chain(settings.tls_cert, settings.tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"nats.tls_ca, tls_cert or tls_key cannot be used: {error}") from error
    return context
