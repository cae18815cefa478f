"""Embeddings over InvokeModel, in the shape of each family, one row each.

Pages: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html,
…/model-parameters-embed.html (Cohere), …/model-parameters-embed-v4.html.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway.domain import errors
from gateway.domain.errors import GatewayError, NotCarried
from gateway.domain.inference import Usage
from gateway.domain.secret import Secret
from gateway.providers.bedrock import wire
from gateway.providers.bedrock.signing import masked
from gateway.providers.http import Answer, said
from gateway.providers.hub.asked import Asked
from gateway.providers.hub.embeddings import Texts, answer, texts_of
from gateway.providers.ports import Call, Reply

Vectors = list[list[float]]


def _titan(texts: Sequence[str], dimensions: int | None, asked: Asked) -> dict[str, Any]:
    found: dict[str, Any] = {"inputText": texts[0]}
    if dimensions is not None:
        found["dimensions"] = dimensions
    normalize = asked.flag("normalize")
    return found if normalize is None else found | {"normalize": normalize}


def _titan_image(texts: Sequence[str], dimensions: int | None, asked: Asked) -> dict[str, Any]:
    del asked
    found: dict[str, Any] = {"inputText": texts[0]}
    return found if dimensions is None else found | {"embeddingConfig": {"outputEmbeddingLength": dimensions}}


def _cohere(texts: Sequence[str], dimensions: int | None, asked: Asked) -> dict[str, Any]:
    found: dict[str, Any] = {
        "texts": texts,
        "input_type": asked.text("input_type") or "search_document",
        "embedding_types": ["float"],
    }
    truncate = asked.text("truncate")
    if truncate is not None:
        found["truncate"] = truncate
    return found if dimensions is None else found | {"output_dimension": dimensions}


@dataclass(frozen=True, slots=True)
class Family:
    """How a family of models is asked: by what its id is known, what is sent, and how many texts it takes at once."""

    known_by: str
    sent: Callable[[Sequence[str], int | None, Asked], dict[str, Any]]
    at_once: int


FAMILIES: Final = (
    Family("titan-embed-image", _titan_image, 1),
    Family("titan-embed", _titan, 1),
    Family("cohere.embed", _cohere, 96),
)


@dataclass(frozen=True, slots=True)
class Carried:
    """What is sent, in as many calls as the model needs; what was asked; what could not be carried over."""

    bodies: tuple[bytes, ...]
    wanted: Texts
    dropped: tuple[str, ...]


def carried(call: Call) -> Carried:
    """The bodies of the calls. Raises NotCarried for a model of no family that is known here."""
    model = call.model.upstream_model
    family = next((each for each in FAMILIES if each.known_by in model), None)
    if family is None:
        raise NotCarried(
            "How this model of the provider's is asked for embeddings is not known.", param="model"
        )
    asked = Asked(call.body)
    wanted = texts_of(asked)
    parts = [wanted.texts[n : n + family.at_once] for n in range(0, len(wanted.texts), family.at_once)]
    bodies = [msgspec.json.encode(family.sent(part, wanted.dimensions, asked)) for part in parts]
    return Carried(tuple(bodies), wanted, asked.dropped(call))


class _Answer(msgspec.Struct):
    embedding: list[float] | None = None
    embeddings: Vectors | dict[str, msgspec.Raw] | None = None
    count: int | None = msgspec.field(default=None, name="inputTextTokenCount")


_answers = msgspec.json.Decoder(_Answer)


@dataclass(slots=True)
class Answered:
    """One answer of a model on its way back; several are joined by `joined`."""

    secret: Secret | None
    headers: Mapping[str, str]
    vectors: Vectors
    count: int | None = None

    def refused(self, answer: Answer, body: bytes) -> GatewayError:
        """The error for an answer that is no success."""
        return wire.refused(answer.status, answer.headers, body, self.secret)

    def reply(self, body: bytes) -> Reply:
        """The vectors in an answer. Raises UpstreamMalformed where there are none."""
        try:
            whole = _answers.decode(body)
            found = _vectors(whole)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._malformed(str(error), body) from error
        if not found:
            raise self._malformed("no vectors", body)
        self.vectors = found
        told = self.headers.get(wire.INPUT_TOKENS, "")
        self.count = int(told) if whole.count is None and told.isdigit() else whole.count
        return Reply(b"")

    def _malformed(self, why: str, body: bytes) -> GatewayError:
        return errors.UpstreamMalformed(detail=f"{why}: {said(masked(body, self.secret), None)}", status=200)


def _vectors(whole: _Answer) -> Vectors:
    if whole.embedding is not None:
        return [whole.embedding]
    if isinstance(whole.embeddings, dict):
        raw = whole.embeddings.get("float", msgspec.Raw(b"[]"))
        return msgspec.json.decode(raw, type=list[list[float]])
    return whole.embeddings or []


def joined(call: Call, sent: Carried, answers: Sequence[Answered], request_id: str | None) -> Reply:
    """All answers as one, in the order of their texts. Raises UpstreamMalformed where their number is not that."""
    vectors = [vector for each in answers for vector in each.vectors]
    if len(vectors) != len(sent.wanted.texts):
        raise errors.UpstreamMalformed(
            detail=f"{len(vectors)} vectors for {len(sent.wanted.texts)} texts", status=200
        )
    counts = [each.count for each in answers]
    usage = None if None in counts else Usage(sum(count or 0 for count in counts))
    body = answer(vectors, call.model.upstream_model, usage, packed=sent.wanted.packed)
    return Reply(body, usage, None, request_id, dropped=sent.dropped)
