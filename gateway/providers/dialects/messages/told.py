"""Chat's chunks as the events of messages: https://platform.claude.com/docs/en/build-with-claude/streaming."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import msgspec

from gateway.domain.inference import Usage
from gateway.providers.dialects.messages.answered import THOUGHTS, call_id, message_id, stopped
from gateway.providers.dialects.messages.tables import messages_usage
from gateway.providers.dialects.messages.values import Json, each, some, words
from gateway.providers.ports import Event

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Call:
    """A tool's call as far as it has come; `block` is its place in the answer once it is told of."""

    number: int
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])
    block: int | None = None

    @property
    def whole(self) -> bool:
        """Whether nothing more can belong to its arguments: they are an object that has ended."""
        try:
            msgspec.json.decode("".join(self.arguments), type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeError):
            return False
        return True


class Telling:
    """Chunks in, events out. One block is open at a time, as Anthropic has it.

    Calls of tools that come mixed are told one after the other: the one that is open goes on, others wait for it.
    """

    def __init__(self, request_id: str, stops: Collection[str] = ()) -> None:
        """`stops` are the words at which the answer was to end."""
        self._request_id = request_id
        self._stops = stops
        self._out: list[Event] = []
        self._begun = False
        self._done = False
        self._block = -1  # the last that was begun
        self._open = ""  # the kind of the block that is open
        self._calls: dict[int, _Call] = {}
        self._call: _Call | None = None  # whose block is open
        self._ended: Json = {}  # the choice that said why it ended
        self._refused = False
        self._usage: Usage | None = None

    def feed(self, event: Event) -> Sequence[Event]:
        """The events that this chunk completes."""
        chunk = some(msgspec.json.decode(event.data))
        self._out = []
        if not self._begun:
            self._begin(words(chunk.get("model")))
        self._usage = event.usage or self._usage
        choice = next((one for one in each(chunk.get("choices")) if not one.get("index")), None)
        if choice is not None:
            self._hear(some(choice.get("delta")))
            if choice.get("finish_reason"):
                self._ended = choice
        if event.usage_only:
            self._finish()
        return self._out

    def end(self) -> Sequence[Event]:
        """The events with which it ends, if no closing chunk with the usage has brought them."""
        self._out = []
        if self._begun:
            self._finish()
        return self._out

    # ---- what is heard -------------------------------------------------------------------------------------------
    def _hear(self, delta: Json) -> None:
        for name in THOUGHTS:
            if thought := words(delta.get(name)):
                self._think(thought)
                break
        if "thinking_blocks" in delta:
            for block in each(delta["thinking_blocks"]):
                self._sign(block)
        if text := words(delta.get("content")):
            self._say(text)
        if refusal := words(delta.get("refusal")):
            self._refused = True
            self._say(refusal)
        if "tool_calls" in delta:
            for call in each(delta["tool_calls"]):
                self._hear_call(call)
        if legacy := some(delta.get("function_call")):
            self._hear_call({"function": legacy})

    def _say(self, text: str) -> None:
        if self._open != "text":
            self._start("text", {"type": "text", "text": ""})
        self._delta({"type": "text_delta", "text": text})

    def _think(self, thought: str) -> None:
        if self._open != "thinking":
            self._start("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        self._delta({"type": "thinking_delta", "thinking": thought})

    def _sign(self, block: Json) -> None:
        """A block that has come whole: its text was streamed before it, its signature is new."""
        if block.get("type") == "redacted_thinking":
            self._start("redacted", block)
            self._stop()
            return
        if self._open != "thinking":
            self._think(words(block.get("thinking")))
        if signature := words(block.get("signature")):
            self._delta({"type": "signature_delta", "signature": signature})
            self._stop()

    def _hear_call(self, heard: Json) -> None:
        index = heard.get("index")
        number = index if isinstance(index, int) else max(len(self._calls) - 1, 0)
        if not isinstance(index, int) and heard.get("id") and self._calls:
            number = len(self._calls)  # a server that counts nothing, and sends each call whole
        call = self._calls.setdefault(number, _Call(len(self._calls)))
        function = some(heard.get("function"))
        call.id = call.id or words(heard.get("id"))
        call.name = call.name or words(function.get("name"))
        part = words(function.get("arguments"))
        if call is self._call:
            call.arguments.append(part)
            self._more(part)
            return
        call.arguments.append(part)
        if call.name and call.block is None and (self._call is None or self._call.whole):
            self._tell(call)

    # ---- what is told --------------------------------------------------------------------------------------------
    def _begin(self, model: str) -> None:
        self._begun = True
        message = {
            "id": message_id(self._request_id),
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": messages_usage(None),
        }
        self._tell_event("message_start", {"type": "message_start", "message": message})

    def _tell(self, call: _Call) -> None:
        """Begin a call's block with what is there of it."""
        named = call.id or call_id(self._request_id, call.number)
        self._start("tool", {"type": "tool_use", "id": named, "name": call.name, "input": {}})
        self._call, call.block = call, self._block
        self._more("".join(call.arguments))

    def _more(self, arguments: str) -> None:
        if arguments:
            self._delta({"type": "input_json_delta", "partial_json": arguments})

    def _start(self, kind: str, block: Json) -> None:
        self._stop()
        self._block += 1
        self._open = kind
        start = {"type": "content_block_start", "index": self._block, "content_block": block}
        self._tell_event("content_block_start", start)

    def _delta(self, delta: Json) -> None:
        told = {"type": "content_block_delta", "index": self._block, "delta": delta}
        self._tell_event("content_block_delta", told)

    def _stop(self) -> None:
        if self._open:
            self._open, self._call = "", None
            self._tell_event("content_block_stop", {"type": "content_block_stop", "index": self._block})

    def _finish(self) -> None:
        if self._done:
            return
        self._done = True
        for call in self._calls.values():
            if call.block is None and call.name:
                self._tell(call)
        self._stop()
        called = any(call.block is not None for call in self._calls.values())
        ended = stopped(self._ended, self._stops, called=called, refused=self._refused)
        usage = messages_usage(self._usage)
        self._tell_event("message_delta", {"type": "message_delta", "delta": ended, "usage": usage})
        self._tell_event("message_stop", {"type": "message_stop"})

    def _tell_event(self, name: str, told: Json) -> None:
        self._out.append(Event(_encode(told), name=name))
