"""What can be asked at the inference doors: each operation by its endpoint, with the kind of model that serves it."""

from __future__ import annotations

from enum import StrEnum

from gateway.domain.inference import Kind


class Operation(StrEnum):
    """An operation and its dialect in one: the path at which SDKs ask for it."""

    CHAT = "/v1/chat/completions"
    RESPONSES = "/v1/responses"
    MESSAGES = "/v1/messages"
    COUNT_TOKENS = "/v1/messages/count_tokens"
    COMPLETIONS = "/v1/completions"
    EMBEDDINGS = "/v1/embeddings"
    RERANK = "/v1/rerank"
    MODERATIONS = "/v1/moderations"
    IMAGE_GENERATIONS = "/v1/images/generations"
    IMAGE_EDITS = "/v1/images/edits"
    IMAGE_VARIATIONS = "/v1/images/variations"
    SPEECH = "/v1/audio/speech"
    TRANSCRIPTIONS = "/v1/audio/transcriptions"
    TRANSLATIONS = "/v1/audio/translations"

    @property
    def kind(self) -> Kind:
        """The kind of model that is asked."""
        return _KINDS[self]

    @property
    def path(self) -> str:
        """Where an upstream of the same dialect has it, below its `/v1`: `chat/completions`."""
        return self.value.removeprefix("/v1/")

    @property
    def takes_files(self) -> bool:
        """Whether files may come with it, in a form."""
        return self in _WITH_FILES


_WITH_FILES = frozenset(
    {Operation.IMAGE_EDITS, Operation.IMAGE_VARIATIONS, Operation.TRANSCRIPTIONS, Operation.TRANSLATIONS}
)
_KINDS = {
    Operation.CHAT: Kind.CHAT,
    Operation.RESPONSES: Kind.CHAT,
    Operation.MESSAGES: Kind.CHAT,
    Operation.COUNT_TOKENS: Kind.CHAT,
    Operation.COMPLETIONS: Kind.COMPLETION,
    Operation.EMBEDDINGS: Kind.EMBEDDING,
    Operation.RERANK: Kind.RERANK,
    Operation.MODERATIONS: Kind.MODERATION,
    Operation.IMAGE_GENERATIONS: Kind.IMAGE,
    Operation.IMAGE_EDITS: Kind.IMAGE,
    Operation.IMAGE_VARIATIONS: Kind.IMAGE,
    Operation.SPEECH: Kind.SPEECH,
    Operation.TRANSCRIPTIONS: Kind.TRANSCRIPTION,
    Operation.TRANSLATIONS: Kind.TRANSCRIPTION,
}
