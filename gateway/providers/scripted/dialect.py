"""What answers of the scripted upstream look like: OpenAI's chat completions, or another wire in their place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from gateway.providers.scripted.script import Script

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
ID: Final = b"@@@@@@@@@@@@"
"""Stands in bodies where the call's number goes; of the same width, so that lengths stay true."""

_WORDS = (
    "A café, a € sign, 漢字 and a 🦊 stand here, so that no test forgets characters of more than one byte; "
    "after them come plain words, the same each time, as many as the script asks for. "
)
WORDS = _WORDS.split()
PROMPT_TOKENS = 11


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request decides the answer."""

    model: str
    stream: bool = False
    include_usage: bool = False
    credential: str = ""
    answered: bool = False  # it brings the result of a tool's call
    counting: bool = False  # it asks for a count of its tokens


class Unreadable(Exception):
    """A request that is none."""


class Dialect(Protocol):
    """A wire that the upstream speaks. Streams are made of events that are framed already."""

    @property
    def event_stream(self) -> bytes:
        """The content type of streams."""
        ...

    @property
    def done(self) -> tuple[bytes, ...]:
        """What a stream ends with after its last event."""
        ...

    def serves(self, url: bytes) -> bool:
        """Whether a model is called at this target."""
        ...

    def read(self, url: bytes, headers: Mapping[bytes, bytes], body: bytes) -> tuple[Asked, Script | None]:
        """What is asked, and the script that came with it. Raises Unreadable."""
        ...

    def error(
        self, message: str, status: int, kind: str, code: object = None, param: str | None = None
    ) -> bytes:
        """A complaint."""
        ...

    def refusal(self, failure: str, asked: Asked) -> tuple[int, bytes] | None:
        """The status and body by which a failure of the model's is told; None for one that is not told so."""
        ...

    def whole(self, script: Script, asked: Asked) -> bytes:
        """A whole answer."""
        ...

    def events(self, script: Script, asked: Asked) -> list[bytes]:
        """The events of a stream."""
        ...

    def unfinished(self, events: list[bytes]) -> list[bytes]:
        """The same events without those that say that the answer is complete."""
        ...

    def spoken(self, asked: Asked, text: str) -> bytes:
        """One event with this text."""
        ...

    def framed(self, data: bytes) -> bytes:
        """Anything as one event, also what is none."""
        ...

    def failed(self, error: bytes) -> bytes:
        """A complaint as an event."""
        ...


def pieces(script: Script) -> list[str]:
    """The text of each token: the script's own text divided, or words of ours as often as needed."""
    if script.text is None:
        return [WORDS[i % len(WORDS)] + " " for i in range(script.tokens)]
    return re.findall(r"\s*\S+\s*", script.text) or ([script.text] if script.text else [])


def usage_of(script: Script) -> dict[str, object] | None:
    """What the upstream says of tokens, in OpenAI's words."""
    if isinstance(script.usage, str):
        return None
    if script.usage is not None:
        return script.usage
    output = 12 if script.tool_calls else len(pieces(script))
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": output,
        "total_tokens": PROMPT_TOKENS + output,
    }


# ---- OpenAI's ----------------------------------------------------------------------------------------------------
class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    model: str
    messages: msgspec.Raw = msgspec.Raw(b"[]")
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    x_script: Script | None = None


_decode = msgspec.json.Decoder(_Body).decode


