"""Anthropic's own messages to its models on Bedrock, over InvokeModel: what is said passes through.

Page: docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.domain import errors
from gateway.domain.errors import GatewayError
from gateway.providers.bedrock import wire
from gateway.providers.bedrock.frames import EXCEPTION
from gateway.providers.http import Answer
from gateway.providers.messages import Messages
from gateway.providers.ports import Call, Event, Reply
from gateway.providers.wire import Reading

VERSION: Final = "bedrock-2023-05-31"
_BETA: Final = "anthropic-beta"
_NOT_SENT: Final = frozenset({"model", "stream"})  # the address says both
_WIRE: Final = Messages()


class _Chunk(msgspec.Struct):
    bytes: str = ""


_chunks = msgspec.json.Decoder(_Chunk)


def outgoing(call: Call) -> bytes:
    """The caller's body as InvokeModel takes it; the beta features that Anthropic takes in a header stand in it."""
    sent: dict[str, object] = {name: value for name, value in call.body.items() if name not in _NOT_SENT}
    sent.setdefault("anthropic_version", VERSION)
    betas = [each.strip() for each in call.dialect_headers.get(_BETA, "").split(",") if each.strip()]
    if betas:
        sent.setdefault("anthropic_beta", betas)
    return msgspec.json.encode(sent)


@dataclass(slots=True)
class Passed:
    """One answer on its way back, event by event out of what carries them."""

    reading: Reading
    request_id: str | None
    _finished: bool = False
    _stopped: bool = False

    @property
    def done(self) -> bool:
        """Whether the message has stopped."""
        return self._stopped

    def refused(self, answer: Answer, body: bytes) -> GatewayError:
        """The error for an answer that is no success."""
        return wire.refused(answer.status, answer.headers, body, self.reading.secret)

    def reply(self, body: bytes) -> Reply:
        """A whole answer, as it came."""
        return _WIRE.reply(body, self.reading, self.request_id)

    def feed(self, name: bytes, data: bytes) -> Sequence[Event]:
        """The event that a chunk carries. Raises UpstreamBroken for an exception."""
        if name.startswith(EXCEPTION):
            raise wire.broken(name[1:], data, self.reading.secret)
        if name != b"chunk":
            return ()
        try:
            inner = base64.b64decode(_chunks.decode(data).bytes, validate=True)
        except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error) as error:
            raise errors.UpstreamMalformed(detail=f"a chunk that is none: {error}", status=200) from error
        event = _WIRE.event(b"", inner, self.reading, self.request_id)
        self._finished = self._finished or event.finish_reason is not None
        self._stopped = self._stopped or event.name == "message_stop"
        return (event,)

    def end(self) -> Sequence[Event]:
        """Nothing more. Raises UpstreamBroken where the message has not stopped."""
        if not self._finished:
            raise errors.UpstreamBroken(detail="the stream ended without a stop reason", status=200)
        return ()
