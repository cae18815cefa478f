"""What the gateway reads of each operation's body: one file each, and the table of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from api.service.ask import Ask, Form, Hints, Incoming, ask_of
from api.service.forms import (
    audio,
    chat,
    completions,
    embeddings,
    images,
    messages,
    moderations,
    rerank,
    responses,
)
from gateway import files
from gateway.domain.operations import Operation

FORMS: Final[Mapping[Operation, Form]] = {
    Operation.CHAT: chat.read,
    Operation.COMPLETIONS: completions.read,
    Operation.MESSAGES: messages.read,
    Operation.COUNT_TOKENS: messages.read_count,
    Operation.RESPONSES: responses.read,
    Operation.EMBEDDINGS: embeddings.read,
    Operation.IMAGE_EDITS: images.edit,
    Operation.IMAGE_GENERATIONS: images.generation,
    Operation.IMAGE_VARIATIONS: images.variation,
    Operation.MODERATIONS: moderations.read,
    Operation.RERANK: rerank.read,
    Operation.SPEECH: audio.speech,
    Operation.TRANSCRIPTIONS: audio.transcription,
    Operation.TRANSLATIONS: audio.transcription,
}


def read(operation: Operation, raw: bytes | Incoming, hints: Hints, *, door: str) -> Ask:
    """Read a request. Raises InvalidJson, or InvalidRequest naming the field and what it should be."""
    incoming = Incoming(raw) if isinstance(raw, bytes) else raw
    if operation.takes_files and not incoming.files:
        incoming = _with_files(incoming.raw)
    return ask_of(operation, FORMS[operation], incoming, hints, door=door)


def _with_files(raw: bytes) -> Incoming:
    """The same with the files beside it that stand in it; what is wrong with it otherwise is for its form to say."""
    try:
        body, attached = files.taken(msgspec.json.decode(raw, type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Incoming(raw)
    return Incoming(msgspec.json.encode(body), attached) if attached else Incoming(raw)


def read_chat(raw: bytes, hints: Hints, *, door: str) -> Ask:
    """Read a chat request."""
    return read(Operation.CHAT, raw, hints, door=door)
