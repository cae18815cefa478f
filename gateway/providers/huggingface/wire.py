"""Hugging Face's tasks, asked for in OpenAI's dialect: a wire for each, made for one call.

What a task has no word for is `dropped`. A task tells no usage: it is estimated. The tasks' pages are below
https://huggingface.co/docs/inference-providers/tasks, but for sentence-similarity (huggingface_hub's InferenceClient)
and TEI (https://huggingface.github.io/text-embeddings-inference/).

| operation | task |
|---|---|
| embeddings | feature-extraction |
| rerank | text-classification of pairs, sentence-similarity, or TEI's `/rerank` |
| image generations | text-to-image |
| transcriptions | automatic-speech-recognition |
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from struct import pack
from typing import Any, Final, cast

import msgspec
from typing_extensions import override

from gateway import tokens
from gateway.domain import errors
from gateway.domain.errors import ContextTooLong, GatewayError
from gateway.domain.inference import Usage
from gateway.domain.operations import Operation
from gateway.providers.http import Complaint, said
from gateway.providers.ports import Call, Event, Reply
from gateway.providers.wire import Outgoing, Reading, complained

_SIZE: Final = re.compile(r"(\d{1,5})x(\d{1,5})")
# The one place where an error is told by its words: the servers give no code for a prompt that is too long.
_TOO_LONG: Final = (
    "must have less than",  # TEI, TGI
    "is longer than the specified maximum sequence length",  # pipelines
    "maximum context length",
)


def judge(complaint: Complaint) -> type[GatewayError] | None:
    """What a complaint stands for."""
    message = complaint.message.lower()
    return ContextTooLong if any(words in message for words in _TOO_LONG) else None


class Task(ABC):
    """One call of a task. `dropped` are the fields of the request that the task has no word for."""

    accept = "application/json"

    def __init__(self, call: Call, known: Sequence[str]) -> None:
        """Raises InvalidRequest for a value that the task cannot take, NotCarried if a strict one loses a field."""
        self.body: Mapping[str, Any] = {name: _value(raw) for name, raw in call.body.items()}
        usual = {"model", "user", *known}
        self.dropped = tuple(
            name for name, value in self.body.items() if name not in usual and value is not None
        )
        self.lose(*self.losses())
        if call.strict and self.dropped:
            raise errors.NotCarried(param=self.dropped[0])

    @property
    def binary(self) -> bool:
        """Nothing is streamed."""
        return False

    def losses(self) -> Sequence[str]:
        """Fields whose value, of all that they could have, the task has no word for."""
        return ()

    def lose(self, *names: str) -> None:
        """Count some fields among those that are dropped."""
        self.dropped = (*self.dropped, *names)

    @abstractmethod
    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        """The task's own request."""

    @abstractmethod
    def read(self, body: bytes, media_type: str) -> Any:
        """The answer in the caller's dialect. Raises what a wrong shape raises in Python."""

    def reply(self, body: bytes, reading: Reading, request_id: str | None, media_type: str) -> Reply:
        """A whole answer. Raises UpstreamMalformed, or what an error object in a successful answer stands for."""
        if body.lstrip().startswith(b'{"error"'):
            try:
                raise complained(body, reading, errors.UpstreamUnavailable)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise errors.UpstreamMalformed(detail=said(body, reading.secret), status=200) from error
        try:
            answer = msgspec.json.encode(self.read(body, media_type))
        except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError) as error:
            detail = f"{type(error).__name__}: {error}: {said(body, reading.secret)}"
            raise errors.UpstreamMalformed(detail=detail, status=200) from error
        return Reply(answer, None, None, request_id, dropped=self.dropped)

    def event(self, name: bytes, data: bytes, reading: Reading, request_id: str | None) -> Event:
        """Raises UpstreamMalformed: nothing was to be streamed."""
        del name, reading, request_id
        raise errors.UpstreamMalformed(detail=f"a stream where none was asked for: {data[:80]!r}", status=200)


