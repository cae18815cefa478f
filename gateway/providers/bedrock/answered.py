"""What Converse answers, as chat's: whole, or event by event through a state machine.

Pages: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and …/API_runtime_ConverseStream.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from gateway.domain import errors
from gateway.domain.errors import GatewayError
from gateway.domain.inference import Usage
from gateway.domain.secret import Secret
from gateway.providers.bedrock import wire
from gateway.providers.bedrock.frames import EXCEPTION
from gateway.providers.bedrock.signing import masked
from gateway.providers.http import Answer, said
from gateway.providers.hub.answered import Frame, Said, chat_id, told
from gateway.providers.ports import Call, Event, Reply

_MOST: Final = 10**9
_PLAIN: Final = frozenset({"end_turn", "stop_sequence", "tool_use", "max_tokens"})


class _Struct(msgspec.Struct, rename="camel"):
    pass


class _Text(_Struct):
    text: str = ""
    signature: str | None = None


class _Reasoning(_Struct):
    reasoning_text: _Text | None = None
    redacted_content: str | None = None


class _ToolUse(_Struct):
    tool_use_id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Source(_Struct):
    bytes: str = ""


class _Image(_Struct):
    format: str = "png"
    source: _Source | None = None


class _Cited(_Struct):
    content: list[_Text] = []
    citations: msgspec.Raw = msgspec.Raw(b"[]")


class _Block(_Struct):
    text: str | None = None
    reasoning_content: _Reasoning | None = None
    tool_use: _ToolUse | None = None
    image: _Image | None = None
    citations_content: _Cited | None = None


class _Message(_Struct):
    content: list[_Block] = []


class _Output(_Struct):
    message: _Message | None = None


class _Cache(_Struct):
    ttl: str = ""
    input_tokens: int = 0


class _Usage(_Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    cache_details: list[_Cache] = []


class _Answer(_Struct):
    output: _Output | None = None
    stop_reason: str = ""
    usage: _Usage | None = None


class _ReasoningDelta(_Struct):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _ToolDelta(_Struct):
    input: str = ""


class _Delta(_Struct):
    text: str | None = None
    reasoning_content: _ReasoningDelta | None = None
    tool_use: _ToolDelta | None = None


class _Start(_Struct):
    tool_use: _ToolUse | None = None


class _Part(_Struct):
    content_block_index: int = 0
    delta: _Delta | None = None
    start: _Start | None = None
    stop_reason: str = ""
    usage: _Usage | None = None


_answers = msgspec.json.Decoder(_Answer)
_parts = msgspec.json.Decoder(_Part)


def usage_of(says: _Usage | None) -> Usage | None:
    """What Converse says of tokens in our meaning: what was read from a cache or written to it stands beside its input.

    What a model thought is in its output, and is not told apart.
    """
    if says is None or not (0 <= says.input_tokens <= _MOST and 0 <= says.output_tokens <= _MOST):
        return None
    read, written = max(says.cache_read_input_tokens, 0), max(says.cache_write_input_tokens, 0)
    asked = says.input_tokens
    # Where the total holds no more than the two, the input already holds them.
    if read + written > asked or says.total_tokens > asked + says.output_tokens:
        asked += read + written
    long = sum(each.input_tokens for each in says.cache_details if each.ttl == "1h")
    return Usage(
        asked,
        says.output_tokens,
        cached=read,
        cache_write=written,
        cache_write_1h=min(max(long, 0), written),
    )


@dataclass(slots=True)
class _Thought:
    """A block of reasoning under way."""

    text: str = ""
    signature: str = ""
    redacted: str = ""

    def told(self) -> dict[str, Any]:
        """It as a whole, in Anthropic's shape, to be sent back."""
        if self.redacted:
            return {"type": "redacted_thinking", "data": self.redacted}
        return {"type": "thinking", "thinking": self.text, "signature": self.signature}