class ChatCompletions:
    """OpenAI's chat completions."""

    event_stream = EVENT_STREAM
    done = (b"data: [DONE]\n\n",)

    def serves(self, url: bytes) -> bool:
        """The one endpoint."""
        return url.endswith(b"/chat/completions")

    def read(self, url: bytes, headers: Mapping[bytes, bytes], body: bytes) -> tuple[Asked, Script | None]:
        """All that counts stands in the body, the credential apart."""
        del url
        try:
            asked = _decode(body)
        except msgspec.DecodeError as error:
            raise Unreadable(f"Could not read the request: {error}") from error
        credential = headers.get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
        options = asked.stream_options
        include_usage = options is not None and options.include_usage is True
        answered = b'"tool_call_id"' in bytes(asked.messages)
        return Asked(asked.model, asked.stream is True, include_usage, credential, answered), asked.x_script

    def error(
        self, message: str, status: int, kind: str, code: object = None, param: str | None = None
    ) -> bytes:
        """The error object."""
        del status
        return msgspec.json.encode(
            {"error": {"message": message, "type": kind, "param": param, "code": code}}
        )

    def refusal(self, failure: str, asked: Asked) -> tuple[int, bytes] | None:
        """What OpenAI answers."""
        match failure:
            case "quota":
                code = "insufficient_quota"
                return 429, self.error("You exceeded your current quota", 429, code, code)
            case "content-filter":
                message, code = "The response was filtered", "content_filter"
                return 400, self.error(message, 400, "invalid_request_error", code)
            case "context-too-long":
                message = (
                    "This model's maximum context length is 8192 tokens. "
                    "However, your messages resulted in 9000."
                )
                code = "context_length_exceeded"
                return 400, self.error(message, 400, "invalid_request_error", code, "messages")
            case "echo-key":
                message = f"Incorrect API key provided: {asked.credential}."
                return 401, self.error(message, 401, "invalid_request_error", "invalid_api_key")
            case _:
                return None

    def whole(self, script: Script, asked: Asked) -> bytes:
        """A completion."""
        message: dict[str, object] = {
            "role": "assistant",
            "content": "".join(pieces(script)),
            "refusal": None,
        }
        if script.thinking is not None:
            message["reasoning_content"] = script.thinking
        if script.calls(asked.answered):
            calls = [_tool('{"city": "Zürich"}', number) for number in range(script.parallel)]
            message |= {"content": None, "tool_calls": calls}
        answer: dict[str, object] = {
            "id": "chatcmpl-" + ID.decode(),
            "object": "chat.completion",
            "created": 1_767_225_600,
            "model": asked.model,
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(script, asked)}
            ],
            "system_fingerprint": "fp_scripted",
        }
        usage = usage_of(script)
        return msgspec.json.encode(answer if usage is None else answer | {"usage": usage})

    def events(self, script: Script, asked: Asked) -> list[bytes]:
        """The chunks of a completion."""
        calls = script.calls(asked.answered)
        first = self._chunk(asked, {"role": "assistant", "content": None if calls else ""})
        last = self._chunk(asked, {}, _finish(script, asked))
        found = [first, *(self._chunk(asked, delta) for delta in _deltas(script, asked)), last]
        usage = usage_of(script)
        if asked.include_usage and usage is not None:
            found.append(self.framed(msgspec.json.encode(_base(asked) | {"choices": [], "usage": usage})))
        return found

    def unfinished(self, events: list[bytes]) -> list[bytes]:
        """Those without a finish reason."""
        return [event for event in events if b'"finish_reason":null' in event]

    def spoken(self, asked: Asked, text: str) -> bytes:
        """One chunk."""
        return self._chunk(asked, {"content": text})

    def framed(self, data: bytes) -> bytes:
        """As a server-sent event."""
        return b"data: " + data + b"\n\n"

    def failed(self, error: bytes) -> bytes:
        """The error object."""
        return self.framed(error)

    def _chunk(self, asked: Asked, delta: dict[str, object], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self.framed(msgspec.json.encode(_base(asked) | {"choices": [choice]}))


def _base(asked: Asked) -> dict[str, object]:
    return {
        "id": "chatcmpl-" + ID.decode(),
        "object": "chat.completion.chunk",
        "created": 1_767_225_600,
        "model": asked.model,
        "system_fingerprint": "fp_scripted",
    }


def _finish(script: Script, asked: Asked) -> str:
    return script.finish_reason or ("tool_calls" if script.calls(asked.answered) else "stop")


def _tool(arguments: str, number: int = 0) -> dict[str, object]:
    return {
        "id": f"call_scripted{number or ''}",
        "type": "function",
        "function": {"name": "get_weather", "arguments": arguments},
    }


def _deltas(script: Script, asked: Asked) -> list[dict[str, object]]:
    thoughts: list[dict[str, object]] = []
    if script.thinking is not None:
        thoughts.append({"reasoning_content": script.thinking})
    if not script.calls(asked.answered):
        return [*thoughts, *({"content": piece} for piece in pieces(script))]
    arguments = ('{"ci', 'ty": "Zü', 'rich"}')
    calls: list[dict[str, object]] = []
    for number in range(script.parallel):
        calls.append({"index": number} | _tool("", number))
        calls.extend({"index": number, "function": {"arguments": part}} for part in arguments)
    return [*thoughts, *({"tool_calls": [call]} for call in calls)]


OPENAI: Final = ChatCompletions()
