"""What the gateway reads of each operation's body: one file each, and the table of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from api.service.ask import Ask, Form, Hints, Incoming, ask_of
from api.service.forms import chat, completions, embeddings, messages, moderations, rerank, responses
from gateway.domain.operations import Operation

FORMS: Final[Mapping[Operation, Form]] = {
    Operation.CHAT: chat.read,
    Operation.COMPLETIONS: completions.read,
    Operation.MESSAGES: messages.read,
    Operation.COUNT_TOKENS: messages.read_count,
    Operation.RESPONSES: responses.read,
    Operation.EMBEDDINGS: embeddings.read,
    Operation.MODERATIONS: moderations.read,
    Operation.RERANK: rerank.read,
}


def read(operation: Operation, raw: bytes | Incoming, hints: Hints, *, door: str) -> Ask:
    """Read a request. Raises InvalidJson, or InvalidRequest naming the field and what it should be."""
    incoming = Incoming(raw) if isinstance(raw, bytes) else raw
    return ask_of(operation, FORMS[operation], incoming, hints, door=door)


def read_chat(raw: bytes, hints: Hints, *, door: str) -> Ask:
    """Read a chat request."""
    return read(Operation.CHAT, raw, hints, door=door)
