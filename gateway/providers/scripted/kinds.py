"""What a scripted model answers beside chat: the same each time, made of nothing but what was asked.

Embeddings are by hash, so that equal texts are equal vectors; documents are ranked by the words that they share with
the query; a text is harmful that has the word `harm` in it; pictures and sounds are the smallest that are valid.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from math import sqrt
from typing import Any, Final

import msgspec
from typing_extensions import override

from gateway.providers.scripted.dialect import ID, JSON, Asked, ChatCompletions, Unreadable, pieces
from gateway.providers.scripted.media import (
    CREATED,
    Fields,
    Spoken,
    Upload,
    form_of,
    images,
    speech,
    transcription,
    used,
)
from gateway.providers.scripted.script import Script

DIMENSIONS: Final = 8


def known(url: bytes) -> bool:
    """Whether something is answered at this target."""
    return _path(url) in _ANSWERS


def _path(url: bytes) -> str:
    return url.partition(b"?")[0].decode("latin-1").partition("/v1/")[2]


class OfKind(ChatCompletions):
    """One call of another kind than chat: its answer is found when the script is known."""

    def __init__(self, url: bytes) -> None:
        """Nothing has been read yet."""
        self._answer = _ANSWERS[_path(url)]
        self._fields: Fields = {}
        self._spoken: Spoken | None = None

    @override
    def read(self, url: bytes, headers: Mapping[bytes, bytes], body: bytes) -> tuple[Asked, Script | None]:
        kind = headers.get(b"content-type", b"")
        if kind.startswith(b"multipart/form-data"):
            self._fields = form_of(kind, body)
            body = msgspec.json.encode({n: v for n, v in self._fields.items() if not isinstance(v, Upload)})
        asked, own = super().read(url, headers, body)
        self._fields = self._fields or msgspec.json.decode(body, type=dict[str, Any])
        # Speech is a stream whether it is asked for or not.
        return replace(asked, stream=asked.stream or self._answer is speech), own

    @property
    def kind(self) -> bytes:
        """What a whole answer is."""
        return JSON if self._spoken is None else self._spoken.kind

    @property
    @override
    def event_stream(self) -> bytes:
        return super().event_stream if self._spoken is None or self._spoken.framed else self._spoken.kind

    @property
    @override
    def done(self) -> tuple[bytes, ...]:
        return super().done if self._spoken is None else self._spoken.end

    def answer(self, script: Script) -> Spoken:
        """The answer. Raises Unreadable."""
        if self._spoken is None:
            try:
                self._spoken = self._answer(self._fields, script)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise Unreadable(f"Could not read the request: {error!r}") from error
        return self._spoken

    @override
    def whole(self, script: Script, asked: Asked) -> bytes:
        return self.answer(script).body

    @override
    def events(self, script: Script, asked: Asked) -> list[bytes]:
        return list(self.answer(script).events)

    @override
    def unfinished(self, events: list[bytes]) -> list[bytes]:
        return super().unfinished(events) or events[:-1]


def _tokens(text: str) -> int:
    return len(re.findall(r"\w+|[^\w\s]", text))


# ---- embeddings --------------------------------------------------------------------------------------------------
def _inputs(value: Any) -> list[Any]:
    """A text, texts, tokens, or rows of tokens, as a list of texts and rows."""
    if not isinstance(value, list):
        return [value]
    return [value] if value and all(isinstance(item, int) for item in value) else value


def vector(text: object, dimensions: int) -> list[float]:
    """A vector of length 1 by the text's hash."""
    words: list[float] = []
    for block in range(-(-dimensions // 8)):
        digest = sha256(f"{block}:{text}".encode()).digest()
        words.extend(number / 2**31 for number in struct.unpack("<8i", digest))
    length = sqrt(sum(word * word for word in words[:dimensions])) or 1.0
    return [round(word / length, 6) for word in words[:dimensions]]


def _embeddings(asked: Fields, script: Script) -> Spoken:
    inputs = _inputs(asked.get("input", ""))
    vectors = [vector(text, asked.get("dimensions") or DIMENSIONS) for text in inputs]
    packed = asked.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": i,
            "embedding": base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() if packed else v,
        }
        for i, v in enumerate(vectors)
    ]
    count = sum(len(text) if isinstance(text, list) else _tokens(str(text)) for text in inputs)
    usage = used(script, {"prompt_tokens": count, "total_tokens": count})
    return _json({"object": "list", "data": data, "model": asked.get("model"), **usage})