class Embeddings(Task):
    """Feature extraction: a vector for each text."""

    def __init__(self, call: Call) -> None:
        """Raises InvalidRequest for tokens in place of texts: only the model's own server knows its tokens."""
        super().__init__(call, ("input", "encoding_format"))
        given = self.body.get("input")
        self.texts = [given] if isinstance(given, str) else cast("list[Any]", given)
        if not isinstance(self.texts, list) or not all(isinstance(text, str) for text in self.texts):
            raise errors.InvalidRequest(
                "`input` must be text or a list of texts for this model.", param="input"
            )

    @override
    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        return _json({"inputs": self.texts})

    @override
    def read(self, body: bytes, media_type: str) -> Any:
        vectors: list[Any] = msgspec.json.decode(body)
        if len(vectors) != len(self.texts):
            raise ValueError(f"{len(vectors)} vectors for {len(self.texts)} texts")
        packed = self.body.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _base64(each) if packed else each}
            for index, each in enumerate(map(_vector, vectors))
        ]
        count = sum(tokens.count(text) for text in self.texts)
        usage = {"prompt_tokens": count, "total_tokens": count}
        return {"object": "list", "data": data, "model": self.body.get("model"), "usage": usage}


class Reranked(Task):
    """Documents put in order, by whichever task the model has; `texts` are the documents."""

    def __init__(self, call: Call) -> None:
        """Raises InvalidRequest for documents without text."""
        super().__init__(call, ("query", "documents", "top_n", "return_documents"))
        self.documents: list[Any] = self.body.get("documents") or []
        self.texts = [_text(each, f"documents[{i}]") for i, each in enumerate(self.documents)]

    def scores(self, answer: Any) -> Sequence[tuple[int, float]]:
        """The documents by their numbers, with their scores: here, of pairs that were classified."""
        if len(answer) == 1 and len(self.texts) > 1 and isinstance(answer[0], list):
            answer = answer[0]
        return [(index, _likelihood(each)) for index, each in enumerate(answer)]

    @override
    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        query = self.body.get("query")
        return _json({"inputs": [{"text": query, "text_pair": text} for text in self.texts]})

    @override
    def read(self, body: bytes, media_type: str) -> Any:
        scored = sorted(self.scores(msgspec.json.decode(body)), key=lambda each: -each[1])
        if sorted(index for index, _ in scored) != list(range(len(self.texts))):
            raise ValueError(f"{len(scored)} scores for {len(self.texts)} documents")
        top = self.body.get("top_n")
        shown = self.body.get("return_documents") is True
        results = [
            {"index": index, "relevance_score": score}
            | ({"document": {"text": self.texts[index]}} if shown else {})
            for index, score in scored[: top if isinstance(top, int) else None]
        ]
        return {"object": "list", "results": results, "model": self.body.get("model")}


class Compared(Reranked):
    """The same by the similarity of sentences."""

    @override
    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        return _json({"inputs": {"source_sentence": self.body.get("query"), "sentences": self.texts}})

    @override
    def scores(self, answer: Any) -> Sequence[tuple[int, float]]:
        return [(index, float(score)) for index, score in enumerate(answer)]


class Scored(Reranked):
    """The same by TEI's own reranking."""

    @override
    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        return _json({"query": self.body.get("query"), "texts": self.texts})

    @override
    def scores(self, answer: Any) -> Sequence[tuple[int, float]]:
        return [(each["index"], float(each["score"])) for each in answer]