@dataclass(slots=True)
class Answered:
    """One answer on its way back to chat's dialect."""

    call: Call
    created: int
    secret: Secret | None = None
    dropped: tuple[str, ...] = ()
    request_id: str | None = None
    _begun: bool = False
    _finish: str | None = None
    _usage: Usage | None = None
    _tools: dict[int, int] = field(default_factory=dict[int, int])
    _thoughts: dict[int, _Thought] = field(default_factory=dict[int, _Thought])
    _frame: Frame | None = None

    def refused(self, answer: Answer, body: bytes) -> GatewayError:
        """The error for an answer that is no success."""
        return wire.refused(answer.status, answer.headers, body, self.secret)

    # ---- whole answers -------------------------------------------------------------------------------------------
    def reply(self, body: bytes) -> Reply:
        """A whole answer. Raises UpstreamMalformed, or what an exception in its place stands for."""
        try:
            str(body, "utf-8")
            whole = _answers.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._malformed(str(error), body) from error
        if whole.output is None or whole.output.message is None:
            if b'"message"' in body or b'"__type"' in body:
                raise wire.refused(503, {}, body, self.secret)
            raise self._malformed("an answer without a message", body)
        finish = self._finished(whole.stop_reason)
        message = _said(whole.output.message.content)
        choice: dict[str, Any] = {
            "index": 0,
            "message": {"role": "assistant", "content": None} | message.fields(),
            "logprobs": None,
        }
        usage = usage_of(whole.usage)
        answer = self._framed().completion((choice | _ended(whole.stop_reason, finish),), usage)
        return Reply(answer, usage, finish, self.request_id, dropped=self.dropped)

    # ---- streams -------------------------------------------------------------------------------------------------
    @property
    def done(self) -> bool:
        """Whether the message has stopped, and its tokens are told."""
        return self._finish is not None and self._usage is not None

    def feed(self, name: bytes, data: bytes) -> Sequence[Event]:
        """The chunk that an event stands for, if it says something. Raises UpstreamBroken for an exception."""
        if name.startswith(EXCEPTION):
            raise wire.broken(name[1:], data, self.secret)
        try:
            str(data, "utf-8")
            part = _parts.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._malformed(str(error), data) from error
        match name:
            case b"contentBlockDelta" if part.delta is not None:
                return self._delta(part.content_block_index, part.delta)
            case b"contentBlockStart" if part.start is not None and part.start.tool_use is not None:
                return self._call(part.content_block_index, part.start.tool_use)
            case b"contentBlockStop":
                return self._stop(part.content_block_index)
            case b"messageStart":
                return self._events({"role": "assistant", "content": None}) if not self._begun else ()
            case b"messageStop":
                self._finish = self._finished(part.stop_reason)
                return self._events({}, ended=_ended(part.stop_reason, self._finish))
            case b"metadata":
                self._usage = usage_of(part.usage)
                return ()
            case _:
                return ()

    def end(self) -> Sequence[Event]:
        """The chunk with usage. Raises UpstreamBroken where the message has not stopped."""
        if self._finish is None:
            raise errors.UpstreamBroken(detail="the stream ended without a stop reason", status=200)
        if self._usage is None:
            return ()
        chunk = self._framed().chunk((), usage=told(self._usage))
        return (Event(chunk, "", self._usage, True, None, self.request_id),)

    def _delta(self, index: int, delta: _Delta) -> Sequence[Event]:
        if delta.text is not None:
            return self._events({"content": delta.text}, delta.text) if delta.text else ()
        if delta.tool_use is not None:
            arguments = delta.tool_use.input
            call = {
                "index": self._tools.setdefault(index, len(self._tools)),
                "function": {"arguments": arguments},
            }
            return self._events({"tool_calls": [call]}, arguments) if arguments else ()
        if delta.reasoning_content is None:
            return ()
        thought = self._thoughts.setdefault(index, _Thought())
        thought.signature += delta.reasoning_content.signature or ""
        thought.redacted += delta.reasoning_content.redacted_content or ""
        text = delta.reasoning_content.text
        if not text:
            return ()
        thought.text += text
        return self._events({"reasoning_content": text}, text)

    def _call(self, index: int, tool: _ToolUse) -> Sequence[Event]:
        call = {
            "index": self._tools.setdefault(index, len(self._tools)),
            "id": tool.tool_use_id,
            "type": "function",
            "function": {"name": tool.name, "arguments": ""},
        }
        return self._events({"tool_calls": [call]})

    def _stop(self, index: int) -> Sequence[Event]:
        """A thought that has ended is told once more as a whole, with its signature: so it can be sent back."""
        thought = self._thoughts.pop(index, None)
        if thought is None or not (thought.signature or thought.redacted):
            return ()
        return self._events({"thinking_blocks": [thought.told()]})

    def _events(
        self, delta: dict[str, Any], text: str = "", ended: dict[str, Any] | None = None
    ) -> Sequence[Event]:
        dropped = () if self._begun else self.dropped
        if not self._begun and "role" not in delta:
            delta = {"role": "assistant", "content": None} | delta
        self._begun = True
        choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        if ended is not None:
            choice |= ended
        chunk = self._framed().chunk((choice,))
        return (Event(chunk, text, None, False, choice["finish_reason"], self.request_id, dropped=dropped),)

    # ---- both ----------------------------------------------------------------------------------------------------
    def _framed(self) -> Frame:
        if self._frame is None:
            ours = self.call.headers.get("x-request-id", "")
            self._frame = Frame(chat_id(self.request_id, ours), self.call.model.upstream_model, self.created)
        return self._frame

    def _malformed(self, why: str, body: bytes) -> GatewayError:
        return errors.UpstreamMalformed(detail=f"{why}: {said(masked(body, self.secret), None)}", status=200)

    def _finished(self, reason: str) -> str:
        if reason in wire.UNUSABLE:
            raise errors.UpstreamMalformed(detail=reason, status=200)
        return wire.FINISHES.get(reason, "stop")


