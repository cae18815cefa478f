"""LiveService: what is known of a model at this moment."""

from __future__ import annotations

from api.rpc.door import Call
from api.rpc.values import decimal, numbers_of, timestamp
from api.service.live import LiveModel, LiveService
from gateway.domain.health import Breaker, Live
from gateway.v1 import live_pb2 as pb

_STATE = numbers_of(pb.BreakerState, Breaker, "BREAKER_STATE")


class LiveServicer:
    """The twin of `/api/v1/models/{name}/live`."""

    def __init__(self, live: LiveService) -> None:
        """`live` knows."""
        self._live = live

    async def get(self, call: Call, request: pb.LiveServiceGetRequest) -> pb.LiveServiceGetResponse:
        """One model's windows, what is in flight, and its circuit breaker."""
        return pb.LiveServiceGetResponse(live=_message(self._live.get(call.caller, request.model)))


def _message(live: LiveModel) -> pb.LiveModel:
    health = live.health
    return pb.LiveModel(
        model=live.model,
        as_of=timestamp(live.as_of),
        age_s=None if live.age is None else round(live.age.total_seconds(), 3),
        replicas=live.replicas,
        in_flight=health.in_flight,
        breaker=pb.Breaker(
            state=_STATE[health.breaker],
            since=timestamp(health.breaker_since),
            reason=health.breaker_reason,
            next_probe_at=timestamp(health.next_probe_at),
        ),
        probe=None
        if health.probe_ok is None
        else pb.Probe(ok=health.probe_ok, at=timestamp(health.probe_at)),
        windows={window.value: _window(each) for window, each in health.windows.items()},
    )


def _window(live: Live) -> pb.LiveWindow:
    return pb.LiveWindow(
        requests=live.requests,
        errors=live.errors,
        error_rate=live.error_rate,
        p50_ms=live.p50_ms,
        p95_ms=live.p95_ms,
        p99_ms=live.p99_ms,
        first_token_p50_ms=live.first_token_p50_ms,
        first_token_p95_ms=live.first_token_p95_ms,
        tokens_per_second=live.tokens_per_second,
        tokens=live.tokens,
        cost_usd=decimal(live.cost_usd),
    )
