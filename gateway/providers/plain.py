"""Operations whose answer is one JSON object with its usage in it: nothing is streamed, nothing has to be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.domain import errors
from gateway.providers.http import said
from gateway.providers.ports import Body, Call, Event, Reply
from gateway.providers.usage import Told, read_told, usage_of
from gateway.providers.wire import Outgoing, Reading, complained

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NULL: Final = msgspec.Raw(b"null")


@dataclass(frozen=True, slots=True)
class Plain:
    """A wire whose answers must have the field `needs`."""

    needs: str

    @property
    def binary(self) -> bool:
        """Nothing is streamed."""
        return False

    def outgoing(self, call: Call, *, stream: bool) -> Outgoing:
        """The caller's body with another `model`."""
        del stream
        return Outgoing(msgspec.json.encode({**call.body, "model": call.model.upstream_model}))

    def reply(self, body: bytes, reading: Reading, request_id: str | None, media_type: str) -> Reply:
        """A whole answer. Raises UpstreamMalformed, or what an error object in a successful answer stands for."""
        del media_type
        try:
            str(body, "utf-8")
            fields = _fields.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise errors.UpstreamMalformed(
                detail=f"{error}: {said(body, reading.secret)}", status=200
            ) from error
        if self.needs not in fields:
            if bytes(fields.get("error", _NULL)) != b"null":
                raise complained(body, reading, errors.UpstreamUnavailable)
            raise errors.UpstreamMalformed(
                detail=f"an answer without `{self.needs}`: {said(body, reading.secret)}", status=200
            )
        return Reply(body, usage_of(_told(fields)), None, request_id)

    def event(self, name: bytes, data: bytes, reading: Reading, request_id: str | None) -> Event:
        """Raises UpstreamMalformed: nothing was to be streamed."""
        del name, reading, request_id
        raise errors.UpstreamMalformed(detail=f"a stream where none was asked for: {data[:80]!r}", status=200)


def _told(fields: Body) -> Told | None:
    usage = fields.get("usage", _NULL)
    return None if bytes(usage) == b"null" else read_told(usage)
