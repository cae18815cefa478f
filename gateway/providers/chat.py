"""OpenAI's completions, of chats and of plain prompts: what the gateway wants to know of a body, left as it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from gateway.domain import errors
from gateway.providers.http import said
from gateway.providers.ports import JSON, Body, Call, Event, Reply
from gateway.providers.usage import Told, read_told, usage_of
from gateway.providers.wire import Outgoing, Reading, complained

# ---- what is read of a body --------------------------------------------------------------------------------------
_null = msgspec.Raw(b"null")
BROKEN: Final = "error"
"""The finish reason with which OpenRouter ends what its own upstream broke off; what was said so far comes with it."""


class _Function(msgspec.Struct):
    arguments: str | None = None


class _Tool(msgspec.Struct):
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Tool] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    message: msgspec.Raw = _null
    text: str | None = None  # of a completion of a plain prompt
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    id: str | None = None
    object: str | None = None
    choices: list[_Choice] | None = None
    usage: Told | None = None
    error: msgspec.Raw = _null


_answer = msgspec.json.Decoder(_Answer)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _read(data: bytes) -> _Answer:
    """Decode what can be: a field of a kind that we do not know is the caller's, and no reason to refuse the answer."""
    try:
        return _answer.decode(data)
    except msgspec.ValidationError:
        values: dict[str, object] = {}
        fields = _fields.decode(data)
        for field in msgspec.structs.fields(_Answer):
            try:
                values[field.name] = msgspec.json.decode(fields.get(field.name, _null), type=field.type)
            except msgspec.ValidationError:
                if field.name == "usage":
                    values["usage"] = read_told(fields["usage"])
        if "choices" not in values and bytes(fields.get("choices", _null)).startswith(b"["):
            values["choices"] = [_Choice()]  # there is one, only not of a kind that we read
        return msgspec.convert(values, _Answer)


def _text(delta: _Delta) -> str:
    """All that was generated in a delta: what the provider counts as output, whatever it is for."""
    if delta.tool_calls is None and delta.reasoning_content is None and delta.reasoning is None:
        return delta.content or delta.refusal or ""
    tools = [
        t.function.arguments
        for t in delta.tool_calls or ()
        if t.function is not None and t.function.arguments
    ]
    return "".join(
        (delta.reasoning_content or delta.reasoning or "", delta.content or "", delta.refusal or "", *tools)
    )


# ---- replies and events ------------------------------------------------------------------------------------------
def read_reply(body: bytes, reading: Reading, request_id: str | None = None) -> Reply:
    """A whole answer. Raises UpstreamMalformed, or what an error object in a successful answer stands for."""
    try:
        str(body, "utf-8")
        whole = _read(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.UpstreamMalformed(detail=f"{error}: {said(body, reading.secret)}", status=200) from error
    if whole.choices is None:
        if _says(whole.error) or whole.object == "error":
            raise complained(body, reading, errors.UpstreamUnavailable)
        raise errors.UpstreamMalformed(
            detail=f"an answer without choices: {said(body, reading.secret)}", status=200
        )
    finish = next((choice.finish_reason for choice in whole.choices if choice.finish_reason), None)
    if finish == BROKEN:
        raise complained(body, reading, errors.UpstreamUnavailable)
    usage = usage_of(whole.usage)
    text = "" if usage is not None else "".join(map(_generated, whole.choices))
    return Reply(body, usage, finish, request_id or whole.id, text=text)


def _generated(choice: _Choice) -> str:
    """The text of a whole answer, to be counted where the provider counts nothing."""
    try:
        message = msgspec.json.decode(choice.message, type=_Delta | None)
    except msgspec.ValidationError:
        return ""
    return choice.text or "" if message is None else _text(message)


def read_event(data: bytes, reading: Reading, request_id: str | None = None) -> Event:
    """One event of a stream. Raises UpstreamMalformed, or UpstreamBroken for an error object."""
    try:
        if not data.isascii():
            str(data, "utf-8")
        chunk = _read(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.UpstreamMalformed(detail=f"{error}: {said(data, reading.secret)}", status=200) from error
    choices, usage = chunk.choices, usage_of(chunk.usage)
    if (_says(chunk.error) or chunk.object == "error") and not choices:
        raise complained(data, reading, errors.UpstreamBroken)
    text, finish = "", None
    for choice in choices or ():
        if choice.delta is not None:
            text += _text(choice.delta)
        elif choice.text:
            text += choice.text
        finish = finish or choice.finish_reason or None
    if finish == BROKEN:
        raise complained(data, reading, errors.UpstreamBroken)
    return Event(data, text, usage, usage is not None and not choices, finish, request_id or chunk.id)


def _says(error: msgspec.Raw) -> bool:
    return bytes(error) != b"null"


# ---- what is sent ------------------------------------------------------------------------------------------------
def outgoing(body: Body, model: str, *, stream: bool, asks_usage: bool = True) -> bytes:
    """The caller's body for the upstream: another `model`, streamed or not, usage asked for; all else byte for byte.

    Without `asks_usage` nothing is said of stream options: the upstream does not take them.
    """
    sent: dict[str, object] = dict(body)
    sent["model"] = model
    if not stream:
        # OpenAI refuses stream options where nothing is streamed.
        sent.pop("stream", None)
        sent.pop("stream_options", None)
        return msgspec.json.encode(sent)
    sent["stream"] = True
    if not asks_usage:
        sent.pop("stream_options", None)
        return msgspec.json.encode(sent)
    try:
        options: Mapping[str, msgspec.Raw] | None = msgspec.json.decode(
            body.get("stream_options", _null), type=dict[str, msgspec.Raw] | None
        )
    except msgspec.DecodeError:
        return msgspec.json.encode(sent)  # not ours to mend: the upstream says what it thinks of it
    sent["stream_options"] = {**(options or {}), "include_usage": True}
    return msgspec.json.encode(sent)


_THOUGHTS: Final = ("reasoning_content", "thinking_blocks")


def _without_thoughts(body: Body) -> Body:
    """A translated conversation without what was thought in it: many servers refuse messages with fields unknown."""
    raw = bytes(body.get("messages", b""))
    if not any(name.encode() in raw for name in _THOUGHTS):
        return body
    messages = msgspec.json.decode(raw, type=list[dict[str, msgspec.Raw]])
    kept = [{name: value for name, value in each.items() if name not in _THOUGHTS} for each in messages]
    return {**body, "messages": msgspec.Raw(msgspec.json.encode(kept))}


@dataclass(frozen=True, slots=True)
class Chat:
    """The wire of completions, of chats and of plain prompts; `asks_usage` is that of `outgoing`."""

    asks_usage: bool = True

    @property
    def binary(self) -> bool:
        """It is always events."""
        return False

    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        """As `outgoing`, which asks for usage in a stream."""
        body, model = call.body, call.model.upstream_model
        if call.carried and call.model.options.get("takes_reasoning") is not True:
            body = _without_thoughts(body)
        return Outgoing(outgoing(body, model, stream=stream, asks_usage=self.asks_usage))

    def reply(self, body: bytes, reading: Reading, request_id: str | None, media_type: str = JSON) -> Reply:
        """As `read_reply`."""
        del media_type  # many servers call their JSON something else
        return read_reply(body, reading, request_id)

    def event(self, name: bytes, data: bytes, reading: Reading, request_id: str | None) -> Event:
        """As `read_event`."""
        event = read_event(data, reading, request_id)
        if name == b"error":
            raise complained(data, reading, errors.UpstreamBroken)
        return event


# ---- what is kept ------------------------------------------------------------------------------------------------
_JOINED = ("content", "reasoning_content", "reasoning", "refusal")
_OF_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})


