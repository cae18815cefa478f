"""Operations whose answer is one JSON object with its usage in it: nothing is streamed, nothing has to be asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import Final

import msgspec

from gateway.domain import errors
from gateway.domain.inference import Usage
from gateway.providers.http import said
from gateway.providers.ports import Body, Call, Event, Reply
from gateway.providers.usage import Told, read_told, usage_of
from gateway.providers.wire import Outgoing, Reading, complained

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NULL: Final = msgspec.Raw(b"null")
_MOST_UNITS: Final = 10**6
"""No request has so many search units: who says so has miscounted, and is not billed by."""


class _Units(msgspec.Struct):
    search_units: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None


class _Meta(msgspec.Struct):
    tokens: _Units | None = None
    billed_units: _Units | None = None


_NO_UNITS: Final = _Units()


def counted(fields: Body) -> Usage | None:
    """The `usage` of an answer; where it is one number, that of what was asked."""
    usage = fields.get("usage", _NULL)
    told = None if bytes(usage) == b"null" else read_told(usage)
    if told is not None and (told.prompt_tokens, told.input_tokens, told.completion_tokens) == (None,) * 3:
        told.prompt_tokens = told.total_tokens  # Jina
    return usage_of(told)


def reranked(fields: Body) -> Usage | None:
    """The `usage` of an answer and what Cohere says in `meta`: tokens, or units that are billed beside them."""
    usage = counted(fields)
    try:
        meta = msgspec.json.decode(fields.get("meta", _NULL), type=_Meta | None)
    except msgspec.ValidationError:
        return usage
    if meta is None:
        return usage
    billed = meta.billed_units or _NO_UNITS
    units = billed if billed.input_tokens is not None else meta.tokens
    if usage is None and units is not None and units.input_tokens is not None:
        usage = usage_of(
            Told(input_tokens=int(units.input_tokens), output_tokens=int(units.output_tokens or 0))
        )
    if billed.search_units is not None and 0 < billed.search_units <= _MOST_UNITS:
        return replace(usage or Usage(), search_units=ceil(billed.search_units))
    return usage


@dataclass(frozen=True, slots=True)
class Plain:
    """A wire whose answers must have the field `needs`; `usage` finds in them what was used."""

    needs: str
    usage: Callable[[Body], Usage | None] = counted

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
        return Reply(body, self.usage(fields), None, request_id)

    def event(self, name: bytes, data: bytes, reading: Reading, request_id: str | None) -> Event:
        """Raises UpstreamMalformed: nothing was to be streamed."""
        del name, reading, request_id
        raise errors.UpstreamMalformed(detail=f"a stream where none was asked for: {data[:80]!r}", status=200)
