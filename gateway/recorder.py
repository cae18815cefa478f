"""The end of every request: its row in the ledger, its counters, and the word to whoever still waits."""

from __future__ import annotations

from gateway import files, telemetry
from gateway.domain.inference import InferenceRequest, Settlement, telling
from gateway.domain.operations import Operation
from gateway.exchange import Exchanges, logged
from gateway.storage.ports import Claims, Entry, Requests


class Recorder:
    """Enters settled requests into the ledger, exactly once each."""

    def __init__(
        self,
        requests: Requests,
        claims: Claims,
        exchanges: Exchanges,
        *,
        log_content: bool,
        content_limit: int,
    ) -> None:
        """Texts longer than `content_limit` characters are cut in the log, and end in a mark that says so."""
        self._requests = requests
        self._claims = claims
        self._exchanges = exchanges
        self._log_content = log_content
        self._limit = content_limit

    async def record(self, request: InferenceRequest, settlement: Settlement) -> Settlement:
        """Settle the request and return how it ended: as it was settled before, if it was.

        Raises StorageUnavailable; safe to do again.
        """
        exchange = self._exchanges.get(request.id)
        if exchange is not None and settlement.served is None:
            exchange.give_up(settlement.failure)
        prompt, answer = (None, None)
        if self._log_content if request.log_content is None else request.log_content:
            takes_files = Operation(request.endpoint).takes_files
            prompt = self._cut(files.told(request.body) if takes_files else request.body)
            answer = self._cut(
                exchange.answer() if exchange is not None else await self._kept(request, settlement)
            )
        new = await self._requests.settle(Entry(request, settlement, prompt, answer))
        self._exchanges.close(request.id)
        if new:
            telemetry.count_settled(request, settlement)
            _say(request, settlement)
            return settlement
        return await self._requests.settlement(request.id) or settlement

    async def settlement(self, request_id: str) -> Settlement | None:
        """How a request was settled, if it was."""
        return await self._requests.settlement(request_id)

    async def _kept(self, request: InferenceRequest, settlement: Settlement) -> str | None:
        if settlement.served is None:
            return None
        kept = await self._claims.kept(request.id)
        return None if kept is None else logged(kept.body, kept.media_type, request.kind)

    def _cut(self, text: str | None) -> str | None:
        if text is None or len(text) <= self._limit:
            return text
        return f"{text[: self._limit]}… [cut: {len(text)} characters]"


def _say(request: InferenceRequest, settlement: Settlement) -> None:
    last = telling(settlement.attempts)
    telemetry.log.info(
        "request",
        request_id=request.id,
        trace_id=request.trace_id,
        caller=request.caller,
        kind=request.kind.value,
        mode=request.mode.value,
        asked=request.model,
        model=last.model if last else None,
        status=settlement.status.value,
        attempts=len(settlement.attempts),
        code=settlement.failure.code if settlement.failure else None,
        total_ms=round((settlement.finished_at - request.accepted_at).total_seconds() * 1000, 1),
    )
