"""A server that speaks Gemini's wire, in the shapes of Google's own pages, and fails as its script says.

A test double: it answers what a script says and knows no model. Shapes: ai.google.dev/api/generate-content,
ai.google.dev/api/embeddings, ai.google.dev/gemini-api/docs/troubleshooting.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import msgspec

from gateway.providers.scripted.dialect import EVENT_STREAM, ID, Asked, Unreadable, pieces, usage_of
from gateway.providers.scripted.script import Script
from gateway.providers.scripted.server import serve
from gateway.providers.scripted.upstream import Upstream
from tests.contracts.upstreams import Inside

_TARGET = re.compile(
    rb"/v1beta/models/([^/:?]+):(generateContent|streamGenerateContent|embedContent|batchEmbedContents)(\?.*)?"
)
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_FINISHES = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}
TOO_LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."


class GenerateContent:
    """Gemini's wire. Scripts are registered for the model's name, or spelt by it."""

    event_stream = EVENT_STREAM
    done: tuple[bytes, ...] = ()

    def serves(self, url: bytes) -> bool:
        return _TARGET.fullmatch(url) is not None

    def read(self, url: bytes, headers: Mapping[bytes, bytes], body: bytes) -> tuple[Asked, Script | None]:
        target = _TARGET.fullmatch(url)
        assert target is not None
        if (target[2] == b"streamGenerateContent") != (target[3] == b"?alt=sse"):
            raise Unreadable("a stream without alt=sse comes as an array")
        sent = msgspec.json.decode(body)
        if b"mbed" in target[2]:
            requests = sent.get("requests", [sent])
            assert all(each["model"] == f"models/{unquote(target[1].decode())}" for each in requests)
            return Asked(f"embed-{len(requests)}{'s' if 'requests' in sent else ''}"), Script()
        if not isinstance(sent.get("contents"), list):
            raise Unreadable("contents is not specified")
        key = headers.get(b"x-goog-api-key", b"").decode("latin-1")
        stream = target[2] == b"streamGenerateContent"
        return Asked(unquote(target[1].decode()), stream, credential=key), None

    def error(
        self, message: str, status: int, kind: str, code: object = None, param: str | None = None
    ) -> bytes:
        del kind, code, param
        return _error(message, status)

    def refusal(self, failure: str, asked: Asked) -> tuple[int, bytes] | None:
        match failure:
            case "quota":
                message = "Gemini API free tier is not available in your country. Please enable billing."
                return 400, _error(message, 400, status="FAILED_PRECONDITION")
            case "content-filter":
                feedback = {"blockReason": "PROHIBITED_CONTENT"}
                usage = {"promptTokenCount": 11, "totalTokenCount": 11}
                return 200, msgspec.json.encode({"promptFeedback": feedback, "usageMetadata": usage})
            case "context-too-long":
                return 400, _error(TOO_LONG, 400)
            case "echo-key":
                details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
                message = f"Incorrect API key provided: {asked.credential}."
                return 400, _error(message, 400, details=details)
            case _:
                return None

    def whole(self, script: Script, asked: Asked) -> bytes:
        if asked.model.startswith("embed-"):
            return self._vectors(asked)
        answer = self._answer(asked, _parts(script), _finish(script))
        return msgspec.json.encode(answer | _usage(script))

    def events(self, script: Script, asked: Asked) -> list[bytes]:
        said = [
            [] if script.tool_calls else [{"text": ""}],
            *([part] for part in _parts(script, whole=False)),
        ]
        found = [self._answer(asked, parts, None) for parts in said]
        found.append(self._answer(asked, [{"text": ""}], _finish(script)) | _usage(script))
        return [self.framed(msgspec.json.encode(each)) for each in found]

    def unfinished(self, events: list[bytes]) -> list[bytes]:
        return [event for event in events if b'"finishReason"' not in event]

    def spoken(self, asked: Asked, text: str) -> bytes:
        return self.framed(msgspec.json.encode(self._answer(asked, [{"text": text}], None)))

    def framed(self, data: bytes) -> bytes:
        return b"data: " + data + b"\r\n\r\n"

    def failed(self, error: bytes) -> bytes:
        return self.framed(error)

    def _answer(self, asked: Asked, parts: list[dict[str, Any]], finish: str | None) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        if finish is not None:
            candidate["finishReason"] = finish
        return {"candidates": [candidate], "modelVersion": asked.model, "responseId": "req_" + ID.decode()}

    def _vectors(self, asked: Asked) -> bytes:
        count = int(asked.model.removeprefix("embed-").removesuffix("s"))
        vectors = [{"values": [0.25 * n, 0.5, -1.0]} for n in range(count)]
        if asked.model.endswith("s"):
            return msgspec.json.encode({"embeddings": vectors})
        return msgspec.json.encode({"embedding": vectors[0], "usageMetadata": {"promptTokenCount": 4}})


def _error(message: str, code: int, **more: Any) -> bytes:
    said = {"code": code, "message": message, "status": _STATUSES.get(code, "UNKNOWN"), **more}
    return msgspec.json.encode({"error": said})


def _finish(script: Script) -> str:
    return _FINISHES.get(script.finish_reason or "", "STOP")


def _parts(script: Script, *, whole: bool = True) -> list[dict[str, Any]]:
    if script.tool_calls:
        call = {"id": "call_scripted", "name": "get_weather", "args": {"city": "Zürich"}}
        return [{"functionCall": call, "thoughtSignature": "c2lnbmVk"}]
    texts = pieces(script)
    return [{"text": text} for text in (["".join(texts)] if whole else texts)]


def _usage(script: Script) -> dict[str, Any]:
    """What chat's usage of the script is in Gemini's words."""
    told: Any = usage_of(script)
    if told is None:
        return {}
    thoughts = told.get("completion_tokens_details", {}).get("reasoning_tokens", 0)
    found = {
        "promptTokenCount": told["prompt_tokens"],
        "candidatesTokenCount": told["completion_tokens"] - thoughts,
        "totalTokenCount": told["prompt_tokens"] + told["completion_tokens"],
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": told["prompt_tokens"]}],
    }
    if thoughts:
        found["thoughtsTokenCount"] = thoughts
    cached = told.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    if cached:
        found["cachedContentTokenCount"] = cached
    return {"usageMetadata": found}


@asynccontextmanager
async def gemini(key: str | None = None) -> AsyncGenerator[tuple[Inside, str]]:
    """The server on a free port: what it has seen, and its base URL."""
    upstream = Upstream(dialect=GenerateContent(), key=key)
    server = await serve(upstream)
    try:
        yield Inside(upstream), f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1beta"
    finally:
        server.close()
