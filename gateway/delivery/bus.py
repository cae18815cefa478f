"""The one connection of a process to NATS: made in the background, and made again whenever it breaks.

Nothing waits for NATS at a process's start, and nothing that answers callers needs it: whoever does need it asks for
the client, and hears at once that it is away.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from nats.aio.client import Client

from gateway import telemetry
from gateway.domain.errors import BusUnavailable
from gateway.settings import Nats

_AGAIN: Final = 1.0  # seconds between two tries to connect
_CLOSE_WITHIN: Final = 5.0


class Bus:
    """NATS, as the settings name it; without a URL there is none."""

    def __init__(self, settings: Nats, name: str) -> None:
        """`name` is how NATS's own monitoring shows this process."""
        self._settings = settings
        self._name = name
        self._client: Client | None = None
        self._connecting: asyncio.Task[None] | None = None

    @property
    def there(self) -> bool:
        """Whether this installation has NATS at all."""
        return bool(self._settings.url)

    @property
    def up(self) -> bool:
        """Whether the connection stands."""
        return self._client is not None and self._client.is_connected

    def start(self) -> None:
        """Begin to connect. Raises ValueError, naming the setting, for a file that cannot be read."""
        if self.there:
            options = _options(self._settings, self._name)
            telemetry.NATS_UP.set(0)
            self._connecting = asyncio.create_task(self._connect(options), name="connect to nats")

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

    async def _connect(self, options: dict[str, Any]) -> None:
        while True:
            client = Client()
            try:
                # It goes on trying by itself, and once it is connected it connects again by itself.
                await client.connect(**options)
            except Exception as error:  # noqa: BLE001  nats-py raises what it meets: a wrong file, a refused login
                telemetry.log.warning("nats_refused", why=type(error).__name__)
                await asyncio.sleep(_AGAIN)
                continue
            except asyncio.CancelledError:
                with suppress(Exception):
                    await client.close()
                raise
            self._client = client
            telemetry.NATS_UP.set(1)
            telemetry.log.info("nats_connected")
            return


def _options(settings: Nats, name: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "servers": [url.strip() for url in settings.url.split(",") if url.strip()],
        "name": name,
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": _AGAIN,
        "connect_timeout": settings.connect_timeout.total_seconds(),
        "error_cb": _say,
        "disconnected_cb": _say_gone,
        "reconnected_cb": _say_back,
    }
    if settings.credentials_file:
        options["user_credentials"] = _readable(settings.credentials_file, "nats.credentials_file")
    if settings.nkey_file:
        options["nkeys_seed"] = _readable(settings.nkey_file, "nats.nkey_file")
    if settings.tls or settings.url.startswith("tls://"):
        options["tls"] = _tls(settings)
    return options


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


async def _say(error: Exception) -> None:
    telemetry.log.warning("nats_error", why=type(error).__name__)


async def _say_gone() -> None:
    telemetry.NATS_UP.set(0)
    telemetry.log.warning("nats_gone")


async def _say_back() -> None:
    telemetry.NATS_UP.set(1)
    telemetry.log.info("nats_back")
