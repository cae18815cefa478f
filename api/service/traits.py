"""Measuring a request for the rules: how large it is, what a model must be able to, which conversation it belongs to.

Everything here runs once for each request before its model is called, so nothing is parsed twice and nothing is
tokenised: a count of characters is within a third of the true number of tokens for prose and code in most scripts,
which is what a choice between context windows and prices needs. What is billed comes from the provider.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import ceil
from typing import TypeVar

import msgspec

from gateway.domain.inference import Traits
from gateway.domain.registry import Capability
from gateway.providers.ports import Body

_CHARS_PER_TOKEN = 4
_DENSE = 0.9  # more bytes beyond the first a character than this: a script whose characters are tokens of their own
_PER_DENSE_BYTE = (
    0.465  # tokens for each such byte, so that a Chinese character comes to three quarters of one
)
_PER_MESSAGE = 4  # tokens that a chat template adds round each message
_PER_IMAGE = 765  # a picture of 1024 × 1024 at full detail, OpenAI's count; small ones cost less
_AUDIO_BYTES_PER_TOKEN = 3_000  # base64: between compressed speech and plain samples
_FILE_BYTES_PER_TOKEN = 64  # base64: a page of PDF is some 80 kB and a thousand tokens
_HASHED = 8_192  # bytes of a message that tell a conversation from another
_OPENING = 4  # messages in which a conversation's first word of a user is looked for

_NOTHING = msgspec.Raw(b"")
T = TypeVar("T")


class Message(msgspec.Struct):
    """A message as far as it is measured."""

    role: str
    content: msgspec.Raw = _NOTHING
    tool_calls: msgspec.Raw = _NOTHING


class _Part(msgspec.Struct):
    type: str = ""
    text: msgspec.Raw = _NOTHING
    image_url: msgspec.Raw = _NOTHING
    input_audio: msgspec.Raw = _NOTHING
    file: msgspec.Raw = _NOTHING
    source: msgspec.Raw = _NOTHING  # these are Anthropic's
    input: msgspec.Raw = _NOTHING
    thinking: msgspec.Raw = _NOTHING
    content: msgspec.Raw = _NOTHING


class _Format(msgspec.Struct):
    type: str = ""


class _OutputConfig(msgspec.Struct):
    format: msgspec.Raw = _NOTHING


_output_config = msgspec.json.Decoder(_OutputConfig)
_parts = msgspec.json.Decoder(list[_Part])
_format = msgspec.json.Decoder(_Format)
_whole = msgspec.json.Decoder(int)
_text = msgspec.json.Decoder(str)
_words = msgspec.json.Decoder(list[str])


def measured(
    fields: Sequence[str],
    body: Body,
    size: int,
    metadata: Mapping[str, str],
    *,
    max_output: str = "",
    needs: tuple[str, ...] = (),
) -> Traits:
    """The traits of a request that is no conversation: its tokens are those of these fields."""
    return Traits(
        input_tokens=sum(_tokens(body[name]) for name in fields if name in body),
        max_output=_whole_of(body.get(max_output)),
        body_bytes=size,
        needs=needs,
        conversation=_named(metadata, body),
    )


def measure(
    messages: Sequence[Message], body: Body, size: int, metadata: Mapping[str, str], *, stream: bool
) -> Traits:
    """The traits of a chat request: of its messages, its other fields, and its `size` in bytes.

    A field of a kind that we do not expect counts nothing: whether it is right is for the provider to say.
    """
    counted = _Counted()
    for message in messages:
        counted.add(message)
    return Traits(
        input_tokens=counted.tokens + (_size(body.get("tools")) + _size(body.get("functions"))) // 4,
        max_output=_whole_of(body.get("max_completion_tokens")) or _whole_of(body.get("max_tokens")),
        body_bytes=size,
        needs=_needs(body, counted, stream=stream),
        images=counted.images,
        conversation=_conversation(messages, body, metadata),
    )


def measure_messages(
    messages: Sequence[Message], body: Body, size: int, metadata: Mapping[str, str], *, stream: bool
) -> Traits:
    """The same of a request in Anthropic's dialect."""
    counted = _Counted()
    if "system" in body:
        counted.add(Message("system", body["system"]))
    for message in messages:
        counted.add(message)
    needs: list[str] = []
    if _type_of(body.get("thinking")) == "enabled":
        needs.append(Capability.REASONING.value)
    if stream:
        needs.append(Capability.STREAMING.value)
    if _forms_answer(body):
        needs.append(Capability.STRUCTURED_OUTPUT.value)
    if _is_filled(body.get("tools")):
        needs.append(Capability.TOOLS.value)
    if counted.images:
        needs.append(Capability.VISION.value)
    return Traits(
        input_tokens=counted.tokens + _size(body.get("tools")) // 4,
        max_output=_whole_of(body.get("max_tokens")),
        body_bytes=size,
        needs=tuple(needs),
        images=counted.images,
        conversation=_conversation(messages, body, metadata),
    )


