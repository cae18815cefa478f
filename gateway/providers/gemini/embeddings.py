"""Embeddings over `embedContent` and `batchEmbedContents`. Page: ai.google.dev/api/embeddings.

Beside OpenAI's fields `task_type` and `title` are taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from gateway.domain import errors
from gateway.domain.errors import GatewayError
from gateway.domain.inference import Usage
from gateway.domain.secret import Secret
from gateway.providers.gemini import wire
from gateway.providers.http import Answer, said
from gateway.providers.hub.asked import Asked
from gateway.providers.hub.embeddings import Texts, answer, texts_of
from gateway.providers.ports import Call, Reply


class _Vector(msgspec.Struct):
    values: list[float]


class _Usage(msgspec.Struct, rename="camel"):
    prompt_token_count: int | None = None


class _Answer(msgspec.Struct, rename="camel"):
    embedding: _Vector | None = None
    embeddings: list[_Vector] | None = None
    usage_metadata: _Usage | None = None


_answers = msgspec.json.Decoder(_Answer)


def carried(call: Call) -> tuple[str, bytes, Texts, tuple[str, ...]]:
    """The method, the request's body, what was asked, and what could not be carried over."""
    asked = Asked(call.body)
    wanted = texts_of(asked)
    said_of_all = {
        "model": wire.resource(call.model.upstream_model),
        "taskType": asked.text("task_type"),
        "title": asked.text("title"),
        "outputDimensionality": wanted.dimensions,
    }
    common = {name: value for name, value in said_of_all.items() if value is not None}
    requests = [{**common, "content": {"parts": [{"text": text}]}} for text in wanted.texts]
    dropped = asked.dropped(call)
    if len(requests) == 1:
        return "embedContent", msgspec.json.encode(requests[0]), wanted, dropped
    return "batchEmbedContents", msgspec.json.encode({"requests": requests}), wanted, dropped


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer on its way back to OpenAI's dialect."""

    call: Call
    wanted: Texts
    dropped: tuple[str, ...]
    secret: Secret | None
    request_id: str | None

    def refused(self, answer: Answer, body: bytes) -> GatewayError:
        """The error for an answer that is no success."""
        return wire.refused(answer.status, answer.headers, body, self.secret)

    def reply(self, body: bytes) -> Reply:
        """The vectors, in the order of their texts. Raises UpstreamMalformed, or what an error stands for."""
        try:
            whole = _answers.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise errors.UpstreamMalformed(
                detail=f"{error}: {said(body, self.secret)}", status=200
            ) from error
        vectors = [whole.embedding] if whole.embedding is not None else whole.embeddings
        if not vectors:
            if b'"error"' in body:
                raise wire.complained(body, self.secret, errors.UpstreamUnavailable)
            raise errors.UpstreamMalformed(detail=f"no vectors: {said(body, self.secret)}", status=200)
        if len(vectors) != len(self.wanted.texts):
            raise errors.UpstreamMalformed(
                detail=f"{len(vectors)} vectors for {len(self.wanted.texts)} texts", status=200
            )
        counted = whole.usage_metadata.prompt_token_count if whole.usage_metadata is not None else None
        usage = None if counted is None else Usage(counted)
        values = [vector.values for vector in vectors]
        encoded = answer(values, self.call.model.upstream_model, usage, packed=self.wanted.packed)
        return Reply(encoded, usage, None, self.request_id, dropped=self.dropped)
