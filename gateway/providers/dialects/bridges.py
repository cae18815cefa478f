"""Which operations are carried over chat for models that do not speak them, one line each; how streams are joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from gateway.domain.operations import Operation
from gateway.providers import chat, completions, media
from gateway.providers.dialects.messages import counting, joined
from gateway.providers.dialects.messages.carried import MessagesOverChat
from gateway.providers.dialects.ports import Answers, Bridge
from gateway.providers.dialects.responses import wire as responses
from gateway.providers.dialects.responses.bridge import carry_response
from gateway.providers.dialects.responses.native import native_response

BRIDGES: Final[Mapping[Operation, Bridge]] = {
    Operation.RESPONSES: carry_response,
    Operation.MESSAGES: MessagesOverChat,
}

HERE: Final[Mapping[Operation, Answers]] = {
    Operation.COUNT_TOKENS: counting.estimate,
}
"""What is answered here, for models whose provider does not: no upstream is asked."""

NATIVE: Final[Mapping[Operation, Bridge]] = {
    Operation.RESPONSES: native_response,
}
"""What has to be changed of an operation even for a model that speaks it: ids, above all, which are the gateway's."""

Assembles = Callable[[Sequence[bytes]], bytes]

_ASSEMBLERS: Final[Mapping[Operation, Assembles]] = {
    Operation.CHAT: chat.assemble,
    Operation.RESPONSES: responses.assemble,
    Operation.COMPLETIONS: completions.assemble,
    Operation.MESSAGES: joined.assemble,
    Operation.IMAGE_EDITS: media.assemble,
    Operation.IMAGE_GENERATIONS: media.assemble,
    Operation.SPEECH: media.assemble,
    Operation.TRANSCRIPTIONS: media.assemble,
}


def assemble(operation: Operation, events: Sequence[bytes]) -> bytes:
    """Join the events of a stream into the one answer they stand for, for the log."""
    assembler = _ASSEMBLERS.get(operation, _listed)
    return assembler(events)


def _listed(events: Sequence[bytes]) -> bytes:
    """All events, where nobody knows better; what is not JSON is left out."""
    found: list[msgspec.Raw] = []
    for data in events:
        try:
            msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        found.append(msgspec.Raw(data))
    return msgspec.json.encode({"events": found})