class _Counted:
    """What the messages hold together."""

    def __init__(self) -> None:
        self.tokens = 0
        self.images = 0
        self.audio = False

    def add(self, message: Message) -> None:
        self.tokens += _PER_MESSAGE + _tokens(message.tool_calls)
        self._add_content(bytes(message.content))

    def _add_content(self, content: bytes) -> None:
        if content[:1] != b"[":
            self.tokens += _tokens(content)
            return
        try:
            parts = _parts.decode(content)
        except msgspec.DecodeError:
            self.tokens += _tokens(content)
            return
        for part in parts:
            self._add_part(part)

    def _add_part(self, part: _Part) -> None:
        self.tokens += _tokens(part.text)
        if _size(part.image_url):
            self.images += 1
            self.tokens += _PER_IMAGE
        if audio := _size(part.input_audio):
            self.audio = True
            self.tokens += audio // _AUDIO_BYTES_PER_TOKEN
        self.tokens += _size(part.file) // _FILE_BYTES_PER_TOKEN
        if part.type == "image":
            self.images += 1
            self.tokens += _PER_IMAGE
        elif part.type == "document":
            self.tokens += _size(part.source) // _FILE_BYTES_PER_TOKEN
        elif part.type in ("tool_use", "tool_result", "thinking"):
            self.tokens += _tokens(part.input) + _tokens(part.thinking)
            self._add_content(bytes(part.content))


def _needs(body: Body, counted: _Counted, *, stream: bool) -> tuple[str, ...]:
    needs: list[str] = []
    if counted.audio or "audio" in _words_of(body.get("modalities")):
        needs.append(Capability.AUDIO.value)
    if _is_true(body.get("logprobs")):
        needs.append(Capability.LOGPROBS.value)
    tools = _is_filled(body.get("tools")) or _is_filled(body.get("functions"))
    if tools and _is_true(body.get("parallel_tool_calls")):
        needs.append(Capability.PARALLEL_TOOLS.value)
    if _text_of(body.get("reasoning_effort")) not in ("", "none"):
        needs.append(Capability.REASONING.value)
    if stream:
        needs.append(Capability.STREAMING.value)
    if _type_of(body.get("response_format")) == "json_schema":
        needs.append(Capability.STRUCTURED_OUTPUT.value)
    if tools:
        needs.append(Capability.TOOLS.value)
    if counted.images:
        needs.append(Capability.VISION.value)
    return tuple(needs)


def _forms_answer(body: Body) -> bool:
    """Whether an answer in Anthropic's dialect has to have a form."""
    try:
        config = _output_config.decode(body.get("output_config", msgspec.Raw(b"{}")))
    except msgspec.DecodeError:
        return False
    return _type_of(config.format) == "json_schema" or _type_of(body.get("output_format")) == "json_schema"


def _conversation(messages: Sequence[Message], body: Body, metadata: Mapping[str, str]) -> str:
    """A digest of what names the conversation, or else of who speaks and how it opened: that stays while it grows."""
    if named := _named(metadata, body):
        return named
    digest = sha256(body.get("safety_identifier", _NOTHING))
    digest.update(body.get("user", _NOTHING))
    for message in messages[:_OPENING]:
        digest.update(memoryview(message.content)[:_HASHED])
        if message.role == "user":
            break
    return digest.hexdigest()[:16]


def _named(metadata: Mapping[str, str], body: Body) -> str:
    """The digest of the conversation's name; empty if it has none."""
    named = metadata.get("conversation_id") or _text_of(body.get("prompt_cache_key"))
    return sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[:16] if named else ""


def _tokens(raw: bytes | msgspec.Raw) -> int:
    """About how many tokens a JSON value has."""
    data = bytes(raw)
    size = chars = len(data)
    if not data.isascii():
        chars = len(data.decode("utf-8", "replace"))
    elif b"\\u" in data:
        # Some JSON writers escape all that is not ASCII.
        text = _text_of(msgspec.Raw(data))
        size, chars = (len(text.encode("utf-8", "replace")), len(text)) if text else (size, chars)
    dense = max(0.0, size - chars - _DENSE * chars)
    return ceil(chars / _CHARS_PER_TOKEN + dense * _PER_DENSE_BYTE)


