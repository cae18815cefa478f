"""What becomes of responses that are kept: how they stand, what was answered, and how their streams end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec

from gateway.domain.errors import Abandoned, ResponseNotFound
from gateway.domain.inference import Failure, InferenceRequest, Mode, Settlement, Status
from gateway.domain.operations import Operation
from gateway.providers.dialects.responses.own import item_id
from gateway.ring import Unreadable
from gateway.seal import Seal
from gateway.settings import ResponsesSettings
from gateway.storage.ports import Claims, Item, KeptResponse, Line, Responses, StreamLog

ENDS: Final[Mapping[str, str]] = {
    "completed": "response.completed",
    "incomplete": "response.incomplete",
    "cancelled": "response.incomplete",  # there is no event for it: the response in it says so
    "failed": "response.failed",
}
"""The event by which a stream ends, by the status of its response."""
_RATE: Final = frozenset({"rate_limited", "upstream_rate_limited"})
_STATUSES: Final = {
    Status.CANCELLED: "cancelled",
    Status.FAILED: "failed",
    Status.EXPIRED: "failed",
}


class ResponseKeeper:
    """Keeps responses, sealed."""

    def __init__(
        self,
        responses: Responses,
        streams: StreamLog,
        claims: Claims,
        seal: Seal,
        settings: ResponsesSettings,
    ) -> None:
        """`claims` hold the answers of those that ran as jobs."""
        self._responses = responses
        self._streams = streams
        self._claims = claims
        self._seal = seal
        self._settings = settings

    def until(self) -> datetime:
        """Until when what is used now is kept."""
        return datetime.now(UTC) + self._settings.retention

    def opened(self, kept: KeptResponse) -> dict[str, Any]:
        """A kept response. Raises ResponseNotFound where its key is no longer in the ring."""
        return msgspec.json.decode(self._unsealed(kept.body))

    def items(self, items: Sequence[Mapping[str, Any]]) -> tuple[Item, ...]:
        """Items as they are kept."""
        return tuple(Item(str(item["id"]), self._seal.seal(msgspec.json.encode(item))) for item in items)

    def unpacked(self, item: Item) -> bytes:
        """The JSON of a kept item. Raises ResponseNotFound where its key is no longer in the ring."""
        return self._unsealed(item.data)

    def item(self, item: Item) -> dict[str, Any]:
        """A kept item."""
        return msgspec.json.decode(self.unpacked(item))

    def _unsealed(self, sealed: bytes) -> bytes:
        try:
            return self._seal.open(sealed)
        except Unreadable as e:
            raise ResponseNotFound("What was kept of this response can no longer be read.") from e

    async def keep(
        self,
        caller: str,
        request_id: str,
        response: Mapping[str, Any],
        inputs: Sequence[Item] = (),
        *,
        streamed: bool = False,
    ) -> bool:
        """Keep a response as it stands now; False if it had ended before. Raises StorageUnavailable."""
        conversation = response.get("conversation")
        previous = response.get("previous_response_id")
        kept = KeptResponse(
            id=request_id,
            caller=caller,
            status=str(response["status"]),
            created_at=datetime.fromtimestamp(response["created_at"], UTC),
            kept_until=self.until(),
            body=self._seal.seal(msgspec.json.encode(response)),
            previous=None if previous is None else str(previous).removeprefix("resp_"),
            conversation=None if conversation is None else conversation["id"],
            background=bool(response.get("background")),
            streamed=streamed,
        )
        outputs = self.items(with_ids(response.get("output"), request_id)) if kept.ended else ()
        return await self._responses.keep(kept, inputs, outputs)

    async def end(self, caller: str, request_id: str, response: Mapping[str, Any]) -> bool:
        """Keep how a response ended; False if it had ended before, or was deleted meanwhile."""
        if await self._responses.get(caller, request_id) is None:
            return False
        return await self.keep(caller, request_id, response)

    async def settle(self, request: InferenceRequest, settlement: Settlement) -> None:
        """End a response as its request ended, if it is kept and has not ended; and its stream. Safe to do again.

        Raises StorageUnavailable.
        """
        if request.endpoint != Operation.RESPONSES.value:
            return
        if request.mode is not Mode.JOB and not _left_alone(settlement):
            return  # whoever tells its caller keeps it, and knows more of it
        kept = await self._responses.get(request.caller, settlement.request_id)
        if kept is not None and not kept.ended:
            response = self.opened(kept)
            if settlement.status is Status.COMPLETED:
                body = await self._claims.result(request.id)
                if body is None:
                    return  # its caller waited: whoever told it keeps it
                response = msgspec.json.decode(body)
            else:
                response = ended_badly(response, _STATUSES[settlement.status], settlement.failure)
            # Its stream first: once it is known to have ended, nobody comes back to tell it.
            if kept.streamed:
                await self._close_stream(request.id, response)
            await self.keep(request.caller, request.id, response)

    async def _close_stream(self, request_id: str, response: Mapping[str, Any]) -> None:
        writer = f"end as {response['status']}"
        number = await self._streams.open(request_id, writer)
        if number is None:
            return
        await self._streams.append(request_id, writer, number, [Line(*ending(response, number))])
        await self._streams.close(request_id, writer)

    def shown(self, event: bytes) -> bytes:
        """An event that ends a stream, as its caller sees it."""
        fields = msgspec.json.decode(event)
        return msgspec.json.encode({**fields, "response": hidden(fields["response"])})

    async def begun(self, kept: KeptResponse) -> None:
        """Show a response that was queued as in progress."""
        if kept.status == "queued":
            await self.keep(kept.caller, kept.id, {**self.opened(kept), "status": "in_progress"})


def _left_alone(settlement: Settlement) -> bool:
    """Whether nobody was left to tell a waiting caller: it had gone, or the process that served it."""
    code = None if settlement.failure is None else settlement.failure.code
    return settlement.status is Status.CANCELLED or code == Abandoned.code


def ending(response: Mapping[str, Any], number: int) -> tuple[str, bytes]:
    """The event that ends a stream with this response."""
    name = ENDS[response["status"]]
    told = msgspec.json.encode({"type": name, "sequence_number": number, "response": hidden(response)})
    return name, told


def ended_badly(response: Mapping[str, Any], status: str, failure: Failure | None) -> dict[str, Any]:
    """A response that came to nothing, and why."""
    if status != "failed":
        return {**response, "status": status}
    code = failure.code if failure is not None else ""
    message = failure.message if failure is not None else "The response could not be made."
    known = "rate_limit_exceeded" if code in _RATE else "server_error"
    if code in ("invalid_request", "field_not_supported", "content_filter", "context_length_exceeded"):
        known = "invalid_prompt"
    return {**response, "status": status, "error": {"code": known, "message": message}}


def with_ids(items: object, request_id: str) -> list[dict[str, Any]]:
    """Output items, each with an id."""
    found = cast("list[dict[str, Any]]", items) if isinstance(items, list) else []
    return [
        item if isinstance(item.get("id"), str) else {**item, "id": item_id("item", request_id, place)}
        for place, item in enumerate(found)
    ]


def hidden(response: Mapping[str, Any], include: Sequence[str] = ()) -> Mapping[str, Any]:
    """A response as its caller sees it: without what its provider sealed, unless that was asked for."""
    if "reasoning.encrypted_content" in include:
        return response
    output = cast("list[dict[str, Any]]", response.get("output") or [])
    if not any("encrypted_content" in item for item in output):
        return response
    return {**response, "output": [unsealed(item) for item in output]}


def unsealed(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item without what its provider sealed."""
    return {name: value for name, value in item.items() if name != "encrypted_content"}
