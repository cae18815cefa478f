"""A server that speaks Bedrock's wire, in the shapes of AWS's own pages, and fails as its script says.

A test double: it answers what a script says and knows no model. It checks signatures by the recipe of
docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, and not by the library that signed.
Shapes: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, …/API_runtime_ConverseStream.html.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, unquote
from zlib import crc32

import msgspec

from gateway.providers.scripted.dialect import Asked, Unreadable, pieces, usage_of
from gateway.providers.scripted.messages import MESSAGES
from gateway.providers.scripted.plan import JSON, Plan
from gateway.providers.scripted.script import Script
from gateway.providers.scripted.server import serve
from gateway.providers.scripted.upstream import Upstream
from tests.contracts.upstreams import Inside

_TARGET = re.compile(rb"/model/([^/?]+)/(converse|converse-stream|invoke|invoke-with-response-stream)")
_TYPES = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_STOPS = {"length": "max_tokens", "content_filter": "guardrail_intervened"}
TOO_LONG = "The model returned the following errors: Input is too long for requested model."


def message(name: bytes, payload: bytes, kind: bytes = b"event") -> bytes:
    """One message of an event stream: two lengths, their checksum, headers, payload, the checksum of all."""
    typed = b":exception-type" if kind == b"exception" else b":event-type"
    headers = b"".join(
        bytes((len(key),)) + key + b"\x07" + struct.pack(">H", len(value)) + value
        for key, value in ((typed, name), (b":content-type", b"application/json"), (b":message-type", kind))
    )
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    start = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return start + struct.pack(">I", crc32(start))


def event(name: str, **fields: Any) -> bytes:
    """An event of ConverseStream, padded as they are."""
    return message(name.encode(), msgspec.json.encode(fields | {"p": "abcdefghij"}))


def chunk(inner: bytes) -> bytes:
    """An event of InvokeModelWithResponseStream: the model's own, in base64."""
    return message(b"chunk", msgspec.json.encode({"bytes": base64.b64encode(inner).decode(), "p": "abc"}))


def exception(name: str, text: str) -> bytes:
    """An exception in a stream."""
    return message(name.encode(), msgspec.json.encode({"message": text}), b"exception")


class Refused(Exception):
    """A signature that does not hold, and what the server made of the request."""


def verify(url: bytes, headers: Mapping[bytes, bytes], body: bytes, secret_key: str) -> str:
    """The access key by which a request is signed. Raises Refused if the signature is another."""
    given = headers[b"authorization"].decode()
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/bedrock/aws4_request, "
        r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        given,
    )
    if found is None:
        raise Refused(given)
    access_key, date, region, names, signature = found.groups()
    assert {"host", "x-amz-date"} <= set(names.split(";"))
    if b"x-amz-security-token" in headers:
        assert "x-amz-security-token" in names.split(";")
    path, _, query = url.decode().partition("?")
    told = "".join(
        f"{name}:{' '.join(headers[name.encode()].decode().split())}\n" for name in names.split(";")
    )
    canonical = "\n".join(
        ("POST", quote(path, safe="/~"), query, told, names, hashlib.sha256(body).hexdigest())
    )
    scope = f"{date}/{region}/bedrock/aws4_request"
    moment = headers[b"x-amz-date"].decode()
    assert moment.startswith(date)
    to_sign = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{secret_key}".encode()
    for step in (date, region, "bedrock", "aws4_request"):
        key = hmac.digest(key, step.encode(), "sha256")
    if not hmac.compare_digest(hmac.digest(key, to_sign.encode(), "sha256").hex(), signature):
        raise Refused(canonical)
    return access_key


