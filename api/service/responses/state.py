"""What a request for a response refers to: what was said before, items by their ids; and what is kept of it then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec

from api.service.ask import Ask
from api.service.forms.responses import measured
from gateway.domain.errors import (
    BodyTooLarge,
    ConversationNotFound,
    InvalidRequest,
    PreviousResponseNotFound,
)
from gateway.domain.identity import Caller
from gateway.ids import new_id
from gateway.providers.dialects.responses.own import Own, request_id_of, with_own
from gateway.providers.ports import Body
from gateway.responses import ResponseKeeper
from gateway.storage.ports import Conversations, History, Item, Responses

_KINDS: Final = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "cto",
    "reasoning": "rs",
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with all that it refers to in it; `inputs` are its own items, as they are kept if it `stores`."""

    ask: Ask
    own: Own
    inputs: tuple[Item, ...]
    include: tuple[str, ...]

    @property
    def stores(self) -> bool:
        """Whether the response is kept."""
        return self.own.store


class ResponseState:
    """Reads what requests refer to."""

    def __init__(
        self,
        responses: Responses,
        conversations: Conversations,
        keeper: ResponseKeeper,
        *,
        most_bytes: int,
    ) -> None:
        """`most_bytes` bounds what is read of a conversation for one request."""
        self._responses = responses
        self._conversations = conversations
        self._keeper = keeper
        self._most = most_bytes

    async def prepare(self, caller: Caller, ask: Ask, *, background: bool = False) -> Prepared:
        """Put all that a request refers to into it.

        Raises PreviousResponseNotFound, ConversationNotFound, InvalidRequest, BodyTooLarge, StorageUnavailable.
        """
        body = ask.body
        previous, conversation = _text(body, "previous_response_id"), _conversation(body)
        own = Own(
            created_at=int(datetime.now(UTC).timestamp()),
            previous_response_id=previous,
            conversation=conversation,
            background=background or _is(body, "background"),
            store=background or not _is_false(body, "store"),
        )
        given = await self._resolved(caller, _items(body))
        before = await self._before(caller, previous, conversation)
        changed: Body = body
        if before or any(item.get("type") == "item_reference" for item in _items(body)):
            said = [*before, *given]
            raws = [msgspec.Raw(msgspec.json.encode(item)) for item in said]
            changed = {**body, "input": msgspec.Raw(msgspec.json.encode(raws))}
            size = sum(len(bytes(raw)) for raw in changed.values())
            traits = measured(raws, changed, size, ask.metadata, stream=ask.stream)
            kept = ("select", "prefer", "exclude", "max_cost_usd")
            wishes: Any = {name: getattr(ask.traits, name) for name in kept}
            ask = replace(ask, traits=replace(traits, **wishes))
        changed = with_own(changed, own)
        text = msgspec.json.encode(changed).decode()
        include = tuple(_words(body, "include"))
        inputs = self._keeper.items([named(item) for item in given]) if own.store else ()
        ask = replace(ask, body=changed, text=text, said=ask.said or ask.text)
        return Prepared(ask, own, inputs, include)

    async def _before(
        self, caller: Caller, previous: str | None, conversation: str | None
    ) -> list[dict[str, Any]]:
        until = self._keeper.until()
        if previous is not None:
            request_id = request_id_of(previous)
            kept = None if request_id is None else await self._responses.get(caller.id, request_id)
            if kept is None or request_id is None:
                raise PreviousResponseNotFound(param="previous_response_id")
            if not kept.ended:
                raise InvalidRequest(
                    "The response of `previous_response_id` has not ended yet.", param="previous_response_id"
                )
            history = await self._responses.history(
                caller.id, request_id, most_bytes=self._most, keep_until=until
            )
            if history is None or history.missing is not None:
                raise PreviousResponseNotFound(param="previous_response_id")
            return self._told(history, "previous_response_id")
        if conversation is not None:
            history = await self._conversations.history(
                caller.id, conversation, most_bytes=self._most, keep_until=until
            )
            if history is None:
                raise ConversationNotFound(param="conversation")
            return self._told(history, "conversation")
        return []

    def _told(self, history: History, where: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        size = 0 if history.items is not None else self._most + 1
        for item in history.items or ():
            if size > self._most:
                break
            # What is kept is packed: how much it is, only its reading shows.
            said = self._keeper.unpacked(item)
            size += len(said)
            found.append(msgspec.json.decode(said))
        if size > self._most:
            raise BodyTooLarge(
                f"What was said before is more than {self._most} bytes: begin a new conversation.",
                param=where,
            )
        return found

    async def _resolved(self, caller: Caller, items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The items, references replaced by what they stand for."""
        wanted = [str(item.get("id")) for item in items if item.get("type") == "item_reference"]
        if not wanted:
            return list(items)
        known = await self._responses.items(caller.id, wanted)
        found: list[dict[str, Any]] = []
        for place, item in enumerate(items):
            if item.get("type") != "item_reference":
                found.append(item)
                continue
            kept = known.get(str(item.get("id")))
            if kept is None:
                raise InvalidRequest(
                    f"`input[{place}].id` must be the id of an item that is kept here.",
                    param=f"input[{place}].id",
                )
            found.append(self._keeper.item(kept))
        return found


def named(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as it is told when it is asked for: with an id and a status; a message with parts."""
    kind = item.get("type") or "message"
    found: dict[str, Any] = {**item, "type": kind}
    if not isinstance(item.get("id"), str):
        found["id"] = f"{_KINDS.get(kind, 'item')}_{new_id().replace('-', '')}"
    if kind in _KINDS and kind != "reasoning" and found.get("status") is None:
        found["status"] = "completed"
    if kind == "message":
        content = item.get("content")
        if isinstance(content, str):
            part = {"type": "input_text", "text": content}
            if item.get("role") == "assistant":
                part = {"type": "output_text", "text": content, "annotations": []}
            found["content"] = [part]
        else:
            found["content"] = _detailed(content)
    elif kind.endswith("_output"):
        found["output"] = _detailed(item.get("output"))
    return found


def _detailed(content: object) -> object:
    """Parts in which each image says how closely it is to be looked at."""
    if not isinstance(content, list):
        return content
    parts = cast("list[Any]", content)
    return [
        {"detail": "auto", **part} if isinstance(part, dict) and part.get("type") == "input_image" else part
        for part in parts
    ]


def _items(body: Body) -> list[dict[str, Any]]:
    """The items of the input: a text is a user's message."""
    said: object = msgspec.json.decode(body["input"]) if "input" in body else None
    if isinstance(said, str):
        return [{"type": "message", "role": "user", "content": said}]
    items = cast("list[object]", said) if isinstance(said, list) else []
    for place, item in enumerate(items):
        if not isinstance(item, dict):
            raise InvalidRequest(f"`input[{place}]` must be an object.", param=f"input[{place}]")
    return cast("list[dict[str, Any]]", items)


def _conversation(body: Body) -> str | None:
    said: object = msgspec.json.decode(body["conversation"]) if "conversation" in body else None
    if isinstance(said, dict):
        said = cast("dict[str, object]", said).get("id")
    return said if isinstance(said, str) else None


def _text(body: Body, name: str) -> str | None:
    said: object = msgspec.json.decode(body[name]) if name in body else None
    return said if isinstance(said, str) else None


def _words(body: Body, name: str) -> list[str]:
    said: object = msgspec.json.decode(body[name]) if name in body else None
    return (
        [word for word in cast("list[object]", said) if isinstance(word, str)]
        if isinstance(said, list)
        else []
    )


def _is(body: Body, name: str) -> bool:
    return name in body and bytes(body[name]) == b"true"


def _is_false(body: Body, name: str) -> bool:
    return name in body and bytes(body[name]) == b"false"
