"""The wire of `/v1/responses` at upstreams that have it (OpenAI's reference, Responses; streaming events)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.domain import errors
from gateway.domain.errors import GatewayError
from gateway.providers.http import said
from gateway.providers.ports import Call, Event, Reply
from gateway.providers.usage import Told, read_told, usage_of
from gateway.providers.wire import Outgoing, Reading, complained

_null: Final = msgspec.Raw(b"null")
_FINISHES: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}
_FAILURES: Final[dict[str, type[GatewayError]]] = {
    "rate_limit_exceeded": errors.UpstreamRateLimited,
    "server_error": errors.UpstreamUnavailable,
    "invalid_prompt": errors.ContentFiltered,
    "bio_policy": errors.ContentFiltered,
    "image_content_policy_violation": errors.ContentFiltered,
}
_GENERATED: Final = frozenset(
    {
        "response.output_text.delta",
        "response.refusal.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
    }
)
ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


class _Details(msgspec.Struct):
    reason: str | None = None


class _Item(msgspec.Struct):
    type: str = ""


class _Error(msgspec.Struct):
    code: str | None = None


class _Response(msgspec.Struct):
    id: str | None = None
    status: str | None = None
    output: list[_Item] | None = None
    incomplete_details: _Details | None = None
    error: msgspec.Raw = _null
    usage: msgspec.Raw = _null


class _Event(msgspec.Struct):
    type: str = ""
    delta: msgspec.Raw = _null
    response: msgspec.Raw = _null
    error: msgspec.Raw = _null


_response = msgspec.json.Decoder(_Response)
_event = msgspec.json.Decoder(_Event)
_text = msgspec.json.Decoder(str)


class Responses:
    """The wire of responses."""

    @property
    def binary(self) -> bool:
        """It is always events."""
        return False

    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        """The body with another `model`, streamed or not."""
        sent: dict[str, object] = {**call.body, "model": call.model.upstream_model}
        if stream:
            sent["stream"] = True
        else:
            sent.pop("stream", None)
            sent.pop("stream_options", None)
        return Outgoing(msgspec.json.encode(sent))

    def reply(self, body: bytes, reading: Reading, request_id: str | None, media_type: str) -> Reply:
        """A whole response. Raises UpstreamMalformed, or what a failed response stands for."""
        del media_type
        try:
            str(body, "utf-8")
            whole = _response.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(body, reading, str(error)) from error
        if whole.output is None:
            if bytes(whole.error) != b"null":
                raise complained(body, reading, errors.UpstreamUnavailable)
            raise _malformed(body, reading, "an answer without `output`")
        if whole.status in ("failed", "cancelled"):
            raise _failed(whole, body, reading, errors.UpstreamUnavailable)
        if whole.status not in ("completed", "incomplete"):
            raise _malformed(body, reading, f"a response that is {whole.status}")
        return Reply(body, usage_of(_told(whole.usage)), _finish(whole), request_id or whole.id)

    def event(self, name: bytes, data: bytes, reading: Reading, request_id: str | None) -> Event:
        """One event. Raises UpstreamMalformed, UpstreamBroken for an error, or what a failed response stands for."""
        try:
            if not data.isascii():
                str(data, "utf-8")
            event = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _malformed(data, reading, str(error)) from error
        kind = event.type or name.decode("ascii", "replace")
        if kind == "error" or (not event.type and bytes(event.error) != b"null"):
            raise complained(data, reading, errors.UpstreamBroken)
        if kind in _GENERATED:
            return Event(data, _delta(event), name=kind, provider_request_id=request_id)
        if kind not in ENDS:
            return Event(data, name=kind, provider_request_id=request_id)
        try:
            whole = _response.decode(event.response)
        except msgspec.DecodeError as error:
            raise _malformed(data, reading, str(error)) from error
        if kind == "response.failed":
            raise _failed(whole, data, reading, errors.UpstreamBroken)
        usage = usage_of(_told(whole.usage))
        return Event(data, "", usage, False, _finish(whole), request_id or whole.id, kind)


def _finish(whole: _Response) -> str:
    """Why it ended, in chat's words, which are the ledger's."""
    if whole.status == "incomplete":
        reason = whole.incomplete_details.reason if whole.incomplete_details else None
        return _FINISHES.get(reason or "", "length")
    calls = any(item.type in ("function_call", "custom_tool_call") for item in whole.output or ())
    return "tool_calls" if calls else "stop"


def _failed(whole: _Response, body: bytes, reading: Reading, otherwise: type[GatewayError]) -> GatewayError:
    try:
        code = msgspec.json.decode(whole.error, type=_Error | None)
    except msgspec.DecodeError:
        code = None
    kind = _FAILURES.get((code.code if code else None) or "", otherwise)
    return kind(detail=said(body, reading.secret), status=200)


def _told(usage: msgspec.Raw) -> Told | None:
    return None if bytes(usage) == b"null" else read_told(usage)


def _delta(event: _Event) -> str:
    try:
        return _text.decode(event.delta)
    except msgspec.DecodeError:
        return ""


def _malformed(body: bytes, reading: Reading, why: str) -> errors.UpstreamMalformed:
    return errors.UpstreamMalformed(detail=f"{why}: {said(body, reading.secret)}", status=200)


def assemble(events: Sequence[bytes]) -> bytes:
    """Join the events of a stream into the response they stand for, for the log: the last that was told whole."""
    told: msgspec.Raw | None = None
    done: list[msgspec.Raw] = []
    for data in events:
        try:
            event = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
            kind = _text.decode(event.get("type", _null))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if "response" in event:
            told = event["response"]
            if kind in ENDS:
                return bytes(told)
        elif kind == "response.output_item.done" and "item" in event:
            done.append(event["item"])
    if told is None:
        return b"{}"
    try:
        whole: dict[str, object] = {**msgspec.json.decode(told, type=dict[str, msgspec.Raw])}
    except msgspec.DecodeError:
        return b"{}"
    return msgspec.json.encode({**whole, "output": done})
