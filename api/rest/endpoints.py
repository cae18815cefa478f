"""The inference endpoints there are: path, operation, dialect, description; one line each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from starlette.routing import Route

from api.rest.anthropic import described as anthropics
from api.rest.dialects import Anthropic, Dialect, Media, OpenAI, Responses
from api.rest.inference import Endpoint, Means
from api.rest.openai import described, media
from gateway.domain.operations import Operation

_OPENAI: Final = OpenAI()
_ANTHROPIC: Final = Anthropic()
_MEDIA: Final = Media()


@dataclass(frozen=True, slots=True)
class Entry:
    """One endpoint; `path` is the operation's own unless it has another."""

    operation: Operation
    dialect: Dialect
    openapi: dict[str, Any]
    path: str = ""

    @property
    def at(self) -> str:
        """Its path."""
        return self.path or self.operation.value


ENDPOINTS: Final = (
    Entry(Operation.CHAT, _OPENAI, described.CHAT),
    Entry(Operation.COMPLETIONS, _OPENAI, described.COMPLETIONS),
    Entry(Operation.EMBEDDINGS, _OPENAI, described.EMBEDDINGS),
    Entry(Operation.RERANK, _OPENAI, described.RERANK),
    Entry(Operation.RERANK, _OPENAI, described.RERANK, path="/v2/rerank"),
    Entry(Operation.MODERATIONS, _OPENAI, described.MODERATIONS),
    Entry(Operation.MESSAGES, _ANTHROPIC, anthropics.MESSAGES),
    Entry(Operation.COUNT_TOKENS, _ANTHROPIC, anthropics.COUNT_TOKENS),
    Entry(Operation.RESPONSES, Responses(), described.RESPONSES),
    Entry(Operation.IMAGE_GENERATIONS, _MEDIA, media.GENERATIONS),
    Entry(Operation.IMAGE_EDITS, _MEDIA, media.EDITS),
    Entry(Operation.IMAGE_VARIATIONS, _MEDIA, media.VARIATIONS),
    Entry(Operation.SPEECH, _MEDIA, media.SPEECH),
    Entry(Operation.TRANSCRIPTIONS, _OPENAI, media.TRANSCRIPTIONS),
    Entry(Operation.TRANSLATIONS, _OPENAI, media.TRANSLATIONS),
)


def routes(means: Means) -> Iterator[Route]:
    """The routes of all of them."""
    for entry in ENDPOINTS:
        yield Route(entry.at, Endpoint(entry.operation, entry.dialect, means), methods=["POST"])
