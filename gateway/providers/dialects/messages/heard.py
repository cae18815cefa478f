"""The events of messages as chat's chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.domain.inference import Usage
from gateway.providers.dialects.messages.inward import completion_id, finished, refusal_of
from gateway.providers.dialects.messages.tables import chat_usage
from gateway.providers.dialects.messages.values import Json, some, words, written
from gateway.providers.ports import Event

_encode = msgspec.json.Encoder().encode
_END: Final = b',"logprobs":null,"finish_reason":null}]}'


class Hearing:
    """Events in, chunks out, each with its own count of text and usage, as if an upstream of chat had sent it."""

    def __init__(self, created: int) -> None:
        """`created` in seconds since 1970."""
        self._created = created
        self._base: Json = {"id": "", "object": "chat.completion.chunk", "created": created, "model": ""}
        self._head = b""
        self._out: list[Event] = []
        self._request_id: str | None = None
        self._calls = -1  # the number of the last tool's call
        self._given = False  # whether its arguments have come already, at its start
        self._block: Json = {}  # the one that is open
        self._thoughts: list[str] = []
        self._signature: list[str] = []
        self._usage: Usage | None = None
        self._done = False

    def feed(self, event: Event) -> Sequence[Event]:
        """The chunks that this event completes."""
        self._out = []
        self._request_id = event.provider_request_id
        self._usage = event.usage or self._usage
        said = some(msgspec.json.decode(event.data))
        match words(said.get("type")):
            case "content_block_delta":
                self._delta(some(said.get("delta")))
            case "content_block_start":
                self._start(some(said.get("content_block")))
            case "content_block_stop":
                self._stop()
            case "message_start":
                self._begin(some(said.get("message")))
            case "message_delta":
                self._finish(some(said.get("delta")))
            case "message_stop":
                self._close()
            case _:
                pass  # a ping, or what is not known yet
        return self._out

    def end(self) -> Sequence[Event]:
        """The closing chunk, if none has come."""
        self._out = []
        self._close()
        return self._out

    def _begin(self, message: Json) -> None:
        self._base["id"] = completion_id(words(message.get("id")))
        self._base["model"] = words(message.get("model"))
        self._head = _encode(self._base)[:-1] + b',"choices":[{"index":0,"delta":'
        self._say({"role": "assistant", "content": None})

    def _start(self, block: Json) -> None:
        self._block = block
        match block.get("type"):
            case "tool_use":
                self._calls += 1
                given = some(block.get("input"))
                self._given = bool(given)
                function = {"name": words(block.get("name")), "arguments": written(given) if given else ""}
                call = {"index": self._calls, "id": words(block.get("id")), "type": "function"}
                self._say({"tool_calls": [{**call, "function": function}]}, function["arguments"])
            case "text" if block.get("text"):
                self._say({"content": block["text"]}, words(block["text"]))
            case "thinking" if block.get("thinking"):
                self._think(words(block["thinking"]))
            case "redacted_thinking":
                self._say({"thinking_blocks": [block]})
            case _:
                pass

    def _delta(self, delta: Json) -> None:
        match delta.get("type"):
            case "text_delta":
                text = words(delta.get("text"))
                self._say({"content": text}, text)
            case "input_json_delta" if self._block.get("type") == "tool_use" and not self._given:
                part = words(delta.get("partial_json"))
                if part:
                    call = {"index": self._calls, "function": {"arguments": part}}
                    self._say({"tool_calls": [call]}, part)
            case "thinking_delta":
                self._think(words(delta.get("thinking")))
            case "signature_delta":
                self._signature.append(words(delta.get("signature")))
            case _:
                pass  # citations, and what a tool of Anthropic's own is told

    def _think(self, thought: str) -> None:
        self._thoughts.append(thought)
        self._say({"reasoning_content": thought}, thought)

    def _stop(self) -> None:
        """A thinking block that has ended is told once more as a whole, with its signature: so it can be sent back."""
        if self._block.get("type") == "thinking":
            signature = "".join(self._signature) or words(self._block.get("signature"))
            whole = {"type": "thinking", "thinking": "".join(self._thoughts), "signature": signature}
            self._say({"thinking_blocks": [whole]})
            self._thoughts, self._signature = [], []
        self._block = {}

    def _finish(self, delta: Json) -> None:
        if not delta.get("stop_reason"):
            return
        refusal = refusal_of(delta)
        said = {} if refusal is None else {"refusal": refusal}
        ended = finished(delta)
        choice = {"index": 0, "delta": said, "logprobs": None, **ended}
        data = _encode({**self._base, "choices": [choice]})
        self._out.append(
            Event(
                data,
                refusal or "",
                finish_reason=ended["finish_reason"],
                provider_request_id=self._request_id,
            )
        )

    def _close(self) -> None:
        if self._done:
            return
        self._done = True
        if self._usage is not None:
            data = _encode({**self._base, "choices": [], "usage": chat_usage(self._usage)})
            self._out.append(Event(data, "", self._usage, True, provider_request_id=self._request_id))

    def _say(self, delta: Json, text: str = "") -> None:
        if not self._head:
            self._begin({})
        data = self._head + _encode(delta) + _END
        self._out.append(Event(data, text, provider_request_id=self._request_id))
