"""The operations of upstreams that speak OpenAI's dialect, with the wire of each: the one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.domain.operations import Operation
from gateway.providers.chat import Chat
from gateway.providers.dialects.responses.wire import Responses
from gateway.providers.media import Images, Speech, Transcription
from gateway.providers.messages import CountTokens, Messages
from gateway.providers.plain import Plain, reranked
from gateway.providers.wire import Wire

WIRES: Final[Mapping[Operation, Wire]] = {
    Operation.CHAT: Chat(),
    Operation.RESPONSES: Responses(),
    Operation.COMPLETIONS: Chat(),
    Operation.EMBEDDINGS: Plain(needs="data"),
    Operation.IMAGE_EDITS: Images(),
    Operation.IMAGE_GENERATIONS: Images(),
    Operation.IMAGE_VARIATIONS: Images(),
    Operation.MODERATIONS: Plain(needs="results"),
    Operation.RERANK: Plain(needs="results", usage=reranked),
    Operation.MESSAGES: Messages(),
    Operation.COUNT_TOKENS: CountTokens(),
    Operation.SPEECH: Speech(),
    Operation.TRANSCRIPTIONS: Transcription(),
    Operation.TRANSLATIONS: Transcription(),
}

NOT_OPENAIS: Final = frozenset({Operation.MESSAGES, Operation.COUNT_TOKENS})
"""Operations that some servers have beside OpenAI's: only those that are known to."""