# ---- completions -------------------------------------------------------------------------------------------------
def _completions(asked: Fields, script: Script) -> Spoken:
    prompts = _inputs(asked.get("prompt", ""))
    texts = [
        (str(prompt) if asked.get("echo") else "", prompt)
        for prompt in prompts
        for _ in range(asked.get("n") or 1)
    ]
    words = pieces(script)[: asked.get("max_tokens") or None]
    tail = [str(asked["suffix"])] if asked.get("suffix") else []
    output = (len(words) + len(tail)) * len(texts)
    count = sum(len(prompt) if isinstance(prompt, list) else _tokens(str(prompt)) for prompt in prompts)
    usage = used(
        script, {"prompt_tokens": count, "completion_tokens": output, "total_tokens": count + output}
    )
    finish = script.finish_reason or "stop"
    base = {
        "id": "cmpl-" + ID.decode(),
        "object": "text_completion",
        "created": CREATED,
        "model": asked.get("model"),
        "system_fingerprint": "fp_scripted",
    }

    def choice(index: int, parts: Sequence[str], finished: str | None) -> dict[str, object]:
        logprobs = _logprobs(parts, asked["logprobs"]) if asked.get("logprobs") else None
        return {"index": index, "text": "".join(parts), "logprobs": logprobs, "finish_reason": finished}

    def event(**fields: object) -> bytes:
        return b"data: " + msgspec.json.encode({**base, **fields}) + b"\n\n"

    said = [[*([echo] if echo else []), *words, *tail] for echo, _ in texts]
    events = [event(choices=[choice(i, [part], None)]) for i, parts in enumerate(said) for part in parts]
    events += [event(choices=[choice(i, [], finish)]) for i in range(len(said))]
    if usage and (asked.get("stream_options") or {}).get("include_usage"):
        events.append(event(choices=[], **usage))
    whole = {**base, "choices": [choice(i, parts, finish) for i, parts in enumerate(said)], **usage}
    return Spoken(msgspec.json.encode(whole), tuple(events))


def _logprobs(parts: Sequence[str], top: int) -> dict[str, object]:
    offsets = [sum(map(len, parts[:i])) for i in range(len(parts))]
    likeliest = [{part: -0.5} if top else {} for part in parts]
    return {
        "tokens": list(parts),
        "token_logprobs": [-0.5] * len(parts),
        "top_logprobs": likeliest,
        "text_offset": offsets,
    }


# ---- rerank and moderations --------------------------------------------------------------------------------------
def _words_of(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def _rerank(asked: Fields, script: Script) -> Spoken:
    query = _words_of(str(asked.get("query", "")))
    texts = [
        str(each.get("text", "")) if isinstance(each, dict) else str(each) for each in asked["documents"]
    ]
    scores = [round(len(query & _words_of(text)) / (len(query | _words_of(text)) or 1), 6) for text in texts]
    order = sorted(range(len(texts)), key=lambda i: (-scores[i], i))[: asked.get("top_n") or None]
    results = [
        {
            "index": i,
            "relevance_score": scores[i],
            **({"document": {"text": texts[i]}} if asked.get("return_documents") else {}),
        }
        for i in order
    ]
    count = _tokens(str(asked.get("query", ""))) + sum(map(_tokens, texts))
    usage = used(script, {"prompt_tokens": count, "total_tokens": count})
    meta = {"billed_units": {"search_units": 1}}
    return _json(
        {
            "id": "rerank-" + ID.decode(),
            "model": asked.get("model"),
            "results": results,
            "meta": meta,
            **usage,
        }
    )


def _moderations(asked: Fields, script: Script) -> Spoken:
    del script
    given = asked.get("input", "")
    parts = given if isinstance(given, list) else [given]
    if any(isinstance(part, dict) for part in parts):
        parts = [" ".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))]
    results = [
        {
            "flagged": harmful,
            "categories": {"violence": harmful, "harassment": False},
            "category_scores": {"violence": 0.9 if harmful else 0.01, "harassment": 0.01},
        }
        for harmful in ("harm" in _words_of(str(part)) for part in parts)
    ]
    return _json({"id": "modr-" + ID.decode(), "model": asked.get("model"), "results": results})


def _json(value: object) -> Spoken:
    return Spoken(msgspec.json.encode(value))


_ANSWERS: Final[Mapping[str, Callable[[Fields, Script], Spoken]]] = {
    "audio/speech": speech,
    "audio/transcriptions": transcription,
    "audio/translations": transcription,
    "images/edits": images,
    "images/generations": images,
    "images/variations": images,
    "completions": _completions,
    "embeddings": _embeddings,
    "moderations": _moderations,
    "rerank": _rerank,
}