def assemble(events: Sequence[bytes]) -> bytes:
    """Join the chunks of a stream into the one completion they stand for, for the log; `{}` if there are none.

    What is not an object is left out: a log must not fail on what was already answered.
    """
    whole: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for data in events:
        try:
            chunk: Any = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if not isinstance(chunk, dict):
            continue
        fields = cast("dict[str, Any]", chunk)
        whole.update(
            {name: value for name, value in fields.items() if name != "choices" and value is not None}
        )
        for choice in _objects(fields.get("choices")):
            _add_choice(choices.setdefault(_index(choice), {"message": {"role": "assistant"}}), choice)
    if not whole and not choices:
        return b"{}"
    whole["object"] = "chat.completion"
    whole["choices"] = [_choice(index, choices[index]) for index in sorted(choices)]
    return msgspec.json.encode(whole)


def _add_choice(joined: dict[str, Any], choice: dict[str, Any]) -> None:
    joined.update({name: v for name, v in choice.items() if name not in _OF_CHOICE and v is not None})
    joined["finish_reason"] = choice.get("finish_reason") or joined.get("finish_reason")
    for name, tokens in _object(choice.get("logprobs")).items():
        if isinstance(tokens, list):
            joined.setdefault("logprobs", {}).setdefault(name, []).extend(cast("list[object]", tokens))
    message = joined["message"]
    for name, value in _object(choice.get("delta")).items():
        if name == "tool_calls":
            tools: dict[int, dict[str, Any]] = joined.setdefault("tools", {})
            for tool in _objects(value):
                _add_tool(tools.setdefault(_index(tool), {}), tool)
        elif name in _JOINED and isinstance(value, str):
            message[name] = (message.get(name) or "") + value
        elif name == "thinking_blocks" and isinstance(value, list):
            message.setdefault(name, []).extend(cast("list[object]", value))
        elif value is not None or name not in message:
            message[name] = value


def _add_tool(joined: dict[str, Any], tool: dict[str, Any]) -> None:
    for name, value in tool.items():
        if name == "function":
            function: dict[str, Any] = joined.setdefault("function", {"name": "", "arguments": ""})
            for part, text in _object(value).items():
                if part in ("name", "arguments") and isinstance(text, str):
                    function[part] += text
                elif text is not None:
                    function[part] = text
        elif name != "index" and value is not None:
            joined[name] = value


def _choice(index: int, joined: dict[str, Any]) -> dict[str, Any]:
    tools: dict[int, dict[str, Any]] | None = joined.pop("tools", None)
    message = {"role": joined["message"].pop("role"), "content": joined["message"].pop("content", None)}
    message |= joined.pop("message")
    if tools is not None:
        message["tool_calls"] = [tools[i] for i in sorted(tools)]
    return {"index": index, "message": message, **joined}


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [_object(item) for item in cast("list[object]", value)] if isinstance(value, list) else []


def _index(value: Mapping[str, Any]) -> int:
    index = value.get("index", 0)
    return index if isinstance(index, int) else 0
