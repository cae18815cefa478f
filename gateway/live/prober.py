"""Active probes: models that are to be probed are asked now and then whether they are there, whoever has their turn.

Passive health comes first: it costs nothing and says more. Probes are for models that nobody calls for hours and that
must be known to work, and they are made only where the settings ask for them. They are in no ledger and no usage; what
they cost is bounded by the day and counted in a metric.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Protocol

import msgspec

from gateway import telemetry
from gateway.domain.errors import GatewayError, StorageUnavailable, UpstreamNotFound
from gateway.domain.inference import Kind, Usage
from gateway.domain.prices import Price, cost_of
from gateway.domain.registry import Model, Registry
from gateway.domain.secret import Secret
from gateway.domain.tags import parse_tags
from gateway.ids import new_id
from gateway.live.vitals import Vitals
from gateway.providers.discovery import Found
from gateway.providers.ports import Body, Call, CallTimeouts, Provider
from gateway.settings import ProbeSettings
from gateway.storage.ports import Probes

_LOOK: Final = 5.0  # seconds between two looks at whose turn it is
_AT_ONCE: Final = 4
_STALE: Final = 5
"""After so many intervals without a probe the last one says nothing any more."""
_SAID: Final = b'[{"role":"user","content":"Say: ok"}]'
_USAGE: Final = Usage(input=32, output=1)
"""What such a probe uses at most, by any tokenizer; what it did use is said by its answer."""


class Lists(Protocol):
    """Asks a server which models it has."""

    async def find(self, base_url: str, secret: Secret | None = None, reference: str | None = None) -> Found:
        """What the server says."""
        ...


class Knows(Protocol):
    """Looks credentials up."""

    def secret_of(self, model: Model, usual_url: str = "") -> Secret | None:
        """A model's credential."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What a prober works with."""

    registry: Callable[[], Registry]
    providers: Mapping[str, Provider]
    lists: Lists
    credentials: Knows
    probes: Probes


class Prober:
    """Probes the models whose turn this process has."""

    def __init__(self, vitals: Vitals, means: Means, settings: ProbeSettings) -> None:
        """Raises ValueError for tags in the settings that are none."""
        self._vitals = vitals
        self._means = means
        self._settings = settings
        self._by_call = parse_tags(settings.call)
        self._by_list = parse_tags(settings.list)
        self._running: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, if any model is to be probed."""
        if self._settings.call or self._settings.list:
            self._task = asyncio.create_task(self._keep_probing(), name="probes")

    async def close(self) -> None:
        """End; probes that are under way are given up."""
        for task in (self._task, *self._running):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def look(self) -> None:
        """Begin the probes whose turn it is. Raises StorageUnavailable."""
        self._vitals.forget_probes(_STALE * self._settings.interval)
        models = {
            model.name: model for model in self._means.registry().models.values() if self._wanted(model)
        }
        room = _AT_ONCE - len(self._running)
        if not models or room <= 0:
            return
        taken = await self._means.probes.claim(
            sorted(models), self._vitals.replica, every=self._settings.interval, most=room
        )
        for name in taken:
            task = asyncio.create_task(self._probe(models[name]), name=f"probe {name}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _keep_probing(self) -> None:
        while True:
            try:
                await self.look()
            except StorageUnavailable:
                pass  # nobody's turn can be told: passive health goes on without
            except Exception:  # noqa: BLE001  a probe less is better than none ever again
                telemetry.log.exception("probes_failed")
            await asyncio.sleep(_LOOK)

    def _wanted(self, model: Model) -> bool:
        return model.enabled and (self._calls(model) or self._lists(model))

    def _calls(self, model: Model) -> bool:
        return bool(self._settings.call) and model.kind is Kind.CHAT and self._by_call.holds(model.all_tags)

    def _lists(self, model: Model) -> bool:
        return bool(self._settings.list and model.base_url) and self._by_list.holds(model.all_tags)

    async def _probe(self, model: Model) -> None:
        try:
            async with asyncio.timeout(self._settings.timeout.total_seconds() + 1):
                outcome = await (self._call(model) if self._calls(model) else self._list(model))
        except GatewayError as error:
            outcome = error.code
        except TimeoutError:
            outcome = "upstream_timeout"
        except Exception:  # noqa: BLE001  a bug in a provider is no reason to stop probing
            telemetry.log.exception("probe_failed", model=model.name)
            outcome = GatewayError.code
        ok = self._vitals.probed(model.name, outcome, by_call=self._calls(model))
        telemetry.PROBES.labels(model.name, "ok" if ok else outcome).inc()
        if ok is not None:
            with suppress(StorageUnavailable):
                await self._means.probes.told(model.name, ok=ok, code=None if ok else outcome)

    async def _list(self, model: Model) -> str:
        found = await self._means.lists.find(model.base_url, self._means.credentials.secret_of(model))
        if model.upstream_model not in {each.upstream_model for each in found.models}:
            raise UpstreamNotFound
        return ""

    async def _call(self, model: Model) -> str:
        price = self._means.registry().price(model, datetime.now(UTC))
        reserved = cost_of(price, _USAGE, self._settings.timeout)
        if reserved is None:
            return "unpriced"
        if reserved and not await self._means.probes.spend(
            reserved, Decimal(str(self._settings.max_usd_per_day))
        ):
            return "over_budget"
        spent = reserved
        try:
            spent = await self._made(model, price) or reserved
        finally:
            # What did not answer may have worked all the same: it counts as reserved.
            if spent:
                telemetry.PROBE_COST.labels(model.name).inc(float(spent))
            if spent != reserved:
                with suppress(StorageUnavailable):
                    await self._means.probes.correct(spent - reserved)
        return ""

    async def _made(self, model: Model, price: Price | None) -> Decimal | None:
        began = asyncio.get_running_loop().time()
        limit = "max_completion_tokens" if model.provider == "openai" else "max_tokens"
        body: Body = {"messages": msgspec.Raw(_SAID), limit: msgspec.Raw(b"1")}
        timeout = self._settings.timeout
        call = Call(
            Kind.CHAT, model, body, CallTimeouts(timeout, timeout, timeout), {"x-request-id": new_id()}
        )
        reply = await self._means.providers[model.provider].complete(call)
        took = timedelta(seconds=asyncio.get_running_loop().time() - began)
        return cost_of(price, reply.usage, took)