class Converse:
    """Bedrock's wire. Scripts are registered for the model's name, or spelled by it."""

    event_stream = b"application/vnd.amazon.eventstream"
    done: tuple[bytes, ...] = ()

    def serves(self, url: bytes) -> bool:
        return _TARGET.fullmatch(url) is not None

    def read(self, url: bytes, headers: Mapping[bytes, bytes], body: bytes) -> tuple[Asked, Script | None]:
        target = _TARGET.fullmatch(url)
        assert target is not None
        model, method = unquote(target[1].decode()), target[2]
        key = headers.get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
        sent = msgspec.json.decode(body)
        if method.startswith(b"invoke") and "anthropic." in model:
            assert sent["anthropic_version"] == "bedrock-2023-05-31"
            assert not {"model", "stream"} & sent.keys()
            return Asked(model, method != b"invoke", _MESSAGES, key), None
        if method.startswith(b"invoke"):
            return _invoked(model, method, sent, key)
        if not isinstance(sent.get("messages"), list):
            raise Unreadable("messages is required")
        return Asked(model, method == b"converse-stream", credential=key), None

    def error(
        self, message: str, status: int, kind: str, code: object = None, param: str | None = None
    ) -> bytes:
        del kind, code, param
        return _error(message, _TYPES.get(status, ""))

    def refusal(self, failure: str, asked: Asked) -> tuple[int, bytes] | None:
        match failure:
            case "quota":
                text = "Model access is denied due to INVALID_PAYMENT_INSTRUMENT: a valid payment is needed."
                return 403, _error(text, "AccessDeniedException")
            case "content-filter":
                text = "The request was blocked by our content filters."
                return 400, _error(text, "ValidationException")
            case "context-too-long":
                return 400, _error(TOO_LONG, "ValidationException")
            case "echo-key":
                text = f"Incorrect API key provided: {asked.credential}."
                return 403, _error(text, "AccessDeniedException")
            case _:
                return None

    def whole(self, script: Script, asked: Asked) -> bytes:
        if asked.model.startswith("invoked:"):
            return base64.b64decode(asked.model.removeprefix("invoked:"))
        if asked.include_usage is _MESSAGES:
            return MESSAGES.whole(script, asked)
        content: list[dict[str, Any]] = [{"text": "".join(pieces(script))}]
        if script.tool_calls:
            content = [{"toolUse": {"toolUseId": "call_scripted", "name": "get_weather", "input": _CITY}}]
        answer: dict[str, Any] = {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": _stop(script),
            "metrics": {"latencyMs": 1},
        }
        return msgspec.json.encode(answer | _usage(script))

    def events(self, script: Script, asked: Asked) -> list[bytes]:
        if asked.include_usage is _MESSAGES:
            said = (each.partition(b"data: ")[2].strip() for each in MESSAGES.events(script, asked))
            return [chunk(each) for each in said]
        found = [event("messageStart", role="assistant")]
        if script.tool_calls:
            start = {"toolUse": {"toolUseId": "call_scripted", "name": "get_weather"}}
            found.append(event("contentBlockStart", contentBlockIndex=0, start=start))
            parts = [{"toolUse": {"input": part}} for part in ('{"ci', 'ty":"Zü', 'rich"}')]
        else:
            parts = [{"text": piece} for piece in pieces(script)]
        found.extend(event("contentBlockDelta", contentBlockIndex=0, delta=part) for part in parts)
        found.append(event("contentBlockStop", contentBlockIndex=0))
        found.append(event("messageStop", stopReason=_stop(script)))
        usage = _usage(script)
        return [*found, event("metadata", metrics={"latencyMs": 1}, **usage)] if usage else found

    def unfinished(self, events: list[bytes]) -> list[bytes]:
        return [each for each in events if b"messageStop" not in each]

    def spoken(self, asked: Asked, text: str) -> bytes:
        return event("contentBlockDelta", contentBlockIndex=0, delta={"text": text})

    def framed(self, data: bytes) -> bytes:
        return message(b"contentBlockDelta", data)

    def failed(self, error: bytes) -> bytes:
        return message(b"internalServerException", error, b"exception")


_MESSAGES = True
"""Marks what InvokeModel is asked in Anthropic's own dialect."""
_CITY = {"city": "Zürich"}


def _invoked(model: str, method: bytes, sent: Any, key: str) -> tuple[Asked, Script | None]:
    """What an embedding model says; the script's answer travels in the name."""
    assert method == b"invoke"
    if "titan" in model:
        assert isinstance(sent["inputText"], str)
        answer: Any = {"embedding": [0.5, len(sent["inputText"]), -1.0], "inputTextTokenCount": 3}
    else:
        assert sent["embedding_types"] == ["float"]
        answer = {"embeddings": {"float": [[0.5, len(text)] for text in sent["texts"]]}, "id": "x"}
    told = base64.b64encode(msgspec.json.encode(answer)).decode()
    return Asked(f"invoked:{told}", credential=key), Script()


def _error(text: str, kind: str) -> bytes:
    return msgspec.json.encode({"message": text, "__type": f"com.amazon.coral.service#{kind}"})


def _stop(script: Script) -> str:
    return _STOPS.get(script.finish_reason or "", "tool_use" if script.tool_calls else "end_turn")


def _usage(script: Script) -> dict[str, Any]:
    """What chat's usage of the script is in Converse's words: what was cached stands beside the input."""
    told: Any = usage_of(script)
    if told is None:
        return {}
    cached = told.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    found = {
        "inputTokens": told["prompt_tokens"] - cached,
        "outputTokens": told["completion_tokens"],
        "totalTokens": told["prompt_tokens"] + told["completion_tokens"],
    }
    return {"usage": found | {"cacheReadInputTokens": cached} if cached else found}


class Signed(Upstream):
    """The same, where every request must be signed by one key."""

    secret_key = ""
    seen: dict[bytes, bytes]

    def plan(
        self, headers: Mapping[bytes, bytes], body: bytes, known: Script | None = None, url: bytes = b""
    ) -> Plan:
        self.seen = dict(headers)
        try:
            verify(url, headers, body, self.secret_key)
        except Refused as refused:
            text = (
                "The request signature we calculated does not match the signature you provided. "
                f"The Canonical String for this request should have been '{refused}'"
            )
            answer = _error(text, "InvalidSignatureException")
            return Plan(403, (answer,), len(answer), JSON)
        return super().plan(headers, body, known, url)


@asynccontextmanager
async def bedrock(upstream: Upstream | None = None) -> AsyncGenerator[tuple[Inside, str]]:
    """The server on a free port: what it has seen, and its base URL."""
    upstream = upstream or Upstream(dialect=Converse())
    server = await serve(upstream)
    try:
        yield Inside(upstream), f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