def _said(blocks: Sequence[_Block]) -> Said:
    found = Said()
    signed: list[dict[str, Any]] = []
    for block in blocks:
        if block.text is not None:
            found.content = (found.content or "") + block.text
        elif block.tool_use is not None:
            arguments = bytes(block.tool_use.input)
            function = {
                "name": block.tool_use.name,
                "arguments": msgspec.json.format(arguments, indent=-1).decode(),
            }
            found.tools.append({"id": block.tool_use.tool_use_id, "type": "function", "function": function})
        elif block.reasoning_content is not None:
            thought = _thought(block.reasoning_content)
            found.reasoning += thought.text
            if thought.signature or thought.redacted:
                signed.append(thought.told())
        elif block.citations_content is not None:
            found.content = (found.content or "") + "".join(t.text for t in block.citations_content.content)
            cited: list[Any] = found.more.setdefault("citations", [])
            cited.append(block.citations_content.citations)
        elif block.image is not None and block.image.source is not None:
            images: list[Any] = found.more.setdefault("images", [])
            url = f"data:image/{block.image.format};base64,{block.image.source.bytes}"
            images.append({"type": "image_url", "index": len(images), "image_url": {"url": url}})
    if signed:
        found.more["thinking_blocks"] = signed
    return found


def _thought(reasoning: _Reasoning) -> _Thought:
    text = reasoning.reasoning_text
    if text is None:
        return _Thought(redacted=reasoning.redacted_content or "")
    return _Thought(text.text, text.signature or "")


def _ended(reason: str, finish: str) -> dict[str, Any]:
    """The finish reason; beside it the model's own, where chat has no word for it."""
    if reason in _PLAIN:
        return {"finish_reason": finish}
    return {"finish_reason": finish, "native_finish_reason": reason}