class Images(Task):
    """Text to image: one image, as bytes."""

    accept = "image/png"

    def __init__(self, call: Call) -> None:
        """Size goes along; the rest of OpenAI's fields have no word here."""
        super().__init__(call, ("prompt", "n", "size", "response_format"))
        if not isinstance(self.body.get("prompt"), str):
            raise errors.InvalidRequest("`prompt` must be text.", param="prompt")

    @override
    def losses(self) -> Sequence[str]:
        body, lost = self.body, list[str]()
        if body.get("n") not in (None, 1):
            lost.append("n")
        if body.get("size") not in (None, "auto") and not _SIZE.fullmatch(str(body["size"])):
            lost.append("size")
        if body.get("response_format") not in (None, "b64_json"):
            lost.append("response_format")
        return lost

    @override
    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        size = _SIZE.fullmatch(str(self.body.get("size")))
        asked: dict[str, Any] = {"inputs": self.body["prompt"]}
        if size is not None:
            asked["parameters"] = {"width": int(size[1]), "height": int(size[2])}
        return _json(asked)

    @override
    def read(self, body: bytes, media_type: str) -> Any:
        if not media_type.startswith("image/") or not body:
            raise ValueError(f"{media_type or 'nothing'} where an image was asked for")
        return {"created": int(time.time()), "data": [{"b64_json": b64encode(body).decode()}]}

    @override
    def reply(self, body: bytes, reading: Reading, request_id: str | None, media_type: str) -> Reply:
        return replace(super().reply(body, reading, request_id, media_type), usage=Usage(images=1))


class Transcriptions(Task):
    """Automatic speech recognition: sound as bytes in, text out."""

    def __init__(self, call: Call) -> None:
        """Raises InvalidRequest without a file."""
        super().__init__(call, ("response_format", "stream"))
        if not call.files:
            raise errors.InvalidRequest("`file` is missing.", param="file")

    @override
    def losses(self) -> Sequence[str]:
        return ("response_format",) if self.body.get("response_format") not in (None, "json", "text") else ()

    @override
    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        file = call.files[0]
        return Outgoing(file.data, file.media_type or "application/octet-stream")

    @override
    def read(self, body: bytes, media_type: str) -> Any:
        text = msgspec.json.decode(body)["text"]
        if not isinstance(text, str):
            raise TypeError("the text is none")
        return {"text": text}

    @override
    def reply(self, body: bytes, reading: Reading, request_id: str | None, media_type: str) -> Reply:
        reply = super().reply(body, reading, request_id, media_type)
        # What was heard is estimated by the recording, what was said by its text.
        reply = replace(reply, text=msgspec.json.decode(reply.body)["text"])
        if self.body.get("response_format") != "text":
            return reply
        return replace(reply, body=reply.text.encode(), media_type="text/plain; charset=utf-8")


def task_of(call: Call, *, scores: bool, compares: bool) -> Task:
    """The task of a call. Raises InvalidRequest, and NotCarried for a strict call that would lose a field."""
    match call.operation:
        case Operation.EMBEDDINGS:
            return Embeddings(call)
        case Operation.RERANK if scores:
            return Scored(call)
        case Operation.RERANK if compares:
            return Compared(call)
        case Operation.RERANK:
            return Reranked(call)
        case Operation.IMAGE_GENERATIONS:
            return Images(call)
        case Operation.TRANSCRIPTIONS:
            return Transcriptions(call)
        case _:
            raise errors.UpstreamNotFound(detail=f"there is no task for {call.operation}")


# ---- values ------------------------------------------------------------------------------------------------------
def _json(value: object) -> Outgoing:
    return Outgoing(msgspec.json.encode(value))


def _value(raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.InvalidRequest("The request has a value that is no JSON.") from error


def _text(document: Any, where: str) -> str:
    text: Any = cast("dict[str, Any]", document).get("text") if isinstance(document, dict) else document
    if not isinstance(text, str):
        raise errors.InvalidRequest(f"`{where}` must be text, or an object with `text`.", param=where)
    return text


def _vector(value: Any) -> list[float]:
    """A vector; where a model gives one for each token, their mean, as sentence transformers take it."""
    if value and isinstance(value[0], list):
        rows = cast("list[list[float]]", value[0] if isinstance(value[0][0], list) else value)
        return [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return [float(each) for each in value]


def _base64(vector: Sequence[float]) -> str:
    return b64encode(pack(f"<{len(vector)}f", *vector)).decode()


def _likelihood(labels: Any) -> float:
    """The score of a pair: the only label's, or that of the last one, which is the one for yes."""
    if isinstance(labels, dict):
        return float(cast("dict[str, Any]", labels)["score"])
    return float(max(cast("list[dict[str, Any]]", labels), key=lambda each: str(each["label"]))["score"])