def _size(raw: msgspec.Raw | None) -> int:
    size = 0 if raw is None else memoryview(raw).nbytes
    return 0 if size == len(b"null") and raw == msgspec.Raw(b"null") else size


def _is_true(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bytes(raw) == b"true"


def _is_filled(raw: msgspec.Raw | None) -> bool:
    return raw is not None and memoryview(raw)[:1] == b"[" and memoryview(raw).nbytes > len(b"[ ]")


def _whole_of(raw: msgspec.Raw | None) -> int | None:
    if raw is None:
        return None
    try:
        return max(_whole.decode(raw), 0) or None
    except msgspec.DecodeError:
        return None


def _text_of(raw: msgspec.Raw | None) -> str:
    if raw is None:
        return ""
    try:
        return _text.decode(raw)
    except msgspec.DecodeError:
        return ""


def _words_of(raw: msgspec.Raw | None) -> Sequence[str]:
    if raw is None:
        return ()
    try:
        return _words.decode(raw)
    except msgspec.DecodeError:
        return ()


def _type_of(raw: msgspec.Raw | None) -> str:
    if raw is None:
        return ""
    try:
        return _format.decode(raw).type
    except msgspec.DecodeError:
        return ""


# ---- responses ---------------------------------------------------------------------------------------------------
class _Item(msgspec.Struct):
    type: str = "message"
    role: str = ""
    content: msgspec.Raw = _NOTHING
    output: msgspec.Raw = _NOTHING
    arguments: msgspec.Raw = _NOTHING
    input: msgspec.Raw = _NOTHING
    summary: msgspec.Raw = _NOTHING


class _Reasoning(msgspec.Struct):
    effort: msgspec.Raw = _NOTHING


class _Text(msgspec.Struct):
    format: msgspec.Raw = _NOTHING


_item = msgspec.json.Decoder(_Item)
_reasoning = msgspec.json.Decoder(_Reasoning | None)
_formatted = msgspec.json.Decoder(_Text | None)


def measure_items(
    items: Sequence[msgspec.Raw], body: Body, size: int, metadata: Mapping[str, str], *, stream: bool
) -> Traits:
    """The traits of a request of Responses: of the items of its input, and of its other fields.

    As for chat, a field of a kind that we do not expect counts nothing.
    """
    counted = _Counted()
    messages: list[Message] = []
    if not items:
        messages.append(Message("user", body.get("input", _NOTHING)))
    for raw in items:
        try:
            item = _item.decode(raw)
        except msgspec.DecodeError:
            continue
        messages.append(Message(item.role, item.output if item.type.endswith("_output") else item.content))
        counted.tokens += _tokens(item.arguments) + _tokens(item.input) + _tokens(item.summary)
    for message in messages:
        counted.add(message)
    return Traits(
        input_tokens=counted.tokens
        + _tokens(body.get("instructions", _NOTHING))
        + _size(body.get("tools")) // 4,
        max_output=_whole_of(body.get("max_output_tokens")),
        body_bytes=size,
        needs=_item_needs(body, counted, stream=stream),
        images=counted.images,
        conversation=_conversation(messages, body, metadata),
    )


def _item_needs(body: Body, counted: _Counted, *, stream: bool) -> tuple[str, ...]:
    tools = _is_filled(body.get("tools"))
    reasoning = _lenient(_reasoning, body.get("reasoning"))
    text = _lenient(_formatted, body.get("text"))
    found = {
        Capability.AUDIO: counted.audio,
        Capability.LOGPROBS: "message.output_text.logprobs" in _words_of(body.get("include")),
        Capability.PARALLEL_TOOLS: tools and _is_true(body.get("parallel_tool_calls")),
        Capability.REASONING: reasoning is not None and _text_of(reasoning.effort) not in ("", "none"),
        Capability.STREAMING: stream,
        Capability.STRUCTURED_OUTPUT: text is not None and _type_of(text.format) == "json_schema",
        Capability.TOOLS: tools,
        Capability.VISION: bool(counted.images),
    }
    return tuple(sorted(capability.value for capability, needed in found.items() if needed))


def _lenient(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw | None) -> T | None:
    try:
        return None if raw is None else decoder.decode(raw)
    except msgspec.DecodeError:
        return None
