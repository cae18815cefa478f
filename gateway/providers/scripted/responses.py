"""OpenAI's Responses as the scripted upstream speaks them; shapes: https://platform.openai.com/docs/api-reference/responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.providers.dialects.responses.answer import usage_told
from gateway.providers.scripted.dialect import (
    EVENT_STREAM,
    ID,
    OPENAI,
    Asked,
    Unreadable,
    pieces,
    usage_of,
)
from gateway.providers.scripted.script import Script
from gateway.providers.usage import read_told
from gateway.providers.usage import usage_of as counted

SEALED: Final = "gAAAAABscripted-thoughts"
"""What the upstream gives to have its thoughts handed back."""
_REASONS: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


class _Body(msgspec.Struct):
    model: str
    input: msgspec.Raw = msgspec.Raw(b"[]")
    stream: bool | None = None
    include: list[str] | None = None
    x_script: Script | None = None


_decode = msgspec.json.Decoder(_Body).decode


class Responses:
    """`/v1/responses`."""

    event_stream = EVENT_STREAM
    done: tuple[bytes, ...] = ()

    def serves(self, url: bytes) -> bool:
        """The one endpoint."""
        return url.partition(b"?")[0].endswith(b"/v1/responses")

    def read(self, url: bytes, headers: Mapping[bytes, bytes], body: bytes) -> tuple[Asked, Script | None]:
        """All that counts stands in the body, the credential apart."""
        del url
        try:
            asked = _decode(body)
        except msgspec.DecodeError as error:
            raise Unreadable(f"Could not read the request: {error}") from error
        credential = headers.get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
        answered = b'"function_call_output"' in bytes(asked.input)
        seals = "reasoning.encrypted_content" in (asked.include or ())
        return Asked(asked.model, asked.stream is True, seals, credential, answered), asked.x_script

    def error(
        self, message: str, status: int, kind: str, code: object = None, param: str | None = None
    ) -> bytes:
        """The error object, as everywhere at OpenAI."""
        return OPENAI.error(message, status, kind, code, param)

    def refusal(self, failure: str, asked: Asked) -> tuple[int, bytes] | None:
        """What OpenAI answers."""
        return OPENAI.refusal(failure, asked)

    def whole(self, script: Script, asked: Asked) -> bytes:
        """A response."""
        return msgspec.json.encode(_ended(script, asked))

    def events(self, script: Script, asked: Asked) -> list[bytes]:
        """The events of a response."""
        told = _Told()
        opening = {**_blank(asked), "status": "in_progress", "output": []}
        told.add("response.created", response=opening)
        told.add("response.in_progress", response=opening)
        for place, item in enumerate(_items(script, asked)):
            _tell_item(told, script, item, place)
        whole = _ended(script, asked)
        told.add(f"response.{whole['status']}", response=whole)
        return told.events

    def unfinished(self, events: list[bytes]) -> list[bytes]:
        """Those without the last one."""
        return [
            event
            for event in events
            if not event.startswith((b"event: response.comp", b"event: response.inc"))
        ]

    def spoken(self, asked: Asked, text: str) -> bytes:
        """One event with this text."""
        del asked
        told = _Told()
        told.add("response.output_text.delta", **_AT, output_index=0, delta=text, logprobs=[])
        return told.events[0]

    def framed(self, data: bytes) -> bytes:
        """As an event of the kind that is most common."""
        return b"event: response.output_text.delta\ndata: " + data + b"\n\n"

    def failed(self, error: bytes) -> bytes:
        """The complaint as an event, whose fields stand in it."""
        fields: dict[str, dict[str, object]] = msgspec.json.decode(error)
        told = {"type": "error", "sequence_number": 2, **fields["error"]}
        told["type"] = "error"
        return b"event: error\ndata: " + msgspec.json.encode(told) + b"\n\n"


_AT: Final[dict[str, object]] = {"item_id": "msg_" + ID.decode(), "content_index": 0}


class _Told:
    """Events in the making."""

    def __init__(self) -> None:
        self.events: list[bytes] = []

    def add(self, kind: str, **fields: object) -> None:
        data = msgspec.json.encode({"type": kind, "sequence_number": len(self.events), **fields})
        self.events.append(b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n")


def _tell_item(told: _Told, script: Script, item: dict[str, object], place: int) -> None:
    match item["type"]:
        case "message":
            begun = {**item, "content": [], "status": "in_progress"}
            told.add("response.output_item.added", output_index=place, item=begun)
            at = {**_AT, "output_index": place}
            told.add("response.content_part.added", **at, part=_part(""))
            for piece in pieces(script):
                told.add("response.output_text.delta", **at, delta=piece, logprobs=[])
            text = "".join(pieces(script))
            told.add("response.output_text.done", **at, text=text, logprobs=[])
            told.add("response.content_part.done", **at, part=_part(text))
        case "function_call":
            begun = {**item, "arguments": "", "status": "in_progress"}
            told.add("response.output_item.added", output_index=place, item=begun)
            of = {"item_id": item["id"], "output_index": place}
            for part in ('{"ci', 'ty": "Zü', 'rich"}'):
                told.add("response.function_call_arguments.delta", **of, delta=part)
            told.add(
                "response.function_call_arguments.done", **of, name="get_weather", arguments=item["arguments"]
            )
        case _:
            told.add("response.output_item.added", output_index=place, item={**item, "summary": []})
            of = {"item_id": item["id"], "output_index": place, "summary_index": 0}
            thought = str(script.thinking)
            told.add("response.reasoning_summary_part.added", **of, part={"type": "summary_text", "text": ""})
            told.add("response.reasoning_summary_text.delta", **of, delta=thought)
            told.add("response.reasoning_summary_text.done", **of, text=thought)
            told.add(
                "response.reasoning_summary_part.done", **of, part={"type": "summary_text", "text": thought}
            )
    told.add("response.output_item.done", output_index=place, item=item)


def _part(text: str) -> dict[str, object]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _items(script: Script, asked: Asked) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    if script.thinking is not None:
        thought: dict[str, object] = {
            "id": "rs_" + ID.decode(),
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": script.thinking}],
        }
        items.append({**thought, "encrypted_content": SEALED} if asked.include_usage else thought)
    if script.calls(asked.answered):
        items.extend(
            {
                "id": f"fc_{ID.decode()}{number or ''}",
                "type": "function_call",
                "status": "completed",
                "call_id": f"call_scripted{number or ''}",
                "name": "get_weather",
                "arguments": '{"city": "Zürich"}',
            }
            for number in range(script.parallel)
        )
    else:
        items.append(
            {
                "id": _AT["item_id"],
                "type": "message",
                "role": "assistant",
                "status": "incomplete" if script.finish_reason in _REASONS else "completed",
                "content": [_part("".join(pieces(script)))],
            }
        )
    return items


def _blank(asked: Asked) -> dict[str, object]:
    return {
        "id": "resp_" + ID.decode(),
        "object": "response",
        "created_at": 1_767_225_600,
        "model": asked.model,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }


def _ended(script: Script, asked: Asked) -> dict[str, object]:
    reason = _REASONS.get(script.finish_reason or "")
    said = usage_of(script)
    usage = None if said is None else counted(read_told(msgspec.Raw(msgspec.json.encode(said))))
    return {
        **_blank(asked),
        "status": "completed" if reason is None else "incomplete",
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": _items(script, asked),
        "usage": usage_told(usage),
    }


RESPONSES: Final = Responses()
