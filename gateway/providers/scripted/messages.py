"""Anthropic's messages as the scripted upstream speaks them; shapes: https://platform.claude.com/docs/en/api/messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.providers.dialects.messages.tables import STOPS, messages_usage
from gateway.providers.scripted.dialect import (
    EVENT_STREAM,
    ID,
    PROMPT_TOKENS,
    Asked,
    Unreadable,
    pieces,
    usage_of,
)
from gateway.providers.scripted.script import Script
from gateway.providers.usage import read_told
from gateway.providers.usage import usage_of as counted

SIGNATURE: Final = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds"
_KINDS: Final[Mapping[int, str]] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_CALLED: Final = {"type": "tool_use", "id": "toolu_scripted", "name": "get_weather"}


class _Body(msgspec.Struct):
    model: str
    messages: msgspec.Raw
    stream: bool | None = None
    x_script: Script | None = None


_decode = msgspec.json.Decoder(_Body).decode


class Messages:
    """`/v1/messages` and `/v1/messages/count_tokens`."""

    event_stream = EVENT_STREAM
    done: tuple[bytes, ...] = ()

    def serves(self, url: bytes) -> bool:
        """The two endpoints."""
        path = url.partition(b"?")[0]
        return path.endswith((b"/v1/messages", b"/v1/messages/count_tokens"))

    def read(self, url: bytes, headers: Mapping[bytes, bytes], body: bytes) -> tuple[Asked, Script | None]:
        """All that counts stands in the body, the credential apart."""
        try:
            asked = _decode(body)
        except msgspec.DecodeError as error:
            raise Unreadable(f"Could not read the request: {error}") from error
        bearer = headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        credential = (headers.get(b"x-api-key") or bearer).decode("latin-1")
        return Asked(
            asked.model,
            asked.stream is True,
            credential=credential,
            answered=b'"tool_result"' in bytes(asked.messages),
            counting=url.partition(b"?")[0].endswith(b"/count_tokens"),
        ), asked.x_script

    def error(
        self, message: str, status: int, kind: str, code: object = None, param: str | None = None
    ) -> bytes:
        """The error object."""
        del kind, code, param
        usual = "api_error" if status >= 500 else "invalid_request_error"
        error = {"type": _KINDS.get(status, usual), "message": message}
        return msgspec.json.encode({"type": "error", "error": error, "request_id": f"req_{ID.decode()}"})

    def refusal(self, failure: str, asked: Asked) -> tuple[int, bytes] | None:
        """What Anthropic answers."""
        match failure:
            case "quota":
                return 400, self.error("Your credit balance is too low to access the Anthropic API.", 400, "")
            case "content-filter":
                return 400, self.error("Output blocked by content filtering policy", 400, "")
            case "context-too-long":
                return 400, self.error("prompt is too long: 9000 tokens > 8192 maximum", 400, "")
            case "echo-key":
                return 401, self.error(f"Incorrect API key provided: {asked.credential}.", 401, "")
            case _:
                return None

    def whole(self, script: Script, asked: Asked) -> bytes:
        """A message, or a count."""
        if asked.counting:
            return msgspec.json.encode({"input_tokens": PROMPT_TOKENS})
        usage = _usage(script)
        message = {**_message(asked), "content": _blocks(script, asked), **_stopped(script, asked)}
        return msgspec.json.encode(message if usage is None else {**message, "usage": usage})

    def events(self, script: Script, asked: Asked) -> list[bytes]:
        """The events of a message."""
        usage = _usage(script)
        begun = {} if usage is None else {"usage": {**usage, "output_tokens": 1}}
        message = {**_message(asked), "content": [], "stop_reason": None, "stop_sequence": None, **begun}
        found = [_event({"type": "message_start", "message": message})]
        for index, block in enumerate(_blocks(script, asked)):
            start, deltas = _streamed(block, script)
            found.append(_event({"type": "content_block_start", "index": index, "content_block": start}))
            if not index:
                found.append(_event({"type": "ping"}))
            found.extend(
                _event({"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas
            )
            found.append(_event({"type": "content_block_stop", "index": index}))
        ended = {"type": "message_delta", "delta": _stopped(script, asked)}
        told = {} if usage is None else {"usage": {"output_tokens": usage["output_tokens"]}}
        if usage is not None and "output_tokens_details" in usage:
            told["usage"]["output_tokens_details"] = usage["output_tokens_details"]
        return [*found, _event({**ended, **told}), _event({"type": "message_stop"})]

    def unfinished(self, events: list[bytes]) -> list[bytes]:
        """Those without the last two."""
        return [
            event for event in events if not event.startswith((b"event: message_d", b"event: message_stop"))
        ]

    def spoken(self, asked: Asked, text: str) -> bytes:
        """One event with this text."""
        del asked
        delta = {"type": "text_delta", "text": text}
        return _event({"type": "content_block_delta", "index": 0, "delta": delta})

    def framed(self, data: bytes) -> bytes:
        """As an event of the kind that is most common."""
        return b"event: content_block_delta\ndata: " + data + b"\n\n"

    def failed(self, error: bytes) -> bytes:
        """The error object."""
        return b"event: error\ndata: " + error + b"\n\n"


def _event(event: Mapping[str, object]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), msgspec.json.encode(event))


def _message(asked: Asked) -> dict[str, object]:
    return {"id": "msg_" + ID.decode(), "type": "message", "role": "assistant", "model": asked.model}


def _blocks(script: Script, asked: Asked) -> list[dict[str, object]]:
    blocks: list[dict[str, object]] = []
    if script.thinking is not None:
        blocks.append({"type": "thinking", "thinking": script.thinking, "signature": SIGNATURE})
    if script.calls(asked.answered):
        call = {**_CALLED, "input": {"city": "Zürich"}}
        blocks.extend({**call, "id": f"{_CALLED['id']}{number or ''}"} for number in range(script.parallel))
    else:
        blocks.append({"type": "text", "text": "".join(pieces(script))})
    return blocks


def _streamed(block: dict[str, object], script: Script) -> tuple[dict[str, object], list[dict[str, object]]]:
    """How a block begins, and what comes of it piece by piece."""
    match block["type"]:
        case "thinking":
            thought = str(block["thinking"])
            parts = [thought[: len(thought) // 2], thought[len(thought) // 2 :]]
            deltas: list[dict[str, object]] = [
                {"type": "thinking_delta", "thinking": part} for part in parts if part
            ]
            signed: dict[str, object] = {"type": "signature_delta", "signature": SIGNATURE}
            return {**block, "thinking": "", "signature": ""}, [*deltas, signed]
        case "tool_use":
            parts = ["", '{"ci', 'ty":"Zü', 'rich"}']
            return {**block, "input": {}}, [
                {"type": "input_json_delta", "partial_json": part} for part in parts
            ]
        case _:
            return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces(script)]


def _stopped(script: Script, asked: Asked) -> dict[str, object]:
    reason = script.finish_reason or ("tool_calls" if script.calls(asked.answered) else "stop")
    stopped: dict[str, object] = {"stop_reason": STOPS.get(reason, reason), "stop_sequence": None}
    if stopped["stop_reason"] == "refusal":
        stopped["stop_details"] = {"type": "refusal", "category": None, "explanation": "Not that."}
    return stopped


def _usage(script: Script) -> dict[str, object] | None:
    """The script's usage, which is in OpenAI's words, in Anthropic's."""
    said = usage_of(script)
    if said is None:
        return None
    return messages_usage(counted(read_told(msgspec.Raw(msgspec.json.encode(said)))))


MESSAGES: Final = Messages()
