"""What a caller is told beside the answer: on answers, errors and streams alike."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from gateway.domain.errors import GatewayError
from gateway.domain.limits import Standing


@dataclass(slots=True)
class Served:
    """What the response's headers tell, as far as it is known yet.

    `keyed`: the id is an Idempotency-Key's or a job's, told instead of the door's own. `replayed`: it was told before.
    `private`: what was said is not logged.
    """

    request_id: str
    trace_id: str = ""
    durability: str = ""
    model: str = ""
    provider: str = ""
    attempts: int = 0
    rule: str = ""
    rules_version: str = ""
    registry_version: str = ""
    cost_usd: Decimal | None = None
    overhead_ms: float | None = None
    workflow_id: str = ""
    standings: tuple[Standing, ...] = ()
    dropped: tuple[str, ...] = ()
    keyed: bool = False
    replayed: bool = False
    private: bool = False
    estimated: bool = False


class RequestFailed(Exception):
    """A request that was accepted and could not be answered: the error, and what is known of the request."""

    def __init__(self, error: GatewayError, served: Served) -> None:
        """`error` carries the code; `served` the headers."""
        super().__init__(error.code)
        self.error = error
        self.served = served
